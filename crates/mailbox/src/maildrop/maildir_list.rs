//! `dovecot-uidlist` beside a Maildir: applied to what was found, and written anew.
//!
//! It is written under Dovecot's own lock and replaced as a whole, so that a reader sees the old list or the
//! new one, and so does the next start after a crash.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::maildir_scan::{Entry, Identity, Scan, wire_in_name};
use super::uid_list::{self, Header, Reader, Record};
use super::unique_id;
use crate::error::MailboxError;
use crate::maildir::{Maildir, NameMaker};
use crate::mbox::{DotLock, LockOptions};
use crate::safe_open::{Folder, OpenMode};

const NAME: &str = "dovecot-uidlist";
/// A list is written in milliseconds, so that a session does not wait long for one that is not. Dovecot
/// touches a lock that it holds for longer, and calls it stale after two minutes without.
const LOCK: LockOptions = LockOptions {
    timeout: Duration::from_secs(5),
    stale_after: Duration::from_secs(120),
};

/// What reading a list came to.
#[derive(Debug)]
pub(super) struct Applied {
    pub header: Header,
    /// Something was wrong with it.
    pub damage: Option<&'static str>,
    /// It has messages that were not found.
    pub has_unknown: bool,
}

/// Reads the list, if there is one, and puts what it knows into the entries, which must be in their first order.
pub(super) fn apply(root: &Folder, owner: u32, scan: &mut Scan) -> Result<Applied, MailboxError> {
    let none = |damage| Applied {
        header: new_header(),
        damage,
        has_unknown: false,
    };
    let file = match root.open_file(OsStr::new(NAME), OpenMode::Read, owner) {
        Err(error) if error.is_not_found() => return Ok(none(None)),
        file => file?,
    };
    let failed = |error| MailboxError::io("read", root.path_of(OsStr::new(NAME)), error);
    let input = BufReader::with_capacity(64 << 10, file);
    let Ok((mut header, mut reader)) = Reader::new(input).map_err(failed)? else {
        return Ok(none(Some("its first line is not that of a list")));
    };
    let (mut next, mut has_unknown) = (0, false);
    while let Some(record) = reader.next().map_err(failed)? {
        header.next_uid = header.next_uid.max(record.uid + 1);
        // Mostly both are in the same order.
        let is_next = |entry: &Entry| scan.base(entry) == record.base;
        let index = if scan.entries.get(next).is_some_and(is_next) {
            Some(next)
        } else {
            scan.find(record.base)
        };
        match index {
            Some(index) => {
                apply_record(&record, index, scan);
                next = index + 1;
            }
            None => has_unknown = true,
        }
    }
    Ok(Applied {
        header,
        damage: reader.damaged.then_some("some of its lines are no records"),
        has_unknown,
    })
}

fn apply_record(record: &Record<'_>, index: usize, scan: &mut Scan) {
    let mut entry = scan.entries[index];
    let mut by_name = Vec::new();
    write_name_id(scan, &entry, &mut by_name);
    entry.identity = match record.unique_id {
        Some(saved) if saved == by_name => entry.identity,
        Some(saved) => match scan.keep(saved) {
            Some(span) => Identity::Saved(span),
            None => entry.identity,
        },
        None => Identity::Dovecot,
    };
    if !record.others.is_empty() {
        entry.others = scan.keep(record.others).unwrap_or_default();
    }
    entry.uid = record.uid;
    if entry.wire.is_none() && record.wire.is_some() {
        entry.wire = record.wire;
        entry.wire_is_recorded = true;
    }
    scan.entries[index] = entry;
}

/// Takes the list's lock, as Dovecot does before it changes the list.
pub(super) fn lock(root: &Folder) -> Result<DotLock<'_>, MailboxError> {
    DotLock::acquire(root, OsStr::new(NAME), LOCK)
}

/// Puts a new list in the place of the old, durably. Entries are written in the order of their uids.
pub(super) fn write(maildir: &Maildir, header: &Header, scan: &Scan) -> Result<(), MailboxError> {
    let Maildir { root, tmp, .. } = maildir;
    let name = OsStr::new(NAME);
    // In tmp, where what a crash leaves is removed after a while.
    let temporary = OsString::from(NameMaker::new("localhost").unique());
    let file = tmp.create_file(&temporary)?;
    let written = write_list(&file, header, scan)
        .and_then(|()| file.sync_all())
        .map_err(|error| MailboxError::io("write", root.path_of(name), error))
        .and_then(|()| tmp.move_over(&temporary, root, name));
    match written {
        Ok(()) => root.sync(),
        Err(error) => {
            tmp.remove_file(&temporary)?;
            Err(error)
        }
    }
}

fn write_list(file: &File, header: &Header, scan: &Scan) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, file);
    uid_list::write_header(&mut out, header)?;
    let mut name_id = Vec::new();
    for entry in &scan.entries {
        let base = scan.base(entry);
        if entry.uid == 0 || base.contains(&b'\n') {
            continue;
        }
        name_id.clear();
        let unique_id = match entry.identity {
            Identity::Dovecot => None,
            Identity::Saved(span) => Some(scan.text(span)),
            Identity::Name | Identity::NameDigest => {
                write_name_id(scan, entry, &mut name_id);
                Some(name_id.as_slice())
            }
        };
        let record = Record {
            uid: entry.uid,
            // What the name says need not be said again.
            wire: entry.wire.filter(|_| wire_in_name(base).is_none()),
            unique_id,
            others: scan.text(entry.others),
            base,
        };
        uid_list::write_record(&mut out, &record)?;
    }
    out.flush()
}

/// Appends the id of a message that is known by its name.
pub(super) fn write_name_id(scan: &Scan, entry: &Entry, out: &mut Vec<u8>) {
    match entry.identity {
        Identity::NameDigest => unique_id::write_name_digest(scan.base(entry), out),
        _ => unique_id::write_from_name(scan.base(entry), out),
    }
}

/// A list that never was: its validity is the time, which is later than any before.
fn new_header() -> Header {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Header {
        validity: u32::try_from(now.as_secs()).unwrap_or(u32::MAX).max(1),
        next_uid: 1,
        others: Vec::new(),
    }
}
