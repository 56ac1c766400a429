//! Life and sessions: child ↔ master, over the socket pair that master made.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Protocol;
use crate::protocol::{MailboxSpec, Ticket};

/// Marker of the protocol. All frames are pushes (id 0), both ways.
#[derive(Debug)]
pub enum Supervise {}

impl Protocol for Supervise {
    const NAME: &'static str = "supervise";
    const VERSION: u32 = 1;
    const MAX_BODY: usize = 16 << 10;
    /// What the client had pipelined behind its login.
    const MAX_PAYLOAD: usize = 16 << 10;
    /// The client's socket.
    const MAX_FDS: usize = 1;
    type Request = ChildMessage;
    type Reply = MasterMessage;
}

/// A child says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildMessage {
    /// Jailed and serving.
    Ready,
    /// From directory only: a login was right; whoever shows `ticket` may have this session.
    ConfirmSession(SessionTicket),
    /// From a login half only: start the session; the client's socket comes with this frame, what it
    /// sent ahead is the payload.
    StartSession {
        /// As directory gave it.
        ticket: Ticket,
        /// The client, for the log.
        client: IpAddr,
    },
}

/// A confirmed login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTicket {
    /// The one-time secret.
    pub ticket: Ticket,
    /// What to start.
    pub program: SessionProgram,
    /// As whom, and with what mailbox.
    pub mailbox: MailboxSpec,
}

/// A session half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionProgram {
    /// `pop3-session`
    Pop3,
}

/// master says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MasterMessage {
    /// The session half runs and has the socket: close yours.
    SessionStarted {
        /// Which.
        ticket: Ticket,
    },
    /// No session: tell the client to come again later.
    SessionRefused {
        /// Which.
        ticket: Ticket,
    },
    /// To a session half, first: its mailbox. What the client sent ahead is the payload.
    Session {
        /// The only mailbox it may touch.
        mailbox: MailboxSpec,
        /// The client, for the log.
        client: IpAddr,
    },
}
