//! POP3 dialogs with the real pop3d and its session half.

use std::collections::BTreeSet;

use harness::{PATIENCE, Pop3Client, Site, eventually};
use nix::sys::signal::{Signal, kill};

fn site_with_letters(count: usize) -> Site {
    let site = Site::running().unwrap();
    let mut smtp = site.smtp_client().unwrap();
    for number in 1..=count {
        let letter = format!("Subject: letter {number}\r\n\r\n.first\r\nsecond\r\n\r\nthird\r\n");
        smtp.deliver(
            "alice@posthouse.test",
            &["bob@posthouse.test"],
            letter.as_bytes(),
        )
        .unwrap();
        site.fetch(site.bob(), number).unwrap();
    }
    site
}

fn login(site: &Site) -> Pop3Client {
    let bob = site.bob();
    // The lock of a session that has just ended may take a moment to go.
    eventually(PATIENCE, || {
        Pop3Client::login(site.pop3(), &bob.address, &bob.password).ok()
    })
    .unwrap()
}

#[test]
fn commands_and_their_replies() {
    let site = site_with_letters(2);
    let mut client = login(&site);
    let (count, octets) = client.stat().unwrap();
    assert_eq!(count, 2);
    let list = String::from_utf8(client.multiline("LIST").unwrap()).unwrap();
    let sizes: Vec<u64> = list
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(sizes.iter().sum::<u64>(), octets);
    for (number, size) in sizes.iter().enumerate() {
        let message = client.retrieve(number + 1).unwrap();
        assert_eq!(
            message.len() as u64,
            *size,
            "LIST tells the octets that RETR sends"
        );
    }
    let top = String::from_utf8(client.multiline("TOP 1 1").unwrap()).unwrap();
    assert!(
        top.ends_with("Subject: letter 1\r\n\r\n.first\r\n"),
        "{top}"
    );
    assert!(client.refused("RETR 3").is_ok());
    assert!(client.refused("LIST 0").is_ok());
    assert!(client.refused("NONSENSE").is_ok());
    client.command("NOOP").unwrap();
    client.command("DELE 1").unwrap();
    assert!(client.refused("RETR 1").is_ok());
    assert_eq!(client.stat().unwrap().0, 1);
    client.command("RSET").unwrap();
    assert_eq!(client.stat().unwrap().0, 2);
    let capabilities = String::from_utf8(client.multiline("CAPA").unwrap()).unwrap();
    for capability in [
        "TOP",
        "USER",
        "UIDL",
        "RESP-CODES",
        "PIPELINING",
        "IMPLEMENTATION Posthouse",
    ] {
        assert!(
            capabilities
                .lines()
                .any(|line| line.starts_with(capability)),
            "{capability}: {capabilities}"
        );
    }
}

#[test]
fn deletes_happen_at_quit_and_only_there() {
    let site = site_with_letters(3);
    let mut client = login(&site);
    client.command("DELE 1").unwrap();
    drop(client);
    let mut client = login(&site);
    assert_eq!(
        client.stat().unwrap().0,
        3,
        "a connection that ended deletes nothing"
    );
    client.command("DELE 2").unwrap();
    for pid in site.pids_of("pop3-session") {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    let mut client = login(&site);
    assert_eq!(
        client.stat().unwrap().0,
        3,
        "a session that died deletes nothing"
    );
    client.command("DELE 2").unwrap();
    client.quit().unwrap();
    let mut client = login(&site);
    assert_eq!(client.stat().unwrap().0, 2);
    let left = String::from_utf8(client.retrieve(2).unwrap()).unwrap();
    assert!(left.contains("Subject: letter 3\r\n"), "{left}");
}

#[test]
fn unique_ids_stay_over_sessions_restarts_and_deletes() {
    let mut site = site_with_letters(3);
    let ids = |site: &Site| -> Vec<String> {
        let listing = String::from_utf8(login(site).multiline("UIDL").unwrap()).unwrap();
        listing
            .lines()
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect()
    };
    let first = ids(&site);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(ids(&site), first);
    site.stop().unwrap();
    site.start().unwrap();
    assert_eq!(ids(&site), first);
    let mut client = login(&site);
    client.command("DELE 2").unwrap();
    client.quit().unwrap();
    assert_eq!(ids(&site), [first[0].clone(), first[2].clone()]);
}

#[test]
fn a_maildrop_in_use_is_said_to_be() {
    let site = site_with_letters(1);
    let _first = login(&site);
    let mut second = Pop3Client::connect(site.pop3()).unwrap();
    second
        .command(&format!("USER {}", site.bob().address))
        .unwrap();
    let why = second
        .refused(&format!("PASS {}", site.bob().password))
        .unwrap();
    assert!(why.starts_with("[IN-USE]"), "{why}");
}

#[test]
fn an_unknown_user_and_a_wrong_password_are_answered_alike() {
    let site = Site::builder()
        .set("pop3.login_failure_delay", "100ms")
        .unwrap()
        .start()
        .unwrap();
    let refusal = |user: &str| {
        let mut client = Pop3Client::connect(site.pop3()).unwrap();
        let user_reply = client.command(&format!("USER {user}")).unwrap();
        (user_reply, client.refused("PASS wrong").unwrap())
    };
    assert_eq!(
        refusal(&site.bob().address),
        refusal("nobody-there@posthouse.test")
    );
}

#[test]
fn no_password_is_logged() {
    let site = site_with_letters(1);
    let mut client = Pop3Client::connect(site.pop3()).unwrap();
    client
        .command(&format!("USER {}", site.bob().address))
        .unwrap();
    client.refused("PASS very-wrong-secret").unwrap();
    let log = site.log();
    assert!(log.contains("bob@posthouse.test"), "{log}");
    for secret in ["very-wrong-secret", &site.bob().password, "letter 1"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
