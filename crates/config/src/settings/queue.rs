//! `[queue]`: what the queue takes and keeps.

use std::time::Duration;

use crate::record::settings;
use crate::types::Size;

settings! {
    /// What the queue takes, keeps and reports.
    queue: Queue {
        /// Content up to this size is stored in the queue's database, larger content in a file of its
        /// own. The database is faster for small messages, files for large ones.
        inline_limit: Size {
            default: Size::kib(64),
            range: Size::kib(1) => Size::kib(1024),
            readers: ["smtpd"],
        }
        /// New mail is refused with 452 while less than this is free on the queue's file system. At
        /// least one and a half times `smtpd.message_size_limit`, so that what is being
        /// received still finds room.
        min_free: Size {
            default: Size::mib(100),
            readers: ["queue-manager"],
        }
        /// New messages begin on hold and wait for `posthouse queue release`. Reports that the suite
        /// makes itself do not.
        hold_new: bool {
            default: false,
            readers: ["queue-manager"],
        }
        /// How long a message is tried before its sender is told that it could not be delivered.
        lifetime: Duration {
            default: Duration::from_secs(5 * 86_400),
            range: Duration::from_secs(1) => Duration::from_secs(365 * 86_400),
            readers: ["queue-manager"],
        }
        /// As `lifetime`, for messages that nobody is told about: those from the null sender, such as
        /// reports.
        bounce_lifetime: Duration {
            default: Duration::from_secs(5 * 86_400),
            range: Duration::from_secs(1) => Duration::from_secs(365 * 86_400),
            readers: ["queue-manager"],
        }
        /// A report of a failure returns the whole message up to this size, and only the header of
        /// a larger one.
        bounce_size_limit: Size {
            default: Size::kib(50),
            range: Size::kib(1) => Size::kib(512),
            readers: ["queue-manager"],
        }
        /// When a report, or other mail from the null sender, cannot be delivered, postmaster of the
        /// first local domain is told. Otherwise it ends with a line in the log.
        notify_postmaster: bool {
            default: false,
            readers: ["queue-manager"],
        }
        /// Messages that may wait at a time to be written to disk; more are refused with 451.
        max_waiting: u32 {
            default: 10_000,
            range: 100 => 1_000_000,
            readers: ["queue-manager"],
        }
        /// Content in memory that may wait at a time to be written to disk; more is refused with 451.
        max_waiting_bytes: Size {
            default: Size::mib(64),
            range: Size::mib(2) => Size::gib(4),
            readers: ["queue-manager"],
        }
        /// Threads that sync the files of large messages.
        sync_threads: u32 {
            default: 4,
            range: 1 => 64,
            readers: ["queue-manager"],
        }
        /// When queue-manager ends, it waits this long for the outcomes of deliveries that are under way.
        /// What is unknown then is delivered again after the start, so a recipient may get it twice.
        drain_time: Duration {
            default: Duration::from_secs(5),
            range: Duration::from_secs(0) => Duration::from_secs(600),
            readers: ["master", "queue-manager"],
        }
    }
}
