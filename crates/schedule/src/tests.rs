//! The rules one by one.

use std::collections::HashMap;
use std::time::Duration;

use mail_types::{QueueId, Timestamp};

use crate::{Destination, Health, Kind, Lease, LeaseId, Limits, Misuse, Next, Policy, Scheduler};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

type Tested = Scheduler<(), u32, u64>;

fn place(next_hop: u32) -> Destination<(), u32> {
    Destination {
        transport: (),
        next_hop,
    }
}

fn scheduler(limits: Limits) -> Tested {
    Scheduler::new(limits, HashMap::new(), Policy::default())
}

/// Adds a message with recipients 0, 1, … for these next hops.
fn add(scheduler: &mut Tested, id: u64, kind: Kind, hops: impl IntoIterator<Item = u32>) {
    scheduler.add(QueueId(id), kind).unwrap();
    let recipients = (0..).zip(hops.into_iter().map(place)).collect();
    scheduler
        .add_recipients(QueueId(id), recipients, true, NOW)
        .unwrap();
}

fn next(scheduler: &mut Tested) -> Lease<(), u32, u64> {
    scheduler.next(&(), NOW).unwrap()
}

/// Which messages the next leases are for.
fn order(scheduler: &mut Tested, leases: usize) -> Vec<u64> {
    (0..leases).map(|_| next(scheduler).queue_id.0).collect()
}

#[test]
fn new_alternates_with_deferred() {
    let mut scheduler = scheduler(Limits::default());
    for id in 1..4 {
        add(&mut scheduler, id, Kind::Deferred, [0]);
    }
    for id in 11..13 {
        add(&mut scheduler, id, Kind::New, [0]);
    }
    assert_eq!(order(&mut scheduler, 5), [11, 1, 12, 2, 3]);
    assert_eq!(scheduler.next(&(), NOW), None);
}

#[test]
fn loading_alternates_and_keeps_places_for_both_kinds() {
    let mut scheduler = scheduler(Limits {
        max_messages: 8,
        ..Limits::default()
    });
    let mut loaded = Vec::new();
    for id in 0..8 {
        // Deferred mail waits only in the beginning.
        let Some(kind) = scheduler.next_kind(true, id < 4) else {
            break;
        };
        scheduler.add(QueueId(id), kind).unwrap();
        loaded.push(kind);
    }
    use Kind::{Deferred, New};
    assert_eq!(loaded, [New, Deferred, New, Deferred, New, New, New, New]);
    assert_eq!(scheduler.next_kind(true, true), None, "full");
    scheduler.remove(QueueId(0));
    assert_eq!(scheduler.next_kind(true, false), Some(New));
    assert_eq!(scheduler.add(QueueId(1), New), Err(Misuse::Active));
}

#[test]
fn neither_kind_fills_the_memory() {
    for kind in [Kind::New, Kind::Deferred] {
        let mut scheduler = scheduler(Limits {
            max_messages: 8,
            ..Limits::default()
        });
        let added = (0..8)
            .take_while(|&id| scheduler.add(QueueId(id), kind).is_ok())
            .count();
        assert_eq!(added, 6);
        assert!(scheduler.has_room(kind.other()));
    }
}

#[test]
fn one_recipient_overtakes_many_at_one_destination() {
    let mut scheduler = scheduler(Limits::default());
    add(&mut scheduler, 1, Kind::New, [7; 1000]);
    assert_eq!(next(&mut scheduler).recipients.len(), 50);
    add(&mut scheduler, 2, Kind::New, [7]);
    assert_eq!(order(&mut scheduler, 3), [1, 2, 1]);
}

#[test]
fn one_recipient_overtakes_many_at_many_destinations() {
    let mut scheduler = scheduler(Limits::default());
    add(&mut scheduler, 1, Kind::New, 0..1000);
    add(&mut scheduler, 2, Kind::New, [5000]);
    let turns = order(&mut scheduler, 1001);
    let window = Limits::default().window;
    assert_eq!(turns.iter().position(|&id| id == 2), Some(window));
}

#[test]
fn destinations_take_turns() {
    let mut scheduler = scheduler(Limits::default());
    for id in 0..4 {
        add(&mut scheduler, id, Kind::New, [1]);
    }
    add(&mut scheduler, 10, Kind::New, [2]);
    add(&mut scheduler, 11, Kind::New, [3]);
    assert_eq!(order(&mut scheduler, 6), [0, 10, 11, 1, 2, 3]);
}

#[test]
fn concurrency_grows_with_success_and_falls_with_failure() {
    let mut scheduler = scheduler(Limits::default());
    let mut id = 0;
    let mut attempt = |scheduler: &mut Tested, health| {
        id += 1;
        add(scheduler, id, Kind::New, [1]);
        let lease = next(scheduler);
        scheduler.done(lease.id, health, NOW).unwrap();
        scheduler.concurrency(&place(1)).map(|(_, limit)| limit)
    };
    // Idle and as it was to begin with, a destination is forgotten.
    assert_eq!(attempt(&mut scheduler, Health::Alive), None);
    assert_eq!(attempt(&mut scheduler, Health::Failing), Some(4));
    assert_eq!(attempt(&mut scheduler, Health::Unknown), Some(4));
    assert_eq!(attempt(&mut scheduler, Health::Failing), Some(3));
    for _ in 0..3 {
        attempt(&mut scheduler, Health::Alive);
    }
    assert_eq!(scheduler.concurrency(&place(1)), Some((0, 4)));
}

