//! The durable queue: SQLite, group commit, spool files.
//!
//! Purpose: keep messages from the moment somebody is told "accepted" until each of their
//! recipients has ended, whatever is killed in between; and find those that are due, however many
//! there are.
//!
//! # Threads
//! One **commit thread** is the only one that writes to `queue.sqlite`. It takes all commands that
//! wait, does them in one transaction, and after COMMIT hands all their answers over in one call
//! of the sink. While it waits for the disk, the next batch gathers: the more callers, the fewer
//! syncs per message. A few **sync threads** create, sync and remove spool files; a message's row
//! is written only after its file and folder are synced. [`Reader`]s have connections of their
//! own, which the write-ahead log lets read while the commit thread writes. A **sweep thread**
//! looks for spool files that belong to nothing. A **mover thread** copies a long log into the
//! database while commits go on; it changes nothing that a reader sees.
//!
//! # States
//! On disk (`message.state`); *active* and *leased* are the owner's memory, laid over them, and a
//! crash ends both, so that the message is due as it was before:
//!
//! | state | due time | becomes | by | in the transaction of |
//! |---|---|---|---|---|
//! | (nothing) | | incoming, or hold | [`Command::Submit`]; [`Update::reports`] | the submit; the update that ends the reported recipients |
//! | incoming | acceptance | deferred | [`Update::park`] | the update |
//! | incoming, deferred | | hold | [`Action::Hold`] | its own |
//! | deferred | first of its recipients' | deferred, later | [`Update::park`] | the update |
//! | deferred | | deferred, due now | [`Action::Flush`] | its own |
//! | hold, corrupt | none | deferred, due now | [`Action::Release`] | its own |
//! | any | | corrupt | a read that cannot decode it | its own |
//! | any | | (gone) | its last recipient's end; [`Action::Delete`] | the update; its own |
//!
//! | recipient's state | becomes | by |
//! |---|---|---|
//! | pending | pending, later | [`Fate::Deferred`] |
//! | pending | delivered or failed, report owed | [`Fate::Owed`] |
//! | pending | other recipients | [`Fate::Replaced`] |
//! | any | (gone) | [`Fate::Gone`], with the report that was owed, if any, in the same transaction |
//!
//! # Commit points
//! | what is promised | is so after |
//! |---|---|
//! | a small message is accepted | COMMIT (the log is synced: `synchronous=FULL`) |
//! | a large message is accepted | its file synced, then the folder, then COMMIT of its row |
//! | an outcome is recorded, a report enqueued | COMMIT, both in one |
//! | a large message's content is gone | after COMMIT of its row's removal, unlinked; a crash between leaves an orphan for the sweep |
//!
//! # Invariants
//! - A [`Durable`] exists only after COMMIT. A command that was answered with an error left nothing
//!   behind, as far as the disk can tell; after a failed sync nobody can tell, and it may appear.
//! - A row that names a spool file has that file; a file without a row is removed when a day old.
//! - Ids grow, over restarts and steps of the clock too, and are never given twice.
//! - The time to open and the memory used do not depend on how many messages there are.
//! - A command that fails harms no other in its batch; a garbled row is set aside.
//! - After an I/O error nothing is promised until the database was opened anew, its log was moved
//!   into it and synced, and cut off: pages that the kernel may have dropped after a failed sync
//!   are written again.
//!
//! # Deliberately absent
//! Leases and *active* (the scheduler's memory: after a crash every lease is void); routing;
//! retry times; reports' text; logging (events are the owner's to log); reading spool content.
//! `mmap` (an I/O error would be a SIGBUS) and `locking_mode=EXCLUSIVE` (would make the commit
//! thread serve all reads). `fdatasync` instead of `fsync` gained nothing measurable: what costs is
//! growing a file, and the log is written over from its beginning again and again.
//!
//! Measure with `cargo run --release -p queue --example rate`, and `--example open`.

mod command;
mod commit;
mod connection;
mod encode;
mod error;
mod files;
mod inbox;
mod mover;
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
