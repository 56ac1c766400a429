//! The channel to queue-manager: works in, outcomes out.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::Config;
use daemon::Drain;
use ipc::protocol::{
    AgentMessage, Delivery, DeliveryTransport, MailboxReply, MailboxRequest, Mailboxes,
    QueueMessage, Work, WorkOutcome,
};
use ipc::{Client, Connection, Frame, PUSH, Protocol, Sender};
use mail_types::{Address, Outcome, QueueId, Target};
use tokio::task::JoinSet;

use super::places::Places;
use super::pool::Pool;
use super::starter::WorkerKey;
use crate::worker_protocol::{Parcel, ParcelRecipient, Place, Report, WorkerReply, WorkerRequest};

/// The first pause before connecting again, doubled up to the longest.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long directory may take to say where a mailbox is.
const DIRECTORY_TIME: Duration = Duration::from_secs(30);

type Queue = Connection<<Delivery as Protocol>::Request, <Delivery as Protocol>::Reply>;

/// Takes works and sees each to its end.
pub struct Agent {
    queue: PathBuf,
    capacity: u32,
    deliverer: Arc<Deliverer>,
}

struct Deliverer {
    directory: Client<Mailboxes>,
    pool: Pool,
    places: Places,
}

impl Agent {
    /// An agent that has not connected yet.
    pub fn new(
        queue: PathBuf,
        directory: PathBuf,
        pool: Pool,
        places: Places,
        config: &Config,
    ) -> Self {
        Self {
            queue,
            capacity: config.local_delivery.concurrency,
            deliverer: Arc::new(Deliverer {
                directory: Client::new(directory),
                pool,
                places,
            }),
        }
    }

    /// Delivers until the drain is asked for and what was begun is done.
    pub async fn serve(&self, drain: Drain) {
        let mut pause = MIN_PAUSE;
        while !drain.is_requested() {
            match ipc::connect::<Delivery>(&self.queue).await {
                Ok(connection) => {
                    pause = MIN_PAUSE;
                    self.work(connection, &drain).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "queue-manager is not there; trying again");
                    pause = (2 * pause).min(MAX_PAUSE);
                }
            }
            tokio::select! {
                () = drain.requested() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One connection, to its end or to the drain.
    async fn work(&self, connection: Queue, drain: &Drain) {
        let Connection {
            sender,
            mut receiver,
        } = connection;
        let ready = AgentMessage::Ready {
            transport: DeliveryTransport::Local,
            capacity: self.capacity,
        };
        if sender.send(PUSH, &ready).is_err() {
            return;
        }
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                frame = receiver.receive() => match frame {
                    Ok(Some(frame)) => {
                        let deliverer = Arc::clone(&self.deliverer);
                        under_way.spawn(deliverer.finish(frame, sender.clone()));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the channel to queue-manager failed");
                        break;
                    }
                },
                Some(_) = under_way.join_next() => {}
                () = drain.requested() => break,
            }
        }
        // The leases of a connection that has ended have lapsed; the deliveries go on all the same, as
        // nothing can call them back. Leases not begun lapse when this connection closes.
        while under_way.join_next().await.is_some() {}
        sender.written().await;
    }
}

impl Deliverer {
    /// Sees one work to its end and tells queue-manager.
    async fn finish(self: Arc<Self>, frame: Frame<QueueMessage>, queue: Sender<AgentMessage>) {
        let QueueMessage::Work(mut work) = frame.message;
        let content = Content {
            payload: frame.payload,
            fd: frame.fds.into_iter().next(),
        };
        let lease = work.lease;
        let outcomes = self.deliver(&mut work, content).await;
        if let Err(error) = queue.send(PUSH, &AgentMessage::Done { lease, outcomes }) {
            // Its lease has lapsed with the channel: the recipients may get this message once more.
            tracing::warn!(queue_id = %work.queue_id, %error, "an outcome could not be told");
        }
    }

    /// An outcome for each recipient.
    async fn deliver(&self, work: &mut Work, content: Content) -> Vec<WorkOutcome> {
        let mut outcomes = Vec::with_capacity(work.recipients.len());
        let mut parcels: Vec<(WorkerKey, Parcel)> = Vec::new();
        for recipient in std::mem::take(&mut work.recipients) {
            let number = recipient.number;
            match self.place(work.queue_id, recipient.target).await {
                Ok((key, place)) => {
                    let recipient = ParcelRecipient {
                        number,
                        address: recipient.accepted_as,
                        place,
                    };
                    add(&mut parcels, work, key, recipient);
                }
                Err(outcome) => outcomes.push(WorkOutcome {
                    recipient: number,
                    outcome,
                }),
            }
        }
        // Almost always one: the recipients of a work share a destination.
        for (key, parcel) in parcels {
            outcomes.extend(self.hand_over(&key, parcel, &content).await);
        }
        outcomes
    }

