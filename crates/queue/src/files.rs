//! The queue's folder: who may enter it, what lies where, and how much room is left.
//!
//! ```text
//! FOLDER/            0700
//!   queue.lock       held while the queue is open
//!   queue.sqlite     0600, with -wal and -shm beside it
//!   spool/           0700, one file per large content, named by its SpoolId
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::fstatvfs;

use crate::error::{OpenError, StorageError};

/// The folder, opened and locked.
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) spool: PathBuf,
    /// Open for statvfs, so that the check needs no path walk.
    handle: File,
    /// Locked until the process ends or this is dropped.
    _lock: File,
}

impl Files {
    /// Creates what is missing and takes the lock.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let spool = folder.join("spool");
        let database = folder.join("queue.sqlite");
        create_folder(folder)?;
        create_folder(&spool)?;
        let lock = lock(&folder.join("queue.lock"))?;
        // SQLite gives its -wal and -shm files the mode that the database has.
        open_private(&database)?;
        let handle = sync_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            database,
            spool,
            handle,
            _lock: lock,
        })
    }

    /// Octets that an ordinary user may still write on the queue's file system.
    pub(crate) fn free(&self) -> Result<u64, StorageError> {
        let stat = fstatvfs(&self.handle).map_err(|errno| {
            StorageError::io(
                "ask for free space of",
                &self.folder,
                &io::Error::from(errno),
            )
        })?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }

    /// Refuses new mail of `expected` octets when less than `min_free` would be left.
    pub(crate) fn check_free(&self, min_free: u64, expected: u64) -> Result<(), StorageError> {
        let free = self.free()?;
        let needed = min_free.saturating_add(expected);
        if free >= needed {
            return Ok(());
        }
        Err(StorageError::DiskFull(format!(
            "{} octets are free under {}, less than the {needed} needed for new mail",
            free,
            self.folder.display(),
        )))
    }
}

/// Creates a folder that only its owner may enter, or closes one that others may.
fn create_folder(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                sync_folder(parent)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)
                .map_err(|error| OpenError::io("look at", path, error))?
                .permissions()
                .mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(path, Permissions::from_mode(0o700))
                    .map_err(|error| OpenError::io("set mode 0700 on", path, error))?;
            }
            Ok(())
        }
        Err(error) => Err(OpenError::io("create folder", path, error)),
    }
}

fn open_private(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| OpenError::io("open", path, error))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = open_private(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", path, error)),
    }
}

fn sync_folder(path: &Path) -> Result<File, OpenError> {
    let folder = File::open(path).map_err(|error| OpenError::io("open", path, error))?;
    folder
        .sync_all()
        .map_err(|error| OpenError::io("sync", path, error))?;
    Ok(folder)
}
