//! The scheduler: active messages, destinations, and the turns they take.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;

use mail_types::{QueueId, Timestamp};

use crate::destination::{Destination, Lane, LaneId};
use crate::limits::Limits;
use crate::message::{Kind, Message, Next};
use crate::policy::Policy;

/// Names one lease for as long as the scheduler lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// The exclusive right to attempt some recipients of one message at one destination.
///
/// The caller keeps it until the attempt ended ([`Scheduler::done`]) or must be made again
/// ([`Scheduler::lapsed`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease<T, H, R> {
    /// Its name.
    pub id: LeaseId,
    /// Which message.
    pub queue_id: QueueId,
    /// Where to.
    pub destination: Destination<T, H>,
    /// For whom; at least one.
    pub recipients: Vec<R>,
}

/// Recipients whose destination is dead: to be deferred without an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postponed<T, H, R> {
    /// Which message.
    pub queue_id: QueueId,
    /// The dead one.
    pub destination: Destination<T, H>,
    /// Who.
    pub recipients: Vec<R>,
    /// When the destination will be tried again.
    pub until: Timestamp,
    /// What the message needs now.
    pub next: Next,
}

/// The caller broke a rule; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The message is active already, or a lease of it is still out.
    Active,
    /// The message is not active.
    NotActive,
    /// There is no room: ask first.
    Full,
    /// No such lease is out.
    UnknownLease,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "the message is active already",
            Self::NotActive => "the message is not active",
            Self::Full => "there is no room in memory",
            Self::UnknownLease => "there is no such lease",
        })
    }
}

impl std::error::Error for Misuse {}

/// The scheduler. `T` is the transport, `H` the next hop, `R` what the caller needs to know of a recipient.
pub struct Scheduler<T, H, R> {
    pub(crate) limits: Limits,
    pub(crate) policies: HashMap<T, Policy>,
    pub(crate) default_policy: Policy,
    pub(crate) messages: HashMap<QueueId, Message<R>>,
    pub(crate) new_messages: usize,
    /// Recipients in memory beyond the first of each message.
    pub(crate) extra: usize,
    load_turn: Kind,
    pub(crate) lanes: HashMap<LaneId, Lane<Destination<T, H>>>,
    pub(crate) lane_of: HashMap<Destination<T, H>, LaneId>,
    pub(crate) last_lane: LaneId,
    /// Destinations without work, the longest idle first.
    pub(crate) idle: BTreeMap<u64, LaneId>,
    pub(crate) idle_clock: u64,
    /// Per transport, the destinations that may begin a lease, in turn.
    pub(crate) rings: HashMap<T, VecDeque<LaneId>>,
    pub(crate) leases: HashMap<LeaseId, (QueueId, LaneId, usize)>,
    pub(crate) last_lease: u64,
    pub(crate) postponed: VecDeque<(QueueId, LaneId, Vec<R>, Timestamp)>,
}

