//! Locks that one process holds for as long as it lives: on a file with its process id inside, or on a folder.
//!
//! The lock is `flock(2)` on the open file: the kernel drops it when the holder dies, however it dies, so there
//! are no stale locks. The file itself stays behind on purpose: removing it would race with the next holder.
//!
//! A folder that belongs to somebody else is locked itself, without a file in it: what root writes there could
//! be a hard link to any other file.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A lock that is held; dropping it releases it.
#[derive(Debug)]
pub struct PidLock {
    /// Held only for its lock.
    _file: File,
}

impl PidLock {
    /// Takes the lock at `path` and writes this process's id into it.
    ///
    /// Fails with `WouldBlock`, naming the holder, if another process has it.
    pub fn take(path: &Path) -> io::Result<Self> {
        let context = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("lock file {}: {error}", path.display()),
            )
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(context)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to name it in the message; an unreadable id changes nothing.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "unknown" } else { holder };
                let text = format!("held by another process (pid {holder}); stop that one first");
                return Err(context(io::Error::new(io::ErrorKind::WouldBlock, text)));
            }
            Err(TryLockError::Error(error)) => return Err(context(error)),
        }
        file.set_len(0).map_err(context)?;
        file.rewind().map_err(context)?;
        writeln!(file, "{}", std::process::id()).map_err(context)?;
        Ok(Self { _file: file })
    }
}

/// A lock on a folder that is held; it is released when this and all [shares](Self::share) are closed.
#[derive(Debug)]
pub struct FolderLock {
    folder: File,
}

impl FolderLock {
    /// Takes the lock on a folder; fails with `WouldBlock` if another process has it.
    pub fn take(path: &Path) -> io::Result<Self> {
        let context = |error: io::Error| {
            io::Error::new(error.kind(), format!("folder {}: {error}", path.display()))
        };
        let folder = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(path)
            .map_err(context)?;
        match folder.try_lock() {
            Ok(()) => Ok(Self { folder }),
            Err(TryLockError::WouldBlock) => Err(context(io::Error::new(
                io::ErrorKind::WouldBlock,
                "locked by another process; stop that one first",
            ))),
            Err(TryLockError::Error(error)) => Err(context(error)),
        }
    }

    /// A descriptor that holds the lock too, for the process that works in the folder: should this one die, the
    /// folder stays locked until that one has ended.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.folder.try_clone()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "999999999999 stale").unwrap();
        let held = PidLock::take(&path).unwrap();
        let content = std::fs::read_to_string(&path).unwrap();
        assert_eq!(content, format!("{}\n", std::process::id()));
        let error = PidLock::take(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(held);
        PidLock::take(&path).unwrap();
    }

    #[test]
    fn folders_are_locked_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        assert_eq!(
            FolderLock::take(folder.path()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let shared = held.share().unwrap();
        drop(held);
        assert!(FolderLock::take(folder.path()).is_err());
        drop(shared);
        FolderLock::take(folder.path()).unwrap();
    }
}
