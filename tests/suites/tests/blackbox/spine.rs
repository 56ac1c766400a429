//! The way of a message, end to end: SMTP, queue, mailbox, POP3.

use harness::{Pop3Client, Site};
use nix::unistd::Uid;

const LETTER: &[u8] = b"From: alice@posthouse.test\r\nSubject: spine\r\n\r\n.dot\r\nbody\r\n";

/// `nobody` on every Debian.
const NOBODY: u32 = 65_534;

fn mail_travels(site: &Site) {
    let (alice, bob) = (site.alice().address.clone(), site.bob().address.clone());
    let mut smtp = site.smtp_client().unwrap();
    let accepted = smtp.deliver(&alice, &[&bob], LETTER).unwrap();
    assert!(
        accepted.starts_with("250 2.0.0 Ok: queued as "),
        "{accepted}"
    );
    let messages = site.fetch(site.bob(), 1).unwrap();
    let message = String::from_utf8(messages[0].clone()).unwrap();
    assert!(
        message.starts_with(&format!("Return-Path: <{alice}>\r\n")),
        "{message}"
    );
    assert!(
        message.contains(&format!("\r\nDelivered-To: {bob}\r\n")),
        "{message}"
    );
    assert!(
        message.contains("\r\nReceived: from client.example "),
        "{message}"
    );
    assert!(message.contains(&format!("for <{bob}>")), "{message}");
    assert!(messages[0].ends_with(LETTER), "{message}");
}

#[test]
fn a_message_travels_from_smtp_to_pop3() {
    let mut site = Site::running().unwrap();
    mail_travels(&site);
    let status = site.stop().unwrap();
    assert!(status.success(), "{status}: {}", site.log());
}

#[test]
fn a_message_travels_when_an_ordinary_user_runs_the_suite() {
    if !Uid::effective().is_root() {
        println!("already an ordinary user: the other test shows it");
        return;
    }
    let mut site = Site::builder().run_as(NOBODY).start().unwrap();
    mail_travels(&site);
    let status = site.stop().unwrap();
    assert!(status.success(), "{status}: {}", site.log());
}

#[test]
fn a_large_message_travels_through_the_spool() {
    let site = Site::running().unwrap();
    let mut letter = LETTER.to_vec();
    for number in 0..200_000 {
        letter.extend_from_slice(format!("line {number}\r\n").as_bytes());
    }
    let mut smtp = site.smtp_client().unwrap();
    smtp.deliver("alice@posthouse.test", &["bob@posthouse.test"], &letter)
        .unwrap();
    let messages = site.fetch(site.bob(), 1).unwrap();
    assert!(
        messages[0].ends_with(&letter),
        "{} octets came",
        messages[0].len()
    );
}

#[test]
fn one_message_reaches_every_recipient_once_and_aliases_are_followed() {
    let site = Site::builder()
        .alias("team: alice, bob, crew")
        .alias("crew: bob, carol, team")
        .user("carol", "carol-secret", &[])
        .start()
        .unwrap();
    let mut smtp = site.smtp_client().unwrap();
    smtp.deliver(
        "",
        &["team@posthouse.test", "bob+lists@posthouse.test"],
        LETTER,
    )
    .unwrap();
    for account in site.accounts() {
        let messages = site.fetch(account, 1).unwrap();
        assert!(messages[0].ends_with(LETTER));
    }
    // The queue is empty once all of it is delivered, and then nobody can get a second copy of the alias's mail.
    let empty = harness::eventually(harness::PATIENCE, || {
        let listing = site.run_posthouse(&["queue", "list", "--json"]).ok()?;
        (!listing.contains("queue_id")).then_some(())
    });
    assert!(
        empty.is_some(),
        "{}",
        site.run_posthouse(&["queue", "list"]).unwrap()
    );
    let counts = site.accounts().iter().map(|account| {
        let mut client =
            Pop3Client::login(site.pop3(), &account.address, &account.password).unwrap();
        client.stat().unwrap().0
    });
    // bob is in the alias twice and was named himself: his mailbox gets one copy.
    assert_eq!(counts.collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn mail_that_cannot_be_delivered_comes_back_to_its_sender() {
    let site = Site::builder()
        .alias(r#"broken: "|/bin/sh -c 'exit 67'""#)
        .start()
        .unwrap();
    let mut smtp = site.smtp_client().unwrap();
    smtp.deliver("alice@posthouse.test", &["broken@posthouse.test"], LETTER)
        .unwrap();
    let messages = site.fetch(site.alice(), 1).unwrap();
    let report = String::from_utf8(messages[0].clone()).unwrap();
    assert!(report.starts_with("Return-Path: <>\r\n"), "{report}");
    for part in [
        "Content-Type: multipart/report",
        "report-type=delivery-status",
        "Auto-Submitted: auto-replied",
        "Reporting-MTA: dns; mail.posthouse.test",
        "Action: failed",
        "Status: 5.1.1",
        "Final-Recipient: rfc822; ",
        "Subject: spine",
    ] {
        assert!(report.contains(part), "{part} is missing in:\n{report}");
    }
}
