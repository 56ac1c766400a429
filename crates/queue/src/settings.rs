//! The bounds of the queue.

use std::time::Duration;

/// Bounds, all from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// New mail is refused while less than this is free on the queue's file system, in octets.
    pub min_free: u64,
    /// Commands that may wait for a commit before [`crate::Command::Submit`] and
    /// [`crate::Command::OpenSpool`] are refused; updates never are.
    pub max_waiting: usize,
    /// Octets of content that may wait for a commit before submits are refused.
    pub max_waiting_bytes: usize,
    /// Threads that sync spool files.
    pub sync_threads: usize,
    /// How old a spool file without a message must be to be removed.
    pub orphan_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_free: 100 << 20,
            max_waiting: 10_000,
            max_waiting_bytes: 64 << 20,
            sync_threads: 4,
            orphan_age: Duration::from_secs(86_400),
        }
    }
}
