//! The queue's folder: who may enter it, what lies where, and how much room is left.
//!
//! ```text
//! FOLDER/            0700
//!   queue.lock       held while the queue is open
//!   queue.sqlite     0600, with -wal and -shm beside it
//!   reserve          room that is given up when the disk is full, so that the queue can get smaller
//!   spool/           0700, one file per large content, named by its SpoolId
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::fstatvfs;

use crate::error::{OpenError, StorageError};

/// Octets of the reserve: enough for the log of many thousands of outcomes.
const RESERVE: u64 = 4 << 20;

/// The folder, opened and locked.
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    pub(crate) database: PathBuf,
    reserve: PathBuf,
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
            reserve: folder.join("reserve"),
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

/// The reserve: without it a full disk would stay full, as even a removal is first written to the log.
impl Files {
    /// Whether the reserve is there; makes it when half as much again is free.
    pub(crate) fn keep_reserve(&self) -> Result<(), StorageError> {
        let failed = |error: io::Error| StorageError::io("reserve room in", &self.reserve, &error);
        if fs::metadata(&self.reserve).is_ok_and(|metadata| metadata.len() == RESERVE) {
            return Ok(());
        }
        self.check_free(RESERVE + RESERVE / 2, 0)?;
        let file =
            open_private(&self.reserve).map_err(|error| StorageError::Failed(error.to_string()))?;
        match fallocate(&file, FallocateFlags::empty(), 0, RESERVE.cast_signed()) {
            Ok(()) => Ok(()),
            // A file system that cannot set room aside takes zeros.
            Err(Errno::EOPNOTSUPP) => io::copy(&mut io::repeat(0).take(RESERVE), &mut &file)
                .map(drop)
                .map_err(failed),
            Err(errno) => {
                // What it got is better free.
                self.give_up_reserve();
                Err(failed(io::Error::from(errno)))
            }
        }
    }

    /// Frees the reserve; false when it was not there.
    pub(crate) fn give_up_reserve(&self) -> bool {
        fs::remove_file(&self.reserve).is_ok()
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
