//! A small world around the scheduler: a queue on "disk", destinations that work, fail or both, and
//! agents that hold leases for a while. Whatever the world does, the promises hold.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use mail_types::{QueueId, Timestamp};
use proptest::prelude::*;

use crate::{Destination, Health, Kind, Lease, Limits, Next, Policy, Retry, Scheduler};

type Place = Destination<u8, u16>;

fn place(number: u16) -> Place {
    Destination {
        transport: u8::try_from(number % 2).unwrap(),
        next_hop: number,
    }
}

fn limits() -> Limits {
    Limits {
        max_messages: 8,
        max_recipients: 30,
        max_message_recipients: 10,
        window: 3,
        max_idle_destinations: 2,
    }
}

fn policy() -> Policy {
    Policy {
        initial_concurrency: 2,
        max_concurrency: 4,
        max_lease_recipients: 3,
        min_retry: Duration::from_secs(300),
        max_retry: Duration::from_secs(3600),
        lifetime: Duration::from_secs(7200),
    }
}

#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Works,
    Fails,
    /// Works every second time.
    Flaky,
}

#[derive(Debug)]
struct Stored {
    kind: Kind,
    due: Timestamp,
    /// By number: where to, attempts, due.
    recipients: BTreeMap<u64, (u16, u32, Timestamp)>,
    /// While active: numbers up to here were loaded.
    cursor: Option<u64>,
}

struct World {
    now: Timestamp,
    disk: BTreeMap<QueueId, Stored>,
    behaviours: Vec<Behaviour>,
    scheduler: Scheduler<u8, u16, u64>,
    out: Vec<Lease<u8, u16, u64>>,
    in_memory: HashMap<QueueId, usize>,
    ended: HashMap<(QueueId, u64), u32>,
    visits: u64,
}

const ACCEPTED: Timestamp = Timestamp::from_seconds(1_000_000);

impl World {
    fn new(messages: &[Vec<u16>], behaviours: Vec<Behaviour>) -> Self {
        let stored = |places: &Vec<u16>| Stored {
            kind: Kind::New,
            due: ACCEPTED,
            recipients: (0..)
                .zip(places.iter().map(|&to| (to, 0, ACCEPTED)))
                .collect(),
            cursor: None,
        };
        Self {
            now: ACCEPTED,
            disk: (1..)
                .map(QueueId)
                .zip(messages.iter().map(stored))
                .collect(),
            behaviours,
            scheduler: Scheduler::new(limits(), HashMap::new(), policy()),
            out: Vec::new(),
            in_memory: HashMap::new(),
            ended: HashMap::new(),
            visits: 0,
        }
    }

    fn waiting(&self, kind: Kind) -> Option<QueueId> {
        let waits = |(id, stored): &(&QueueId, &Stored)| {
            stored.kind == kind && stored.due <= self.now && !self.scheduler.is_active(**id)
        };
        self.disk.iter().find(waits).map(|(&id, _)| id)
    }

    /// Fills the memory, as far as there is room.
    fn load(&mut self) {
        loop {
            let (new, deferred) = (self.waiting(Kind::New), self.waiting(Kind::Deferred));
            let kind = self.scheduler.next_kind(new.is_some(), deferred.is_some());
            let Some(id) = kind.and_then(|kind| self.waiting(kind)) else {
                return;
            };
            self.scheduler.add(id, kind.unwrap()).unwrap();
            self.disk.get_mut(&id).unwrap().cursor = None;
            self.follow(id, Next::LoadMore);
        }
    }

    fn follow(&mut self, id: QueueId, mut next: Next) {
        while next == Next::LoadMore {
            let room = self.scheduler.recipients_room(id);
            assert!(room > 0, "asked to load without room");
            let (now, stored) = (self.now, self.disk.get_mut(&id).unwrap());
            let after = stored.cursor.map_or(0, |cursor| cursor + 1);
            let due = stored.recipients.range(after..).filter(|(_, r)| r.2 <= now);
            let page: Vec<_> = due.take(room).map(|(&n, r)| (n, place(r.0))).collect();
            stored.cursor = page.last().map(|last| last.0).or(stored.cursor);
            let complete = page.len() < room;
            *self.in_memory.entry(id).or_default() += page.len();
            next = self
                .scheduler
                .add_recipients(id, page, complete, now)
                .unwrap();
        }
        if next == Next::Park {
            assert_eq!(self.in_memory.remove(&id), Some(0));
            self.scheduler.remove(id);
            assert!(!self.scheduler.is_active(id));
            let stored = self.disk.get_mut(&id).unwrap();
            stored.kind = Kind::Deferred;
            match stored.recipients.values().map(|r| r.2).min() {
                Some(due) => stored.due = due,
                None => drop(self.disk.remove(&id)),
            }
        }
    }

    fn begin(&mut self) {
        for transport in [0, 1] {
            while let Some(lease) = self.scheduler.next(&transport, self.now) {
                assert_eq!(lease.destination.transport, transport);
                assert!((1..=3).contains(&lease.recipients.len()));
                let (leases, limit) = self.scheduler.concurrency(&lease.destination).unwrap();
                assert!(leases <= limit && limit <= policy().max_concurrency);
                self.out.push(lease);
            }
        }
    }

