//! Delivering several messages at once.
//!
//! Maildir: all are written to `tmp`, then synced together, then moved to `new`, then their folders are
//! synced together. The mail is still in the queue meanwhile, so that waiting for each other costs nothing.
//! Mboxes come after that, one at a time, because they may have to wait for a lock.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::errno::Errno;

use crate::content::{Content, copy_lines};
use crate::error::MailboxError;
use crate::maildir::{Maildir, NameMaker, Sizes, with_sizes};
use crate::mbox::{self, LockOptions};
use crate::quota::{MaildirQuota, Quota, Usage};
use crate::safe_open::Folder;
use crate::sync::{SyncOptions, sync_all};

/// How a mailbox is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Maildir++.
    Maildir,
    /// mboxrd.
    Mbox,
}

/// A mailbox: where, how, whose, and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Absolute path of the Maildir folder or mbox file.
    pub path: PathBuf,
    /// How it is stored.
    pub format: Format,
    /// The uid that must own it.
    pub owner: u32,
    /// What it may hold.
    pub quota: Quota,
}

impl Location {
    pub(crate) fn over_quota(&self, used: Usage, needed: Usage) -> MailboxError {
        MailboxError::OverQuota {
            path: self.path.clone(),
            used,
            needed,
            limit: self.quota,
        }
    }
}

/// One message for one mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Where to.
    pub location: &'a Location,
    /// Header lines to put in front, ending in CRLF.
    pub prefix: &'a [u8],
    /// The message.
    pub content: Content<'a>,
    /// The envelope sender without brackets, for mbox; empty for `<>`.
    pub sender: &'a str,
}

/// Puts messages into mailboxes.
#[derive(Debug)]
pub struct Deliverer {
    names: NameMaker,
    lock: LockOptions,
    sync: SyncOptions,
    /// How many Maildirs were opened.
    opened: AtomicU64,
}

/// At each so manieth opening of a Maildir its `tmp` is looked through.
const CLEAN_EVERY: u64 = 64;

type Delivered = Result<(), MailboxError>;

impl Deliverer {
    /// For a process that has become the mailboxes' owner; `host` goes into file names.
    #[must_use]
    pub fn new(host: &str, lock: LockOptions, sync: SyncOptions) -> Self {
        Self {
            names: NameMaker::new(host),
            lock,
            sync,
            opened: AtomicU64::new(0),
        }
    }

    /// Delivers each, in any order; answers for each in the order given.
    ///
    /// `Ok` is only said of what is synced, name and all.
    pub fn deliver_batch(&self, deliveries: &[Delivery<'_>]) -> Vec<Delivered> {
        let mut results: Vec<Option<Delivered>> = deliveries.iter().map(|_| None).collect();
        let mut mboxes: HashMap<&Location, Vec<usize>> = HashMap::new();
        let mut batch = MaildirBatch::new(self);
        for (index, delivery) in deliveries.iter().enumerate() {
            match delivery.location.format {
                Format::Maildir => batch.write(index, delivery),
                Format::Mbox => mboxes.entry(delivery.location).or_default().push(index),
            }
        }
        for (index, result) in batch.finish() {
            results[index] = Some(result);
        }
        for (location, indexes) in mboxes {
            let messages: Vec<_> = indexes.iter().map(|&index| &deliveries[index]).collect();
            let appended = mbox::append_batch(location, &messages, self.lock);
            for (index, result) in indexes.into_iter().zip(appended) {
                results[index] = Some(result);
            }
        }
        // Each was put into one of the two kinds above.
        let lost = || Err(MailboxError::io("deliver to", "/", Errno::EIO));
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(lost))
            .collect()
    }

    /// What is in a mailbox; nothing when it does not exist yet.
    pub fn usage(&self, location: &Location) -> Result<Usage, MailboxError> {
        if location.format == Format::Mbox {
            return mbox::usage(location);
        }
        match Maildir::open(&location.path, location.owner) {
            Ok(maildir) => {
                MaildirQuota::new(&maildir, location.owner, location.quota, &self.names).usage()
            }
            Err(error) if error.is_not_found() => Ok(Usage::default()),
            Err(error) => Err(error),
        }
    }
}

