//! Appending messages to an mbox, all or nothing each.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

use nix::unistd;

use crate::content::{Content, LineStyle, LineWriter};
use crate::deliver::{Delivery, Location};
use crate::error::{MailboxError, UnsafePath};
use crate::mbox::{LockKind, LockOptions, MboxLock, Quoter, from_line};
use crate::quota::Usage;
use crate::safe_open::{Folder, OpenMode};

/// How often the file is opened again because a reader put a new one in its place meanwhile.
const MAX_OPENS: usize = 10;

/// Appends the messages to one mbox under one lock, and syncs once.
///
/// A message that fails is cut off again and does not keep the others out.
pub(crate) fn append_batch(
    location: &Location,
    deliveries: &[&Delivery<'_>],
    lock: LockOptions,
) -> Vec<Result<(), MailboxError>> {
    match append_locked(location, deliveries, lock) {
        Ok(results) => results,
        Err(error) => deliveries.iter().map(|_| Err(error.again())).collect(),
    }
}

fn append_locked(
    location: &Location,
    deliveries: &[&Delivery<'_>],
    lock: LockOptions,
) -> Result<Vec<Result<(), MailboxError>>, MailboxError> {
    for _ in 0..MAX_OPENS {
        let mbox = OpenMbox::open(location)?;
        if let Some(_lock) = mbox.lock(lock)? {
            return append_all(&mbox, location, deliveries);
        }
    }
    let replaced = io::Error::other("readers keep putting a new file in its place");
    Err(MailboxError::io("lock", &location.path, replaced))
}

/// Appends the messages to the locked file.
fn append_all(
    mbox: &OpenMbox,
    location: &Location,
    deliveries: &[&Delivery<'_>],
) -> Result<Vec<Result<(), MailboxError>>, MailboxError> {
    let (begin, mut messages) = (mbox.size()?, mbox.messages_if_limited(location)?);
    let mut results = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let result = mbox.append(delivery, messages, location);
        messages += u64::from(result.is_ok());
        results.push(result);
    }
    if let Err(error) = mbox.file.sync_data() {
        let error = mbox.error("sync", error);
        mbox.cut_back(begin)?;
        return Err(error);
    }
    Ok(results)
}

/// What is in an mbox; nothing when it is not there.
pub(crate) fn usage(location: &Location) -> Result<Usage, MailboxError> {
    let opened = Folder::open_parent(&location.path).and_then(|(folder, name)| {
        let file = folder.open_file(&name, OpenMode::Read, location.owner)?;
        Ok(OpenMbox { folder, name, file })
    });
    match opened {
        Ok(mbox) => Ok(Usage {
            bytes: mbox.size()?,
            messages: mbox.count_messages()?,
        }),
        Err(error) if error.is_not_found() => Ok(Usage::default()),
        Err(error) => Err(error),
    }
}

struct OpenMbox {
    folder: Folder,
    name: OsString,
    file: File,
}

impl OpenMbox {
    fn open(location: &Location) -> Result<Self, MailboxError> {
        let refuse = || MailboxError::refuse(&location.path, UnsafePath::NotPlain);
        let name = location.path.file_name().ok_or_else(refuse)?.to_owned();
        let parent: &Path = location.path.parent().ok_or_else(refuse)?;
        let folder = Folder::open_or_create(parent)?;
        let (file, made) = folder.open_or_create_file(&name, OpenMode::Append, location.owner)?;
        let mbox = Self { folder, name, file };
        if made {
            mbox.folder.sync()?;
        }
        let mode = mbox.metadata()?.mode();
        if mode & 0o111 != 0 {
            let path = mbox.folder.path_of(&mbox.name);
            return Err(MailboxError::refuse(path, UnsafePath::Executable));
        }
        Ok(mbox)
    }

    /// `None` if a reader has put a new file in its place while we waited.
    fn lock(&self, options: LockOptions) -> Result<Option<MboxLock<'_>>, MailboxError> {
        let kind = LockKind::Exclusive;
        let lock = MboxLock::acquire(&self.folder, &self.name, &self.file, kind, options)?;
        let ours = self.metadata()?;
        let there = self.folder.examine(&self.name)?;
        let same =
            there.map(|there| (there.st_dev, there.st_ino)) == Some((ours.dev(), ours.ino()));
        Ok(same.then_some(lock))
    }

    fn append(
        &self,
        delivery: &Delivery<'_>,
        messages: u64,
        location: &Location,
    ) -> Result<(), MailboxError> {
        let begin = self.size()?;
        self.check_quota(begin, messages, location)?;
        let result = self.write(delivery, begin).and_then(|()| {
            // A limit on octets is exact only now: quoting and line ends change the size.
            self.check_quota_after(begin, messages, location)
        });
        if result.is_err() {
            self.cut_back(begin)?;
        }
        result
    }

    fn write(&self, delivery: &Delivery<'_>, begin: u64) -> Result<(), MailboxError> {
        let failed = |error| self.error("append to", error);
        let style = LineStyle::MboxRd(Quoter::default());
        let mut writer = LineWriter::new(&self.file, style, delivery.content.len());
        writer.head(&self.gap(begin)?);
        writer.head(from_line(delivery.sender, SystemTime::now()).as_bytes());
        let mut copy = || {
            writer.push(delivery.prefix)?;
            delivery.content.for_each_block(|block| writer.push(block))
        };
        copy().map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(())
    }

    /// What is missing of a blank line before the next message, when another program left it out.
    fn gap(&self, size: u64) -> Result<Vec<u8>, MailboxError> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut last = [b'\n'; 2];
        let have = usize::from(size > 1) + 1;
        self.file
            .read_exact_at(&mut last[2 - have..], size - have as u64)
            .map_err(|error| self.error("read", error))?;
        Ok(match last {
            [b'\n', b'\n'] => Vec::new(),
            [_, b'\n'] => b"\n".to_vec(),
            _ => b"\n\n".to_vec(),
        })
    }

    fn check_quota(
        &self,
        bytes: u64,
        messages: u64,
        location: &Location,
    ) -> Result<(), MailboxError> {
        let used = Usage { bytes, messages };
        let needed = Usage {
            bytes: 1,
            messages: 1,
        };
        if location.quota.allows(used, needed) {
            return Ok(());
        }
        Err(location.over_quota(used, needed))
    }

    fn check_quota_after(
        &self,
        begin: u64,
        messages: u64,
        location: &Location,
    ) -> Result<(), MailboxError> {
        let used = Usage {
            bytes: begin,
            messages,
        };
        let needed = Usage {
            bytes: self.size()?.saturating_sub(begin),
            messages: 1,
        };
        if location.quota.allows(used, needed) {
            return Ok(());
        }
        Err(location.over_quota(used, needed))
    }

    /// Counting reads the whole file: done only where a count is limited.
    fn messages_if_limited(&self, location: &Location) -> Result<u64, MailboxError> {
        if location.quota.messages == 0 {
            return Ok(0);
        }
        self.count_messages()
    }

    fn count_messages(&self) -> Result<u64, MailboxError> {
        let size = self.size()?;
        let content = Content::File {
            file: &self.file,
            size,
        };
        let (mut count, mut tail) = (0, b"\n".to_vec());
        content
            .for_each_block(|block| {
                tail.extend_from_slice(block);
                count += memchr::memmem::find_iter(&tail, b"\nFrom ").count() as u64;
                // What may be the first part of a match; never a whole one.
                tail.drain(..tail.len() - tail.len().min(5));
                Ok(())
            })
            .map_err(|error| self.error("read", error))?;
        Ok(count)
    }

    /// Undoes an append: half a message would be taken for mail.
    fn cut_back(&self, size: u64) -> Result<(), MailboxError> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        unistd::ftruncate(self.file.as_fd(), size)
            .map_err(|errno| self.error("cut off a partial message from", errno.into()))
    }

    fn size(&self) -> Result<u64, MailboxError> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn metadata(&self) -> Result<std::fs::Metadata, MailboxError> {
        self.file
            .metadata()
            .map_err(|error| self.error("examine", error))
    }

    fn error(&self, operation: &'static str, error: io::Error) -> MailboxError {
        MailboxError::io(operation, self.folder.path_of(&self.name), error)
    }
}
