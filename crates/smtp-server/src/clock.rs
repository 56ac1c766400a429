//! Time as sessions need it: deadlines, the data rate, dates.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use mail_types::{SessionId, Timestamp};
use tokio::time::Instant;

/// How fast content arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    since: Instant,
    octets: u64,
}

impl Rate {
    pub(crate) fn begin(now: Instant) -> Self {
        Self {
            since: now,
            octets: 0,
        }
    }

    /// Counts what arrived; `false` when a whole window brought less than `minimum` octets a second.
    pub(crate) fn is_fair(
        &mut self,
        now: Instant,
        octets: u64,
        minimum: u64,
        window: Duration,
    ) -> bool {
        self.octets += octets;
        let passed = now - self.since;
        if passed < window {
            return true;
        }
        let due = u128::from(minimum) * passed.as_millis() / 1000;
        let fair = u128::from(self.octets) >= due;
        *self = Self::begin(now);
        fair
    }
}

/// Dates and names of sessions.
#[derive(Debug)]
pub(crate) struct Calendar {
    zone: TimeZone,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The second that `date` stands for.
    second: i64,
    date: String,
    last_session: u64,
}

impl Calendar {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            state: Mutex::default(),
        }
    }

    /// Gives `with` the present date as headers write it; written anew once a second.
    pub(crate) fn with_date<T>(&self, with: impl FnOnce(&str) -> T) -> T {
        let now = Timestamp::from(SystemTime::now());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.second != now.seconds() || state.date.is_empty() {
            let moment = jiff::Timestamp::from_second(now.seconds());
            let offset = moment.map_or(0, |moment| self.zone.to_offset(moment).seconds());
            state.date = mime::rfc5322_date(now, offset);
            state.second = now.seconds();
        }
        with(&state.date)
    }

    /// A name for a new session: the microsecond it began in, or the next one that is free.
    pub(crate) fn session_id(&self) -> SessionId {
        let now = Timestamp::from(SystemTime::now());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let id = u64::try_from(now.0)
            .unwrap_or_default()
            .max(state.last_session + 1);
        state.last_session = id;
        SessionId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_content_is_unfair_after_a_window() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let window = Duration::from_secs(60);
        let mut rate = Rate::begin(start);
        assert!(rate.is_fair(at(59), 1, 64, window));
        assert!(!rate.is_fair(at(60), 100, 64, window));
        assert!(rate.is_fair(at(61), 64 * 60, 64, window));
        assert!(rate.is_fair(at(120), 0, 64, window));
        assert!(!rate.is_fair(at(300), 64 * 100, 64, window));
        assert!(rate.is_fair(at(500), 0, 0, window));
    }

    #[test]
    fn sessions_have_names_of_their_own_and_dates_a_form() {
        let calendar = Calendar::new(TimeZone::UTC);
        let ids: Vec<_> = (0..1000).map(|_| calendar.session_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        calendar.with_date(|date| assert!(date.ends_with(" +0000"), "{date}"));
    }
}
