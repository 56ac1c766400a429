//! What can go wrong between two ends.

use std::io;
use std::path::PathBuf;

use crate::wire::{ProtocolError, SendError};

/// Receiving failed; the channel is over.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The peer broke the rules.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The socket failed.
    #[error("reading from the channel failed: {0}")]
    Io(#[from] io::Error),
    /// The peer took too long over its greeting.
    #[error("the peer did not greet in time")]
    TimedOut,
}

/// No channel could be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket cannot be reached.
    #[error("cannot connect to {}: {source}", path.display())]
    Io {
        /// The server's socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server and this program do not fit together.
    #[error("cannot talk to the server of {}: {source}", path.display())]
    Greeting {
        /// The server's socket.
        path: PathBuf,
        /// Why.
        source: ReceiveError,
    },
}

/// A call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server could not be reached in time; the request was surely not begun.
    #[error("the service is not available: {reason}")]
    Unavailable {
        /// What the last attempt said.
        reason: String,
    },
    /// The channel ended before the answer: whether the request was carried out is unknown.
    #[error("the channel was lost before the answer came: {reason}")]
    Lost {
        /// How it ended.
        reason: String,
    },
    /// The deadline passed: whether the request was carried out is unknown.
    #[error("no answer came in time")]
    TimedOut,
    /// The request is not one that the channel takes.
    #[error("the request cannot be sent: {0}")]
    NotSent(#[from] SendError),
}

impl CallError {
    /// May the server have carried the request out?
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::TimedOut)
    }
}
