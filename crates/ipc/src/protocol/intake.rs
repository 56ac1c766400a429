//! Mail comes in: smtpd → queue-manager.

use std::fmt;
use std::net::IpAddr;

use mail_types::{Envelope, QueueId, SessionId};
use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Marker of the protocol.
///
/// Small content travels as the payload of [`IntakeRequest::Submit`]. Larger content goes by
/// [`IntakeRequest::OpenSpool`], whose reply carries a write-only descriptor, and
/// [`IntakeRequest::Commit`].
#[derive(Debug)]
pub enum Intake {}

impl Protocol for Intake {
    const NAME: &'static str = "intake";
    const VERSION: u32 = 1;
    /// 50 000 recipients, the highest setting, with addresses of usual length.
    const MAX_BODY: usize = 8 << 20;
    /// The highest `queue.inline_limit`.
    const MAX_PAYLOAD: usize = 1 << 20;
    const MAX_FDS: usize = 1;
    type Request = IntakeRequest;
    type Reply = IntakeReply;
}

/// The name of a spool file that is being filled: 128 random bits, so that knowing it is the right to commit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpoolId(pub u128);

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Where a message came from, kept with it for log and trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The session that brought it; `None` for mail that the suite itself made.
    pub session: Option<SessionId>,
    /// The peer's address, when it came over the network.
    pub client: Option<IpAddr>,
    /// `SMTP`, `ESMTP`, `UTF8SMTP`, … (RFC 3848, RFC 6531 §4.3), or `local`.
    pub protocol: String,
}

/// smtpd asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntakeRequest {
    /// Make this message durable; its content is the payload, CRLF line ends, trace header included.
    Submit {
        /// Who to whom.
        envelope: Envelope,
        /// From where.
        origin: Origin,
    },
    /// Open a spool file for content above `queue.inline_limit`.
    OpenSpool {
        /// Octets expected, as declared by SIZE; 0 when not declared.
        expected: u64,
    },
    /// The content of `spool` is complete: make it and the envelope durable.
    Commit {
        /// Whose content.
        spool: SpoolId,
        /// Its length in octets; a different length on disk is refused.
        size: u64,
        /// Who to whom.
        envelope: Envelope,
        /// From where.
        origin: Origin,
    },
    /// The transaction ended without a message: remove `spool`. Answered by [`IntakeReply::Aborted`].
    Abort {
        /// Which.
        spool: SpoolId,
    },
}

/// queue-manager answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntakeReply {
    /// The message is on disk and synced: only now may 250 be said.
    Durable {
        /// Its name from now on.
        queue_id: QueueId,
    },
    /// A spool file is open; its write-only descriptor comes with this frame.
    Spool {
        /// Its name.
        spool: SpoolId,
    },
    /// The spool file is gone.
    Aborted,
    /// Nothing was kept.
    Refused(Refusal),
}

/// Why the queue did not take a message. All are temporary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Free disk is below the bound (452 4.3.1).
    DiskFull,
    /// Writing or syncing failed (451 4.3.0).
    StorageFailed,
    /// Too much waits to be committed (451 4.3.2).
    Overloaded,
    /// The spool file is unknown, or not of the said length (451 4.3.0).
    SpoolMismatch,
}
