//! `[schedule]`: what is attempted when, and how much at a time.

use std::time::Duration;

use crate::record::settings;
use crate::types::Size;

settings! {
    /// Which delivery is attempted when, and how many at a time.
    schedule: Schedule {
        /// How long after its first failed attempt a delivery is tried again. Doubles with each further
        /// attempt, up to `retry_max`; an eighth at most is added at random, so that what failed
        /// together comes back apart. Also how long a destination that fails is left alone.
        retry_min: Duration {
            default: Duration::from_secs(300),
            range: Duration::from_secs(1) => Duration::from_secs(86_400),
            readers: ["queue-manager"],
        }
        /// The longest time between two attempts.
        retry_max: Duration {
            default: Duration::from_secs(4000),
            range: Duration::from_secs(1) => Duration::from_secs(86_400),
            readers: ["queue-manager"],
        }
        /// Deliveries to one destination (a mailbox, file or command of this host) that may be under
        /// way at a time, to begin with. Grows with success, falls with failure.
        initial_concurrency: u32 {
            default: 10,
            range: 1 => 1000,
            readers: ["queue-manager"],
        }
        /// Deliveries to one destination that may be under way at a time, at most.
        max_concurrency: u32 {
            default: 50,
            range: 1 => 1000,
            readers: ["queue-manager"],
        }
        /// Messages that are in memory at a time. The others wait on disk, however many they are.
        max_messages: u32 {
            default: 10_000,
            range: 10 => 1_000_000,
            readers: ["queue-manager"],
        }
        /// Recipients that are in memory at a time; not fewer than `max_messages`.
        max_recipients: u32 {
            default: 30_000,
            range: 10 => 1_000_000,
            readers: ["queue-manager"],
        }
        /// Recipients of one message that are in memory at a time.
        max_message_recipients: u32 {
            default: 1000,
            range: 1 => 100_000,
            readers: ["queue-manager"],
        }
        /// Content of new messages that is kept in memory, so that a delivery which begins at once does
        /// not read it back from disk.
        content_memory: Size {
            default: Size::mib(32),
            range: Size::new(0) => Size::gib(4),
            readers: ["queue-manager"],
        }
        /// How long one attempt may take. Then it counts as lost, and is made again.
        attempt_time: Duration {
            default: Duration::from_secs(1200),
            range: Duration::from_secs(10) => Duration::from_secs(86_400),
            readers: ["queue-manager"],
        }
    }
}
