//! The maildrop of a Maildir.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::maildir_list as list;
use super::maildir_scan::{
    Entry, Identity, Part, Scan, base, folders, for_each_name, stored_in_name,
};
use super::reader::{BLOCK, MessageReader, WireCount, read};
use super::session_lock::SessionLock;
use super::uid_list::Header;
use super::{Found, OpenError, unique_id};
use crate::deliver::Location;
use crate::error::{MailboxError, UnsafePath};
use crate::maildir::{Maildir, NameMaker};
use crate::quota::{MaildirQuota, Quota};
use crate::safe_open::Folder;

/// An open Maildir, its messages in the order of their uids.
#[derive(Debug)]
pub(super) struct MaildirDrop {
    maildir: Maildir,
    owner: u32,
    quota: Quota,
    scan: Scan,
    validity: u32,
    _lock: SessionLock,
}

impl MaildirDrop {
    pub fn open(location: &Location, notes: &mut Vec<String>) -> Result<Self, OpenError> {
        let maildir = match Maildir::open(&location.path, location.owner) {
            Err(error) if error.is_not_found() => {
                // No Maildir is an empty one; one that lacks a part is not, and gets it.
                Folder::open(&location.path)?;
                Maildir::open_or_create(&location.path, location.owner)?
            }
            opened => opened?,
        };
        let lock = SessionLock::of_maildir(&maildir.root, location.owner)?;
        let (scan, header) = load(&maildir, location.owner, notes)?;
        Ok(Self {
            maildir,
            owner: location.owner,
            quota: location.quota,
            scan,
            validity: header.validity,
            _lock: lock,
        })
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.scan.entries.len()).unwrap_or(u32::MAX)
    }

    pub fn octets(&self, index: u32) -> u64 {
        self.entry(index).and_then(|entry| entry.wire).unwrap_or(0)
    }

    pub fn unique_id(&self, index: u32, out: &mut Vec<u8>) {
        if let Some(entry) = self.entry(index) {
            match entry.identity {
                Identity::Dovecot => unique_id::write_dovecot(entry.uid, self.validity, out),
                Identity::Saved(span) => out.extend_from_slice(self.scan.text(span)),
                Identity::Name | Identity::NameDigest => {
                    list::write_name_id(&self.scan, entry, out)
                }
            }
        }
    }

    pub fn message(&mut self, index: u32) -> Result<Found<'_>, MailboxError> {
        for renamed in [false, true] {
            if renamed {
                self.find_again()?;
            }
            let Some(entry) = self.entry(index) else {
                break;
            };
            if let Some(file) = open(&self.maildir, &self.scan, entry)? {
                let stored = size(&self.maildir, &self.scan, entry, &file)?;
                let octets = self.octets_now(entry, &file, stored)?;
                return Ok(Found::Message(MessageReader::whole(file, stored, octets)));
            }
        }
        Ok(Found::Gone)
    }

    /// The size as listed, unless somebody has changed the file: then what it is now.
    fn octets_now(&self, entry: &Entry, file: &File, stored: u64) -> Result<u64, MailboxError> {
        let named = stored_in_name(self.scan.text(entry.name));
        match entry.wire {
            Some(wire) if named.is_none_or(|named| named == stored) => Ok(wire),
            _ => count_wire(file, stored, &mut vec![0; BLOCK])
                .map_err(|error| failed(&self.maildir, &self.scan, entry, "read", error)),
        }
    }

    pub fn remove(&mut self, indexes: &[u32], notes: &mut Vec<String>) -> Result<(), MailboxError> {
        let (mut removed, mut octets, mut result) = (0, 0, Ok(()));
        let mut missing = Vec::new();
        let mut attempt = |drop: &Self, index: u32, missing: &mut Vec<u32>| match drop.unlink(index)
        {
            Ok(Some(stored)) => {
                removed += 1;
                octets += i64::try_from(stored).unwrap_or(0);
            }
            Ok(None) => missing.push(index),
            Err(error) => result = Err(error),
        };
        for &index in indexes {
            attempt(self, index, &mut missing);
        }
        // What another program renamed meanwhile is removed by its new name, what it removed is not there again.
        if !missing.is_empty() {
            self.find_again()?;
            for index in std::mem::take(&mut missing) {
                attempt(self, index, &mut missing);
            }
        }
        if removed > 0 {
            self.maildir.new.sync()?;
            self.maildir.cur.sync()?;
            let names = NameMaker::new("localhost");
            let quota = MaildirQuota::new(&self.maildir, self.owner, self.quota, &names);
            if let Err(error) = quota.add(-octets, -removed) {
                notes.push(format!(
                    "{error}; the quota's record is too high until it is made anew"
                ));
            }
        }
        result
    }

    fn entry(&self, index: u32) -> Option<&Entry> {
        self.scan.entries.get(usize::try_from(index).ok()?)
    }

    /// Removes a message; answers its stored size, or `None` if it is not there under this name.
    fn unlink(&self, index: u32) -> Result<Option<u64>, MailboxError> {
        let Some(entry) = self.entry(index) else {
            return Ok(None);
        };
        let folder = folder(&self.maildir, entry.part);
        let name = OsStr::from_bytes(self.scan.text(entry.name));
        let stored = match stored_in_name(name.as_bytes()) {
            Some(stored) => stored,
            None => match folder.examine(name)? {
                Some(stat) => u64::try_from(stat.st_size).unwrap_or(0),
                None => return Ok(None),
            },
        };
        match unlinkat(folder.as_fd(), name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(Some(stored)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(MailboxError::io("remove", folder.path_of(name), errno)),
        }
    }

    /// Looks where the messages are now: readers change names when they change flags.
    fn find_again(&mut self) -> Result<(), MailboxError> {
        let mut by_base: Vec<usize> = (0..self.scan.entries.len()).collect();
        let Self { maildir, scan, .. } = self;
        by_base.sort_unstable_by(|&a, &b| {
            scan.base(&scan.entries[a]).cmp(scan.base(&scan.entries[b]))
        });
        for (folder, part) in folders(maildir) {
            for_each_name(folder, |name| {
                let found =
                    by_base.binary_search_by(|&at| scan.base(&scan.entries[at]).cmp(base(name)));
                let Ok(found) = found else { return Ok(()) };
                let at = by_base[found];
                let entry = scan.entries[at];
                if entry.part != part || scan.text(entry.name) != name {
                    let span = scan.keep(name).unwrap_or(entry.name);
                    scan.entries[at] = Entry {
                        name: span,
                        part,
                        ..entry
                    };
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Lists the messages and gives them what `dovecot-uidlist` knows; writes that anew if it did not know all.
///
/// That the list cannot be written keeps nobody from the mail: ids of messages that are not in it come from
/// their names and will be the same next time.
fn load(
    maildir: &Maildir,
    owner: u32,
    notes: &mut Vec<String>,
) -> Result<(Scan, Header), MailboxError> {
    let mut scan = Scan::of(maildir)?;
    let mut known = list::apply(&maildir.root, owner, &mut scan)?;
    if let Some(damage) = known.damage {
        let path = maildir.root.path().display();
        notes.push(format!(
            "dovecot-uidlist in {path} is damaged: {damage}; what it does not say is made anew"
        ));
    }
    let is_complete = |entry: &Entry| entry.uid != 0 && entry.wire_is_recorded;
    if known.damage.is_none() && scan.entries.iter().all(is_complete) {
        in_order_of_uids(&mut scan);
        return Ok((scan, known.header));
    }
    count_sizes(maildir, &mut scan, notes);
    match list::lock(&maildir.root) {
        Ok(_lock) => {
            if known.has_unknown {
                scan.add_missed(maildir)?;
                count_sizes(maildir, &mut scan, notes);
            }
            // Another program may have entered the new messages before we had the lock.
            scan.forget_list();
            known = list::apply(&maildir.root, owner, &mut scan)?;
            give_uids(&mut scan, &mut known.header);
            in_order_of_uids(&mut scan);
            if let Err(error) = list::write(maildir, &known.header, &scan) {
                notes.push(format!("{error}; the session goes on without"));
            }
        }
        Err(error) => {
            notes.push(format!(
                "{error}; the session goes on without recording new messages"
            ));
            give_uids(&mut scan, &mut known.header);
            in_order_of_uids(&mut scan);
        }
    }
    Ok((scan, known.header))
}

fn in_order_of_uids(scan: &mut Scan) {
    scan.entries.sort_unstable_by_key(|entry| entry.uid);
}

/// New messages get the next uids, in the order of the times in their names.
fn give_uids(scan: &mut Scan, header: &mut Header) {
    let mut new: Vec<usize> = (0..scan.entries.len())
        .filter(|&at| scan.entries[at].uid == 0)
        .collect();
    new.sort_unstable_by(|&a, &b| {
        by_time(scan.base(&scan.entries[a]), scan.base(&scan.entries[b]))
    });
    for at in new {
        // 2^32 messages in one mailbox are beyond use; the last ones then share a number that nobody sees.
        scan.entries[at].uid = header.next_uid;
        header.next_uid = header.next_uid.saturating_add(1).min(u32::MAX - 1);
    }
}

/// Seconds, then microseconds (`.M123P…`) when both have them, then the whole name.
fn by_time(a: &[u8], b: &[u8]) -> Ordering {
    let (seconds_a, rest_a) = leading_number(a);
    let (seconds_b, rest_b) = leading_number(b);
    let micros = |rest: &[u8]| {
        rest.strip_prefix(b".M")
            .map(|digits| leading_number(digits).0)
    };
    seconds_a
        .cmp(&seconds_b)
        .then_with(|| micros(rest_a).cmp(&micros(rest_b)))
        .then_with(|| a.cmp(b))
}

fn leading_number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let number = digits.iter().fold(0u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    (number, rest)
}

/// Reads the messages whose size nothing tells. What is gone by now was never there; what cannot be read is
/// listed with no octets, so that it harms nothing but itself.
fn count_sizes(maildir: &Maildir, scan: &mut Scan, notes: &mut Vec<String>) {
    let mut block = Vec::new();
    let mut gone = Vec::new();
    for at in 0..scan.entries.len() {
        if scan.entries[at].wire.is_some() {
            continue;
        }
        match count_size(maildir, scan, &scan.entries[at], &mut block) {
            Ok(Some(counted)) => scan.entries[at].wire = Some(counted),
            Ok(None) => gone.push(at),
            Err(error) => notes.push(error.to_string()),
        }
    }
    let mut gone = gone.into_iter().peekable();
    let mut at = 0;
    scan.entries.retain(|_| {
        let is_gone = gone.next_if_eq(&at).is_some();
        at += 1;
        !is_gone
    });
}

fn count_size(
    maildir: &Maildir,
    scan: &Scan,
    entry: &Entry,
    block: &mut Vec<u8>,
) -> Result<Option<u64>, MailboxError> {
    let Some(file) = open(maildir, scan, entry)? else {
        return Ok(None);
    };
    let stored = size(maildir, scan, entry, &file)?;
    block.resize(BLOCK, 0);
    count_wire(&file, stored, block)
        .map(Some)
        .map_err(|error| failed(maildir, scan, entry, "read", error))
}

fn count_wire(file: &File, stored: u64, block: &mut [u8]) -> std::io::Result<u64> {
    let (mut count, mut at) = (WireCount::default(), 0);
    while at < stored {
        let length = read(file, block, at)?;
        count.add(&block[..length]);
        at += length as u64;
    }
    Ok(count.octets())
}

fn folder(maildir: &Maildir, part: Part) -> &Folder {
    match part {
        Part::New => &maildir.new,
        Part::Cur => &maildir.cur,
    }
}

/// Opens a message; `None` if it is not there under this name.
///
/// Further links are allowed, unlike in a delivery: Dovecot copies between folders by making one.
fn open(maildir: &Maildir, scan: &Scan, entry: &Entry) -> Result<Option<File>, MailboxError> {
    let folder = folder(maildir, entry.part);
    let name = OsStr::from_bytes(scan.text(entry.name));
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    match openat(
        folder.as_fd(),
        name,
        flags | OFlag::O_CLOEXEC,
        Mode::empty(),
    ) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::ELOOP) => Err(MailboxError::refuse(
            folder.path_of(name),
            UnsafePath::Symlink,
        )),
        Err(errno) => Err(MailboxError::io("open", folder.path_of(name), errno)),
    }
}

/// The stored size of an open message, which must be a regular file.
fn size(maildir: &Maildir, scan: &Scan, entry: &Entry, file: &File) -> Result<u64, MailboxError> {
    let metadata = file
        .metadata()
        .map_err(|error| failed(maildir, scan, entry, "examine", error))?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let name = OsStr::from_bytes(scan.text(entry.name));
    let path = folder(maildir, entry.part).path_of(name);
    Err(MailboxError::refuse(path, UnsafePath::NotRegular))
}

fn failed(
    maildir: &Maildir,
    scan: &Scan,
    entry: &Entry,
    operation: &'static str,
    error: std::io::Error,
) -> MailboxError {
    let name = OsStr::from_bytes(scan.text(entry.name));
    MailboxError::io(operation, folder(maildir, entry.part).path_of(name), error)
}

#[cfg(test)]
#[path = "maildir_tests.rs"]
mod tests;
