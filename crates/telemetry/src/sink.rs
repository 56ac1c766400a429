//! Where lines go.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error.
    Stderr,
    /// The systemd journal, over its native protocol.
    Journald,
    /// The local syslog socket.
    Syslog,
}

impl Target {
    /// The name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Journald => "journald",
            Self::Syslog => "syslog",
        }
    }
}

/// How a line is written, except to the journal, which has fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `event key=value …`
    Text,
    /// One JSON object.
    Json,
}

/// What bytes a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Stream(Format),
    Syslog(Format),
    Journal,
}

/// How long a stalled log daemon may hold up a program, once per event.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// An open sink. The socket is connected, as its path is out of reach once the jail is closed.
#[derive(Debug)]
pub(crate) enum Sink {
    Stderr,
    Socket(UnixDatagram),
}

impl Sink {
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self::Socket(socket))
    }

    /// Writes one line or datagram in one system call.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // Standard error has no buffer in this process.
            Self::Stderr => io::stderr().write_all(bytes),
            Self::Socket(socket) => socket.send(bytes).map(drop),
        }
    }

    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Stderr => None,
            Self::Socket(socket) => Some(socket.as_fd()),
        }
    }
}
