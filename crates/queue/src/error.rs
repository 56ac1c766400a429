//! What can go wrong with the queue's files.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::types::SpoolId;

/// The queue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or file of the queue.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process has the queue open.
    #[error("{path} is in use by another queue-manager; stop it first")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The file is not an SQLite database.
    #[error(
        "{path} is not a queue database; move it away to start with an empty queue, or restore it from a backup"
    )]
    NotADatabase {
        /// Which file.
        path: PathBuf,
    },
    /// A database, but of something else.
    #[error("{path} is an SQLite database of another program (application id {found:#x})")]
    NotAQueue {
        /// Which file.
        path: PathBuf,
        /// Its `PRAGMA application_id`.
        found: i64,
    },
    /// The file was written by a newer Posthouse.
    #[error(
        "{path} has schema version {found}, but this Posthouse knows versions up to {known}; install the version that wrote it, or a newer one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// SQLite failed.
    #[error("cannot {operation} {path}: {source}")]
    Sqlite {
        /// What was tried.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// For want of room on the disk.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            _ => false,
        }
    }

    pub(crate) fn sqlite(operation: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if source.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return Self::NotADatabase { path };
        }
        Self::Sqlite {
            operation,
            path,
            source,
        }
    }
}

/// A command or a read failed. All are temporary: the queue goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No room: free disk below the bound, ENOSPC, EDQUOT or SQLITE_FULL.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// Writing, reading or syncing failed.
    #[error("storage failed: {0}")]
    Failed(String),
    /// Too much waits to be committed.
    #[error("too much waits to be committed: {waiting} commands, {bytes} octets")]
    Overloaded {
        /// Commands that wait.
        waiting: usize,
        /// Octets of content that wait.
        bytes: usize,
    },
    /// The spool file is unknown, already committed, or not of the said length.
    #[error("spool file {spool}: {why}")]
    SpoolMismatch {
        /// Which.
        spool: SpoolId,
        /// What is wrong.
        why: String,
    },
    /// The message cannot be read; it is being set aside, and [`crate::Event::SetAside`] will tell.
    #[error("message {queue_id} is corrupt: {why}")]
    Corrupt {
        /// Which.
        queue_id: mail_types::QueueId,
        /// What is wrong.
        why: String,
    },
    /// The queue is being closed.
    #[error("the queue is being closed")]
    Closed,
}

impl StorageError {
    /// From a failed file operation, said as "cannot OPERATION PATH: why".
    pub(crate) fn io(operation: &str, path: &Path, error: &std::io::Error) -> Self {
        let text = format!("cannot {operation} {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull(text)
            }
            _ => Self::Failed(text),
        }
    }

    /// From a failed database operation.
    pub(crate) fn sqlite(operation: &str, error: &rusqlite::Error) -> Self {
        let text = format!("cannot {operation}: {error}");
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull(text),
            _ => Self::Failed(text),
        }
    }
}
