//! One session at a time: `flock`, which the kernel lets go of with the process, however that ends.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::OpenError;
use crate::error::MailboxError;
use crate::safe_open::{Folder, OpenMode};

/// The file in a Maildir that a session locks. It stays: removing a lock file lets two have it.
const NAME: &str = "posthouse-pop3.lock";

/// A held lock.
#[derive(Debug)]
pub(super) struct SessionLock {
    _held: Flock<File>,
}

impl SessionLock {
    /// Locks a Maildir.
    pub fn of_maildir(root: &Folder, owner: u32) -> Result<Self, OpenError> {
        let file = match root.open_or_create_file(OsStr::new(NAME), OpenMode::ReadWrite, owner) {
            Ok((file, _)) => file,
            // A full disk or quota must not keep the owner from removing mail: the folder can be locked, too.
            Err(error)
                if matches!(
                    error.errno(),
                    Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS)
                ) =>
            {
                let folder = root.as_fd().try_clone_to_owned();
                File::from(folder.map_err(|error| MailboxError::io("lock", root.path(), error))?)
            }
            Err(error) => return Err(error.into()),
        };
        Self::lock(file, root.path())
    }

    /// Locks an open mbox. The locks of deliveries are of another kind and are not kept waiting.
    pub fn of_mbox(file: &File, path: &Path) -> Result<Self, OpenError> {
        let file = file
            .try_clone()
            .map_err(|error| MailboxError::io("lock", path, error))?;
        Self::lock(file, path)
    }

    fn lock(file: File, path: &Path) -> Result<Self, OpenError> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Self { _held: held }),
            Err((_, Errno::EWOULDBLOCK)) => Err(OpenError::InUse {
                path: path.to_owned(),
            }),
            Err((_, errno)) => Err(MailboxError::io("lock", path, errno).into()),
        }
    }
}
