//! The maildrop of an mbox.
//!
//! Deliveries wait for a session only while it looks where messages are, and while it removes some. In between
//! the file may change; every block that is read is checked to be still of the message that was asked for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;

use super::mbox_rewrite::remove_ranges;
use super::mbox_scan::{Message, Scanner, hash};
use super::reader::{BLOCK, MessageReader, read};
use super::session_lock::SessionLock;
use super::unique_id::{ContentId, write_hex};
use super::{Found, OpenError};
use crate::deliver::Location;
use crate::error::MailboxError;
use crate::mbox::{LockKind, LockOptions, MboxLock};
use crate::safe_open::{Folder, OpenMode};

/// How often the file is opened again because another program put a new one in its place meanwhile.
const MAX_OPENS: usize = 5;

/// An open mbox.
#[derive(Debug)]
pub(super) struct MboxDrop {
    mbox: Mbox,
    location: Location,
    options: LockOptions,
    messages: Vec<Message>,
    /// One for each message: another program has removed it, as far as we know.
    gone: Vec<bool>,
    _lock: SessionLock,
}

/// The file and where it is.
#[derive(Debug)]
pub(super) struct Mbox {
    pub folder: Folder,
    pub name: OsString,
    pub file: File,
}

impl MboxDrop {
    pub fn open(location: &Location, options: LockOptions) -> Result<Self, OpenError> {
        for _ in 0..MAX_OPENS {
            let mbox = Mbox::open(location)?;
            let lock = SessionLock::of_mbox(&mbox.file, &location.path)?;
            let Some(messages) = mbox.scan_locked(options)? else {
                continue;
            };
            return Ok(Self {
                location: location.clone(),
                options,
                gone: vec![false; messages.len()],
                messages,
                mbox,
                _lock: lock,
            });
        }
        Err(restless(location).into())
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    pub fn octets(&self, index: u32) -> u64 {
        self.get(index).map_or(0, |message| message.octets)
    }

    pub fn unique_id(&self, index: u32, out: &mut Vec<u8>) {
        if let Some(message) = self.get(index) {
            write_hex(&message.id, out);
        }
    }

    pub fn message(&mut self, index: u32) -> Result<Found<'_>, MailboxError> {
        if self.guard(index)?.is_none() {
            self.find_again()?;
        }
        Ok(match (self.guard(index)?, self.get(index)) {
            (Some(guard), Some(message)) => Found::Message(MessageReader::part(
                guard,
                message.content..message.end,
                message.octets,
            )),
            _ => Found::Gone,
        })
    }

    /// The message's guard, if it is where we think.
    fn guard(&self, index: u32) -> Result<Option<Guard<'_>>, MailboxError> {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        match self.messages.get(place) {
            Some(message) if !self.gone[place] => Guard::new(&self.mbox.file, *message)
                .map_err(|error| self.mbox.error("read", error)),
            _ => Ok(None),
        }
    }

    /// Looks where the messages are now; one that is not there any more keeps its number.
    fn find_again(&mut self) -> Result<(), MailboxError> {
        let found = {
            let _shared = self.mbox.lock(LockKind::Shared, self.options)?;
            self.mbox.scan()?
        };
        let mut places: HashMap<ContentId, Vec<Message>> = HashMap::new();
        // The last first, so that equal messages are taken in their order.
        for message in found.into_iter().rev() {
            places.entry(message.id).or_default().push(message);
        }
        for (message, gone) in self.messages.iter_mut().zip(&mut self.gone) {
            let place = places.get_mut(&message.id).and_then(Vec::pop);
            *gone = place.is_none();
            *message = place.unwrap_or(*message);
        }
        Ok(())
    }

    /// Removes what is there now of the messages, whatever others have written to the file, or put in its place.
    pub fn remove(&mut self, indexes: &[u32]) -> Result<(), MailboxError> {
        for _ in 0..MAX_OPENS {
            let mbox = match Mbox::open(&self.location) {
                Err(error) if error.is_not_found() => return Ok(()),
                mbox => mbox?,
            };
            let lock = mbox.lock(LockKind::Exclusive, self.options)?;
            if mbox.is_there()? {
                let ranges = self.ranges(indexes, &mbox.scan()?, mbox.size()?);
                return remove_ranges(&mbox, &ranges, lock.has_dotlock());
            }
        }
        Err(restless(&self.location))
    }

    /// Where the doomed messages are, each up to the next message.
    fn ranges(&self, indexes: &[u32], now: &[Message], size: u64) -> Vec<Range<u64>> {
        let mut doomed: HashMap<ContentId, u32> = HashMap::new();
        for message in indexes.iter().filter_map(|&index| self.get(index)) {
            *doomed.entry(message.id).or_default() += 1;
        }
        let ends = now.iter().skip(1).map(|next| next.start).chain([size]);
        now.iter()
            .zip(ends)
            .filter_map(|(message, end)| {
                let left = doomed.get_mut(&message.id).filter(|left| **left > 0)?;
                *left -= 1;
                Some(message.start..end)
            })
            .collect()
    }

    fn get(&self, index: u32) -> Option<&Message> {
        self.messages.get(usize::try_from(index).ok()?)
    }
}

