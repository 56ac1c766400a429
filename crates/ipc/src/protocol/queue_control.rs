//! The administrator looks into the queue and moves mail: posthouse command → queue-manager.

use mail_types::{Address, QueueId, ReversePath, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Marker of the protocol.
#[derive(Debug)]
pub enum QueueControl {}

impl Protocol for QueueControl {
    const NAME: &'static str = "queue-control";
    const VERSION: u32 = 1;
    const MAX_BODY: usize = 4 << 20;
    const MAX_PAYLOAD: usize = 1 << 20;
    const MAX_FDS: usize = 1;
    type Request = QueueControlRequest;
    type Reply = QueueControlReply;
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Every one.
    All,
    /// Every one in a state.
    State(MessageState),
    /// One.
    Message(QueueId),
}

/// Where a message stands (Postfix's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageState {
    /// Accepted, not yet looked at.
    Incoming,
    /// Being delivered, or about to be.
    Active,
    /// Waiting for its next attempt.
    Deferred,
    /// Waiting for the administrator.
    Hold,
    /// Unreadable: set aside.
    Corrupt,
}

/// The command asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueControlRequest {
    /// Messages in order of their id, a page at a time.
    List {
        /// Which.
        selection: Selection,
        /// Only ids above this one.
        after: Option<QueueId>,
        /// At most so many; the reply may have fewer.
        limit: u32,
    },
    /// One message's content: its first MiB as payload, or all of it as a read-only descriptor.
    Show {
        /// Which.
        queue_id: QueueId,
    },
    /// Put on hold.
    Hold(Selection),
    /// Release from hold.
    Release(Selection),
    /// Remove without a report.
    Delete(Selection),
    /// Attempt deferred mail now.
    Flush(Selection),
    /// Counts.
    Status,
}

/// queue-manager answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueControlReply {
    /// To `List`.
    Messages {
        /// In order of id.
        messages: Vec<MessageSummary>,
        /// Whether there are more after the last.
        more: bool,
    },
    /// To `Show`; content as payload or descriptor.
    Content,
    /// To `Hold`, `Release`, `Delete`, `Flush`: how many messages changed.
    Changed(u64),
    /// To `Status`.
    Status(QueueStatus),
    /// There is no such message.
    NotFound,
    /// The peer's user may not ask this.
    Denied,
    /// It failed; the text says why.
    Failed(String),
}

/// One message in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSummary {
    /// Its name.
    pub queue_id: QueueId,
    /// Where it stands.
    pub state: MessageState,
    /// Octets of content.
    pub size: u64,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Its sender.
    pub reverse_path: ReversePath,
    /// Those still to be served, at most 100.
    pub recipients: Vec<RecipientSummary>,
    /// How many are still to be served.
    pub recipients_left: u64,
}

/// One recipient in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientSummary {
    /// For whom.
    pub address: Address,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due, when one is planned.
    pub next_attempt: Option<Timestamp>,
    /// What the last attempt said, when there was one.
    pub last_reply: Option<String>,
}

/// Messages by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// See [`MessageState::Incoming`].
    pub incoming: u64,
    /// See [`MessageState::Active`].
    pub active: u64,
    /// See [`MessageState::Deferred`].
    pub deferred: u64,
    /// See [`MessageState::Hold`].
    pub hold: u64,
    /// See [`MessageState::Corrupt`].
    pub corrupt: u64,
}
