//! Mail goes out: a delivery agent ↔ queue-manager.
//!
//! The agent connects and sends [`AgentMessage::Ready`] with how many works it can hold.
//! The queue-manager pushes at most that many [`QueueMessage::Work`]s; each
//! [`AgentMessage::Done`] gives one place back. A lease lapses, back to the queue, when the
//! connection ends or its deadline passes.

use std::time::Duration;

use mail_types::{Address, BodyKind, Outcome, QueueId, ReversePath, Target, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Marker of the protocol. All frames are pushes (id 0), both ways.
#[derive(Debug)]
pub enum Delivery {}

impl Protocol for Delivery {
    const NAME: &'static str = "delivery";
    const VERSION: u32 = 1;
    const MAX_BODY: usize = 1 << 20;
    const MAX_PAYLOAD: usize = 1 << 20;
    const MAX_FDS: usize = 1;
    type Request = AgentMessage;
    type Reply = QueueMessage;
}

/// Names one lease for as long as the queue-manager runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId(pub u64);

/// Which delivery method an agent serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeliveryTransport {
    /// Mailboxes of this host.
    Local,
}

/// The agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentMessage {
    /// Sent once, first.
    Ready {
        /// What it delivers by.
        transport: DeliveryTransport,
        /// How many works it will hold at a time.
        capacity: u32,
    },
    /// A work is done: an outcome for each of its recipients.
    Done {
        /// Which.
        lease: LeaseId,
        /// One per recipient of the work.
        outcomes: Vec<WorkOutcome>,
    },
}

/// One recipient's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOutcome {
    /// As in [`WorkRecipient::number`].
    pub recipient: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// The queue-manager says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueMessage {
    /// Attempt this.
    Work(Box<Work>),
}

/// An attempt to make: one message, the recipients of one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The right to attempt it.
    pub lease: LeaseId,
    /// How long the lease holds, from receipt.
    pub time_limit: Duration,
    /// Which message.
    pub queue_id: QueueId,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Becomes Return-Path at final delivery.
    pub reverse_path: ReversePath,
    /// `BODY=`.
    pub body: BodyKind,
    /// `SMTPUTF8` was said.
    pub smtputf8: bool,
    /// Octets of content.
    pub size: u64,
    /// Where the content is.
    pub content: WorkContent,
    /// For whom; at least one.
    pub recipients: Vec<WorkRecipient>,
}

/// Where a work's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkContent {
    /// In the payload of this frame.
    Payload,
    /// In the read-only descriptor that comes with this frame, from offset 0.
    Descriptor,
}

/// One recipient of a work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkRecipient {
    /// Its number within the message.
    pub number: u64,
    /// Where to: never [`Target::Remote`] for [`DeliveryTransport::Local`].
    pub target: Target,
    /// The address that was in RCPT, before aliases (for Delivered-To and the report).
    pub accepted_as: Address,
}
