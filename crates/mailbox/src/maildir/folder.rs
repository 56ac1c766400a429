//! A Maildir, open.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::MailboxError;
use crate::safe_open::Folder;

/// A file in `tmp` that is older belongs to no delivery any more.
const LEFT_OVER: Duration = Duration::from_secs(36 * 3600);

/// The four folders of a Maildir; all belong to its owner.
#[derive(Debug)]
pub struct Maildir {
    /// The Maildir itself: `maildirsize`, `dovecot-uidlist` and subfolders are here.
    pub root: Folder,
    /// Messages not seen by any reader.
    pub new: Folder,
    /// Messages seen by a reader, with flags.
    pub cur: Folder,
    /// Messages being written.
    pub tmp: Folder,
}

impl Maildir {
    /// Opens a Maildir that is there.
    ///
    /// # Errors
    /// [`MailboxError::is_not_found`] when it, or one of its three folders, is not there.
    pub fn open(path: &Path, owner: u32) -> Result<Self, MailboxError> {
        Self::in_folder(Folder::open(path)?, owner)
    }

    /// Opens a Maildir; what is missing of it is made, readable by its owner alone.
    pub fn open_or_create(path: &Path, owner: u32) -> Result<Self, MailboxError> {
        match Self::open(path, owner) {
            Err(error) if error.is_not_found() => {}
            opened => return opened,
        }
        let root = Folder::open_or_create(path)?;
        root.check_owner(owner)?;
        for name in ["tmp", "new", "cur"] {
            root.make_folder(OsStr::new(name))?;
        }
        root.sync()?;
        Self::in_folder(root, owner)
    }

    /// Removes what deliveries that were cut off left in `tmp`: files not touched for 36 hours, as the Maildir
    /// page says. Nothing else depends on it, so that errors are left to the next time.
    pub fn remove_leftovers(&self, now: SystemTime) {
        for name in self.tmp.names().unwrap_or_default() {
            let Ok(Some(stat)) = self.tmp.examine(&name) else {
                continue;
            };
            let touched = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
            let age = now.duration_since(UNIX_EPOCH + touched);
            if age.is_ok_and(|age| age > LEFT_OVER) {
                let _ = self.tmp.remove_file(&name);
            }
        }
    }

    fn in_folder(root: Folder, owner: u32) -> Result<Self, MailboxError> {
        let part = |name: &str| {
            let folder = root.folder(OsStr::new(name))?;
            folder.check_owner(owner)?;
            Ok::<_, MailboxError>(folder)
        };
        root.check_owner(owner)?;
        let (new, cur, tmp) = (part("new")?, part("cur")?, part("tmp")?);
        Ok(Self {
            root,
            new,
            cur,
            tmp,
        })
    }
}
