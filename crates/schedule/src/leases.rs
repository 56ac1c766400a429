//! How a lease begins and ends, and what becomes of those whose destination died.

use std::collections::VecDeque;
use std::hash::Hash;

use mail_types::{QueueId, Timestamp};

use crate::destination::{Destination, Health, LaneId};
use crate::message::{Kind, Next};
use crate::scheduler::{Lease, LeaseId, Misuse, Postponed, Scheduler};

impl<T, H, R> Scheduler<T, H, R>
where
    T: Clone + Eq + Hash,
    H: Clone + Eq + Hash,
{
    /// The attempt was made and its outcomes are the caller's: the lease's recipients are
    /// forgotten here. `health` says what was learned of the destination. Answers what the
    /// message needs next.
    ///
    /// # Errors
    /// [`Misuse::UnknownLease`]: for example it came twice.
    pub fn done(&mut self, lease: LeaseId, health: Health, now: Timestamp) -> Result<Next, Misuse> {
        let (queue_id, lane_id, recipients) = self.end(lease)?;
        self.count(queue_id, |in_memory| in_memory.saturating_sub(recipients));
        for waiting in self.learn(lane_id, health, now) {
            self.release(waiting, now);
        }
        self.settle(lane_id);
        Ok(self.finish(queue_id))
    }

    /// The attempt was not made, or nobody knows: the lease's recipients wait again.
    ///
    /// # Errors
    /// [`Misuse::UnknownLease`].
    pub fn lapsed(&mut self, lease: Lease<T, H, R>, now: Timestamp) -> Result<Next, Misuse> {
        let (queue_id, lane_id, recipients) = self.end(lease.id)?;
        let removed = self.messages.get(&queue_id).is_none_or(|m| m.removed);
        if removed {
            self.count(queue_id, |in_memory| in_memory.saturating_sub(recipients));
        } else {
            self.put_pending(queue_id, lane_id, VecDeque::from(lease.recipients));
            self.release(queue_id, now);
        }
        self.settle(lane_id);
        Ok(self.finish(queue_id))
    }

    /// The next recipients to be deferred without an attempt, because their destination is dead.
    /// They are forgotten here. To be asked after [`Scheduler::done`], [`Scheduler::lapsed`],
    /// [`Scheduler::add_recipients`] until it answers `None`.
    pub fn take_postponed(&mut self) -> Option<Postponed<T, H, R>> {
        loop {
            let (queue_id, lane_id, recipients, until) = self.postponed.pop_front()?;
            self.count(queue_id, |in_memory| {
                in_memory.saturating_sub(recipients.len())
            });
            let destination = self
                .lanes
                .get(&lane_id)
                .map(|lane| lane.destination.clone());
            self.unuse(lane_id);
            let removed = self.messages.get(&queue_id).is_none_or(|m| m.removed);
            if let (Some(destination), false) = (destination, removed) {
                let next = self.next_of(queue_id);
                return Some(Postponed {
                    queue_id,
                    destination,
                    recipients,
                    until,
                    next,
                });
            }
        }
    }

    /// Takes a message out of memory: it was parked, held, deleted or set aside. Leases of it that are
    /// out stay valid until they end; until then it cannot be added again.
    pub fn remove(&mut self, queue_id: QueueId) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        message.removed = true;
        message.backlog.clear();
        message.released = 0;
        let kind = message.kind;
        let pending = std::mem::take(&mut message.pending);
        for (lane_id, recipients) in pending {
            self.count(queue_id, |in_memory| {
                in_memory.saturating_sub(recipients.len())
            });
            if let Some(lane) = self.lanes.get_mut(&lane_id) {
                lane.forget(kind, queue_id);
            }
            self.unuse(lane_id);
        }
        self.finish(queue_id);
    }

    /// Begins a lease of `queue_id` at a destination, and lines both up again for what is left.
    pub(crate) fn lease(&mut self, queue_id: QueueId, lane_id: LaneId) -> Option<Lease<T, H, R>> {
        let transport = self.lanes.get(&lane_id)?.destination.transport.clone();
        let most = self.policy(&transport).max_lease_recipients.max(1);
        let message = self.messages.get_mut(&queue_id)?;
        let pending = message.pending.get_mut(&lane_id)?;
        let taken: Vec<R> = pending.drain(..most.min(pending.len())).collect();
        let more = !pending.is_empty();
        message.leases += 1;
        if !more {
            message.pending.remove(&lane_id);
            message.released = message.released.saturating_sub(1);
        }
        let kind = message.kind;
        let lane = self.lanes.get_mut(&lane_id)?;
        lane.leases += 1;
        let destination = lane.destination.clone();
        if more {
            lane.push(kind, queue_id);
        } else {
            self.unuse(lane_id);
        }
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        self.leases.insert(id, (queue_id, lane_id, taken.len()));
        self.enter_ring(lane_id);
        Some(Lease {
            id,
            queue_id,
            destination,
            recipients: taken,
        })
    }

    /// Ends a lease; its recipients still count as in memory.
    fn end(&mut self, lease: LeaseId) -> Result<(QueueId, LaneId, usize), Misuse> {
        let ended = self.leases.remove(&lease).ok_or(Misuse::UnknownLease)?;
        let (queue_id, lane_id, _) = ended;
        if let Some(message) = self.messages.get_mut(&queue_id) {
            message.leases = message.leases.saturating_sub(1);
        }
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.leases = lane.leases.saturating_sub(1);
        }
        Ok(ended)
    }

    /// Takes what a lease told about its destination. If that died, what waits for it is postponed;
    /// answers whose, as their windows have room again.
    fn learn(&mut self, lane_id: LaneId, health: Health, now: Timestamp) -> Vec<QueueId> {
        let Some(lane) = self.lanes.get_mut(&lane_id) else {
            return Vec::new();
        };
        let transport = &lane.destination.transport;
        let policy = self.policies.get(transport).unwrap_or(&self.default_policy);
        let died = lane.learn(health, now, policy);
        let Some(until) = lane.dead_until(now).filter(|_| died) else {
            return Vec::new();
        };
        let mut affected = Vec::new();
        while let Some(queue_id) = lane.pop() {
            let Some(message) = self.messages.get_mut(&queue_id) else {
                continue;
            };
            message.released = message.released.saturating_sub(1);
            if let Some(recipients) = message.pending.remove(&lane_id) {
                let recipients = Vec::from(recipients);
                self.postponed
                    .push_back((queue_id, lane_id, recipients, until));
                affected.push(queue_id);
            }
        }
        affected
    }

    /// After a lease ended: the destination stands in line again, or idles.
    fn settle(&mut self, lane_id: LaneId) {
        self.enter_ring(lane_id);
        self.rest(lane_id);
    }

    /// Drops a message that was removed and has no lease left, and says what it needs else.
    fn finish(&mut self, queue_id: QueueId) -> Next {
        let Some(message) = self.messages.get(&queue_id) else {
            return Next::Gone;
        };
        if !(message.removed && message.leases == 0) {
            return self.next_of(queue_id);
        }
        let kind = message.kind;
        self.count(queue_id, |_| 0);
        self.messages.remove(&queue_id);
        self.new_messages -= usize::from(kind == Kind::New);
        Next::Gone
    }

    pub(crate) fn next_of(&self, queue_id: QueueId) -> Next {
        let half = self.limits.max_message_recipients / 2;
        let room = self.recipients_room(queue_id) > 0;
        self.messages
            .get(&queue_id)
            .map_or(Next::Gone, |message| message.next(half, room))
    }

    /// How many destinations are remembered.
    #[must_use]
    pub fn destinations(&self) -> usize {
        self.lanes.len()
    }

    /// Leases of a destination that are out, and how many may be.
    #[must_use]
    pub fn concurrency(&self, destination: &Destination<T, H>) -> Option<(u32, u32)> {
        let lane_id = self.lane_of.get(destination)?;
        self.lanes
            .get(lane_id)
            .map(|lane| (lane.leases, lane.limit()))
    }
}