/// A Maildir that the batch delivers to.
struct OpenMaildir<'a> {
    location: &'a Location,
    maildir: Maildir,
    /// Which file system it is on.
    device: u64,
    /// In it before the batch; not kept without a quota.
    used: Usage,
    /// Added by the batch.
    added: Usage,
}

/// A message in `tmp`.
struct Written {
    index: usize,
    maildir: usize,
    name: OsString,
    file: File,
    sizes: Sizes,
    result: Delivered,
}

struct MaildirBatch<'a> {
    deliverer: &'a Deliverer,
    maildirs: Vec<OpenMaildir<'a>>,
    by_location: HashMap<&'a Location, usize>,
    written: Vec<Written>,
    failed: Vec<(usize, MailboxError)>,
}

impl<'a> MaildirBatch<'a> {
    fn new(deliverer: &'a Deliverer) -> Self {
        Self {
            deliverer,
            maildirs: Vec::new(),
            by_location: HashMap::new(),
            written: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn write(&mut self, index: usize, delivery: &Delivery<'a>) {
        if let Err(error) = self.try_write(index, delivery) {
            self.failed.push((index, error));
        }
    }

    fn try_write(&mut self, index: usize, delivery: &Delivery<'a>) -> Delivered {
        let at = self.open(delivery.location)?;
        self.check_quota(at, LEAST)?;
        let unique = self.deliverer.names.unique();
        let tmp = &self.maildirs[at].maildir.tmp;
        let (name, file, sizes) = write_message(tmp, unique, delivery)?;
        if let Err(error) = self.check_quota(at, one_message(sizes.stored)) {
            discard(&self.maildirs[at].maildir.tmp, &name);
            return Err(error);
        }
        self.maildirs[at].added += one_message(sizes.stored);
        self.written.push(Written {
            index,
            maildir: at,
            name,
            file,
            sizes,
            result: Ok(()),
        });
        Ok(())
    }

    fn open(&mut self, location: &'a Location) -> Result<usize, MailboxError> {
        if let Some(&at) = self.by_location.get(location) {
            return Ok(at);
        }
        let maildir = Maildir::open_or_create(&location.path, location.owner)?;
        if self
            .deliverer
            .opened
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(CLEAN_EVERY)
        {
            maildir.remove_leftovers(SystemTime::now());
        }
        let device = maildir.new.stat()?.st_dev;
        let used = match location.quota.is_none() {
            true => Usage::default(),
            false => self.quota(&maildir, location).usage()?,
        };
        self.maildirs.push(OpenMaildir {
            location,
            maildir,
            device,
            used,
            added: Usage::default(),
        });
        let at = self.maildirs.len() - 1;
        self.by_location.insert(location, at);
        Ok(at)
    }

    fn quota<'m>(&'m self, maildir: &'m Maildir, location: &Location) -> MaildirQuota<'m> {
        MaildirQuota::new(
            maildir,
            location.owner,
            location.quota,
            &self.deliverer.names,
        )
    }

    fn check_quota(&mut self, at: usize, more: Usage) -> Delivered {
        let open = &self.maildirs[at];
        let (quota, needed) = (open.location.quota, open.added + more);
        if quota.allows(open.used, needed) {
            return Ok(());
        }
        // Mail may have been removed by a program that keeps no record.
        let used = self
            .quota(&open.maildir, open.location)
            .usage_before(needed)?;
        self.maildirs[at].used = used;
        if quota.allows(used, needed) {
            return Ok(());
        }
        Err(self.maildirs[at].location.over_quota(used, needed))
    }

    /// Syncs, moves and syncs again.
    fn finish(mut self) -> Vec<(usize, Delivered)> {
        self.sync_files();
        self.move_to_new();
        self.sync_folders();
        self.record_usage();
        let failed = self
            .failed
            .into_iter()
            .map(|(index, error)| (index, Err(error)));
        let written = self
            .written
            .into_iter()
            .map(|message| (message.index, message.result));
        failed.chain(written).collect()
    }

    /// The devices of the batch, each once; almost always one.
    fn devices(&self) -> Vec<u64> {
        let mut devices: Vec<_> = self.maildirs.iter().map(|open| open.device).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    fn sync_files(&mut self) {
        for device in self.devices() {
            let (mut messages, mut place): (Vec<_>, Option<usize>) = (Vec::new(), None);
            for (at, message) in self.written.iter().enumerate() {
                if self.maildirs[message.maildir].device == device {
                    messages.push(at);
                    place = Some(place.unwrap_or(message.maildir));
                }
            }
            let Some(place) = place else { continue };
            let fds: Vec<BorrowedFd<'_>> = messages
                .iter()
                .map(|&at| self.written[at].file.as_fd())
                .collect();
            let place = self.maildirs[place].maildir.tmp.as_fd();
            let results = sync_all(&fds, place, self.deliverer.sync);
            for (at, result) in messages.into_iter().zip(results) {
                let message = &mut self.written[at];
                let tmp = &self.maildirs[message.maildir].maildir.tmp;
                if let Err(errno) = result {
                    let path = tmp.path_of(&message.name);
                    message.result = Err(MailboxError::io("sync", path, errno));
                    discard(tmp, &message.name);
                }
            }
        }
    }

    fn move_to_new(&mut self) {
        for message in self
            .written
            .iter_mut()
            .filter(|message| message.result.is_ok())
        {
            let Maildir { tmp, new, .. } = &self.maildirs[message.maildir].maildir;
            let unique = message.name.to_string_lossy();
            let name = OsString::from(with_sizes(&unique, message.sizes));
            message.result = tmp.move_new(&message.name, new, &name);
            if message.result.is_err() {
                discard(tmp, &message.name);
            }
        }
    }

    /// A message whose name may not be durable is not delivered, and may appear twice: never not at all.
    fn sync_folders(&mut self) {
        for device in self.devices() {
            let touched: Vec<usize> = (0..self.maildirs.len())
                .filter(|&at| self.maildirs[at].device == device && self.got_mail(at))
                .collect();
            let Some(&first) = touched.first() else {
                continue;
            };
            let fds: Vec<BorrowedFd<'_>> = touched
                .iter()
                .map(|&at| self.maildirs[at].maildir.new.as_fd())
                .collect();
            let place = self.maildirs[first].maildir.tmp.as_fd();
            let results = sync_all(&fds, place, self.deliverer.sync);
            for (at, result) in touched.into_iter().zip(results) {
                let Err(errno) = result else { continue };
                let path = self.maildirs[at].maildir.new.path();
                let delivered = self.written.iter_mut();
                for message in delivered.filter(|m| m.maildir == at && m.result.is_ok()) {
                    message.result = Err(MailboxError::io("sync the folder", path, errno));
                }
            }
        }
    }

    fn got_mail(&self, maildir: usize) -> bool {
        self.written
            .iter()
            .any(|message| message.maildir == maildir && message.result.is_ok())
    }

    /// The mail is delivered, so that a failure here only makes the record wrong until the next count.
    fn record_usage(&self) {
        for (at, open) in self.maildirs.iter().enumerate() {
            if open.location.quota.is_none() {
                continue;
            }
            let (mut bytes, mut messages) = (0i64, 0i64);
            for message in self
                .written
                .iter()
                .filter(|m| m.maildir == at && m.result.is_ok())
            {
                bytes = bytes.saturating_add_unsigned(message.sizes.stored);
                messages += 1;
            }
            if messages > 0 {
                let _ = self
                    .quota(&open.maildir, open.location)
                    .add(bytes, messages);
            }
        }
    }
}

/// No message needs less room.
const LEAST: Usage = one_message(1);

const fn one_message(bytes: u64) -> Usage {
    Usage { bytes, messages: 1 }
}

fn write_message(
    tmp: &Folder,
    unique: String,
    delivery: &Delivery<'_>,
) -> Result<(OsString, File, Sizes), MailboxError> {
    let name = OsString::from(unique);
    let file = tmp.create_file(&name)?;
    let written = copy_lines(&file, delivery.prefix, delivery.content);
    match written {
        Ok(sizes) => Ok((name, file, sizes)),
        Err(error) => {
            discard(tmp, &name);
            Err(MailboxError::io("write", tmp.path_of(&name), error))
        }
    }
}

/// What cannot be removed from `tmp` is removed by readers when it is old, as the Maildir page asks.
fn discard(tmp: &Folder, name: &OsString) {
    let _ = tmp.remove_file(name);
}
