//! The life of a session half: one blocking program for one client that has logged in.
//!
//! Invariants: master's end closing, or SIGTERM, asks for the drain; a wait on the client always has a time
//! limit. Absent on purpose: anything asynchronous. A session serves one client and its own mailbox.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipc::protocol::{ChildMessage, MailboxSpec, MasterMessage, Supervise};
use ipc::{BlockingConnection, PUSH};
use sandbox::events::{Event, Interest, Signals, poll};
use sandbox::listen::duplicate;

use crate::Error;

/// How long master may take to say which session this is.
const PATIENCE: Duration = Duration::from_secs(10);

/// What master tells a session half first.
#[derive(Debug)]
pub struct Assignment {
    /// The only mailbox it may touch.
    pub mailbox: MailboxSpec,
    /// The client's address, for the log.
    pub client: IpAddr,
    /// What the client had sent ahead of the login's answer.
    pub sent_ahead: Bytes,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The client has sent something, or is gone.
    Readable,
    /// The time is over.
    TimedOut,
    /// The session is to end.
    Drain,
}

/// A session half's side of its life.
#[derive(Debug)]
pub struct SessionLife {
    control: BlockingConnection<Supervise>,
    /// The same socket, to be polled.
    watched: OwnedFd,
    signals: Signals,
    draining: bool,
}

impl SessionLife {
    /// Greets master and waits for the assignment.
    pub(crate) fn begin(control: OwnedFd) -> Result<(Self, Assignment), Error> {
        let io = |doing| move |source| Error::Io { doing, source };
        let signals = Signals::new().map_err(io("watch for signals"))?;
        let watched = duplicate(&control).map_err(io("watch the channel to master"))?;
        let mut control = BlockingConnection::from_fd(control, PATIENCE).map_err(Error::Control)?;
        let Some(frame) = control.receive(PATIENCE).map_err(Error::Control)? else {
            return Err(Error::NotAssigned);
        };
        let MasterMessage::Session { mailbox, client } = frame.message else {
            return Err(Error::NotAssigned);
        };
        let life = Self {
            control,
            watched,
            signals,
            draining: false,
        };
        Ok((
            life,
            Assignment {
                mailbox,
                client,
                sent_ahead: frame.payload,
            },
        ))
    }

    /// Tells master that the session is jailed and serving.
    pub fn ready(&mut self) -> Result<(), Error> {
        self.control
            .send(
                PUSH,
                &ChildMessage::Ready,
                Bytes::new(),
                Vec::new(),
                PATIENCE,
            )
            .map_err(Error::Call)
    }

    /// Waits until the client has something to read, the session is to end, or the time is over.
    pub fn wait(&mut self, client: BorrowedFd<'_>, timeout: Duration) -> std::io::Result<Wake> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.draining {
                return Ok(Wake::Drain);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let fds = [
                (client, Interest::Readable),
                (self.watched.as_fd(), Interest::Readable),
                (self.signals.as_fd(), Interest::Readable),
            ];
            let ready = poll(&fds, Some(left))?;
            if ready[1].readable {
                // master has nothing more to say to a session: whatever comes is the end of the channel, or a
                // fault, after which there is no master to obey either.
                self.draining = !matches!(self.control.receive(PATIENCE), Ok(Some(_)));
            }
            if ready[2].readable {
                while let Some(event) = self.signals.next()? {
                    self.draining |= event == Event::Stop;
                }
            }
            if self.draining {
                return Ok(Wake::Drain);
            }
            if ready[0].readable {
                return Ok(Wake::Readable);
            }
            if left.is_zero() {
                return Ok(Wake::TimedOut);
            }
        }
    }

    /// Has the end been asked for?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }
}
