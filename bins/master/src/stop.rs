//! The ordered stop: stage after stage, all within one time limit. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

use crate::table::STOP_STAGES;

/// Requests to stop within this time are one.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// How long the killed may take to be gone.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// An ordered stop that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    began: Instant,
    limit: Duration,
    at_once: bool,
}

impl Stop {
    /// Begins now and is over before `limit` has passed.
    #[must_use]
    pub fn begin(now: Instant, limit: Duration) -> Self {
        Self {
            began: now,
            limit,
            at_once: false,
        }
    }

    /// Asked a second time: nobody is waited for any more. Answers whether that is news.
    ///
    /// A second request right behind the first is the same one: `timeout(1)` and terminals tell both a process
    /// and its group.
    pub fn hurry(&mut self, now: Instant) -> bool {
        let again = !self.at_once && now.saturating_duration_since(self.began) >= SAME_REQUEST;
        self.at_once |= again;
        again
    }

    /// The stage that is to end now, given the stages of all that still run; `None` when all have ended.
    pub fn stage(&self, alive: impl Iterator<Item = usize>) -> Option<usize> {
        alive.min()
    }

    /// When what is left of a stage is killed.
    ///
    /// Each stage may take half of the time that is left, and the last one all of it: those who accept clients
    /// come first and have transactions to finish. What one does not need is left to the later ones.
    #[must_use]
    pub fn deadline(&self, stage: usize) -> Instant {
        if self.at_once {
            return self.began;
        }
        if stage + 1 >= STOP_STAGES {
            return self.began + self.limit;
        }
        let halvings = u32::try_from(stage + 1).unwrap_or(31).min(31);
        self.began + (self.limit - self.limit / (1 << halvings))
    }

    /// When what was killed and still is not gone is left behind: it hangs in the kernel.
    #[must_use]
    pub fn give_up(&self) -> Instant {
        self.began + self.limit + LAST_WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_each_other_within_the_limit() {
        let now = Instant::now();
        let limit = Duration::from_secs(40);
        let mut stop = Stop::begin(now, limit);
        assert_eq!(stop.stage([3, 1, 2, 1].into_iter()), Some(1));
        assert_eq!(stop.stage([3].into_iter()), Some(3));
        assert_eq!(stop.stage(std::iter::empty()), None);
        let deadlines: Vec<u64> = (0..STOP_STAGES)
            .map(|stage| (stop.deadline(stage) - now).as_secs())
            .collect();
        assert_eq!(deadlines, [20, 30, 35, 40]);
        assert!(!stop.hurry(now), "the same request");
        assert_eq!(stop.deadline(3), now + limit);
        assert!(stop.hurry(now + SAME_REQUEST));
        assert!(!stop.hurry(now + 2 * SAME_REQUEST), "no news");
        assert_eq!(stop.deadline(3), now);
    }
}
