//! The durable queue: SQLite, group commit, spool files.
//!
//! API first; the implementation follows.

mod command;
mod error;
mod queue;
mod reader;
mod settings;
mod types;

pub use command::{
    Action, Change, Command, Done, Event, Fate, NewTarget, Selection, Update, Updated,
};
pub use error::{OpenError, StorageError};
pub use queue::{NotTaken, Queue};
pub use reader::{Reader, RecipientPage};
pub use settings::Settings;
pub use types::{
    Content, Counts, Due, DueKind, Durable, LastReply, MessageState, NewContent, NewMessage,
    NotASpoolId, Origin, RecipientState, SpoolId, StoredMessage, StoredRecipient,
};