#[test]
fn no_more_leases_than_the_limit() {
    let mut scheduler = scheduler(Limits::default());
    add(&mut scheduler, 1, Kind::New, [1; 1000]);
    let mut out: Vec<_> = std::iter::from_fn(|| scheduler.next(&(), NOW)).collect();
    assert_eq!(out.len(), 5);
    let mut most = 0;
    while let Some(lease) = out.pop() {
        scheduler.done(lease.id, Health::Alive, NOW).unwrap();
        out.extend(std::iter::from_fn(|| scheduler.next(&(), NOW)));
        most = most.max(out.len());
    }
    assert_eq!(most, 7, "5 good leases make 6, 6 more make 7");
}

#[test]
fn a_dead_destination_is_deferred_without_an_attempt_and_probed_later() {
    let mut scheduler = scheduler(Limits::default());
    for id in 0..10 {
        add(&mut scheduler, id, Kind::New, [1, 2]);
    }
    let mut postponed = 0;
    while let Some(lease) = scheduler.next(&(), NOW) {
        let health = if lease.destination == place(1) {
            Health::Failing
        } else {
            Health::Alive
        };
        scheduler.done(lease.id, health, NOW).unwrap();
        while let Some(dead) = scheduler.take_postponed() {
            assert_eq!(dead.destination, place(1));
            assert_eq!(dead.until, NOW.plus(Duration::from_secs(300)));
            postponed += dead.recipients.len();
        }
    }
    assert_eq!(postponed, 5, "after five failures in a row");
    add(&mut scheduler, 20, Kind::New, [1]);
    assert_eq!(scheduler.next(&(), NOW), None);
    assert_eq!(scheduler.take_postponed().unwrap().next, Next::Park);

    let later = NOW.plus(Duration::from_secs(300));
    scheduler.add(QueueId(21), Kind::Deferred).unwrap();
    let recipients = (0..60).map(|number| (number, place(1))).collect();
    scheduler
        .add_recipients(QueueId(21), recipients, true, later)
        .unwrap();
    let probe = scheduler.next(&(), later).unwrap();
    assert_eq!(scheduler.next(&(), later), None, "one at a time");
    scheduler.done(probe.id, Health::Alive, later).unwrap();
    assert!(scheduler.next(&(), later).is_some());
}

#[test]
fn a_lapsed_lease_is_given_again() {
    let mut scheduler = scheduler(Limits::default());
    add(&mut scheduler, 1, Kind::New, [1, 1]);
    let lease = next(&mut scheduler);
    let again = lease.clone();
    assert_eq!(scheduler.lapsed(lease, NOW), Ok(Next::Busy));
    assert_eq!(
        scheduler.lapsed(again.clone(), NOW),
        Err(Misuse::UnknownLease)
    );
    assert_eq!(next(&mut scheduler).recipients, again.recipients);
}

#[test]
fn a_removed_message_is_not_active_twice() {
    let mut scheduler = scheduler(Limits::default());
    add(&mut scheduler, 1, Kind::New, 0..100);
    let lease = next(&mut scheduler);
    scheduler.remove(QueueId(1));
    assert_eq!(scheduler.next(&(), NOW), None);
    assert_eq!(scheduler.add(QueueId(1), Kind::New), Err(Misuse::Active));
    assert_eq!(
        scheduler.add_recipients(QueueId(1), vec![], true, NOW),
        Err(Misuse::NotActive)
    );
    assert_eq!(scheduler.done(lease.id, Health::Alive, NOW), Ok(Next::Gone));
    assert_eq!(scheduler.add(QueueId(1), Kind::New), Ok(()));
    assert_eq!(
        scheduler.done(LeaseId(99), Health::Alive, NOW),
        Err(Misuse::UnknownLease)
    );
    assert_eq!(scheduler.destinations(), 0);
}

#[test]
fn large_messages_are_loaded_in_parts_and_leave_room_for_small_ones() {
    let limits = Limits {
        max_messages: 10,
        max_recipients: 30,
        max_message_recipients: 25,
        ..Limits::default()
    };
    let mut scheduler = scheduler(limits);
    for (id, room) in [(1, 21), (2, 1), (3, 1)] {
        scheduler.add(QueueId(id), Kind::New).unwrap();
        assert_eq!(scheduler.recipients_room(QueueId(id)), room);
        let too_many = (0..=room as u64).map(|n| (n, place(1))).collect();
        let refused = scheduler.add_recipients(QueueId(id), too_many, false, NOW);
        assert_eq!(refused, Err(Misuse::Full));
        let page = (0..room as u64).map(|n| (n, place(1))).collect();
        assert_eq!(
            scheduler.add_recipients(QueueId(id), page, false, NOW),
            Ok(Next::Busy)
        );
    }
    let lease = next(&mut scheduler);
    assert_eq!(lease.recipients.len(), 21);
    assert_eq!(
        scheduler.done(lease.id, Health::Alive, NOW),
        Ok(Next::LoadMore)
    );
    assert_eq!(scheduler.recipients_room(QueueId(1)), 21);
    assert_eq!(
        scheduler.add_recipients(QueueId(1), vec![], true, NOW),
        Ok(Next::Park)
    );
}
