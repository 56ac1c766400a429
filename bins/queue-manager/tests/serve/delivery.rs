//! Leases, outcomes, and what happens when either is lost.

use std::time::Duration;

use mail_types::Outcome;

use crate::house::House;

const SHORT: Duration = Duration::from_millis(300);

async fn last_reply(house: &House) -> String {
    let recipients = house.recipients().await;
    recipients[0].last_reply.clone().unwrap_or_default()
}

#[tokio::test]
async fn an_agent_holds_no_more_than_its_capacity() {
    let house = House::open();
    for _ in 0..3 {
        house
            .submit("alice@example.org", &["bob@example.org"])
            .await;
    }
    let mut agent = house.agent(2).await;
    let (first, _) = agent.work().await;
    let (_second, _) = agent.work().await;
    assert!(agent.is_idle(SHORT).await);
    agent.done(&first, &Outcome::delivered("INBOX"));
    agent.work().await;
}

#[tokio::test]
async fn work_of_an_agent_that_ends_goes_to_the_next() {
    let house = House::open();
    let queue_id = house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut first = house.agent(1).await;
    assert_eq!(first.work().await.0.queue_id, queue_id);
    drop(first);
    let mut second = house.agent(1).await;
    assert_eq!(second.work().await.0.queue_id, queue_id);
    drop(second);
    // Mail that ends its agent again and again is deferred, not tried in a loop.
    house
        .until("deferred", |status| {
            status.deferred == 1 || status.active == 1
        })
        .await;
    let mut third = house.agent(1).await;
    assert_eq!(third.work().await.0.queue_id, queue_id);
}

#[tokio::test]
async fn a_lease_ends_with_its_time_and_late_outcomes_are_ignored() {
    let house = House::open_with(|settings| settings.attempt_time = SHORT);
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(2).await;
    let (late, _) = agent.work().await;
    let (again, _) = agent.work().await;
    assert_eq!(late.queue_id, again.queue_id);
    assert_ne!(late.lease, again.lease);
    agent.done(&late, &Outcome::delivered("INBOX"));
    assert_eq!(
        house.status().await.active,
        1,
        "the late outcome does not count"
    );
    agent.done(&again, &Outcome::delivered("INBOX"));
    house.until_empty().await;
}

#[tokio::test]
async fn a_crash_repeats_what_was_leased_and_loses_nothing() {
    let mut house = House::open();
    let mut agent = house.agent(10).await;
    house
        .submit(
            "alice@example.org",
            &["bob@example.org", "carol@example.org"],
        )
        .await;
    let (bob, _) = agent.work().await;
    let (_carol, _) = agent.work().await;
    agent.done(&bob, &Outcome::delivered("INBOX"));
    while house.recipients().await.len() > 1 {}
    house.crash().await;
    house.start();
    let mut agent = house.agent(10).await;
    let (again, _) = agent.work().await;
    assert_eq!(again.recipients[0].number, 1, "only carol");
    agent.done(&again, &Outcome::delivered("INBOX"));
    house.until_empty().await;
}

#[tokio::test]
async fn a_deferred_recipient_is_tried_again_with_its_last_reply_on_record() {
    let house = House::open();
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    agent
        .end_next(&Outcome::deferred(2, 2, "mailbox full"))
        .await;
    let (work, _) = agent.work().await;
    agent.done(&work, &Outcome::deferred(2, 2, "still full"));
    house.until("deferred", |status| status.deferred == 1).await;
    assert_eq!(last_reply(&house).await, "4.2.2 still full");
    agent.deliver_next().await;
    house.until_empty().await;
}

#[tokio::test]
async fn deferred_mail_survives_a_restart_with_its_time() {
    let mut house = House::open_with(|settings| {
        settings.policy.min_retry = Duration::from_millis(700);
        settings.policy.max_retry = Duration::from_millis(700);
    });
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    agent.end_next(&Outcome::deferred(3, 1, "later")).await;
    house.until("deferred", |status| status.deferred == 1).await;
    house.stop().await;
    house.start();
    let mut agent = house.agent(1).await;
    assert!(
        agent.is_idle(Duration::from_millis(100)).await,
        "not before its time"
    );
    agent.deliver_next().await;
    house.until_empty().await;
}

#[tokio::test]
async fn without_an_agent_for_long_mail_is_deferred() {
    let house = House::open_with(|settings| {
        settings.agent_time = SHORT;
        settings.policy.min_retry = Duration::from_secs(5);
        settings.policy.max_retry = Duration::from_secs(5);
    });
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    house.until("deferred", |status| status.deferred == 1).await;
    let reply = last_reply(&house).await;
    assert!(
        reply.contains("local-delivery service is not running"),
        "{reply}"
    );
}

#[tokio::test]
async fn mail_for_elsewhere_waits_for_a_transport() {
    let house = House::open();
    let remote = mail_types::Target::Remote(crate::house::address("bob@example.net"));
    let leaf = crate::house::leaf(ipc::protocol::LeafEnd::Target(remote));
    house.alias("bob@example.net", vec![leaf]);
    house
        .submit("alice@example.org", &["bob@example.net"])
        .await;
    house.until("deferred", |status| status.deferred == 1).await;
    assert_eq!(
        last_reply(&house).await,
        "4.3.5 mail transport unavailable: no smtp-out service is configured"
    );
}

#[tokio::test]
async fn a_drain_waits_for_what_is_leased_and_begins_nothing() {
    let mut house = House::open_with(|settings| settings.drain_time = crate::house::PATIENCE);
    for _ in 0..2 {
        house
            .submit("alice@example.org", &["bob@example.org"])
            .await;
    }
    let mut agent = house.agent(1).await;
    let (work, _) = agent.work().await;
    let last = async {
        // The drain was asked for before: its place is not given to the next work.
        agent.done(&work, &Outcome::delivered("INBOX"));
        assert!(agent.is_ended().await);
    };
    tokio::join!(house.stop(), last);
    house.start();
    let mut agent = house.agent(2).await;
    let (other, _) = agent.work().await;
    assert_ne!(other.queue_id, work.queue_id);
    agent.done(&other, &Outcome::delivered("INBOX"));
    house.until_empty().await;
}
