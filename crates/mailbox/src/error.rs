//! What can go wrong with a stored mailbox, told to the administrator in full and to the peer in kind.

use std::io;
use std::path::{Path, PathBuf};

use mail_types::Outcome;
use nix::errno::Errno;

/// Why a mailbox could not be read or written.
///
/// `Display` names paths and system errors and belongs in the log; what a report may say is
/// [`MailboxError::outcome`].
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// A system call failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "open", "sync".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path leads to something that mail must not be written to or read from.
    #[error("refused to use {}: {reason}", path.display())]
    Unsafe {
        /// The file, folder or link.
        path: PathBuf,
        /// Which rule it breaks.
        reason: UnsafePath,
    },
    /// Another program kept the mailbox locked for as long as we wait.
    #[error("{} is locked by another program ({lock}); gave up after {waited_seconds} s", path.display())]
    Locked {
        /// The mailbox.
        path: PathBuf,
        /// Which of its locks: `fcntl` or the name of the dotlock.
        lock: String,
        /// How long we waited.
        waited_seconds: u64,
    },
    /// The owner's quota has no room for this message.
    #[error("{} is over its quota: {used} and {needed} more of {limit}", path.display())]
    OverQuota {
        /// The mailbox.
        path: PathBuf,
        /// In it now.
        used: crate::quota::Usage,
        /// What the message adds.
        needed: crate::quota::Usage,
        /// What is allowed.
        limit: crate::quota::Quota,
    },
}

/// A rule of safe opening that a path breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafePath {
    /// Not absolute, or with `..` or an empty name in it.
    #[error("the path must be absolute and have no \"..\" in it")]
    NotPlain,
    /// A link that its folder's users could redirect.
    #[error(
        "it is a symbolic link (only root's links in folders that only root writes are followed)"
    )]
    Symlink,
    /// Links that lead to links without end.
    #[error("too many symbolic links")]
    TooManyLinks,
    /// A folder was needed.
    #[error("it is not a folder")]
    NotAFolder,
    /// A device, pipe, socket or folder where a file was needed.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file has a second name, perhaps in somebody else's folder.
    #[error("it has {0} hard links, and must have one")]
    HardLinks(u64),
    /// Somebody else's file or folder.
    #[error("it belongs to uid {found}, and must belong to uid {wanted}")]
    Owner {
        /// Whose it is.
        found: u32,
        /// Whose it must be.
        wanted: u32,
    },
    /// A file that mail is appended to must not be a program.
    #[error("it is executable")]
    Executable,
}

/// What a delivery says when the mailbox is full: `local_delivery.mailbox_full`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullMailbox {
    /// Keep the mail queued (4.2.2).
    #[default]
    Defer,
    /// Return it to its sender (5.2.2).
    Fail,
}

impl MailboxError {
    pub(crate) fn io(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            operation,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn refuse(path: impl AsRef<Path>, reason: UnsafePath) -> Self {
        Self::Unsafe {
            path: path.as_ref().to_owned(),
            reason,
        }
    }

    /// The same error for another waiter of a shared step, such as one sync for several messages.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Io {
                operation,
                path,
                source,
            } => Self::Io {
                operation,
                path: path.clone(),
                source: copy_io(source),
            },
            Self::Unsafe { path, reason } => Self::Unsafe {
                path: path.clone(),
                reason: *reason,
            },
            Self::Locked {
                path,
                lock,
                waited_seconds,
            } => Self::Locked {
                path: path.clone(),
                lock: lock.clone(),
                waited_seconds: *waited_seconds,
            },
            Self::OverQuota {
                path,
                used,
                needed,
                limit,
            } => Self::OverQuota {
                path: path.clone(),
                used: *used,
                needed: *needed,
                limit: *limit,
            },
        }
    }

    /// The system's error number, when a system call failed.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io { source, .. } => source.raw_os_error().map(Errno::from_raw),
            _ => None,
        }
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }

    /// The delivery's outcome, in words that may leave the machine: no paths, no system errors.
    ///
    /// Statuses: RFC 3463 §3.3 (mailbox) and §3.4 (mail system).
    #[must_use]
    pub fn outcome(&self, full: FullMailbox) -> Outcome {
        match self {
            Self::OverQuota { .. } => full.outcome(),
            Self::Locked { .. } => Outcome::deferred(2, 0, "mailbox is in use by another program"),
            Self::Unsafe { .. } => {
                Outcome::deferred(3, 5, "mailbox is not set up safely; see the server's log")
            }
            Self::Io { .. } => match self.errno() {
                // The file-size limit of a process is the administrator's bound on a mailbox, too.
                Some(Errno::EDQUOT | Errno::EFBIG) => full.outcome(),
                Some(Errno::ENOSPC) => Outcome::deferred(3, 1, "mail system is out of disk space"),
                _ => Outcome::deferred(3, 0, "mailbox could not be written"),
            },
        }
    }
}

impl FullMailbox {
    fn outcome(self) -> Outcome {
        match self {
            Self::Defer => Outcome::deferred(2, 2, "mailbox is full"),
            Self::Fail => Outcome::failed(2, 2, "mailbox is full"),
        }
    }
}

fn copy_io(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_right_status_and_tell_no_path() {
        let io = |errno: Errno| MailboxError::io("write", "/home/alice/secret", errno);
        let cases = [
            (io(Errno::ENOSPC), "4.3.1", "4.3.1"),
            (io(Errno::EDQUOT), "4.2.2", "5.2.2"),
            (io(Errno::EFBIG), "4.2.2", "5.2.2"),
            (io(Errno::EIO), "4.3.0", "4.3.0"),
            (io(Errno::EACCES), "4.3.0", "4.3.0"),
            (
                MailboxError::refuse("/home/alice/secret", UnsafePath::Symlink),
                "4.3.5",
                "4.3.5",
            ),
            (
                MailboxError::Locked {
                    path: "/home/alice/secret".into(),
                    lock: "fcntl".into(),
                    waited_seconds: 1,
                },
                "4.2.0",
                "4.2.0",
            ),
        ];
        for (error, deferring, failing) in cases {
            for (full, status) in [
                (FullMailbox::Defer, deferring),
                (FullMailbox::Fail, failing),
            ] {
                let (found, text) = match error.again().outcome(full) {
                    Outcome::Deferred(deferral) => (deferral.status, deferral.text),
                    Outcome::Failed(failure) => (failure.status, failure.text),
                    Outcome::Delivered(_) => panic!("{error} is no delivery"),
                };
                assert_eq!(found.to_string(), status, "{error}");
                assert!(!text.contains("alice"), "{text}");
                assert!(error.to_string().contains("/home/alice/secret"), "{error}");
            }
        }
    }
}
