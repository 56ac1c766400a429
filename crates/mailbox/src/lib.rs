//! Maildir++ and mbox: safe delivery and the POP3 view.
//!
//! Purpose: everything that is done to stored mailboxes. The caller has become the mailbox's owner and has
//! jailed itself; this crate keeps other users of the machine from misusing it (see [`safe_open`]).
//!
//! Invariants: a delivery is reported as done only after its bytes and its name are synced; one that fails
//! leaves nothing behind that a reader would take for a message. Content is never held in memory whole
//! unless the caller gave it so.
//!
//! Deliberately absent: who owns which mailbox (crate `directory`), becoming that user (crate `sandbox`),
//! headers (crate `mime`), tokio: a mailbox blocks on its disk, and its process serves one user.

mod content;
mod deliver;
#[cfg(test)]
mod delivery_tests;
pub mod error;
pub mod maildir;
pub mod maildrop;
pub mod mbox;
pub mod quota;
pub mod safe_open;
mod sync;

pub use content::{Content, copy_lines};
pub use deliver::{Deliverer, Delivery, Format, Location};
pub use error::{FullMailbox, MailboxError, UnsafePath};
pub use sync::SyncOptions;
