//! How full a mailbox is: directory → local-delivery, which alone may look.

use serde::{Deserialize, Serialize};

use crate::Protocol;
use crate::protocol::MailboxSpec;

/// Marker of the protocol.
#[derive(Debug)]
pub enum MailboxUsage {}

impl Protocol for MailboxUsage {
    const NAME: &'static str = "mailbox-usage";
    const VERSION: u32 = 1;
    const MAX_BODY: usize = 16 << 10;
    const MAX_PAYLOAD: usize = 0;
    const MAX_FDS: usize = 0;
    type Request = UsageRequest;
    type Reply = UsageReply;
}

/// directory asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRequest {
    /// Of which mailbox.
    pub mailbox: MailboxSpec,
}

/// local-delivery answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsageReply {
    /// What is in it; zeros when it does not exist yet.
    Usage {
        /// Octets.
        bytes: u64,
        /// Messages.
        messages: u64,
    },
    /// It could not be read; the log there says why.
    Unavailable,
}
