//! Users and aliases as clients and administrators see them: answers at RCPT, logins, changes of the files.

use std::fs;
use std::time::Duration;

use harness::{PATIENCE, Pop3Client, Site, SmtpClient, eventually};

fn transaction(site: &Site) -> SmtpClient {
    let mut smtp = site.smtp_client().unwrap();
    smtp.command("MAIL FROM:<sender@elsewhere.example>", 250)
        .unwrap();
    smtp
}

/// The reply to one RCPT, in a transaction of its own.
fn rcpt(site: &Site, recipient: &str) -> String {
    let mut smtp = transaction(site);
    smtp.send(format!("RCPT TO:<{recipient}>\r\n")).unwrap();
    let (code, text) = smtp.reply().unwrap();
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    format!("{code} {status}")
}

fn until(site: &Site, what: &str, mut holds: impl FnMut() -> bool) {
    let held = eventually(PATIENCE, || holds().then_some(()));
    assert!(held.is_some(), "{what}; the log:\n{}", site.log());
}

#[test]
fn recipients_are_answered_one_by_one() {
    let site = Site::builder()
        .alias("team: alice, bob")
        .alias("dead: nobody")
        .alias("loop: pool")
        .alias("pool: loop")
        .alias("nil: /dev/null")
        .user("carol", "x", &["--moved", "carol@elsewhere.example"])
        .start()
        .unwrap();
    for (recipient, reply) in [
        ("alice@posthouse.test", "250 2.1.5"),
        ("Alice+lists@POSTHOUSE.test", "250 2.1.5"),
        ("\"alice\"@posthouse.test", "250 2.1.5"),
        ("team@posthouse.test", "250 2.1.5"),
        ("nil@posthouse.test", "250 2.1.5"),
        ("postmaster@posthouse.test", "250 2.1.5"),
        ("nobody@posthouse.test", "550 5.1.1"),
        ("dead@posthouse.test", "550 5.1.1"),
        ("loop@posthouse.test", "550 5.1.1"),
        ("\"../alice\"@posthouse.test", "550 5.1.1"),
        ("carol@posthouse.test", "551 5.1.6"),
    ] {
        assert_eq!(rcpt(&site, recipient), reply, "{recipient}");
    }
}

#[test]
fn a_full_mailbox_is_refused_before_the_message_comes() {
    let site = Site::builder()
        .user("carol", "carol-secret", &["--quota", "2K"])
        .start()
        .unwrap();
    let mut smtp = site.smtp_client().unwrap();
    smtp.command("MAIL FROM:<a@elsewhere.example> SIZE=3000", 250)
        .unwrap();
    let text = smtp.command("RCPT TO:<carol@posthouse.test>", 552).unwrap();
    assert!(text.contains("5.2.2"), "{text}");
    smtp.command("RCPT TO:<alice@posthouse.test>", 250).unwrap();
    smtp.command("RSET", 250).unwrap();
    smtp.command("MAIL FROM:<a@elsewhere.example> SIZE=100", 250)
        .unwrap();
    smtp.command("RCPT TO:<carol@posthouse.test>", 250).unwrap();
}

#[test]
fn users_and_passwords_change_without_a_restart() {
    let site = Site::builder()
        .set("pop3.login_failure_delay", "100ms")
        .and_then(harness::SiteBuilder::start)
        .unwrap();
    let login =
        |password: &str| Pop3Client::login(site.pop3(), "carol@posthouse.test", password).is_ok();
    assert_eq!(rcpt(&site, "carol@posthouse.test"), "550 5.1.1");
    assert!(!login("first"));
    add_carol(&site, "first");
    until(&site, "carol never came", || {
        rcpt(&site, "carol@posthouse.test") == "250 2.1.5"
    });
    assert!(login("first"), "{}", site.log());
    site.run_posthouse(&["user", "passwd", "carol", "--no-password"])
        .unwrap();
    until(&site, "the old password stayed", || !login("first"));
    site.run_posthouse(&["user", "del", "carol"]).unwrap();
    until(&site, "carol stayed", || {
        rcpt(&site, "carol@posthouse.test") == "550 5.1.1"
    });
    assert!(!site.log().contains("first"), "a password is in the log");
}

fn add_carol(site: &Site, password: &str) {
    use std::io::Write as _;
    let mut command = site
        .posthouse(&["user", "add", "carol", "--password-stdin"])
        .unwrap();
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_broken_file_keeps_the_last_good_one_and_is_named_with_its_line() {
    let site = Site::running().unwrap();
    let users = site.dir().join("users");
    let good = fs::read_to_string(&users).unwrap();
    fs::write(&users, format!("{good}no user at all\n")).unwrap();
    let line = good.lines().count() + 1;
    let named = format!("line={line} ");
    until(&site, "the error was not logged", || {
        site.log().contains(&named)
    });
    assert!(site.log().contains("table_refused"), "{}", site.log());
    assert_eq!(rcpt(&site, "bob@posthouse.test"), "250 2.1.5");
    let told = site
        .run_posthouse(&["user", "check"])
        .unwrap_err()
        .to_string();
    assert!(
        told.contains(&format!(
            "users:{line}: the line does not begin with an address"
        )),
        "{told}"
    );
    fs::write(&users, good).unwrap();
    until(&site, "the repaired file was not read", || {
        site.run_posthouse(&["user", "check"]).is_ok()
    });
}

#[test]
fn what_was_never_readable_is_later_and_not_unknown() {
    let mut site = Site::running().unwrap();
    site.stop().unwrap();
    let (users, away) = (site.dir().join("users"), site.dir().join("away"));
    fs::rename(&users, &away).unwrap();
    site.start().unwrap();
    assert_eq!(rcpt(&site, "bob@posthouse.test"), "451 4.3.0");
    let bob = site.bob();
    let refused = Pop3Client::login(site.pop3(), &bob.address, &bob.password).unwrap_err();
    assert!(refused.to_string().contains("[SYS/TEMP]"), "{refused}");
    assert!(
        site.log().contains("there is no such file"),
        "{}",
        site.log()
    );
    fs::rename(&away, &users).unwrap();
    until(&site, "the file was not read when it came", || {
        rcpt(&site, "bob@posthouse.test") == "250 2.1.5"
    });
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_and_last_the_same() {
    let site = Site::builder()
        .set("pop3.login_failure_delay", "100ms")
        .and_then(harness::SiteBuilder::start)
        .unwrap();
    let mut replies = Vec::new();
    let mut times = Vec::new();
    for user in [
        "alice@posthouse.test",
        "nobody@posthouse.test",
        "nobody@elsewhere.example",
    ] {
        let mut pop3 = Pop3Client::connect(site.pop3()).unwrap();
        pop3.command(&format!("USER {user}")).unwrap();
        let start = std::time::Instant::now();
        replies.push(pop3.refused("PASS wrong").unwrap());
        times.push(start.elapsed());
    }
    assert!(
        replies.windows(2).all(|pair| pair[0] == pair[1]),
        "{replies:?}"
    );
    let spread = times
        .iter()
        .max()
        .unwrap()
        .saturating_sub(*times.iter().min().unwrap());
    // The hash takes tens of milliseconds and the delay after it seconds; a busy machine adds its own.
    assert!(spread < Duration::from_millis(500), "{times:?}");
}
