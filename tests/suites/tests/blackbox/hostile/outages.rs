//! A program behind smtpd stops, hangs or is replaced at the worst moment: 4xx in bounded time, never a false 250.

use std::time::{Duration, Instant};

use harness::{PATIENCE, Site, SmtpClient, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{BOB, bobs_messages, by_data, drained, say, send_one, site_with, transaction};

/// A program that is stopped until this goes away.
struct Stopped(Pid);

impl Stopped {
    fn program(site: &Site, name: &str) -> Self {
        let pid = site.pids_of(name)[0];
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

#[test]
fn a_hanging_queue_means_later_and_not_twice() {
    let site = site_with(&[("smtpd.queue_timeout", "1s")]);
    let large = b"0123456789012345678901234567890123456789\r\n".repeat(5_000);
    {
        let _stopped = Stopped::program(&site, "queue-manager");
        for content in [b"Subject: hang\r\n\r\nbody".as_slice(), &large] {
            let began = Instant::now();
            let mut client = transaction(&site);
            let reply = by_data(&mut client, content);
            assert!(reply.starts_with("451 4.3.0 "), "{reply}");
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{:?}",
                began.elapsed()
            );
            client.command("NOOP", 250).unwrap();
        }
    }
    send_one(&site);
    // The small one may have been taken after all, once; the large one had no file to go to.
    let count = bobs_messages(&site).len();
    assert!((1..=2).contains(&count), "{count} messages");
}

#[test]
fn a_queue_that_dies_at_the_end_of_data_is_never_a_250() {
    let site = site_with(&[]);
    let pid = site.pids_of("queue-manager")[0];
    let stopped = Stopped::program(&site, "queue-manager");
    let mut client = transaction(&site);
    client.command("DATA", 354).unwrap();
    client.send(b"Subject: dies\r\n\r\nbody\r\n.\r\n").unwrap();
    // The frame is on its way when the octets have left the client's socket and smtpd has read them.
    kill(pid, Signal::SIGKILL).unwrap();
    drop(stopped);
    let (code, reply) = client.reply().unwrap();
    let accepted = match code {
        250 => 1,
        451 => 0,
        _ => panic!("{reply}"),
    };
    let back = eventually(PATIENCE, || {
        let mut client = SmtpClient::greeted(site.smtp()).ok()?;
        client.deliver("", &[BOB], b"Subject: after\r\n\r\n").ok()
    });
    assert!(back.is_some(), "{}", site.log());
    // A 250 can only be the new queue-manager's, to a request that the old one never saw.
    assert_eq!(bobs_messages(&site).len(), 1 + accepted, "{reply}");
}

#[test]
fn a_hanging_directory_is_answered_in_time_and_postmaster_needs_none() {
    let site = site_with(&[("smtpd.lookup_timeout", "1s"), ("smtpd.vrfy", "full")]);
    let began = Instant::now();
    {
        let _stopped = Stopped::program(&site, "directory");
        let mut client = site.smtp_client().unwrap();
        for (command, wanted) in [
            ("MAIL FROM:<>", "250 2.1.0 "),
            ("RCPT TO:<bob@posthouse.test>", "451 4.3.0 "),
            ("RCPT TO:<postmaster>", "250 2.1.5 "),
            ("VRFY bob", "451 4.3.0 "),
            ("NOOP", "250 2.0.0 "),
            ("QUIT", "221 2.0.0 "),
        ] {
            let reply = say(&mut client, format!("{command}\r\n"));
            assert!(reply.starts_with(wanted), "{command}: {reply}");
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    send_one(&site);
    assert_eq!(bobs_messages(&site).len(), 1);
}

/// RFC 5321 §4.5.3.2.3: a client waits five minutes for the reply to RCPT, not for those to a whole group.
#[test]
fn a_hanging_directory_does_not_hold_up_a_group_for_each_of_its_recipients() {
    let site = site_with(&[("smtpd.lookup_timeout", "1s")]);
    let began = Instant::now();
    let stopped = Stopped::program(&site, "directory");
    let mut client = site.smtp_client().unwrap();
    let group: String = (0..30)
        .map(|number| format!("RCPT TO:<bob+{number}@posthouse.test>\r\n"))
        .collect();
    client.send(format!("MAIL FROM:<>\r\n{group}")).unwrap();
    client.expect(250).unwrap();
    for _ in 0..30 {
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with("451 4.3.0 "), "{reply}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    drop(stopped);
    // The next group asks anew.
    client.command("RCPT TO:<bob@posthouse.test>", 250).unwrap();
}

#[test]
fn a_directory_that_dies_while_it_is_asked_is_asked_again_or_later() {
    let site = site_with(&[]);
    let pid = site.pids_of("directory")[0];
    let stopped = Stopped::program(&site, "directory");
    let mut client = site.smtp_client().unwrap();
    client.command("MAIL FROM:<>", 250).unwrap();
    client.send("RCPT TO:<bob@posthouse.test>\r\n").unwrap();
    kill(pid, Signal::SIGKILL).unwrap();
    drop(stopped);
    let (code, reply) = client.reply().unwrap();
    assert!(code == 250 || reply.starts_with("451 4.3.0 "), "{reply}");
    let sent = eventually(PATIENCE, || {
        let mut client = SmtpClient::greeted(site.smtp()).ok()?;
        client.deliver("", &[BOB], b"Subject: after\r\n\r\n").ok()
    });
    assert!(sent.is_some(), "{}", site.log());
}

/// Both halves of a message, one before the reload and one after, inline and through the spool, by DATA and BDAT.
#[test]
fn a_reload_within_content_loses_nothing() {
    let site = site_with(&[]);
    let line = b"0123456789012345678901234567890123456789\r\n";
    let halves = [line.repeat(10), line.repeat(4_000)];
    let before: Vec<Vec<Pid>> = ["smtpd", "queue-manager"]
        .map(|name| site.pids_of(name))
        .into();
    let mut sessions: Vec<_> = halves
        .iter()
        .flat_map(|half| [(half, true), (half, false)])
        .map(|(half, by_data)| {
            let mut client = transaction(&site);
            if by_data {
                client.command("DATA", 354).unwrap();
                client.send_quietly(half).unwrap();
            } else {
                client
                    .send_quietly(format!("BDAT {}\r\n", 2 * half.len()))
                    .unwrap();
                client.send_quietly(half).unwrap();
            }
            (client, half, by_data)
        })
        .collect();
    site.signal(Signal::SIGHUP).unwrap();
    let replaced = eventually(PATIENCE, || {
        let new = |name, old: &Vec<Pid>| site.pids_of(name).iter().any(|pid| !old.contains(pid));
        (new("smtpd", &before[0]) && new("queue-manager", &before[1])).then_some(())
    });
    assert!(replaced.is_some(), "{}", site.log());
    for (client, half, by_data) in &mut sessions {
        client.send_quietly(&half).unwrap();
        if *by_data {
            client.send_quietly(b".\r\n").unwrap();
        } else {
            client.expect(250).unwrap();
            client.send("BDAT 0 LAST\r\n").unwrap();
        }
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with("250 2.0.0 "), "{reply}; {}", site.log());
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    }
    let messages = site.fetch(site.bob(), 4).unwrap();
    for (_, half, _) in &sessions {
        let whole = half.repeat(2);
        assert!(
            messages
                .iter()
                .filter(|message| message.ends_with(&whole))
                .count()
                >= 2
        );
    }
    drained(&site);
    assert_eq!(bobs_messages(&site).len(), 4);
}

/// What was spooled outlives the queue-manager that opened the file; the message comes once and whole, or is refused.
#[test]
fn a_queue_that_dies_within_spooled_content_cannot_garble_it() {
    let site = site_with(&[]);
    let half = b"0123456789012345678901234567890123456789\r\n".repeat(10_000);
    let mut client = transaction(&site);
    client.command("DATA", 354).unwrap();
    client.send_quietly(&half).unwrap();
    let spool = site.dir().join("queue/spool");
    let begun = eventually(PATIENCE, || {
        std::fs::read_dir(&spool).ok()?.flatten().next().map(|_| ())
    });
    assert!(begun.is_some(), "{}", site.log());
    let old = site.pids_of("queue-manager")[0];
    kill(old, Signal::SIGKILL).unwrap();
    let back = eventually(PATIENCE, || {
        site.pids_of("queue-manager")
            .into_iter()
            .find(|pid| *pid != old)
    });
    assert!(back.is_some(), "{}", site.log());
    client.send_quietly(&half).unwrap();
    let reply = say(&mut client, ".\r\n");
    let accepted = match reply.get(..3) {
        Some("250") => 1,
        Some("451") => 0,
        _ => panic!("{reply}"),
    };
    let messages = bobs_messages(&site);
    assert_eq!(messages.len(), accepted, "{reply}");
    assert!(
        messages
            .iter()
            .all(|message| message.ends_with(&half.repeat(2)))
    );
}

/// An idle session hears of the end of its server, one in a transaction finishes, and nobody waits for either.
#[test]
fn a_reload_takes_leave_of_idle_sessions() {
    let site = site_with(&[]);
    let mut idle = site.smtp_client().unwrap();
    let mut silent = SmtpClient::connect(site.smtp()).unwrap();
    silent.expect(220).unwrap();
    let mut inside = transaction(&site);
    site.signal(Signal::SIGHUP).unwrap();
    for client in [&mut idle, &mut silent] {
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    }
    assert!(by_data(&mut inside, b"Subject: inside\r\n\r\n").starts_with("250 "));
    let (_, reply) = inside.reply().unwrap();
    assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    send_one(&site);
    assert_eq!(bobs_messages(&site).len(), 2);
}
