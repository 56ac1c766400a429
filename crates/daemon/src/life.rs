//! The life of a service on tokio: ready, serving, draining; and its channel to master.
//!
//! Invariants: master's end closing, or SIGTERM, asks for the drain, once and for good; what master says goes
//! through a queue with a bound. The service decides when it has drained, and ends by returning.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use ipc::protocol::{ChildMessage, MasterMessage, Supervise};
use ipc::{Connection, PUSH, Protocol, Receiver, Sender};
use telemetry::{catalogue, event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::Error;
use crate::log::{log_draining, log_ready};

/// How many messages of master may wait for the service.
const MESSAGES: usize = 256;

/// A service's side of its life, handed to what it serves with.
#[derive(Debug)]
pub struct Life {
    drain: Drain,
    master: Option<Sender<ChildMessage>>,
    messages: mpsc::Receiver<MasterMessage>,
}

impl Life {
    /// Greets master, if there is a control channel, and starts to watch it and SIGTERM.
    pub(crate) async fn begin(control: Option<OwnedFd>) -> Result<Self, Error> {
        let (asked, drain) = watch::channel(false);
        let (forward, messages) = mpsc::channel(MESSAGES);
        let mut terminated = signal(SignalKind::terminate()).map_err(|source| Error::Io {
            doing: "watch for SIGTERM",
            source,
        })?;
        let on_signal = asked.clone();
        tokio::spawn(async move {
            if terminated.recv().await.is_some() {
                ask(&on_signal, "told to end");
            }
        });
        let master = match control {
            None => None,
            Some(control) => {
                let Connection { sender, receiver } = Connection::greet::<Supervise>(control)
                    .await
                    .map_err(Error::Control)?;
                tokio::spawn(listen_to_master(receiver, forward, asked));
                Some(sender)
            }
        };
        Ok(Self {
            drain: Drain(drain),
            master,
            messages,
        })
    }

    /// Tells master that this service is jailed and serving.
    pub fn ready(&self) -> Result<(), Error> {
        if self.master.is_some() {
            log_ready();
        }
        self.tell(&ChildMessage::Ready, Bytes::new(), Vec::new())
    }

    /// Says something to master; without master (a worker's own parent is not master) it does nothing.
    pub fn tell(
        &self,
        message: &ChildMessage,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        match &self.master {
            Some(master) => Ok(master.send_with(PUSH, message, payload, fds)?),
            None => Ok(()),
        }
    }

    /// The channel to master, to be used from many tasks.
    #[must_use]
    pub fn master(&self) -> Option<Sender<ChildMessage>> {
        self.master.clone()
    }

    /// What master says next; waits for ever once master is gone. Cancel safe.
    pub async fn message(&mut self) -> MasterMessage {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// A handle on the drain, for any number of tasks.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }
}

/// Passes on what master says; the end of the channel asks for the drain, as master is gone.
async fn listen_to_master(
    mut receiver: Receiver<MasterMessage>,
    forward: mpsc::Sender<MasterMessage>,
    asked: watch::Sender<bool>,
) {
    loop {
        match receiver.receive().await {
            Ok(Some(frame)) => {
                if forward.send(frame.message).await.is_err() {
                    // The service has dropped its life: it is ending anyway.
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                event!(catalogue::CHANNEL_FAULT, protocol = Supervise::NAME, reason = %error);
                break;
            }
        }
    }
    ask(&asked, "master is gone");
}

/// Asks for the drain, if nobody has yet.
fn ask(asked: &watch::Sender<bool>, reason: &str) {
    if !asked.send_replace(true) {
        log_draining(reason);
    }
}

/// Tells when the service is to accept nothing new and finish what it has.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<bool>);

impl Drain {
    /// Has the drain been asked for?
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the drain is asked for. Cancel safe.
    pub async fn requested(&self) {
        let mut drain = self.0.clone();
        // An error says that both who could ask are gone, and with them whoever this service works for.
        let _ = drain.wait_for(|asked| *asked).await;
    }
}

/// A drain for tests: the second half asks for it when `true` is sent.
#[must_use]
pub fn drain_channel() -> (watch::Sender<bool>, Drain) {
    let (asked, drain) = watch::channel(false);
    (asked, Drain(drain))
}
