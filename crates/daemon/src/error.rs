//! What can go wrong before a service serves.

use std::io;

use ipc::{CallError, ReceiveError, SendError};

/// A service could not start, or lost master.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Started by hand, or by a master of another version.
    #[error(
        "descriptor {name:?} was not handed down: this program is started by `master`, not by hand"
    )]
    NotHandedDown {
        /// The name in `POSTHOUSE_FDS`.
        name: String,
    },
    /// A system call failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A step of the jail failed; the program must not serve.
    #[error("cannot put on the jail: cannot {doing}: {source}")]
    Jail {
        /// The step.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The configuration that was handed down cannot be read.
    #[error("the configuration from master is not valid: {0}")]
    Config(String),
    /// The log cannot be started.
    #[error(transparent)]
    Log(#[from] telemetry::InitError),
    /// The channel to master failed.
    #[error("the channel to master failed: {0}")]
    Control(#[source] ReceiveError),
    /// A message to master could not be sent.
    #[error("cannot tell master: {0}")]
    Tell(#[from] SendError),
    /// A session half could not tell master something.
    #[error("cannot tell master: {0}")]
    Call(#[source] CallError),
    /// A session half was not told its mailbox.
    #[error("master did not say which session this is")]
    NotAssigned,
}
