//! What is stored: messages, their recipients, their content.

use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::str::FromStr;

use bytes::Bytes;
use mail_types::{
    Address, BodyKind, EnhancedStatus, Envelope, Notify, OriginalRecipient, QueueId, ReturnContent,
    ReversePath, SessionId, Target, Timestamp,
};

/// A fact that has been synced to disk.
///
/// Only the commit thread makes one, after COMMIT returned: a function that wants
/// `Durable<QueueId>` cannot be called with a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// To be called after COMMIT succeeded, and never else.
    pub(crate) const fn after_commit(fact: T) -> Self {
        Self(fact)
    }

    /// The fact itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// The name of a spool file: 128 random bits, so that knowing it is the right to commit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpoolId(pub u128);

/// As the file is called: 32 hexadecimal digits.
impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for SpoolId {
    type Err = NotASpoolId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits {
            return Err(NotASpoolId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotASpoolId)
    }
}

/// A text that names no spool file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASpoolId;

impl fmt::Display for NotASpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the name of a spool file: expected 32 lower-case hexadecimal digits")
    }
}

impl std::error::Error for NotASpoolId {}

/// Where a message came from, kept for log and trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The session that brought it; `None` for mail that the suite itself made.
    pub session: Option<SessionId>,
    /// The peer's address, when it came over the network.
    pub client: Option<IpAddr>,
    /// `SMTP`, `ESMTP`, … (RFC 3848), or `local`.
    pub protocol: String,
}

impl Origin {
    /// Of mail that the suite itself made, such as a report.
    #[must_use]
    pub fn local() -> Self {
        Self {
            session: None,
            client: None,
            protocol: "local".to_owned(),
        }
    }
}

/// A message to be made durable.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who to whom; at least one recipient.
    pub envelope: Envelope,
    /// From where.
    pub origin: Origin,
    /// What.
    pub content: NewContent,
    /// It begins in [`MessageState::Hold`], for the administrator to look at.
    pub hold: bool,
}

/// A new message's content.
#[derive(Clone, Debug)]
pub enum NewContent {
    /// Stored in the database.
    Inline(Bytes),
    /// Complete in a spool file that [`crate::Command::OpenSpool`] opened.
    Spooled {
        /// Which.
        spool: SpoolId,
        /// Its length in octets; any other length on disk is refused.
        size: u64,
    },
}

/// Where a message stands on disk. *Active* is not among them: it is a matter of memory,
/// and a crash puts an active message back to where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageState {
    /// Accepted; not every recipient has been looked at yet.
    Incoming,
    /// Waits for its next attempt.
    Deferred,
    /// Waits for the administrator.
    Hold,
    /// Unreadable: set aside.
    Corrupt,
}

/// How many messages are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In [`MessageState::Incoming`].
    pub incoming: u64,
    /// In [`MessageState::Deferred`].
    pub deferred: u64,
    /// In [`MessageState::Hold`].
    pub hold: u64,
    /// In [`MessageState::Corrupt`].
    pub corrupt: u64,
}

/// A message without recipients and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its name.
    pub queue_id: QueueId,
    /// Where it stands.
    pub state: MessageState,
    /// When it is to be looked at next; `None` in hold and corrupt.
    pub due: Option<Timestamp>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Octets of content.
    pub size: u64,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// `BODY=`.
    pub body: BodyKind,
    /// `SMTPUTF8` was said.
    pub smtputf8: bool,
    /// `RET=`, when said.
    pub return_content: Option<ReturnContent>,
    /// `ENVID=`, when said.
    pub envelope_id: Option<String>,
    /// From where.
    pub origin: Origin,
    /// Rows of recipients that are left, those that wait for a report included.
    pub recipients_left: u64,
    /// The content is in a spool file.
    pub spooled: bool,
}

/// Where a recipient stands on disk. *Leased* is a matter of memory, as is *active*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecipientState {
    /// To be attempted.
    Pending,
    /// Delivered; its row is left because a report about it is owed (`NOTIFY=SUCCESS`).
    Delivered,
    /// Failed for good; its row is left because a report about it is owed.
    Failed,
}

/// The number of a new message's first recipient; the others follow in the envelope's order.
pub const FIRST_RECIPIENT: u64 = 0;

/// One recipient that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecipient {
    /// Its number within the message, never used again there.
    pub number: u64,
    /// Where it stands.
    pub state: RecipientState,
    /// What RCPT said, also of a recipient that came from an expansion.
    pub accepted_as: Address,
    /// `NOTIFY=`, when said.
    pub notify: Option<Notify>,
    /// `ORCPT=`, when said.
    pub original: Option<OriginalRecipient>,
    /// Where its mail goes, when an expansion was stored.
    pub target: Option<Target>,
    /// Replaces the reverse-path for this recipient, when the expansion said so.
    pub owner: Option<Address>,
    /// Attempts so far.
    pub attempts: u32,
    /// When to attempt it, or to report it.
    pub due: Timestamp,
    /// What the last attempt said.
    pub last_reply: Option<LastReply>,
}

/// What an attempt said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReply {
    /// Enhanced status, 2.x.x, 4.x.x or 5.x.x.
    pub status: EnhancedStatus,
    /// In words.
    pub text: String,
}

/// A message's content, to be read.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Inline(Bytes),
    /// A spool file, open for reading, at offset 0. It stays readable even if the message goes.
    File(File),
}

/// One place in the order of due messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Since when.
    pub due: Timestamp,
    /// Which.
    pub queue_id: QueueId,
}

/// The two streams of due messages, which the scheduler alternates between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// In [`MessageState::Incoming`].
    New,
    /// In [`MessageState::Deferred`].
    Deferred,
}
