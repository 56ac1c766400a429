//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How long tests wait before they call something hung: long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer or `limit` has passed.
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
