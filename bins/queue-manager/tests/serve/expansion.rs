//! Addresses become targets.

use ipc::protocol::{ExpansionLeaf, LeafEnd};
use mail_types::{Deferral, EnhancedStatus, Failure, Outcome, Target};

use crate::house::{House, POISON, address, leaf, mailbox};

#[tokio::test]
async fn an_alias_is_replaced_by_its_members_once_and_for_all() {
    let mut house = House::open();
    house.alias(
        "team@example.org",
        vec![
            mailbox("bob@example.org"),
            mailbox("carol@example.org"),
            leaf(LeafEnd::Target(Target::Command("vacation".to_owned()))),
        ],
    );
    house
        .submit("alice@example.org", &["team@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    let (first, _) = agent.work().await;
    house.crash().await;
    house.alias("team@example.org", vec![mailbox("changed@example.org")]);
    house.start();
    let mut agent = house.agent(10).await;
    let mut reached = Vec::new();
    for _ in 0..3 {
        reached.push(agent.deliver_next().await.0);
    }
    reached.sort();
    assert_eq!(
        reached,
        ["bob@example.org", "carol@example.org", "|vacation"]
    );
    assert!(reached.contains(&first.recipients[0].target.to_string()));
    house.until_empty().await;
    let asked = house.asked.lock().unwrap().clone();
    let team = asked
        .iter()
        .filter(|address| *address == "team@example.org");
    assert_eq!(team.count(), 1, "{asked:?}");
}

#[tokio::test]
async fn the_owner_of_an_alias_becomes_the_sender_and_gets_the_report() {
    let house = House::open();
    house.alias(
        "list@example.org",
        vec![ExpansionLeaf {
            owner: Some(address("owner@example.org")),
            ..mailbox("bob@example.org")
        }],
    );
    house
        .submit("alice@example.org", &["list@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    let (work, _) = agent.work().await;
    assert_eq!(work.reverse_path.to_string(), "<owner@example.org>");
    assert_eq!(work.recipients[0].accepted_as, address("list@example.org"));
    agent.done(&work, &Outcome::failed(1, 1, "no such user"));
    let (to, _) = agent.deliver_next().await;
    assert_eq!(to, "owner@example.org");
    house.until_empty().await;
}

#[tokio::test]
async fn a_failed_member_is_reported_and_the_others_are_served() {
    let house = House::open();
    let failure = Failure {
        status: EnhancedStatus::new(5, 1, 1),
        text: "nobody@example.org: no such user".to_owned(),
    };
    house.alias(
        "team@example.org",
        vec![mailbox("bob@example.org"), leaf(LeafEnd::Failed(failure))],
    );
    house
        .submit("alice@example.org", &["team@example.org"])
        .await;
    let mut agent = house.agent(4).await;
    let mut reached = Vec::new();
    for _ in 0..2 {
        let (to, content) = agent.deliver_next().await;
        if to == "alice@example.org" {
            let report = String::from_utf8(content).unwrap();
            assert!(
                report.contains("nobody@example.org: no such user"),
                "{report}"
            );
        }
        reached.push(to);
    }
    reached.sort();
    assert_eq!(reached, ["alice@example.org", "bob@example.org"]);
    house.until_empty().await;
}

#[tokio::test]
async fn the_owner_of_an_alias_hears_of_members_that_fail() {
    let house = House::open();
    let failure = Failure {
        status: EnhancedStatus::new(5, 1, 1),
        text: "nobody@example.org: no such user".to_owned(),
    };
    let owned = |leaf: ExpansionLeaf| ExpansionLeaf {
        owner: Some(address("owner@example.org")),
        ..leaf
    };
    let nobody = owned(leaf(LeafEnd::Failed(failure)));
    house.alias(
        "some@example.org",
        vec![owned(mailbox("bob@example.org")), nobody.clone()],
    );
    house.alias("none@example.org", vec![nobody]);
    house
        .submit("alice@example.org", &["some@example.org"])
        .await;
    house
        .submit("alice@example.org", &["none@example.org"])
        .await;
    let mut agent = house.agent(4).await;
    let mut reached = Vec::new();
    for _ in 0..3 {
        reached.push(agent.deliver_next().await.0);
    }
    reached.sort();
    assert_eq!(
        reached,
        ["bob@example.org", "owner@example.org", "owner@example.org"]
    );
    house.until_empty().await;
}

#[tokio::test]
async fn a_directory_that_is_away_defers_and_then_serves() {
    let mut house = House::new();
    house.start();
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    house.until("deferred", |status| status.deferred == 1).await;
    house.start_directory();
    let mut agent = house.agent(1).await;
    assert_eq!(agent.deliver_next().await.0, "bob@example.org");
    house.until_empty().await;
}

#[tokio::test]
async fn an_unreadable_table_defers_all_of_the_address() {
    let house = House::open();
    let deferral = Deferral {
        status: EnhancedStatus::new(4, 3, 0),
        text: "aliases cannot be read".to_owned(),
    };
    let deferred = leaf(LeafEnd::Deferred(deferral));
    house.alias(
        "team@example.org",
        vec![mailbox("bob@example.org"), deferred],
    );
    house
        .submit("alice@example.org", &["team@example.org"])
        .await;
    house.until("deferred", |status| status.deferred == 1).await;
    house.alias("team@example.org", vec![mailbox("bob@example.org")]);
    let mut agent = house.agent(1).await;
    assert_eq!(agent.deliver_next().await.0, "bob@example.org");
    house.until_empty().await;
}

#[tokio::test]
async fn a_target_reached_twice_gets_one_copy() {
    let house = House::open();
    house.alias("b@example.org", vec![mailbox("bob@example.org")]);
    house
        .submit(
            "alice@example.org",
            &["bob@example.org", "b@example.org", "bob@example.org"],
        )
        .await;
    let mut agent = house.agent(4).await;
    assert_eq!(agent.deliver_next().await.0, "bob@example.org");
    house.until_empty().await;
}

#[tokio::test]
async fn a_large_alias_is_worked_through_in_bounded_memory() {
    let house = House::open_with(|settings| {
        settings.limits.max_messages = 10;
        settings.limits.max_recipients = 30;
        settings.limits.max_message_recipients = 20;
    });
    let members = (0..500).map(|n| mailbox(&format!("user{n}@example.org")));
    house.alias("all@example.org", members.collect());
    house
        .submit("alice@example.org", &["all@example.org"])
        .await;
    let mut agent = house.agent(8).await;
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..500 {
        assert!(reached.insert(agent.deliver_next().await.0));
    }
    house.until_empty().await;
}

#[tokio::test]
async fn an_address_that_kills_the_directory_harms_no_other() {
    let house = House::open_with(|settings| {
        settings.policy.min_retry = std::time::Duration::from_secs(600);
        settings.policy.max_retry = std::time::Duration::from_secs(600);
    });
    house
        .submit(
            "alice@example.org",
            &["bob@example.org", POISON, "carol@example.org"],
        )
        .await;
    let mut agent = house.agent(4).await;
    let mut reached = [agent.deliver_next().await.0, agent.deliver_next().await.0];
    reached.sort();
    assert_eq!(reached, ["bob@example.org", "carol@example.org"]);
    house
        .until("deferred", |status| {
            (status.deferred, status.active) == (1, 0)
        })
        .await;
    assert_eq!(house.recipients().await[0].address, address(POISON));
}

#[tokio::test]
async fn an_answer_without_room_is_asked_for_alone() {
    let house = House::open();
    let deferral = Deferral {
        status: EnhancedStatus::new(4, 2, 4),
        text: "asked together with too many large aliases".to_owned(),
    };
    // The stand-in says so always; alone it is believed.
    house.alias("large@example.org", vec![leaf(LeafEnd::Deferred(deferral))]);
    house
        .submit(
            "alice@example.org",
            &["bob@example.org", "large@example.org"],
        )
        .await;
    let mut agent = house.agent(4).await;
    assert_eq!(agent.deliver_next().await.0, "bob@example.org");
    house
        .until("deferred", |status| {
            (status.deferred, status.active) == (1, 0)
        })
        .await;
    let asked = house.asked.lock().unwrap().clone();
    let large = asked
        .iter()
        .filter(|address| *address == "large@example.org");
    assert!(large.count() >= 2, "{asked:?}");
}
