//! The maildrop: INBOX as POP3 shows it (RFC 1939 §2), fixed when the session opens it.
//!
//! Invariants:
//! - One session at a time has a maildrop ([`OpenError::InUse`]); the lock goes with its process.
//! - Message numbers, sizes and unique-ids do not change during a session, whatever others do. A message that
//!   another program renames is found again; one that it removes is [`Found::Gone`].
//! - Nothing is removed but by [`Maildrop::remove`]. Flags are left as they are.
//! - Memory is about 100 octets for each message, and one block.
//!
//! # Unique-ids
//! A client keeps what it has seen by unique-id, so that ids must outlive restarts, lost indexes and a change of
//! server (RFC 1939 §7, UIDL). Two promises compete: Dovecot's ids (uid and uid validity) live in its list
//! alone and are gone with it; ids made from what does not change about a message cannot be lost, but are
//! not those that clients of an imported mailbox know. We keep both, each where it counts:
//!
//! - Maildir: a message that `dovecot-uidlist` names has the id that Dovecot gave it: the one after `P`, or else uid
//!   and validity in Dovecot's default format. Every other message, so all that came since we took over, has
//!   its unique file name as id, and is entered into the list with that after `P`, which Dovecot honours, too.
//!   So the list may be lost, or be impossible to write on a full disk, and no id of mail that came since
//!   changes. Imported ids are lost with the list, as they are with Dovecot.
//! - mbox: 128 bits of SHA-256 over the stored message without the header fields in which programs keep
//!   state. `X-UIDL` and `X-UID` are not believed: a sender can write them.
//!
//! Deliberately absent: IMAP's view (folders, flags, keywords); trust in the `dovecot-pop3-session.lock` of
//! Dovecot: two servers with one maildrop at a time are told apart by the messages that vanish.

mod fuzz;
mod maildir;
mod maildir_list;
mod maildir_scan;
mod mbox;
mod mbox_rewrite;
mod mbox_scan;
mod reader;
mod session_lock;
mod uid_list;
mod unique_id;
mod unquote;

use std::path::PathBuf;

use crate::deliver::{Format, Location};
use crate::error::MailboxError;
use crate::mbox::LockOptions;

pub use fuzz::{fuzz_mbox, fuzz_uid_list};
use maildir::MaildirDrop;
use mbox::MboxDrop;
pub use reader::MessageReader;

/// A maildrop, open and locked against other sessions.
#[derive(Debug)]
pub struct Maildrop {
    store: Store,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Store {
    /// No mail has come yet; nothing is there to lock.
    Absent,
    Maildir(MaildirDrop),
    Mbox(MboxDrop),
}

/// Why a maildrop cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another session has it.
    #[error("{} is in use by another POP3 session", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
}

/// A message that was looked for.
#[derive(Debug)]
pub enum Found<'m> {
    /// Here it is.
    Message(MessageReader<'m>),
    /// Another program has removed it since the session began.
    Gone,
}

impl Maildrop {
    /// Opens and locks the maildrop at `location`; one that is not there yet is empty.
    ///
    /// # Errors
    /// [`OpenError::InUse`] at once when another session has it.
    pub fn open(location: &Location, lock: LockOptions) -> Result<Self, OpenError> {
        let mut notes = Vec::new();
        let opened = match location.format {
            Format::Maildir => MaildirDrop::open(location, &mut notes).map(Store::Maildir),
            Format::Mbox => MboxDrop::open(location, lock).map(Store::Mbox),
        };
        let store = match opened {
            Err(OpenError::Mailbox(error)) if error.is_not_found() => Store::Absent,
            opened => opened?,
        };
        Ok(Self { store, notes })
    }

    /// What an administrator should know and no client has to wait for: a damaged or unwritable list.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        match &self.store {
            Store::Absent => 0,
            Store::Maildir(maildir) => maildir.count(),
            Store::Mbox(mbox) => mbox.count(),
        }
    }

    /// The size of message `index`, from 0, with CRLF line ends (RFC 1939 §11); 0 if there is none.
    #[must_use]
    pub fn octets(&self, index: u32) -> u64 {
        match &self.store {
            Store::Absent => 0,
            Store::Maildir(maildir) => maildir.octets(index),
            Store::Mbox(mbox) => mbox.octets(index),
        }
    }

    /// Appends the unique-id of message `index`: 1 to 70 characters from `!` to `~`.
    pub fn unique_id(&self, index: u32, out: &mut Vec<u8>) {
        match &self.store {
            Store::Absent => {}
            Store::Maildir(maildir) => maildir.unique_id(index, out),
            Store::Mbox(mbox) => mbox.unique_id(index, out),
        }
    }

    /// Opens message `index` for reading.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn message(&mut self, index: u32) -> Result<Found<'_>, MailboxError> {
        match &mut self.store {
            Store::Absent => Ok(Found::Gone),
            Store::Maildir(maildir) => maildir.message(index),
            Store::Mbox(mbox) => mbox.message(index),
        }
    }

    /// Removes messages for good (the UPDATE state, RFC 1939 §6). Those that others have removed count as removed.
    ///
    /// # Errors
    /// When some are still there; the others are removed all the same.
    pub fn remove(&mut self, indexes: &[u32]) -> Result<(), MailboxError> {
        if indexes.is_empty() {
            return Ok(());
        }
        match &mut self.store {
            Store::Absent => Ok(()),
            Store::Maildir(maildir) => maildir.remove(indexes, &mut self.notes),
            Store::Mbox(mbox) => mbox.remove(indexes),
        }
    }
}
