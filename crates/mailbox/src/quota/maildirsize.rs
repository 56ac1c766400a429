//! `maildirsize`: a running total that every program of a Maildir++ keeps.
//!
//! The first line is the quota, each further line octets and messages to be added up. The file is
//! appended to with each delivery and removal, and made anew from a look at all messages when it was made
//! for another quota, has grown long, or says "full" and may be out of date. It can be wrong by what was
//! delivered during a crash or a recount, and rights itself. See "Maildir++ quotas" in Courier's
//! documentation; Trash is counted like any folder, as Dovecot does, because it takes the same room.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::time::{Duration, SystemTime};

use nix::sys::stat::FileStat;

use super::{Quota, Usage};
use crate::error::MailboxError;
use crate::maildir::{Maildir, MessageName, NameMaker};
use crate::safe_open::{Folder, OpenMode};

const NAME: &str = "maildirsize";
/// A longer file is made anew (Maildir++ quotas: 5120 octets).
const MAX_LENGTH: u64 = 5120;
/// A file that says "full" and is older may be out of date (Maildir++ quotas: 15 minutes).
const TRUSTED_FOR: Duration = Duration::from_secs(15 * 60);
/// How often a recount is tried while others deliver.
const MAX_COUNTS: usize = 3;

/// The quota of one Maildir.
#[derive(Debug)]
pub struct MaildirQuota<'m> {
    maildir: &'m Maildir,
    owner: u32,
    quota: Quota,
    names: &'m NameMaker,
}

/// What `maildirsize` says.
struct Record {
    usage: Usage,
    /// Whether it says more than one recount did: another recount could find less.
    may_be_stale: bool,
}

impl<'m> MaildirQuota<'m> {
    /// For `maildir` with a limit of `quota`; `names` makes the name of a new `maildirsize` in `tmp`.
    #[must_use]
    pub fn new(maildir: &'m Maildir, owner: u32, quota: Quota, names: &'m NameMaker) -> Self {
        Self {
            maildir,
            owner,
            quota,
            names,
        }
    }

    /// What is in the Maildir, as recorded or, when there is no good record, as counted.
    pub fn usage(&self) -> Result<Usage, MailboxError> {
        match self.read()? {
            Some(record) => Ok(record.usage),
            None => self.recount(),
        }
    }

    /// As [`Self::usage`], but counted before `more` is said to have no room.
    pub fn usage_before(&self, more: Usage) -> Result<Usage, MailboxError> {
        match self.read()? {
            Some(record) if self.quota.allows(record.usage, more) || !record.may_be_stale => {
                Ok(record.usage)
            }
            _ => self.recount(),
        }
    }

    /// Records what was delivered, or, with negative numbers, removed.
    ///
    /// Without a record there is nothing to add to: the next reader counts.
    pub fn add(&self, bytes: i64, messages: i64) -> Result<(), MailboxError> {
        let root = &self.maildir.root;
        let opened = root.open_file(OsStr::new(NAME), OpenMode::Append, self.owner);
        let mut file = match opened {
            Err(error) if error.is_not_found() => return Ok(()),
            opened => opened?,
        };
        // One write, so that lines of several writers do not mix.
        file.write_all(format!("{bytes} {messages}\n").as_bytes())
            .map_err(|error| self.error("append to", error))
    }

    fn read(&self) -> Result<Option<Record>, MailboxError> {
        let root = &self.maildir.root;
        let file = match root.open_file(OsStr::new(NAME), OpenMode::Read, self.owner) {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened?,
        };
        self.parse(&file).map_err(|error| self.error("read", error))
    }

    fn parse(&self, file: &File) -> io::Result<Option<Record>> {
        let metadata = file.metadata()?;
        if metadata.len() > MAX_LENGTH {
            return Ok(None);
        }
        let mut text = String::new();
        match file.take(MAX_LENGTH).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            read => read?,
        };
        let Some((usage, lines)) = sum(&text, self.quota) else {
            return Ok(None);
        };
        let age = SystemTime::now().duration_since(metadata.modified()?);
        Ok(Some(Record {
            usage,
            may_be_stale: lines > 1 || age.is_ok_and(|age| age > TRUSTED_FOR),
        }))
    }

    /// Looks at every message, and records the sum unless others delivered meanwhile.
    pub fn recount(&self) -> Result<Usage, MailboxError> {
        let mut counted = count(&self.maildir.root)?;
        if self.quota.is_none() {
            // Nobody would keep the record up to date.
            return Ok(counted.usage);
        }
        for _ in 1..MAX_COUNTS {
            let again = stamps(&self.maildir.root)?;
            if again == counted.stamps {
                self.record(counted.usage)?;
                return Ok(counted.usage);
            }
            counted = count(&self.maildir.root)?;
        }
        // A record of a moving total would stay wrong: better none.
        self.maildir.root.remove_file(OsStr::new(NAME))?;
        Ok(counted.usage)
    }

    fn record(&self, usage: Usage) -> Result<(), MailboxError> {
        let Maildir { root, tmp, .. } = self.maildir;
        let unique = OsString::from(self.names.unique());
        let mut file = tmp.create_file(&unique)?;
        let Usage { bytes, messages } = usage;
        let text = format!("{}\n{bytes} {messages}\n", self.quota);
        let written = file
            .write_all(text.as_bytes())
            .map_err(|error| self.error("write", error))
            .and_then(|()| tmp.move_over(&unique, root, OsStr::new(NAME)));
        if written.is_err() {
            // Readers remove what is old in tmp.
            let _ = tmp.remove_file(&unique);
        }
        written
    }

    fn error(&self, operation: &'static str, error: io::Error) -> MailboxError {
        MailboxError::io(
            operation,
            self.maildir.root.path_of(OsStr::new(NAME)),
            error,
        )
    }
}