    async fn place(
        &self,
        queue_id: QueueId,
        target: Target,
    ) -> Result<(WorkerKey, Place), Outcome> {
        match target {
            Target::Mailbox(user) => self.mailbox(queue_id, user).await,
            Target::File(path) => self.places.file(&path),
            Target::Command(command) => self.places.command(command),
            Target::Remote(address) => {
                tracing::error!(%queue_id, %address, "queue-manager sent remote mail for local delivery");
                Err(Outcome::deferred(
                    3,
                    5,
                    "remote mail came to local delivery",
                ))
            }
        }
    }

    async fn mailbox(
        &self,
        queue_id: QueueId,
        user: Address,
    ) -> Result<(WorkerKey, Place), Outcome> {
        let request = MailboxRequest { user };
        let reply = self
            .directory
            .call(&request, Bytes::new(), Vec::new(), DIRECTORY_TIME)
            .await;
        match reply.map(|frame| frame.message) {
            Ok(MailboxReply::Mailbox(spec)) => self.places.mailbox(spec),
            Ok(MailboxReply::Unknown) => Err(Outcome::failed(1, 1, "user unknown")),
            Ok(MailboxReply::Unavailable) => Err(Outcome::deferred(
                3,
                0,
                "user directory cannot be read just now",
            )),
            Err(error) => {
                tracing::warn!(%queue_id, %error, "directory did not say where a mailbox is");
                Err(Outcome::deferred(3, 0, "user directory is not available"))
            }
        }
    }

    /// Gives a parcel to its worker.
    async fn hand_over(
        &self,
        key: &WorkerKey,
        parcel: Parcel,
        content: &Content,
    ) -> Vec<WorkOutcome> {
        let (queue_id, time_limit) = (parcel.queue_id, parcel.time_limit);
        let numbers: Vec<u64> = parcel.recipients.iter().map(|one| one.number).collect();
        let request = WorkerRequest::Deliver(Box::new(parcel));
        let payload = content.payload.clone();
        let reply = self
            .pool
            .call(key, &request, payload, content.fd.as_ref(), time_limit)
            .await;
        let mut reports = match reply {
            Ok(WorkerReply::Reports(reports)) => reports,
            Ok(WorkerReply::Usage { .. }) => Vec::new(),
            Err(error) => {
                tracing::warn!(%queue_id, %error, "a delivery was cut off");
                Vec::new()
            }
        };
        numbers
            .into_iter()
            .map(|number| outcome_of(number, queue_id, &mut reports))
            .collect()
    }
}

/// A recipient's outcome among the reports; deferred when its worker did not come to report it.
fn outcome_of(number: u64, queue_id: QueueId, reports: &mut Vec<Report>) -> WorkOutcome {
    let at = reports.iter().position(|report| report.recipient == number);
    let outcome = match at.map(|at| reports.swap_remove(at)) {
        Some(report) => {
            if let Some(problem) = report.problem {
                tracing::warn!(%queue_id, recipient = number, problem, "a delivery failed");
            }
            report.outcome
        }
        None => Outcome::deferred(3, 0, "local delivery failed; see the server's log"),
    };
    WorkOutcome {
        recipient: number,
        outcome,
    }
}

/// A message's content as it came.
struct Content {
    payload: Bytes,
    fd: Option<OwnedFd>,
}

/// Adds a recipient to the parcel of its worker.
fn add(
    parcels: &mut Vec<(WorkerKey, Parcel)>,
    work: &Work,
    key: WorkerKey,
    recipient: ParcelRecipient,
) {
    if let Some((_, parcel)) = parcels.iter_mut().find(|(known, _)| *known == key) {
        parcel.recipients.push(recipient);
        return;
    }
    let parcel = Parcel {
        queue_id: work.queue_id,
        reverse_path: work.reverse_path.clone(),
        content: work.content,
        size: work.size,
        time_limit: work.time_limit,
        recipients: vec![recipient],
    };
    parcels.push((key, parcel));
}
