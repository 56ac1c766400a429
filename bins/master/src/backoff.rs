//! When a dead child may be started again. Pure: time comes in as an argument.

use std::time::Duration;

/// A child that lived this long was not part of a crash loop.
const STEADY: Duration = Duration::from_secs(10);

/// The bounds of the delays, from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// The second death in a row waits this long, each further one twice as long as the one before.
    pub first: Duration,
    /// No delay is longer.
    pub longest: Duration,
}

/// The delays of one service; others are not touched by them.
#[derive(Debug, Default)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// A child died after it had lived for `lived`: how long to wait before the next one is started.
    ///
    /// The first death after a steady life costs nothing.
    pub fn after_death(&mut self, lived: Duration, delays: Delays) -> Duration {
        if lived >= STEADY {
            self.next = Duration::ZERO;
        }
        let delay = self.next;
        self.next = if delay.is_zero() {
            delays.first
        } else {
            delay * 2
        }
        .min(delays.longest);
        delay
    }

    /// The same for a process that could not even be started: trying again at once would change nothing.
    pub fn after_failed_start(&mut self, delays: Delays) -> Duration {
        self.next = self.next.max(delays.first);
        self.after_death(Duration::ZERO, delays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_minute_and_start_over_after_a_steady_life() {
        let delays = Delays {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        };
        let mut backoff = Backoff::default();
        let quick = Duration::from_millis(3);
        let seconds: Vec<u64> = (0..9)
            .map(|_| backoff.after_death(quick, delays).as_secs())
            .collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after_death(STEADY, delays), Duration::ZERO);
        assert_eq!(backoff.after_death(quick, delays), delays.first);
    }

    #[test]
    fn what_cannot_be_started_is_not_tried_at_once() {
        let delays = Delays {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(3),
        };
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..4)
            .map(|_| backoff.after_failed_start(delays).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 3, 3]);
    }
}
