//! `delivery.sock`: directory asks how full a mailbox is, which only its owner's worker can see.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{MailboxUsage, UsageReply, UsageRequest};
use ipc::{Connection, Frame, Listener, NewConnection, Protocol, Sender};

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
                    tracing::warn!(%error, "cannot accept on delivery.sock");
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
            tracing::warn!(peer_uid = peer.uid, %error, "delivery.sock: the peer's greeting is not valid");
            return;
        }
    };
    if peer.uid != asker || greeted.protocol() != MailboxUsage::NAME {
        tracing::warn!(
            peer_uid = peer.uid,
            protocol = greeted.protocol(),
            "delivery.sock: refused a peer that is not directory"
        );
        greeted.refuse();
        return;
    }
    let served = match greeted.accept::<MailboxUsage>().await {
        Ok(connection) => answer_all(connection, answerer).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::warn!(%error, "delivery.sock: the channel to directory failed");
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
        let user = request.mailbox.user.clone();
        let Ok((key, Place::Mailbox(place))) = self.places.mailbox(request.mailbox) else {
            return UsageReply::Unavailable;
        };
        let request = WorkerRequest::Usage(place);
        match self
            .pool
            .call(&key, &request, Bytes::new(), None, TIME_LIMIT)
            .await
        {
            Ok(WorkerReply::Usage { usage, problem }) => {
                if let Some(problem) = problem {
                    tracing::warn!(%user, problem, "cannot tell how full a mailbox is");
                }
                usage
            }
            Ok(WorkerReply::Reports(_)) => UsageReply::Unavailable,
            Err(error) => {
                tracing::warn!(%user, %error, "cannot tell how full a mailbox is");
                UsageReply::Unavailable
            }
        }
    }
}
