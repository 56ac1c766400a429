//! The manager: the active messages, from durable to gone or parked.
//!
//! One task owns all of it; the other tasks and the store's threads put [`Input`]s into its inbox. After each
//! handful of inputs it takes a turn: reads more messages if there is room, asks the directory, leases
//! work to agents.
//!
//! Invariants:
//! - The store is the truth. Memory only knows more about the present: that a message is active, who is leased.
//!   Forgetting everything (a crash) leads to attempts being repeated, never to one being left out.
//! - A message has at most one update on its way, so updates of one message cannot overtake one another.
//! - A recipient leaves memory only after COMMIT of what became of it.
//! - Memory is bounded by [`schedule::Limits`] and the admission of new messages, whatever the queue holds.

mod control;
mod expand;
mod lease;
mod load;
mod message;
mod outcome;
mod report;
mod settle;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ipc::protocol::{
    AgentMessage, DeliveryTransport, ExpansionReply, QueueControlReply, QueueControlRequest,
    QueueMessage, WorkOutcome,
};
use ipc::{Client, Frame, Sender};
use jiff::tz::TimeZone;
use mail_types::{Address, QueueId, Target, Timestamp};
use queue::{Done, Event, Queue, Reader, StorageError};
use schedule::Scheduler;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Duration, Instant};

use crate::log;
use crate::settings::Settings;
use crate::sink::{Stored, Tag};
use message::Message;
pub(crate) use message::{Facts, Recipient};

/// Inputs taken between two turns.
const BATCH: usize = 256;
/// After a failed read or write of the store, the next attempt is made after this.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Where a recipient's mail goes, as the scheduler sees it: recipients of one lease share target and owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    pub(crate) target: Target,
    pub(crate) owner: Option<Address>,
}

/// Names one agent's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AgentId(pub(crate) u64);

/// What the manager is told.
#[derive(Debug)]
pub(crate) enum Input {
    /// By the store.
    Stored(Vec<Stored>),
    /// The store takes nothing any more: its thread died of a fault.
    StoreEnded,
    /// By an agent that is ready for work.
    AgentReady {
        agent: AgentId,
        sender: Sender<QueueMessage>,
        transport: DeliveryTransport,
        capacity: u32,
    },
    /// By an agent about its work.
    AgentDone {
        agent: AgentId,
        lease: ipc::protocol::LeaseId,
        outcomes: Vec<WorkOutcome>,
    },
    /// An agent's channel ended.
    AgentGone(AgentId),
    /// By the directory, or about it.
    Expanded {
        asked: Vec<(QueueId, u64)>,
        answer: Result<ExpansionReply, expand::Unanswered>,
    },
    /// By an administrator.
    Control {
        request: QueueControlRequest,
        sender: Sender<QueueControlReply>,
        id: u32,
        uid: u32,
    },
}

impl Input {
    /// What an agent's frame says.
    pub(crate) fn from_agent(
        agent: AgentId,
        sender: &Sender<QueueMessage>,
        frame: Frame<AgentMessage>,
    ) -> Self {
        match frame.message {
            AgentMessage::Ready {
                transport,
                capacity,
            } => Self::AgentReady {
                agent,
                sender: sender.clone(),
                transport,
                capacity,
            },
            AgentMessage::Done { lease, outcomes } => Self::AgentDone {
                agent,
                lease,
                outcomes,
            },
        }
    }
}

/// The manager.
pub(crate) struct Manager {
    settings: Settings,
    store: Arc<Queue<Tag>>,
    reader: Reader,
    time_zone: TimeZone,
    messages: HashMap<QueueId, Message>,
    scheduler: Scheduler<DeliveryTransport, Hop, u64>,
    loader: load::Loader,
    expander: expand::Expander,
    agents: lease::Agents,
    /// Messages that something happened to, while one is being settled.
    unsettled: VecDeque<QueueId>,
    settling: bool,
    /// Messages to settle again, and when: the store did not take or give what was needed.
    retries: BTreeSet<(Instant, QueueId)>,
    reports_made: u64,
    /// Nothing is leased before: what became of deliveries could not be recorded.
    lease_not_before: Option<Instant>,
    store_ended: bool,
}

/// What a manager is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<Queue<Tag>>,
    pub(crate) reader: Reader,
    pub(crate) time_zone: TimeZone,
    pub(crate) directory: Client<ipc::protocol::Expansion>,
    pub(crate) inbox: UnboundedSender<Input>,
    pub(crate) backlog: Arc<AtomicBool>,
}

impl Manager {
    pub(crate) fn new(parts: Parts) -> Self {
        let settings = parts.settings;
        let policies = HashMap::from([(DeliveryTransport::Local, settings.policy.clone())]);
        let scheduler = Scheduler::new(settings.limits.clone(), policies, settings.policy.clone());
        Self {
            scheduler,
            store: parts.store,
            reader: parts.reader,
            time_zone: parts.time_zone,
            messages: HashMap::new(),
            loader: load::Loader::new(parts.backlog),
            expander: expand::Expander::new(parts.directory, parts.inbox, settings.directory_time),
            agents: lease::Agents::new(Instant::now()),
            unsettled: VecDeque::new(),
            settling: false,
            retries: BTreeSet::new(),
            reports_made: 0,
            lease_not_before: None,
            store_ended: false,
            settings,
        }
    }

