//! Destinations: the unit of concurrency, back-off and fairness.

use std::collections::VecDeque;

use mail_types::{QueueId, Timestamp};

use crate::message::Kind;
use crate::policy::Policy;

/// Where mail goes: a delivery method and the place where it is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination<T, H> {
    /// By which method.
    pub transport: T,
    /// Where.
    pub next_hop: H,
}

/// What a lease told about its destination, whatever became of the recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Alive,
    /// It could not be reached, or turned us away as a whole.
    Failing,
    /// Nothing was learned.
    Unknown,
}

/// A destination's number while it is remembered.
pub(crate) type LaneId = u64;

/// What is known of a destination, and which messages wait for it.
pub(crate) struct Lane<D> {
    pub(crate) destination: D,
    new: VecDeque<QueueId>,
    deferred: VecDeque<QueueId>,
    turn: Kind,
    /// Leases that are out.
    pub(crate) leases: u32,
    limit: u32,
    /// Good leases since the limit last changed.
    good: u32,
    dead_until: Option<Timestamp>,
    /// It stands in its transport's ring.
    pub(crate) in_ring: bool,
    /// Messages with recipients that wait for it, those in a backlog included.
    pub(crate) users: usize,
    /// Its place among the idle destinations.
    pub(crate) idle_since: Option<u64>,
}

impl<D> Lane<D> {
    pub(crate) fn new(destination: D, policy: &Policy) -> Self {
        Self {
            destination,
            new: VecDeque::new(),
            deferred: VecDeque::new(),
            turn: Kind::New,
            leases: 0,
            limit: policy.initial_concurrency.max(1),
            good: 0,
            dead_until: None,
            in_ring: false,
            users: 0,
            idle_since: None,
        }
    }

    fn stream(&mut self, kind: Kind) -> &mut VecDeque<QueueId> {
        match kind {
            Kind::New => &mut self.new,
            Kind::Deferred => &mut self.deferred,
        }
    }

    /// The message whose turn it is; new and deferred alternate.
    pub(crate) fn pop(&mut self) -> Option<QueueId> {
        let turn = self.turn;
        let (kind, queue_id) = match self.stream(turn).pop_front() {
            Some(queue_id) => (turn, queue_id),
            None => (turn.other(), self.stream(turn.other()).pop_front()?),
        };
        self.turn = kind.other();
        Some(queue_id)
    }

    pub(crate) fn push(&mut self, kind: Kind, queue_id: QueueId) {
        self.stream(kind).push_back(queue_id);
    }

    /// Takes a message out of the turns.
    pub(crate) fn forget(&mut self, kind: Kind, queue_id: QueueId) {
        self.stream(kind).retain(|&other| other != queue_id);
    }

    /// It has work and may begin a lease.
    pub(crate) fn is_ready(&self) -> bool {
        self.leases < self.limit && !(self.new.is_empty() && self.deferred.is_empty())
    }

    /// Until when it is left alone, if it is at `now`. A pause that is over leaves a limit of one:
    /// the next lease is a probe.
    pub(crate) fn dead_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.dead_until.filter(|&until| now < until)
    }

    /// Its pause is over: the next lease is a probe.
    pub(crate) fn revive(&mut self) {
        self.dead_until = None;
    }

    /// Learns from a lease that ended; true when the destination died of it.
    pub(crate) fn learn(&mut self, health: Health, now: Timestamp, policy: &Policy) -> bool {
        match health {
            Health::Unknown => return false,
            Health::Alive => {
                self.dead_until = None;
                self.good += 1;
                if self.good >= self.limit && self.limit < policy.max_concurrency.max(1) {
                    self.limit += 1;
                    self.good = 0;
                }
                return false;
            }
            Health::Failing => self.good = 0,
        }
        if self.limit > 1 {
            self.limit -= 1;
            return false;
        }
        let died = self.dead_until(now).is_none();
        self.dead_until = Some(now.plus(policy.min_retry));
        died
    }

    /// Nothing would be lost by forgetting it.
    pub(crate) fn is_plain(&self, policy: &Policy) -> bool {
        self.dead_until.is_none() && self.limit == policy.initial_concurrency.max(1)
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.users == 0 && self.leases == 0
    }

    /// Leases that may be out at a time.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }
}
