//! Handing a client to its session half, by way of master.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{ChildMessage, MasterMessage, Ticket};
use ipc::{PUSH, Sender};
use tokio::sync::oneshot;

/// master answers within the life of a ticket, 10 seconds; if it does not, something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// Its session has the connection: close our copy.
    Started,
    /// There is no session; the connection is still ours.
    Refused,
    /// Nobody knows: the connection must not be used any more.
    Unknown,
}

/// The channel to master, and who waits for its answers.
#[derive(Debug)]
pub(crate) struct Sessions {
    master: Option<Sender<ChildMessage>>,
    waiting: Mutex<HashMap<Ticket, oneshot::Sender<Handover>>>,
}

impl Sessions {
    pub fn new(master: Option<Sender<ChildMessage>>) -> Self {
        Self {
            master,
            waiting: Mutex::default(),
        }
    }

    /// Shows a ticket with a copy of the client's socket and what the client has sent ahead.
    pub async fn start(
        &self,
        ticket: Ticket,
        client: IpAddr,
        socket: OwnedFd,
        sent_ahead: &[u8],
    ) -> Handover {
        let Some(master) = &self.master else {
            return Handover::Refused;
        };
        let (answer, answered) = oneshot::channel();
        self.waiting().insert(ticket, answer);
        let message = ChildMessage::StartSession { ticket, client };
        let sent_ahead = Bytes::copy_from_slice(sent_ahead);
        let handover = match master.send_with(PUSH, &message, sent_ahead, vec![socket]) {
            Err(_) => Handover::Refused,
            Ok(()) => match tokio::time::timeout(PATIENCE, answered).await {
                Ok(Ok(handover)) => handover,
                Ok(Err(_)) | Err(_) => Handover::Unknown,
            },
        };
        self.waiting().remove(&ticket);
        handover
    }

    /// Passes master's answer on to who waits for it.
    pub fn answered(&self, message: &MasterMessage) {
        let (ticket, handover) = match message {
            MasterMessage::SessionStarted { ticket } => (ticket, Handover::Started),
            MasterMessage::SessionRefused { ticket } => (ticket, Handover::Refused),
            // For session halves.
            MasterMessage::Session { .. } => return,
        };
        if let Some(answer) = self.waiting().remove(ticket) {
            // Who gave up waiting does not hear it.
            let _ = answer.send(handover);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Ticket, oneshot::Sender<Handover>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
