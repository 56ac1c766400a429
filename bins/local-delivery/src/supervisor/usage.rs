//! `delivery.sock`: directory asks how full a mailbox is, which only its owner's worker can see.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{MailboxUsage, UsageReply, UsageRequest};
use ipc::{Connection, Frame, Listener, NewConnection, Protocol, Sender};

use telemetry::{catalogue, event};

use super::places::Places;
use super::pool::Pool;
use crate::worker_protocol::{Place, WorkerReply, WorkerRequest};

/// Directory has one connection; more of them are for its restarts.
const MAX_CONNECTIONS: usize = 8;
/// An answer for a client that waits at RCPT must come before that.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The pause after an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the socket.
pub struct Server {
    listener: Listener,
    asker: u32,
    answerer: Arc<Answerer>,
}

struct Answerer {
    pool: Pool,
    places: Places,
}

impl Server {
    /// Takes over the socket; only the user `asker` is served.
    pub fn open(socket: OwnedFd, asker: u32, pool: Pool, places: Places) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::new(socket, MAX_CONNECTIONS)?,
            asker,
            answerer: Arc::new(Answerer { pool, places }),
        })
    }

    /// Serves for as long as the supervisor runs.
    pub async fn serve(self) {
        loop {
            match self.listener.accept().await {
                Ok(connection) => {
                    tokio::spawn(greet(connection, self.asker, Arc::clone(&self.answerer)));
                }
                Err(error) => {
                    event!(catalogue::ACCEPT_FAILED, reason = %error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn greet(connection: NewConnection, asker: u32, answerer: Arc<Answerer>) {
    let peer = connection.peer();
    let greeted = match connection.greeting().await {
        Ok(greeted) => greeted,
        Err(error) => {
            event!(
                catalogue::CHANNEL_FAULT,
                protocol = MailboxUsage::NAME,
                uid = peer.uid,
                pid = peer.pid,
                reason = %error
            );
            return;
        }
    };
    if peer.uid != asker || greeted.protocol() != MailboxUsage::NAME {
        event!(
            catalogue::CHANNEL_REFUSED,
            protocol = greeted.protocol(),
            uid = peer.uid,
            pid = peer.pid,
            reason = "only directory is served here"
        );
        greeted.refuse();
        return;
    }
    let served = match greeted.accept::<MailboxUsage>().await {
        Ok(connection) => answer_all(connection, answerer).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        event!(
            catalogue::CHANNEL_FAULT,
            protocol = MailboxUsage::NAME,
            uid = peer.uid,
            pid = peer.pid,
            reason = %error
        );
    }
}

async fn answer_all(
    connection: Connection<UsageReply, UsageRequest>,
    answerer: Arc<Answerer>,
) -> Result<(), ipc::ReceiveError> {
    let Connection {
        sender,
        mut receiver,
    } = connection;
    while let Some(frame) = receiver.receive().await? {
        tokio::spawn(Arc::clone(&answerer).answer(frame, sender.clone()));
    }
    Ok(())
}

impl Answerer {
    async fn answer(self: Arc<Self>, frame: Frame<UsageRequest>, sender: Sender<UsageReply>) {
        let reply = self.usage(frame.message).await;
        // A peer that is gone needs no answer.
        let _ = sender.send(frame.id, &reply);
    }

    async fn usage(&self, request: UsageRequest) -> UsageReply {
        let (user, path) = (request.mailbox.user.clone(), request.mailbox.path.clone());
        let Ok((key, Place::Mailbox(place))) = self.places.mailbox(request.mailbox) else {
            return UsageReply::Unavailable;
        };
        let request = WorkerRequest::Usage(place);
        let reply = self
            .pool
            .call(&key, request, Bytes::new(), None, TIME_LIMIT)
            .await;
        let (usage, problem) = match reply {
            Ok(WorkerReply::Usage { usage, problem }) => (usage, problem),
            Ok(WorkerReply::Reports(_)) => (UsageReply::Unavailable, None),
            Err(error) => (UsageReply::Unavailable, Some(error.to_string())),
        };
        if let Some(problem) = problem {
            event!(
                catalogue::USAGE_UNKNOWN,
                user = %user,
                mailbox = %path.display(),
                reason = problem
            );
        }
        usage
    }
}