impl<T, H, R> Scheduler<T, H, R>
where
    T: Clone + Eq + Hash,
    H: Clone + Eq + Hash,
{
    /// An empty scheduler; `default_policy` is for transports that `policies` does not name.
    #[must_use]
    pub fn new(limits: Limits, policies: HashMap<T, Policy>, default_policy: Policy) -> Self {
        Self {
            limits: limits.sane(),
            policies,
            default_policy,
            messages: HashMap::new(),
            new_messages: 0,
            extra: 0,
            load_turn: Kind::New,
            lanes: HashMap::new(),
            lane_of: HashMap::new(),
            last_lane: 0,
            idle: BTreeMap::new(),
            idle_clock: 0,
            rings: HashMap::new(),
            leases: HashMap::new(),
            last_lease: 0,
            postponed: VecDeque::new(),
        }
    }

    /// The numbers of a transport.
    #[must_use]
    pub fn policy(&self, transport: &T) -> &Policy {
        self.policies.get(transport).unwrap_or(&self.default_policy)
    }

    /// Active messages, and those removed whose leases are still out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// No message is active.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message is active, or was and still has a lease out: then it must not be loaded.
    #[must_use]
    pub fn is_active(&self, queue_id: QueueId) -> bool {
        self.messages.contains_key(&queue_id)
    }

    /// Whether one more message of a kind may be added.
    #[must_use]
    pub fn has_room(&self, kind: Kind) -> bool {
        let of_kind = match kind {
            Kind::New => self.new_messages,
            Kind::Deferred => self.messages.len() - self.new_messages,
        };
        self.messages.len() < self.limits.max_messages && of_kind < self.limits.max_of_kind()
    }

    /// Which kind of message to load next, given which wait on disk; the kinds alternate.
    pub fn next_kind(&mut self, new_waits: bool, deferred_waits: bool) -> Option<Kind> {
        let turn = self.load_turn;
        let waits = |kind| match kind {
            Kind::New => new_waits,
            Kind::Deferred => deferred_waits,
        };
        let kind = [turn, turn.other()]
            .into_iter()
            .find(|&kind| waits(kind) && self.has_room(kind))?;
        self.load_turn = kind.other();
        Some(kind)
    }

    /// Makes a message active, without recipients yet.
    ///
    /// # Errors
    /// [`Misuse::Active`] or [`Misuse::Full`].
    pub fn add(&mut self, queue_id: QueueId, kind: Kind) -> Result<(), Misuse> {
        if self.is_active(queue_id) {
            return Err(Misuse::Active);
        }
        if !self.has_room(kind) {
            return Err(Misuse::Full);
        }
        self.new_messages += usize::from(kind == Kind::New);
        self.messages.insert(queue_id, Message::new(kind));
        Ok(())
    }

    /// How many more recipients of a message may be added now. At least one when it has none.
    #[must_use]
    pub fn recipients_room(&self, queue_id: QueueId) -> usize {
        let Some(message) = self.messages.get(&queue_id).filter(|m| !m.removed) else {
            return 0;
        };
        let own = self
            .limits
            .max_message_recipients
            .saturating_sub(message.in_memory);
        let extra = self.limits.max_extra().saturating_sub(self.extra);
        own.min(extra + usize::from(message.in_memory == 0))
    }

    /// Adds recipients of an active message; `complete` says that there are no more to load.
    /// May be called with none. Answers what the message needs next.
    ///
    /// # Errors
    /// [`Misuse::NotActive`] or [`Misuse::Full`].
    pub fn add_recipients(
        &mut self,
        queue_id: QueueId,
        recipients: Vec<(R, Destination<T, H>)>,
        complete: bool,
        now: Timestamp,
    ) -> Result<Next, Misuse> {
        if self.messages.get(&queue_id).is_none_or(|m| m.removed) {
            return Err(Misuse::NotActive);
        }
        if recipients.len() > self.recipients_room(queue_id) {
            return Err(Misuse::Full);
        }
        for (recipient, destination) in recipients {
            let lane_id = self.lane(destination);
            self.count(queue_id, |in_memory| in_memory + 1);
            self.put_pending(queue_id, lane_id, VecDeque::from([recipient]));
        }
        if let Some(message) = self.messages.get_mut(&queue_id) {
            message.complete = complete;
        }
        self.release(queue_id, now);
        Ok(self.next_of(queue_id))
    }

    /// The next lease of a transport; `None` when nothing may be begun now.
    pub fn next(&mut self, transport: &T, now: Timestamp) -> Option<Lease<T, H, R>> {
        loop {
            let lane_id = self.rings.get_mut(transport)?.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&lane_id) else {
                continue;
            };
            lane.in_ring = false;
            if !lane.is_ready() {
                continue;
            }
            let queue_id = lane.pop();
            if let Some(lease) = queue_id.and_then(|queue_id| self.lease(queue_id, lane_id)) {
                self.release(lease.queue_id, now);
                return Some(lease);
            }
        }
    }
}
