//! Whether a mailbox has room, as local-delivery says, who alone may look.
//!
//! What it says is kept for a few seconds, so that a burst of mail costs one look. When it does not say,
//! there is room: delivery decides again, and by setting defers or bounces.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipc::Client;
use ipc::protocol::{MailboxSpec, MailboxUsage, UsageReply, UsageRequest};
use telemetry::{catalogue, event};

/// How long an answer counts.
const LIFETIME: Duration = Duration::from_secs(5);
/// How long local-delivery may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// The most mailboxes that are remembered.
const CAPACITY: usize = 10_000;

#[derive(Clone, Copy, Debug)]
enum Usage {
    Known { bytes: u64, messages: u64 },
    Unknown,
}

/// Asks and remembers.
pub struct QuotaCheck {
    client: Client<MailboxUsage>,
    seen: Mutex<HashMap<PathBuf, (Usage, Instant)>>,
}

impl std::fmt::Debug for QuotaCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuotaCheck").finish_non_exhaustive()
    }
}

impl QuotaCheck {
    /// Asks at local-delivery's socket.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self {
            client: Client::new(socket),
            seen: Mutex::default(),
        }
    }

    /// Whether a message of `size` octets finds room, if that was asked lately.
    #[must_use]
    pub fn known(&self, mailbox: &MailboxSpec, size: u64) -> Option<bool> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (usage, at) = seen.get(&mailbox.path)?;
        (at.elapsed() < LIFETIME).then(|| has_room(*usage, mailbox, size))
    }

    /// Asks whether a message of `size` octets finds room.
    pub async fn ask(&self, mailbox: MailboxSpec, size: u64) -> bool {
        let request = UsageRequest { mailbox };
        let answer = self
            .client
            .call(&request, Bytes::new(), Vec::new(), DEADLINE)
            .await;
        let usage = match answer.map(|frame| frame.message) {
            Ok(UsageReply::Usage { bytes, messages }) => Usage::Known { bytes, messages },
            Ok(UsageReply::Unavailable) => Usage::Unknown,
            Err(error) => {
                event!(catalogue::SERVICE_UNAVAILABLE, service = "local-delivery", reason = %error);
                Usage::Unknown
            }
        };
        let has_room = has_room(usage, &request.mailbox, size);
        self.remember(request.mailbox.path, usage);
        has_room
    }

    fn remember(&self, path: PathBuf, usage: Usage) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= CAPACITY {
            seen.retain(|_, (_, at)| at.elapsed() < LIFETIME);
        }
        if seen.len() < CAPACITY {
            seen.insert(path, (usage, Instant::now()));
        }
    }
}

fn has_room(usage: Usage, mailbox: &MailboxSpec, size: u64) -> bool {
    let Usage::Known { bytes, messages } = usage else {
        return true;
    };
    // Without a declared size there must be room for something.
    let fits =
        |used: u64, more: u64, quota: u64| quota == 0 || used.saturating_add(more.max(1)) <= quota;
    fits(bytes, size, mailbox.quota_bytes) && fits(messages, 1, mailbox.quota_messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::protocol::MailboxFormat;
    use mail_types::Address;

    fn mailbox(quota_bytes: u64, quota_messages: u64) -> MailboxSpec {
        MailboxSpec {
            user: Address::parse("a@x").unwrap(),
            uid: 1,
            gid: 1,
            format: MailboxFormat::Maildir,
            path: "/m/a".into(),
            quota_bytes,
            quota_messages,
        }
    }

    #[test]
    fn room_is_what_the_quota_leaves() {
        for (bytes, messages, quota_bytes, quota_messages, size, room) in [
            (0, 0, 100, 0, 100, true),
            (0, 0, 100, 0, 101, false),
            (99, 0, 100, 0, 0, true),
            (100, 0, 100, 0, 0, false),
            (5, 9, 0, 10, 1 << 40, true),
            (5, 10, 0, 10, 1, false),
            (u64::MAX, 0, 100, 0, u64::MAX, false),
        ] {
            let usage = Usage::Known { bytes, messages };
            let mailbox = mailbox(quota_bytes, quota_messages);
            assert_eq!(
                has_room(usage, &mailbox, size),
                room,
                "{usage:?} {mailbox:?} {size}"
            );
        }
        assert!(has_room(Usage::Unknown, &mailbox(1, 1), 100));
    }

    #[test]
    fn the_memory_is_bounded() {
        let check = QuotaCheck::new("/nowhere".into());
        for at in 0..CAPACITY + 5 {
            check.remember(format!("/m/{at}").into(), Usage::Unknown);
        }
        assert_eq!(check.seen.lock().unwrap().len(), CAPACITY);
        assert_eq!(check.known(&mailbox(1, 1), 9), None);
        let mut seen = mailbox(1, 1);
        seen.path = "/m/7".into();
        assert_eq!(check.known(&seen, 9), Some(true));
    }
}