fn restless(location: &Location) -> MailboxError {
    let source = io::Error::other("another program keeps replacing it");
    MailboxError::io("open", &location.path, source)
}

impl Mbox {
    fn open(location: &Location) -> Result<Self, MailboxError> {
        let (folder, name) = Folder::open_parent(&location.path)?;
        let file = folder.open_file(&name, OpenMode::ReadWrite, location.owner)?;
        Ok(Self { folder, name, file })
    }

    fn lock(&self, kind: LockKind, options: LockOptions) -> Result<MboxLock<'_>, MailboxError> {
        MboxLock::acquire(&self.folder, &self.name, &self.file, kind, options)
    }

    /// Finds the messages under a lock; `None` if another file is there now.
    fn scan_locked(&self, options: LockOptions) -> Result<Option<Vec<Message>>, MailboxError> {
        let _shared = self.lock(LockKind::Shared, options)?;
        if self.is_there()? {
            self.scan().map(Some)
        } else {
            Ok(None)
        }
    }

    fn scan(&self) -> Result<Vec<Message>, MailboxError> {
        let not_an_mbox = |_| {
            let text = "it does not begin with a line \"From sender date\", and is no mbox";
            self.error("read", io::Error::new(io::ErrorKind::InvalidData, text))
        };
        let (mut scanner, mut block) = (Scanner::default(), vec![0; BLOCK]);
        let (mut at, size) = (0, self.size()?);
        while at < size {
            let count =
                read(&self.file, &mut block, at).map_err(|error| self.error("read", error))?;
            scanner.push(&block[..count]).map_err(not_an_mbox)?;
            at += count as u64;
        }
        scanner.finish().map_err(not_an_mbox)
    }

    /// Whether the path still leads to the open file.
    fn is_there(&self) -> Result<bool, MailboxError> {
        let ours = self
            .file
            .metadata()
            .map_err(|error| self.error("examine", error))?;
        let there = self.folder.examine(&self.name)?;
        Ok(there.is_some_and(|there| (there.st_dev, there.st_ino) == (ours.dev(), ours.ino())))
    }

    pub fn size(&self) -> Result<u64, MailboxError> {
        self.file
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(|error| self.error("examine", error))
    }

    pub fn error(&self, operation: &'static str, error: impl Into<io::Error>) -> MailboxError {
        MailboxError::io(operation, self.folder.path_of(&self.name), error)
    }
}

/// Sees to it that what is read is still of the message.
#[derive(Debug)]
pub(super) struct Guard<'m> {
    file: &'m File,
    message: Message,
    stamp: Stamp,
}

/// Size and times: they change when anybody writes to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl<'m> Guard<'m> {
    /// `None` if the message is not at its place.
    fn new(file: &'m File, message: Message) -> io::Result<Option<Self>> {
        let stamp = Stamp::of(file)?;
        let guard = Self {
            file,
            message,
            stamp,
        };
        Ok(guard.is_in_place()?.then_some(guard))
    }

    /// Reads some of the message; fails if it moved meanwhile.
    pub fn read(&mut self, block: &mut [u8], at: u64) -> io::Result<usize> {
        let count = read(self.file, block, at)?;
        let stamp = Stamp::of(self.file)?;
        if stamp != self.stamp {
            if !self.is_in_place()? {
                return Err(io::Error::from(Errno::ESTALE));
            }
            self.stamp = stamp;
        }
        Ok(count)
    }

    /// Its beginning is where it was, and behind it are blank lines, then another message or the end.
    fn is_in_place(&self) -> io::Result<bool> {
        let Message { start, end, .. } = self.message;
        let mut head = vec![0; self.message.head_length()];
        match self.file.read_exact_at(&mut head, start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let mut behind = [0; 16];
        let count = self.file.read_at(&mut behind, end)?;
        let behind = behind[..count].trim_ascii_start();
        Ok(hash(&head) == self.message.head
            && self.file.metadata()?.len() >= end
            && (b"From ".starts_with(behind) || behind.starts_with(b"From ")))
    }
}
