//! The durable queue: SQLite, group commit, spool files.

mod command;
mod commit;
mod connection;
mod encode;
mod error;
mod files;
mod inbox;
mod pool;
mod queue;
mod reader;
mod schema;
mod settings;
mod spool;
mod store;
mod types;

pub use command::{
    Action, Change, Command, Done, Event, Fate, NewTarget, Selection, Update, Updated,
};
pub use error::{OpenError, StorageError};
pub use queue::{NotTaken, Queue};
pub use reader::{Reader, RecipientPage};
pub use settings::Settings;
pub use types::{
    Content, Counts, Due, DueKind, Durable, FIRST_RECIPIENT, LastReply, MessageState, NewContent,
    NewMessage, NotASpoolId, Origin, RecipientState, SpoolId, StoredMessage, StoredRecipient,
};
