//! Where a recipient's mail goes in the end, and how one attempt to bring it there ended.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::reply::EnhancedStatus;

/// Where a recipient's mail goes after aliases were followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Target {
    /// A mailbox of ours, by its user's own address.
    Mailbox(Address),
    /// An address elsewhere.
    Remote(Address),
    /// A file of this host that mail is appended to, from an alias.
    File(PathBuf),
    /// A command of this host that gets mail on its standard input, from an alias.
    Command(String),
}

/// As an aliases file would write it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(address) | Self::Remote(address) => address.fmt(f),
            Self::File(path) => path.display().fmt(f),
            Self::Command(command) => write!(f, "|{command}"),
        }
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is there, and synced.
    Delivered(Delivered),
    /// Not now; later perhaps.
    Deferred(Deferral),
    /// Never.
    Failed(Failure),
}

/// A delivery that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Where it went, for log and report: a mailbox or the peer's reply.
    pub text: String,
}

/// An attempt that failed for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    /// 4.x.x
    pub status: EnhancedStatus,
    /// Why, in words for the administrator and the report; a peer's reply verbatim.
    pub text: String,
}

/// An attempt that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// 5.x.x
    pub status: EnhancedStatus,
    /// Why, in words for the administrator and the report; a peer's reply verbatim.
    pub text: String,
}

impl Outcome {
    /// A delivery.
    pub fn delivered(text: impl Into<String>) -> Self {
        Self::Delivered(Delivered { text: text.into() })
    }

    /// A failure for now: `4.subject.detail`.
    pub fn deferred(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        let status = EnhancedStatus::new(4, subject, detail);
        Self::Deferred(Deferral {
            status,
            text: text.into(),
        })
    }

    /// A failure for good: `5.subject.detail`.
    pub fn failed(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        let status = EnhancedStatus::new(5, subject, detail);
        Self::Failed(Failure {
            status,
            text: text.into(),
        })
    }
}
