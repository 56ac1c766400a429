//! LOGIN-DELAY (RFC 2449 §6.5): who logged in a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail_types::Address;

/// More users than this are not remembered: then some may come too soon.
const MAX_USERS: usize = 50_000;

/// The last logins of the last while.
#[derive(Debug)]
pub(crate) struct LoginDelay {
    delay: Duration,
    last: Mutex<HashMap<String, Instant>>,
}

impl LoginDelay {
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            last: Mutex::default(),
        }
    }

    /// Whether a user may log in at `now`, which is remembered if so.
    pub fn admits(&self, user: &Address, now: Instant) -> bool {
        if self.delay.is_zero() {
            return true;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |then: &Instant| now.duration_since(*then) < self.delay;
        let user = user.to_string();
        if last.get(&user).is_some_and(is_recent) {
            return false;
        }
        if last.len() >= MAX_USERS {
            last.retain(|_, then| is_recent(then));
        }
        if last.len() < MAX_USERS {
            last.insert(user, now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_waits() {
        let delay = LoginDelay::new(Duration::from_secs(60));
        let user = |name: &str| name.parse::<Address>().unwrap();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(delay.admits(&user("a@example.org"), at(0)));
        assert!(delay.admits(&user("b@example.org"), at(1)));
        assert!(!delay.admits(&user("a@example.org"), at(59)));
        assert!(delay.admits(&user("a@example.org"), at(60)));
        assert!(!delay.admits(&user("a@example.org"), at(61)));
        let none = LoginDelay::new(Duration::ZERO);
        assert!(
            none.admits(&user("a@example.org"), at(0))
                && none.admits(&user("a@example.org"), at(0))
        );
    }
}