/// Adds up a record for `quota`; `None` when it is for another or is damaged. Answers the number of lines, too.
fn sum(text: &str, quota: Quota) -> Option<(Usage, usize)> {
    let mut lines = text.lines();
    if parse_quota(lines.next()?)? != quota || !text.ends_with('\n') {
        return None;
    }
    let (mut bytes, mut messages, mut count) = (0i64, 0i64, 0);
    for line in lines {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
        let (Some(Ok(more_bytes)), Some(Ok(more_messages)), None) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return None;
        };
        bytes = bytes.checked_add(more_bytes)?;
        messages = messages.checked_add(more_messages)?;
        count += 1;
    }
    // A sum below nothing has lost track.
    let usage = Usage {
        bytes: bytes.try_into().ok()?,
        messages: messages.try_into().ok()?,
    };
    (count > 0).then_some((usage, count))
}

/// `1000000S,1000C` in any order; parts that we do not know are ignored.
fn parse_quota(line: &str) -> Option<Quota> {
    let mut quota = Quota::NONE;
    for part in line.trim().split(',') {
        if let Some(bytes) = part.strip_suffix('S') {
            quota.bytes = bytes.parse().ok()?;
        } else if let Some(messages) = part.strip_suffix('C') {
            quota.messages = messages.parse().ok()?;
        }
    }
    Some(quota)
}

struct Counted {
    usage: Usage,
    stamps: Vec<Stamp>,
}

/// A folder and when a name in it was last made or removed.
type Stamp = (u64, i64, i64);

fn stamp(stat: &FileStat) -> Stamp {
    (stat.st_ino, stat.st_mtime, stat.st_mtime_nsec)
}

/// All folders that hold messages: `new` and `cur` of the Maildir and of its subfolders, which begin with a dot.
fn message_folders(root: &Folder) -> Result<Vec<Folder>, MailboxError> {
    let mut folders = Vec::new();
    let mut take = |parent: &Folder| {
        for name in ["new", "cur"] {
            match parent.folder(OsStr::new(name)) {
                Ok(folder) => folders.push(folder),
                // A name that is no Maildir, or a link out of it, holds none of its messages.
                Err(MailboxError::Unsafe { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    take(root)?;
    for name in root.names()? {
        if !name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match root.folder(&name) {
            Ok(subfolder) => take(&subfolder)?,
            Err(MailboxError::Unsafe { .. }) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(folders)
}

fn stamps(root: &Folder) -> Result<Vec<Stamp>, MailboxError> {
    let folders = message_folders(root)?;
    folders
        .iter()
        .map(|folder| folder.stat().map(|stat| stamp(&stat)))
        .collect()
}

fn count(root: &Folder) -> Result<Counted, MailboxError> {
    let mut counted = Counted {
        usage: Usage::default(),
        stamps: Vec::new(),
    };
    for folder in message_folders(root)? {
        counted.stamps.push(stamp(&folder.stat()?));
        for name in folder.names()? {
            let Some(bytes) = size_of(&folder, &name)? else {
                continue;
            };
            counted.usage.bytes += bytes;
            counted.usage.messages += 1;
        }
    }
    Ok(counted)
}

/// A message's size from its name, or else from the file; `None` when there is no message.
fn size_of(folder: &Folder, name: &OsStr) -> Result<Option<u64>, MailboxError> {
    let text = name.to_string_lossy();
    if !MessageName::is_message(&text) {
        return Ok(None);
    }
    match MessageName::parse(&text).stored {
        Some(size) => Ok(Some(size)),
        None => Ok(folder
            .examine(name)?
            .map(|stat| u64::try_from(stat.st_size).unwrap_or(0))),
    }
}