    /// Works until `ended` is ready.
    ///
    /// # Errors
    /// The store has ended.
    pub(crate) async fn run(
        &mut self,
        inbox: &mut UnboundedReceiver<Input>,
        ended: impl Future<Output = ()>,
    ) -> Result<(), StorageError> {
        tokio::pin!(ended);
        let mut inputs = Vec::with_capacity(BATCH);
        loop {
            let more = self.turn();
            let wake = self.next_wake(more);
            tokio::select! {
                _ = inbox.recv_many(&mut inputs, BATCH) => {}
                () = tokio::time::sleep_until(wake) => {}
                () = &mut ended => return Ok(()),
            }
            let now = Timestamp::from(std::time::SystemTime::now());
            for input in inputs.drain(..) {
                self.input(input, now);
            }
            if self.store_ended {
                return Err(StorageError::Closed);
            }
        }
    }

    /// Takes no new work, and waits for the outcomes of what is leased and for the store to record them.
    pub(crate) async fn drain(&mut self, inbox: &mut UnboundedReceiver<Input>) {
        let deadline = Instant::now() + self.settings.drain_time;
        let mut inputs = Vec::with_capacity(BATCH);
        while self.agents.has_leases() || self.messages.values().any(|message| message.recording) {
            tokio::select! {
                count = inbox.recv_many(&mut inputs, BATCH) => {
                    if count == 0 {
                        return;
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    log::drain_cut(self.agents.leases());
                    return;
                }
            }
            let now = Timestamp::from(std::time::SystemTime::now());
            for input in inputs.drain(..) {
                self.input(input, now);
            }
        }
    }

    /// Does what can be done now; true if there is more of it for the next turn.
    fn turn(&mut self) -> bool {
        let now = Timestamp::from(std::time::SystemTime::now());
        let instant = Instant::now();
        self.lapse_overdue(instant, now);
        self.defer_agentless(instant, now);
        self.retry(instant, now);
        let more = self.load(instant, now);
        self.expander.pump(instant);
        self.lease(instant, now);
        more
    }

    fn next_wake(&self, more: bool) -> Instant {
        if more {
            return Instant::now();
        }
        let far = Instant::now() + Duration::from_secs(3600);
        [
            self.agents.next_deadline(),
            self.agentless_deadline(),
            self.retries.first().map(|(at, _)| *at),
            self.loader.next_wake(),
            self.expander.next_wake(),
            self.lease_not_before,
        ]
        .into_iter()
        .flatten()
        .fold(far, Instant::min)
    }

    fn input(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Stored(events) => {
                for event in events {
                    self.stored(event, now);
                }
            }
            Input::StoreEnded => self.store_ended = true,
            Input::AgentReady {
                agent,
                sender,
                transport,
                capacity,
            } => self.agent_ready(agent, sender, transport, capacity),
            Input::AgentDone {
                agent,
                lease,
                outcomes,
            } => self.agent_done(agent, lease, outcomes, now),
            Input::AgentGone(agent) => self.agent_gone(agent, now),
            Input::Expanded { asked, answer } => self.expanded(asked, answer, now),
            Input::Control {
                request,
                sender,
                id,
                uid,
            } => self.control(request, &control::Asker { sender, id, uid }, now),
        }
    }

    fn stored(&mut self, stored: Stored, now: Timestamp) {
        match stored {
            Stored::Fresh(queue_id, fresh) => self.fresh(queue_id, *fresh),
            Stored::Backlog => self.loader.new_waits(),
            Stored::Event(Event::Done { tag, result }) => match (tag, result) {
                (Tag::Update(queue_id), Ok(Done::Updated(updated))) => {
                    self.updated(queue_id, &updated, now);
                }
                (Tag::Update(queue_id), Err(error)) => self.not_updated(queue_id, &error),
                (Tag::Administer(tag), result) => self.administered(&tag, result, now),
                // Answered in the sink; a discarded file has nobody who waits; an update has no other end.
                (Tag::Intake(_) | Tag::Discard | Tag::Update(_), _) => {}
            },
            Stored::Event(Event::SetAside { queue_id, why }) => {
                log::set_aside(queue_id, &why);
                self.withdraw(queue_id, now);
            }
            Stored::Event(Event::StorageFailing(error)) => log::storage_failing(&error),
            Stored::Event(Event::StorageRecovered) => log::storage_recovered(),
            Stored::Event(Event::OrphansRemoved { files }) => log::orphans_removed(files),
        }
    }

    /// Settles again what the store did not take.
    fn retry(&mut self, instant: Instant, now: Timestamp) {
        while let Some(&(at, queue_id)) = self.retries.first() {
            if at > instant {
                return;
            }
            self.retries.pop_first();
            self.settle(queue_id, now);
        }
    }

    fn retry_later(&mut self, queue_id: QueueId) {
        self.retries
            .insert((Instant::now() + STORE_PAUSE, queue_id));
    }
}
