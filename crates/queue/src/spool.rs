//! Spool files: content too large for a row.
//!
//! The queue creates the file and gives its write-only descriptor away; when told that the
//! content is complete it compares the length and syncs file and folder, and only then may a
//! row name the file. So the steps of a file's life are: created → written → synced → named by a
//! row → row gone → unlinked. A crash anywhere before "named by a row" or after "row gone"
//! leaves an orphan, which the sweep removes; nothing leaves a row without its file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;

use crate::error::StorageError;
use crate::files::Files;
use crate::types::SpoolId;

/// Creates an empty file with a name that nobody can guess.
pub(crate) fn create(files: &Files) -> Result<(SpoolId, File), StorageError> {
    let mut name = [0; 16];
    getrandom::fill(&mut name)
        .map_err(|error| StorageError::Failed(format!("cannot get random numbers: {error}")))?;
    let spool = SpoolId(u128::from_ne_bytes(name));
    let path = files.spool.join(spool.to_string());
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map(|file| (spool, file))
        .map_err(|error| StorageError::io("create", &path, &error))
}

/// Opens a spool file, not through a symbolic link.
pub(crate) fn open_for_reading(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// Makes a complete file durable: its octets, then its name.
pub(crate) fn sync(files: &Files, spool: SpoolId, size: u64) -> Result<(), StorageError> {
    let path = files.spool.join(spool.to_string());
    let file = open_for_reading(&path).map_err(|error| mismatch(spool, &path, &error))?;
    check_size(spool, &path, file.metadata(), size)?;
    file.sync_data()
        .map_err(|error| StorageError::io("sync", &path, &error))?;
    File::open(&files.spool)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StorageError::io("sync", &files.spool, &error))
}

/// Whether the file is still there and of the same length: asked by the commit thread just before
/// its row is written, as the same thread also removes files.
pub(crate) fn check(files: &Files, spool: SpoolId, size: u64) -> Result<(), StorageError> {
    let path = files.spool.join(spool.to_string());
    check_size(spool, &path, fs::symlink_metadata(&path), size)
}

fn check_size(
    spool: SpoolId,
    path: &Path,
    metadata: io::Result<fs::Metadata>,
    size: u64,
) -> Result<(), StorageError> {
    let metadata = metadata.map_err(|error| mismatch(spool, path, &error))?;
    if metadata.is_file() && metadata.len() == size {
        return Ok(());
    }
    let why = format!("has {} octets, not {size}", metadata.len());
    Err(StorageError::SpoolMismatch { spool, why })
}

fn mismatch(spool: SpoolId, path: &Path, error: &io::Error) -> StorageError {
    if error.kind() == io::ErrorKind::NotFound {
        let why = "does not exist".to_owned();
        return StorageError::SpoolMismatch { spool, why };
    }
    StorageError::io("open", path, error)
}

/// Removes a file; that it is gone already is as good.
pub(crate) fn remove(files: &Files, spool: SpoolId) -> Result<(), StorageError> {
    let path = files.spool.join(spool.to_string());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", &path, &error))
        }
        _ => Ok(()),
    }
}

/// Spool files that nobody wrote to for `age`: perhaps orphans, which only the tables know. Files of
/// other names are not ours and left alone.
pub(crate) fn old_files(files: &Files, age: Duration) -> impl Iterator<Item = SpoolId> {
    let entries = fs::read_dir(&files.spool).into_iter().flatten();
    let now = SystemTime::now();
    entries.filter_map(move |entry| {
        let entry = entry.ok()?;
        let spool: SpoolId = entry.file_name().to_str()?.parse().ok()?;
        let written = entry.metadata().ok()?.modified().ok()?;
        (now.duration_since(written).ok()? >= age).then_some(spool)
    })
}
