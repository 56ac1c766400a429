//! Who is told what.

use std::time::Duration;

use mail_types::{Notify, Outcome};

use crate::house::{CONTENT, House, envelope};

const NO_USER: &str = "no such user";

fn failed() -> Outcome {
    Outcome::failed(1, 1, NO_USER)
}

#[tokio::test]
async fn one_report_tells_of_all_that_failed() {
    let house = House::open();
    house
        .submit(
            "alice@example.org",
            &["x@example.org", "y@example.org", "z@example.org"],
        )
        .await;
    let mut agent = house.agent(1).await;
    let (works, _) = agent.work().await;
    agent.done(&works, &failed());
    agent.end_next(&failed()).await;
    agent.deliver_next().await;
    let (work, content) = agent.work().await;
    let report = String::from_utf8(content).unwrap();
    assert_eq!(work.recipients[0].target.to_string(), "alice@example.org");
    assert_eq!(work.reverse_path.to_string(), "<>");
    assert_eq!(report.matches("Action: failed").count(), 2, "{report}");
    assert!(
        report.contains("Status: 5.1.1") && report.contains(NO_USER),
        "{report}"
    );
    assert!(report.contains("Subject: test\r\n\r\nbody\r\n"), "{report}");
    agent.done(&work, &Outcome::delivered("INBOX"));
    house.until_empty().await;
}

#[tokio::test]
async fn a_failure_that_is_owed_survives_a_crash() {
    let mut house = House::open();
    house
        .submit("alice@example.org", &["x@example.org", "y@example.org"])
        .await;
    let mut agent = house.agent(2).await;
    let (first, _) = agent.work().await;
    let (_second, _) = agent.work().await;
    agent.done(&first, &failed());
    while !house
        .recipients()
        .await
        .iter()
        .any(|r| r.last_reply.is_some())
    {}
    house.crash().await;
    house.start();
    let mut agent = house.agent(2).await;
    let (second, _) = agent.work().await;
    assert_ne!(second.recipients, first.recipients);
    agent.done(&second, &Outcome::delivered("INBOX"));
    let (to, content) = agent.deliver_next().await;
    assert_eq!(to, "alice@example.org");
    assert!(
        String::from_utf8(content)
            .unwrap()
            .contains("Action: failed")
    );
    house.until_empty().await;
}

#[tokio::test]
async fn notify_decides_who_is_told() {
    let never = Some(Notify::NEVER);
    let success = Some(Notify {
        success: true,
        ..Notify::NEVER
    });
    for (notify, outcome, told) in [
        (None, failed(), true),
        (never, failed(), false),
        (success, failed(), false),
        (None, Outcome::delivered("INBOX"), false),
        (success, Outcome::delivered("INBOX"), true),
    ] {
        let house = House::open();
        let mut sent = envelope("alice@example.org", &["bob@example.org"]);
        sent.recipients[0].notify = notify;
        house.submit_envelope(sent, CONTENT).await;
        let mut agent = house.agent(1).await;
        agent.end_next(&outcome).await;
        if told {
            assert_eq!(agent.deliver_next().await.0, "alice@example.org");
        }
        house.until_empty().await;
        assert!(
            agent.is_idle(Duration::from_millis(20)).await,
            "{notify:?} {outcome:?}"
        );
    }
}

#[tokio::test]
async fn what_is_too_old_expires_with_the_last_reply() {
    let house = House::open_with(|settings| {
        settings.policy.lifetime = Duration::from_millis(500);
    });
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    let report = loop {
        let (work, content) = agent.work().await;
        if work.recipients[0].target.to_string() == "alice@example.org" {
            agent.done(&work, &Outcome::delivered("INBOX"));
            break String::from_utf8(content).unwrap();
        }
        agent.done(&work, &Outcome::deferred(2, 2, "mailbox full"));
    };
    assert!(
        report.contains("Action: failed\r\nStatus: 4.2.2"),
        "{report}"
    );
    assert!(report.contains("tried until the time"), "{report}");
    house.until_empty().await;
}

#[tokio::test]
async fn a_report_that_fails_ends_without_another() {
    let house = House::open();
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    agent.end_next(&failed()).await;
    assert_eq!(agent.end_next(&failed()).await.0, "alice@example.org");
    house.until_empty().await;
}

#[tokio::test]
async fn postmaster_is_told_once_of_a_report_that_fails() {
    let house = House::open_with(|settings| settings.notify_postmaster = true);
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    for expected in [
        "bob@example.org",
        "alice@example.org",
        "postmaster@example.org",
    ] {
        assert_eq!(agent.end_next(&failed()).await.0, expected);
    }
    house.until_empty().await;
}
