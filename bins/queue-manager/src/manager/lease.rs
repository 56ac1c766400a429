//! Leases: work goes to agents, and comes back when they, or their time, are gone.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use ipc::protocol::{DeliveryTransport, LeaseId, QueueMessage, Work, WorkContent, WorkRecipient};
use ipc::{PUSH, Sender};
use mail_types::{EnhancedStatus, QueueId, ReversePath, Target, Timestamp};
use queue::{Content, LastReply, StorageError};
use tokio::time::Instant;

use super::message::Stage;
use super::{AgentId, Hop, Manager};
use crate::log;

/// Attempts that may end without an outcome before the recipient is deferred: mail that kills its
/// agent must not do so in a loop.
const MAX_LAPSES: u32 = 1;

type Lease = schedule::Lease<DeliveryTransport, Hop, u64>;

/// An agent that is connected.
struct Agent {
    sender: Sender<QueueMessage>,
    transport: DeliveryTransport,
    capacity: usize,
    leases: BTreeSet<LeaseId>,
}

/// A lease that is out.
struct Out {
    agent: AgentId,
    deadline: Instant,
    lease: Lease,
}

/// The agents and their leases.
pub(super) struct Agents {
    agents: HashMap<AgentId, Agent>,
    out: HashMap<LeaseId, Out>,
    deadlines: BTreeSet<(Instant, LeaseId)>,
    /// Since when no agent is connected.
    none_since: Option<Instant>,
}

impl Agents {
    pub(super) fn new(instant: Instant) -> Self {
        Self {
            agents: HashMap::new(),
            out: HashMap::new(),
            deadlines: BTreeSet::new(),
            none_since: Some(instant),
        }
    }

