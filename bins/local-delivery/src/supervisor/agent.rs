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
use telemetry::{catalogue, event};
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
        let (mut pause, mut under_way) = (MIN_PAUSE, JoinSet::new());
        while !drain.is_requested() {
            match ipc::connect::<Delivery>(&self.queue).await {
                Ok(connection) => {
                    pause = MIN_PAUSE;
                    self.work(connection, &drain, &mut under_way).await;
                }
                // It is being restarted: master reports that.
                Err(_) => {
                    pause = (2 * pause).min(MAX_PAUSE);
                }
            }
            tokio::select! {
                () = drain.requested() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// One connection, to its end or to the drain.
    ///
    /// The leases of a connection that has ended have lapsed; what was begun under them goes on all the same,
    /// as nothing can call it back, but nobody waits for it.
    async fn work(&self, connection: Queue, drain: &Drain, under_way: &mut JoinSet<()>) {
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
        loop {
            tokio::select! {
                frame = receiver.receive() => match frame {
                    Ok(Some(frame)) => {
                        let deliverer = Arc::clone(&self.deliverer);
                        under_way.spawn(deliverer.finish(frame, sender.clone()));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        event!(catalogue::CHANNEL_FAULT, protocol = Delivery::NAME, reason = %error);
                        break;
                    }
                },
                Some(_) = under_way.join_next() => {}
                () = drain.requested() => break,
            }
        }
        if drain.is_requested() {
            // Leases not begun lapse when this connection closes.
            while under_way.join_next().await.is_some() {}
            sender.written().await;
        }
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
            event!(catalogue::OUTCOME_UNRECORDED, queue_id = %work.queue_id, reason = %error);
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
            Target::Remote(_) => Err(Outcome::deferred(
                3,
                5,
                "remote mail was sent to local delivery",
            )),
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
                event!(
                    catalogue::SERVICE_UNAVAILABLE,
                    service = "directory",
                    queue_id = %queue_id,
                    reason = %error
                );
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
        // The outcome must be told before the lease lapses.
        let (queue_id, time_limit) = (parcel.queue_id, parcel.time_limit * 9 / 10);
        let recipients = parcel.recipients.clone();
        let request = WorkerRequest::Deliver(Box::new(parcel));
        let payload = content.payload.clone();
        let reply = self
            .pool
            .call(key, request, payload, content.fd.as_ref(), time_limit)
            .await;
        let (mut reports, cut_off) = match reply {
            Ok(WorkerReply::Reports(reports)) => (reports, String::new()),
            Ok(WorkerReply::Usage { .. }) => (Vec::new(), "the worker gave another answer".into()),
            Err(error) => (Vec::new(), error.to_string()),
        };
        let outcomes = recipients.into_iter().map(|recipient| {
            let at = reports
                .iter()
                .position(|report| report.recipient == recipient.number);
            let report = at
                .map(|at| reports.swap_remove(at))
                .unwrap_or_else(|| Report {
                    recipient: recipient.number,
                    outcome: Outcome::deferred(3, 0, "local delivery failed; see the server's log"),
                    problem: Some(cut_off.clone()),
                });
            log_problem(queue_id, &recipient, &report);
            WorkOutcome {
                recipient: report.recipient,
                outcome: report.outcome,
            }
        });
        outcomes.collect()
    }
}

/// What went wrong in full; queue-manager logs each outcome.
fn log_problem(queue_id: QueueId, recipient: &ParcelRecipient, report: &Report) {
    let Some(problem) = report.problem.as_deref() else {
        return;
    };
    let mailbox = match &recipient.place {
        Place::Mailbox(place) => place.path.display().to_string(),
        Place::Command(_) => "-".to_owned(),
    };
    match &report.outcome {
        Outcome::Delivered(_) => {}
        Outcome::Deferred(deferral) => event!(
            catalogue::LOCAL_DEFERRED,
            queue_id = %queue_id,
            to = %recipient.address,
            mailbox = mailbox,
            status = %deferral.status,
            reason = problem
        ),
        Outcome::Failed(failure) => event!(
            catalogue::LOCAL_FAILED,
            queue_id = %queue_id,
            to = %recipient.address,
            mailbox = mailbox,
            status = %failure.status,
            reason = problem
        ),
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
