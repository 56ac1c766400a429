//! How often, how many at a time, and how long: the numbers of one transport.

use std::time::Duration;

use mail_types::Timestamp;

/// The numbers of one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Leases of one destination at a time, to begin with.
    pub initial_concurrency: u32,
    /// Leases of one destination at a time, at most.
    pub max_concurrency: u32,
    /// Recipients of one message in one lease, at most.
    pub max_lease_recipients: usize,
    /// Delay after the first deferral; also how long a dead destination is left alone.
    pub min_retry: Duration,
    /// The delay doubles per attempt up to this.
    pub max_retry: Duration,
    /// How long after its acceptance a message is still attempted.
    pub lifetime: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            initial_concurrency: 5,
            max_concurrency: 20,
            max_lease_recipients: 50,
            min_retry: Duration::from_secs(5 * 60),
            max_retry: Duration::from_secs(4000),
            lifetime: Duration::from_secs(5 * 86_400),
        }
    }
}

/// What to do with a recipient whose attempt failed for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Attempt it again then.
    At(Timestamp),
    /// Its lifetime is over: report it as failed.
    Expired,
}

impl Policy {
    /// The delay before the next attempt, after `attempts` of them: doubles from
    /// [`Policy::min_retry`] to [`Policy::max_retry`], and up to an eighth more, by `seed`.
    ///
    /// The jitter only adds, so that the minimum is kept. Messages that failed together get
    /// seeds of their own and come back apart.
    #[must_use]
    pub fn retry_delay(&self, attempts: u32, seed: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let delay = self.min_retry.saturating_mul(1 << doublings);
        let delay = delay.min(self.max_retry);
        let eighths = u32::try_from(mix(seed) >> 48).unwrap_or(0);
        delay.saturating_add((delay / 8).saturating_mul(eighths) / 65_536)
    }

    /// What follows after a recipient's attempt number `attempts` failed for now. The last attempt
    /// is made when the lifetime ends, not a whole delay earlier.
    #[must_use]
    pub fn retry(&self, accepted: Timestamp, attempts: u32, now: Timestamp, seed: u64) -> Retry {
        let end = accepted.plus(self.lifetime);
        if now >= end {
            return Retry::Expired;
        }
        Retry::At(now.plus(self.retry_delay(attempts, seed)).min(end))
    }
}

/// Spreads a seed over all bits (the finalizer of `SplitMix64`).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_between_their_bounds() {
        let policy = Policy::default();
        for (attempts, seconds) in [
            (0, 300),
            (1, 300),
            (2, 600),
            (3, 1200),
            (4, 2400),
            (5, 4000),
        ] {
            let least = Duration::from_secs(seconds);
            let delay = policy.retry_delay(attempts, 7);
            assert!(
                delay >= least && delay <= least * 9 / 8,
                "{attempts}: {delay:?}"
            );
        }
    }

    #[test]
    fn the_last_attempt_is_at_the_end_of_the_lifetime() {
        let policy = Policy::default();
        let accepted = Timestamp::from_seconds(1_000_000);
        let end = accepted.plus(policy.lifetime);
        let before = Timestamp(end.0 - 1_000_000);
        assert_eq!(policy.retry(accepted, 9, before, 1), Retry::At(end));
        assert_eq!(policy.retry(accepted, 9, end, 1), Retry::Expired);
    }

    proptest! {
        #[test]
        fn any_number_of_attempts_has_a_delay(attempts: u32, seed: u64) {
            let policy = Policy::default();
            let delay = policy.retry_delay(attempts, seed);
            prop_assert!(delay >= policy.min_retry && delay <= policy.max_retry * 9 / 8);
        }

        #[test]
        fn every_message_expires(accepted in 0i64..1 << 50, seed: u64) {
            let policy = Policy::default();
            let accepted = Timestamp(accepted);
            let mut now = accepted;
            for attempts in 1..10_000 {
                match policy.retry(accepted, attempts, now, seed) {
                    Retry::At(next) => {
                        prop_assert!(next > now);
                        now = next;
                    }
                    Retry::Expired => return Ok(()),
                }
            }
            prop_assert!(false, "still attempted at {now:?}");
        }
    }
}