    pub(super) fn has_leases(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn leases(&self) -> usize {
        self.out.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The agent of a transport with the most room.
    fn with_room(&self, transport: DeliveryTransport) -> Option<AgentId> {
        self.agents
            .iter()
            .filter(|(_, agent)| agent.transport == transport)
            .map(|(id, agent)| (agent.capacity.saturating_sub(agent.leases.len()), *id))
            .filter(|(room, _)| *room > 0)
            .max()
            .map(|(_, id)| id)
    }

    /// Ends a lease of an agent; `None` if it has lapsed or was never its.
    pub(super) fn end(&mut self, agent: Option<AgentId>, id: LeaseId) -> Option<Lease> {
        if agent.is_some_and(|agent| self.out.get(&id).is_none_or(|out| out.agent != agent)) {
            return None;
        }
        let out = self.out.remove(&id)?;
        self.deadlines.remove(&(out.deadline, id));
        if let Some(agent) = self.agents.get_mut(&out.agent) {
            agent.leases.remove(&id);
        }
        Some(out.lease)
    }
}

impl Manager {
    pub(super) fn agent_ready(
        &mut self,
        agent: AgentId,
        sender: Sender<QueueMessage>,
        transport: DeliveryTransport,
        capacity: u32,
    ) {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        if let Some(known) = self.agents.agents.get_mut(&agent) {
            known.capacity = capacity;
            return;
        }
        log::agent_connected(transport, capacity);
        self.agents.none_since = None;
        let leases = BTreeSet::new();
        self.agents.agents.insert(
            agent,
            Agent {
                sender,
                transport,
                capacity,
                leases,
            },
        );
    }

    /// The agent's leases lapse: nobody knows what became of them.
    pub(super) fn agent_gone(&mut self, agent: AgentId, now: Timestamp) {
        let Some(gone) = self.agents.agents.remove(&agent) else {
            return;
        };
        log::agent_gone(gone.transport, gone.leases.len());
        if self.agents.agents.is_empty() {
            self.agents.none_since = Some(Instant::now());
        }
        for id in gone.leases {
            self.lapse(id, "the delivery service ended during the attempt", now);
        }
    }

    /// Leases whose time is over.
    pub(super) fn lapse_overdue(&mut self, instant: Instant, now: Timestamp) {
        while let Some(&(at, id)) = self.agents.deadlines.first() {
            if at > instant {
                return;
            }
            self.lapse(id, "the attempt took too long", now);
            self.agents.deadlines.remove(&(at, id));
        }
    }

    /// A lease ended without outcome: its recipients wait again, or are deferred if that happened before.
    fn lapse(&mut self, id: LeaseId, why: &str, now: Timestamp) {
        let Some(lease) = self.agents.end(None, id) else {
            return;
        };
        let queue_id = lease.queue_id;
        log::lapsed(queue_id, &lease.destination.next_hop.target, why);
        let mut again = true;
        for &number in &lease.recipients {
            self.with_recipient(queue_id, number, |recipient| {
                recipient.lapses += 1;
                again &= recipient.lapses <= MAX_LAPSES;
                recipient.stage = Stage::Waiting;
            });
        }
        let withdrawn = self
            .messages
            .get(&queue_id)
            .is_none_or(|message| message.withdrawn);
        if again && !withdrawn {
            if let Err(misuse) = self.scheduler.lapsed(lease, now) {
                log::misuse(queue_id, &misuse);
            }
        } else {
            self.close_lease(&lease, schedule::Health::Unknown, now);
            for number in lease.recipients {
                let reply = LastReply {
                    status: EnhancedStatus::new(4, 3, 0),
                    text: why.to_owned(),
                };
                self.defer(queue_id, number, reply, true, now);
            }
        }
        self.take_postponed(now);
        self.settle(queue_id, now);
    }

    /// When mail stops to wait for an agent.
    pub(super) fn agentless_deadline(&self) -> Option<Instant> {
        self.agents
            .none_since
            .filter(|_| !self.messages.is_empty())
            .map(|since| since + self.settings.agent_time)
    }

    /// Without an agent for long, mail is deferred, so that it comes to its end in time.
    pub(super) fn defer_agentless(&mut self, instant: Instant, now: Timestamp) {
        if self.agentless_deadline().is_none_or(|at| instant < at) {
            return;
        }
        self.agents.none_since = Some(instant);
        for transport in crate::Settings::TRANSPORTS {
            while let Some(lease) = self.scheduler.next(&transport, now) {
                self.give_up(
                    &lease,
                    EnhancedStatus::new(4, 3, 0),
                    "mail transport unavailable: the local-delivery service is not running",
                    now,
                );
            }
        }
    }

    /// Hands out work while there is some and an agent has room.
    pub(super) fn lease(&mut self, instant: Instant, now: Timestamp) {
        if self.lease_not_before.is_some_and(|at| instant < at) {
            return;
        }
        self.lease_not_before = None;
        for transport in crate::Settings::TRANSPORTS {
            while let Some(agent) = self.agents.with_room(transport) {
                let Some(lease) = self.scheduler.next(&transport, now) else {
                    break;
                };
                self.dispatch(agent, lease, instant, now);
            }
        }
    }

    fn dispatch(&mut self, agent: AgentId, lease: Lease, instant: Instant, now: Timestamp) {
        let queue_id = lease.queue_id;
        let content = match self.content_of(queue_id) {
            Ok(Some(content)) => content,
            // It was removed, or is being set aside: not ours any more.
            Ok(None) | Err(StorageError::Corrupt { .. }) => {
                self.close_lease(&lease, schedule::Health::Unknown, now);
                self.forget(queue_id);
                return;
            }
            Err(error) => {
                log::read_failed(&error);
                let text = "the message cannot be read from the queue just now";
                self.give_up(&lease, EnhancedStatus::new(4, 3, 0), text, now);
                return;
            }
        };
        let (place, payload, fds) = match content {
            Content::Inline(bytes) => (WorkContent::Payload, bytes, Vec::new()),
            Content::File(file) => (WorkContent::Descriptor, Bytes::new(), vec![file.into()]),
        };
        match self.work(&lease, place) {
            Some(work) => self.hand_out(agent, lease, work, (payload, fds), instant),
            None => self.close_lease(&lease, schedule::Health::Unknown, now),
        }
    }

    fn hand_out(
        &mut self,
        agent: AgentId,
        lease: Lease,
        work: Work,
        (payload, fds): (Bytes, Vec<OwnedFd>),
        instant: Instant,
    ) {
        for &number in &lease.recipients {
            self.with_recipient(lease.queue_id, number, |recipient| {
                recipient.stage = Stage::Leased;
            });
        }
        let Some(known) = self.agents.agents.get_mut(&agent) else {
            return;
        };
        let id = work.lease;
        known.leases.insert(id);
        let message = QueueMessage::Work(Box::new(work));
        // Should the channel have ended, its task will say so, and the lease lapses.
        let _ = known.sender.send_with(PUSH, &message, payload, fds);
        let deadline = instant + self.settings.attempt_time;
        self.agents.deadlines.insert((deadline, id));
        let out = Out {
            agent,
            deadline,
            lease,
        };
        self.agents.out.insert(id, out);
    }

    fn work(&self, lease: &Lease, content: WorkContent) -> Option<Work> {
        let message = self.messages.get(&lease.queue_id)?;
        let facts = &message.facts;
        let hop = &lease.destination.next_hop;
        let recipients: Vec<WorkRecipient> = lease
            .recipients
            .iter()
            .filter_map(|&number| {
                Some(WorkRecipient {
                    number,
                    target: hop.target.clone(),
                    accepted_as: message.recipients.get(&number)?.accepted_as.clone(),
                })
            })
            .collect();
        Some(Work {
            lease: LeaseId(lease.id.0),
            time_limit: self.settings.attempt_time,
            queue_id: lease.queue_id,
            accepted: facts.accepted,
            reverse_path: match &hop.owner {
                Some(owner) => ReversePath::Address(owner.clone()),
                None => facts.reverse_path.clone(),
            },
            body: facts.body,
            smtputf8: facts.smtputf8,
            size: facts.size,
            content,
            recipients,
        })
        .filter(|work| !work.recipients.is_empty())
    }

    /// The content from memory, or else from the store.
    pub(super) fn content_of(&self, queue_id: QueueId) -> Result<Option<Content>, StorageError> {
        let kept = self
            .messages
            .get(&queue_id)
            .and_then(|message| message.content.as_ref());
        match kept {
            Some((bytes, _)) => Ok(Some(Content::Inline(bytes.clone()))),
            None => self.reader.content(queue_id),
        }
    }

    /// Defers what was about to be attempted.
    fn give_up(&mut self, lease: &Lease, status: EnhancedStatus, text: &str, now: Timestamp) {
        self.close_lease(lease, schedule::Health::Unknown, now);
        for &number in &lease.recipients {
            let reply = LastReply {
                status,
                text: text.to_owned(),
            };
            self.defer(lease.queue_id, number, reply, false, now);
        }
        self.settle(lease.queue_id, now);
    }

    /// Tells the scheduler that a lease is over.
    pub(super) fn close_lease(&mut self, lease: &Lease, health: schedule::Health, now: Timestamp) {
        if let Err(misuse) = self.scheduler.done(lease.id, health, now) {
            log::misuse(lease.queue_id, &misuse);
        }
    }

    /// Recipients of dead destinations are deferred without an attempt.
    pub(super) fn take_postponed(&mut self, now: Timestamp) {
        while let Some(postponed) = self.scheduler.take_postponed() {
            let target: &Target = &postponed.destination.next_hop.target;
            let reply = LastReply {
                status: EnhancedStatus::new(4, 3, 0),
                text: format!("deliveries to {target} failed several times: not attempted for now"),
            };
            for number in postponed.recipients {
                self.defer(postponed.queue_id, number, reply.clone(), false, now);
            }
            self.settle(postponed.queue_id, now);
        }
    }
}
