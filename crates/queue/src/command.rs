//! What the commit thread is asked, and what it answers.

use std::fs::File;

use mail_types::{Address, QueueId, Target, Timestamp};

use crate::error::StorageError;
use crate::types::{Durable, LastReply, MessageState, NewMessage, RecipientState, SpoolId};

/// One change of the queue. Each is atomic and durable when its [`Event::Done`] arrives.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make a message durable. Answered by [`Done::Accepted`].
    Submit(Box<NewMessage>),
    /// Create a spool file. Answered by [`Done::Spool`].
    OpenSpool {
        /// Octets expected; 0 when not known. Refused when the disk has no room for them.
        expected: u64,
    },
    /// Remove a spool file that was not committed. Answered by [`Done::Aborted`].
    AbortSpool {
        /// Which.
        spool: SpoolId,
    },
    /// Record what became of recipients. Answered by [`Done::Updated`].
    Update(Box<Update>),
    /// What an administrator asks. Answered by [`Done::Changed`].
    Administer {
        /// What to do.
        action: Action,
        /// With which messages.
        selection: Selection,
    },
}

/// What became of some recipients of one message, in one transaction.
///
/// A message whose last recipient goes vanishes in the same transaction, with its content.
#[derive(Clone, Debug)]
pub struct Update {
    /// Which message.
    pub queue_id: QueueId,
    /// What became of whom. A recipient that no longer exists is passed over.
    pub changes: Vec<Change>,
    /// New messages that report on recipients which leave in `changes`. They are enqueued only
    /// if at least one change found its recipient (or `changes` is empty and the message
    /// exists): an outcome that arrives twice makes one report.
    pub reports: Vec<NewMessage>,
    /// The message leaves memory: its state becomes deferred (unless it is on hold or corrupt) and
    /// its due time the earliest of its recipients'. Without it, the due time stays as it was,
    /// so that a crash finds the message due.
    pub park: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub struct Change {
    /// [`crate::StoredRecipient::number`].
    pub recipient: u64,
    /// What.
    pub fate: Fate,
}

/// What becomes of a recipient.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It ended and nothing is owed, or what is owed is among [`Update::reports`].
    Gone,
    /// It ended, and a report is still owed: the row stays until a later [`Fate::Gone`].
    Owed {
        /// [`RecipientState::Delivered`] or [`RecipientState::Failed`].
        ended: RecipientState,
        /// What to report.
        reply: LastReply,
        /// When to report.
        due: Timestamp,
    },
    /// Not now. Counts one attempt when `attempted`.
    Deferred {
        /// When next.
        due: Timestamp,
        /// Why.
        reply: LastReply,
        /// False for a recipient that was deferred without an attempt (a dead destination).
        attempted: bool,
    },
    /// Its address stands for these targets: they take its place, due at once. A target that the
    /// message already has, with the same NOTIFY and owner, is not added a second time.
    ///
    /// One target without an owner need not be stored: expanding again costs less than a commit.
    Replaced(Vec<NewTarget>),
}

/// One end of an expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTarget {
    /// Where the mail goes.
    pub target: Target,
    /// Replaces the reverse-path, when the alias has an owner.
    pub owner: Option<Address>,
}

/// What an administrator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Incoming, deferred → hold.
    Hold,
    /// Hold → deferred, due at once. Corrupt → deferred as well: to try again to read it.
    Release,
    /// Remove without a report.
    Delete,
    /// Deferred: message and recipients become due at once.
    Flush,
}

/// Which messages. Worked through in transactions of bounded size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every one that the action applies to.
    All,
    /// Every one in a state.
    State(MessageState),
    /// These.
    Messages(Vec<QueueId>),
}

/// What the queue tells its owner. They come in batches: all that one COMMIT made durable at once.
#[derive(Debug)]
pub enum Event<T> {
    /// A command ended.
    Done {
        /// As given with the command.
        tag: T,
        /// How. After an error nothing of the command was kept, as far as the disk can tell.
        result: Result<Done, StorageError>,
    },
    /// A message could not be read and is now in [`MessageState::Corrupt`]. To be logged as a warning.
    SetAside {
        /// Which.
        queue_id: QueueId,
        /// What is wrong with it.
        why: String,
    },
    /// Writing fails; the queue tries again by itself. To be logged, once per change.
    StorageFailing(StorageError),
    /// Writing works again.
    StorageRecovered,
    /// Spool files that belonged to no message were removed.
    OrphansRemoved {
        /// How many.
        files: u64,
    },
}

/// What a command came to, durably.
#[derive(Debug)]
pub enum Done {
    /// To [`Command::Submit`].
    Accepted(Durable<QueueId>),
    /// To [`Command::OpenSpool`].
    Spool {
        /// The file's name.
        spool: SpoolId,
        /// Open for writing only, empty.
        file: File,
    },
    /// To [`Command::AbortSpool`].
    Aborted,
    /// To [`Command::Update`].
    Updated(Updated),
    /// To [`Command::Administer`].
    Changed {
        /// How many messages changed.
        messages: u64,
    },
}

/// What an [`Update`] left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Which message.
    pub queue_id: QueueId,
    /// Rows of recipients that are left; 0 when the message is gone.
    pub left: u64,
    /// When the message is due next, when it was parked and is neither on hold nor corrupt.
    pub due: Option<Timestamp>,
    /// The reports' names, in order; empty when none was enqueued.
    pub reports: Vec<Durable<QueueId>>,
}