    /// Ends the lease at `pick`, or lets it lapse.
    fn end(&mut self, pick: usize, lapse: bool) {
        if self.out.is_empty() {
            return;
        }
        let lease = self.out.swap_remove(pick % self.out.len());
        let id = lease.queue_id;
        if lapse {
            let next = self.scheduler.lapsed(lease, self.now).unwrap();
            return self.follow(id, next);
        }
        self.visits += 1;
        let works = match self.behaviours[usize::from(lease.destination.next_hop)] {
            Behaviour::Works => true,
            Behaviour::Fails => false,
            Behaviour::Flaky => self.visits.is_multiple_of(2),
        };
        for &number in &lease.recipients {
            self.attempted(id, number, works);
        }
        *self.in_memory.get_mut(&id).unwrap() -= lease.recipients.len();
        let health = if works {
            Health::Alive
        } else {
            Health::Failing
        };
        let next = self.scheduler.done(lease.id, health, self.now).unwrap();
        assert!(
            self.scheduler.done(lease.id, health, self.now).is_err(),
            "ended twice"
        );
        self.follow(id, next);
    }

    fn attempted(&mut self, id: QueueId, number: u64, delivered: bool) {
        let recipients = &mut self.disk.get_mut(&id).unwrap().recipients;
        let recipient = recipients.get_mut(&number).unwrap();
        recipient.1 += 1;
        match policy().retry(ACCEPTED, recipient.1, self.now, id.0) {
            Retry::At(due) if !delivered => recipient.2 = due,
            _ => {
                recipients.remove(&number);
                *self.ended.entry((id, number)).or_default() += 1;
            }
        }
    }

    fn postpone(&mut self) {
        while let Some(postponed) = self.scheduler.take_postponed() {
            let id = postponed.queue_id;
            assert!(postponed.until > self.now);
            for number in &postponed.recipients {
                self.disk
                    .get_mut(&id)
                    .unwrap()
                    .recipients
                    .get_mut(number)
                    .unwrap()
                    .2 = postponed.until;
            }
            *self.in_memory.get_mut(&id).unwrap() -= postponed.recipients.len();
            self.follow(id, postponed.next);
        }
    }

    fn check(&self) {
        let limits = limits();
        let recipients: usize = self.in_memory.values().sum();
        assert!(self.scheduler.len() <= limits.max_messages);
        assert!(
            recipients <= limits.max_recipients,
            "{recipients} in memory"
        );
        assert!(
            self.in_memory
                .values()
                .all(|&n| n <= limits.max_message_recipients)
        );
        assert!(self.scheduler.destinations() <= recipients + limits.max_idle_destinations);
    }

    fn step(&mut self, pick: usize, lapse: bool) {
        self.load();
        self.begin();
        self.check();
        self.end(pick, lapse);
        self.postpone();
        self.check();
        if self.out.is_empty() && self.waiting(Kind::New).is_none() {
            let next = self.disk.values().map(|stored| stored.due).min();
            self.now = self.now.max(next.unwrap_or(self.now));
        }
    }
}

fn behaviours() -> impl Strategy<Value = Vec<Behaviour>> {
    let one = prop_oneof![
        Just(Behaviour::Works),
        Just(Behaviour::Fails),
        Just(Behaviour::Flaky)
    ];
    prop::collection::vec(one, 6)
}

proptest! {
    #[test]
    fn every_recipient_ends_once(
        messages in prop::collection::vec(prop::collection::vec(0u16..6, 1..40), 1..30),
        behaviours in behaviours(),
        picks in prop::collection::vec((0usize..100, prop::bool::weighted(0.1)), 1..500),
    ) {
        let mut world = World::new(&messages, behaviours);
        let mut picks = picks.into_iter();
        let mut steps = 0;
        while !world.disk.is_empty() {
            let (pick, lapse) = picks.next().unwrap_or((0, false));
            world.step(pick, lapse);
            steps += 1;
            prop_assert!(steps < 100_000, "no end: {:?}", world.disk);
        }
        let recipients: usize = messages.iter().map(Vec::len).sum();
        prop_assert_eq!(world.ended.len(), recipients);
        prop_assert!(world.ended.values().all(|&times| times == 1));
        prop_assert!(world.scheduler.is_empty());
    }

    #[test]
    fn nobody_starves(
        others in prop::collection::vec(prop::collection::vec(0u16..6, 1..40), 1..6),
        to in 0u16..6,
    ) {
        // All of them are active; the last has one recipient.
        let mut messages = others;
        messages.push(vec![to]);
        let last = QueueId(messages.len() as u64);
        let mut world = World::new(&messages, vec![Behaviour::Works; 6]);
        world.load();
        let mut leases = 0;
        // Each of the other messages has at most its window of destinations ahead, twice, as
        // the destination's own line may begin again while ours comes up.
        let bound = 2 * messages.len() * limits().window;
        loop {
            let lease = world.scheduler.next(&place(to).transport, world.now);
            prop_assert!(lease.is_some() || !world.out.is_empty());
            match lease {
                Some(lease) if lease.queue_id == last => break,
                Some(lease) => {
                    leases += 1;
                    world.out.push(lease);
                }
                None => {}
            }
            world.end(0, false);
            prop_assert!(leases <= bound, "{leases} leases went ahead of it");
        }
    }
}
