//! Bookkeeping: who waits for which destination, and which destinations stand in line.

use std::collections::VecDeque;
use std::hash::Hash;

use mail_types::{QueueId, Timestamp};

use crate::destination::{Destination, Lane, LaneId};
use crate::scheduler::Scheduler;

impl<T, H, R> Scheduler<T, H, R>
where
    T: Clone + Eq + Hash,
    H: Clone + Eq + Hash,
{
    /// The destination's lane; a new one when it is not remembered.
    pub(crate) fn lane(&mut self, destination: Destination<T, H>) -> LaneId {
        if let Some(&lane_id) = self.lane_of.get(&destination) {
            return lane_id;
        }
        self.last_lane += 1;
        let lane_id = self.last_lane;
        let lane = Lane::new(destination.clone(), self.policy(&destination.transport));
        self.lanes.insert(lane_id, lane);
        self.lane_of.insert(destination, lane_id);
        lane_id
    }

    /// Changes how many recipients of a message are in memory, and the sums that depend on it.
    pub(crate) fn count(&mut self, queue_id: QueueId, change: impl FnOnce(usize) -> usize) {
        if let Some(message) = self.messages.get_mut(&queue_id) {
            self.extra -= message.extra();
            message.in_memory = change(message.in_memory);
            self.extra += message.extra();
        }
    }

    /// Lets recipients wait for a destination. A destination that is new to the message goes to its
    /// backlog; [`Scheduler::release`] brings it into the turns.
    pub(crate) fn put_pending(&mut self, queue_id: QueueId, lane_id: LaneId, who: VecDeque<R>) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        if let Some(pending) = message.pending.get_mut(&lane_id) {
            pending.extend(who);
            return;
        }
        message.pending.insert(lane_id, who);
        message.backlog.push_back(lane_id);
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.users += 1;
            if let Some(since) = lane.idle_since.take() {
                self.idle.remove(&since);
            }
        }
    }

    /// Brings destinations from a message's backlog into the turns, as many as its window has
    /// room for; those that are dead are postponed.
    pub(crate) fn release(&mut self, queue_id: QueueId, now: Timestamp) {
        loop {
            let Some(message) = self.messages.get_mut(&queue_id) else {
                return;
            };
            if message.released >= self.limits.window {
                return;
            }
            let Some(lane_id) = message.backlog.pop_front() else {
                return;
            };
            let Some(lane) = self.lanes.get_mut(&lane_id) else {
                continue;
            };
            if let Some(until) = lane.dead_until(now) {
                if let Some(recipients) = message.pending.remove(&lane_id) {
                    let recipients = Vec::from(recipients);
                    self.postponed
                        .push_back((queue_id, lane_id, recipients, until));
                }
                continue;
            }
            message.released += 1;
            lane.push(message.kind, queue_id);
            self.enter_ring(lane_id);
        }
    }

    /// Puts a destination that may begin a lease at the end of its transport's line.
    pub(crate) fn enter_ring(&mut self, lane_id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&lane_id) else {
            return;
        };
        if lane.in_ring || !lane.is_ready() {
            return;
        }
        lane.in_ring = true;
        match self.rings.get_mut(&lane.destination.transport) {
            Some(ring) => ring.push_back(lane_id),
            None => {
                let transport = lane.destination.transport.clone();
                self.rings.insert(transport, VecDeque::from([lane_id]));
            }
        }
    }

    /// One message less waits for a destination.
    pub(crate) fn unuse(&mut self, lane_id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.users = lane.users.saturating_sub(1);
        }
        self.rest(lane_id);
    }

    /// A destination without work is forgotten if nothing was learned of it; else it idles, and the
    /// longest idle is forgotten when they are too many.
    pub(crate) fn rest(&mut self, lane_id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&lane_id) else {
            return;
        };
        if !lane.is_unused() || lane.idle_since.is_some() {
            return;
        }
        let transport = &lane.destination.transport;
        let policy = self.policies.get(transport).unwrap_or(&self.default_policy);
        if lane.is_plain(policy) {
            return self.forget_lane(lane_id);
        }
        self.idle_clock += 1;
        lane.idle_since = Some(self.idle_clock);
        self.idle.insert(self.idle_clock, lane_id);
        if self.idle.len() > self.limits.max_idle_destinations
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.forget_lane(oldest);
        }
    }

    /// No destination is taken for dead any more: an administrator wants all of them tried now.
    pub fn revive(&mut self) {
        self.lanes.values_mut().for_each(Lane::revive);
    }

    fn forget_lane(&mut self, lane_id: LaneId) {
        let Some(lane) = self.lanes.remove(&lane_id) else {
            return;
        };
        self.lane_of.remove(&lane.destination);
        if lane.in_ring
            && let Some(ring) = self.rings.get_mut(&lane.destination.transport)
        {
            ring.retain(|&other| other != lane_id);
        }
    }
}
