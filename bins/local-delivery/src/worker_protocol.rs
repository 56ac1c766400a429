//! What the supervisor and its workers say to each other, over a socket pair.

use std::path::PathBuf;
use std::time::Duration;

use ipc::Protocol;
use ipc::protocol::{MailboxFormat, UsageReply, WorkContent};
use mail_types::{Address, Outcome, QueueId, ReversePath};
use serde::{Deserialize, Serialize};

/// Marker of the protocol: the supervisor asks, the worker answers.
#[derive(Debug)]
pub enum Worker {}

impl Protocol for Worker {
    const NAME: &'static str = "delivery-worker";
    const VERSION: u32 = 1;
    /// A work of the queue with the places of its recipients added.
    const MAX_BODY: usize = 8 << 20;
    const MAX_PAYLOAD: usize = 1 << 20;
    const MAX_FDS: usize = 1;
    type Request = WorkerRequest;
    type Reply = WorkerReply;
}

/// The supervisor asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerRequest {
    /// Deliver this; its content is the payload or the descriptor.
    Deliver(Box<Parcel>),
    /// How full is this mailbox?
    Usage(MailboxPlace),
}

/// One message for recipients of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Which message, for the log.
    pub queue_id: QueueId,
    /// Becomes Return-Path.
    pub reverse_path: ReversePath,
    /// Where the content is.
    pub content: WorkContent,
    /// Octets of content.
    pub size: u64,
    /// How long the work may take.
    pub time_limit: Duration,
    /// For whom.
    pub recipients: Vec<ParcelRecipient>,
}

/// One recipient of a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelRecipient {
    /// Its number within the message.
    pub number: u64,
    /// Becomes Delivered-To.
    pub address: Address,
    /// Where to.
    pub place: Place,
}

/// Where a copy goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Into a mailbox or file.
    Mailbox(MailboxPlace),
    /// To the standard input of a command.
    Command(String),
}

/// A mailbox of the worker's user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxPlace {
    /// Its folder or file.
    pub path: PathBuf,
    /// How it is stored.
    pub format: MailboxFormat,
    /// Octets allowed; 0 is no limit.
    pub quota_bytes: u64,
    /// Messages allowed; 0 is no limit.
    pub quota_messages: u64,
}

/// The worker answers in kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerReply {
    /// To `Deliver`: one per recipient.
    Reports(Vec<Report>),
    /// To `Usage`.
    Usage {
        /// For the caller.
        usage: UsageReply,
        /// For the log, when it could not be read.
        problem: Option<String>,
    },
}

/// How one recipient's copy fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// As in [`ParcelRecipient::number`].
    pub recipient: u64,
    /// For the queue and for reports to senders: tells nothing of this machine.
    pub outcome: Outcome,
    /// For the log, with paths and system errors, when something went wrong.
    pub problem: Option<String>,
}
