//! What is delivered, under whose rights, and what is said when it cannot be.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use ipc::protocol::{MailboxFormat, UsageReply};
use mail_types::{Outcome, Target};
use sandbox::process::Ended;

use super::site::{ALIAS_OWNER, OWNER, Site, address, is_root};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

/// Runs a test on a runtime of its own.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered(delivered) => delivered.text.clone(),
        Outcome::Deferred(deferral) => format!("{} {}", deferral.status, deferral.text),
        Outcome::Failed(failure) => format!("{} {}", failure.status, failure.text),
    }
}

fn messages(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

fn mailbox(user: &str) -> Target {
    Target::Mailbox(address(user))
}

#[test]
fn works_end_in_mailboxes_of_their_owners() {
    run(async {
        let mut site = Site::start("").await;
        assert_eq!(site.capacity, 100);
        site.user(
            "alice@example.org",
            "mail/example.org/alice",
            MailboxFormat::Maildir,
        );
        site.user("bob@example.org", "mail/bob", MailboxFormat::Mbox);
        let targets = [
            mailbox("alice@example.org"),
            mailbox("bob@example.org"),
            mailbox("nobody@example.org"),
            Target::File("/dev/null".into()),
        ];
        let mut leases = Vec::new();
        for at in 0..30 {
            leases.push(site.give(&targets, MESSAGE, at % 2 == 0));
        }
        for _ in 0..30 {
            let (lease, outcomes) = site.done().await;
            leases.retain(|other| *other != lease);
            let told: Vec<_> = outcomes.iter().map(|one| told(&one.outcome)).collect();
            let expected = [
                "delivered to maildir",
                "delivered to mailbox",
                "5.1.1 user unknown",
                "discarded: the alias names /dev/null",
            ];
            assert_eq!(told, expected);
        }
        assert!(leases.is_empty());
        let new = site.path("mail/example.org/alice/new");
        let found = messages(&new);
        assert_eq!(found.len(), 30);
        let expected = "Return-Path: <sender@example.net>\nDelivered-To: alice@example.org\n\
            Subject: x\n\nhello\n";
        assert!(found.iter().all(|message| message == expected.as_bytes()));
        let mbox = fs::read_to_string(site.path("mail/bob")).unwrap();
        assert_eq!(mbox.matches("From sender@example.net ").count(), 30);
        if is_root() {
            for path in [&new, &site.path("mail/bob")] {
                let metadata = fs::metadata(path).unwrap();
                assert_eq!((metadata.uid(), metadata.gid()), (OWNER, OWNER));
            }
        }
        assert_eq!(site.stop().await, Ended::Exited(0));
    });
}

#[test]
fn workers_are_jailed() {
    run(async {
        let mut site = Site::start("").await;
        site.user("alice@example.org", "mail/alice", MailboxFormat::Maildir);
        site.deliver(&[mailbox("alice@example.org")], MESSAGE).await;
        let workers = site.workers();
        assert_eq!(workers.len(), 1, "one owner and folder, one worker");
        let status = fs::read_to_string(format!("/proc/{}/status", workers[0])).unwrap();
        let line = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(line("NoNewPrivs:"), ["1"]);
        assert_eq!(line("Seccomp:"), ["2"]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(set), ["0000000000000000"], "{set}");
        }
        if is_root() {
            let owner = OWNER.to_string();
            assert!(line("Uid:").iter().all(|uid| *uid == owner), "{status}");
            assert!(line("Gid:").iter().all(|gid| *gid == owner), "{status}");
            assert!(line("Groups:").iter().all(|gid| *gid == owner), "{status}");
        }
        // Outside its folder it can do nothing, even where the user might.
        site.user(
            "eve@example.org",
            "mail/../alias/eve",
            MailboxFormat::Maildir,
        );
        let outcomes = site.deliver(&[mailbox("eve@example.org")], MESSAGE).await;
        assert_eq!(
            told(&outcomes[0].outcome),
            "4.3.5 mailbox is not set up safely; see the server's log"
        );
    });
}

#[test]
fn root_gets_no_mail() {
    run(async {
        let mut site = Site::start("").await;
        let mut spec = site.user("root@example.org", "mail/root", MailboxFormat::Maildir);
        spec.uid = if is_root() { 0 } else { spec.uid + 1 };
        site.know(spec.clone());
        let outcomes = site.deliver(&[mailbox("root@example.org")], MESSAGE).await;
        assert!(
            told(&outcomes[0].outcome).starts_with("4.3.5 "),
            "{outcomes:?}"
        );
        assert!(!spec.path.exists());
        assert_eq!(site.usage(spec).await, UsageReply::Unavailable);
    });
}

#[test]
fn loops_end_and_full_mailboxes_are_told() {
    run(async {
        let mut site = Site::start("mailbox_full = \"defer\"").await;
        let mut spec = site.user("alice@example.org", "mail/alice", MailboxFormat::Maildir);
        let looping = b"Delivered-To: alice@EXAMPLE.org\r\n\r\nx\r\n";
        let outcomes = site.deliver(&[mailbox("alice@example.org")], looping).await;
        assert_eq!(
            told(&outcomes[0].outcome),
            "5.4.6 mail forwarding loop for alice@example.org"
        );
        assert_eq!(
            site.usage(spec.clone()).await,
            UsageReply::Usage {
                bytes: 0,
                messages: 0
            }
        );
        spec.quota_messages = 1;
        site.know(spec.clone());
        let outcomes = site.deliver(&[mailbox("alice@example.org")], MESSAGE).await;
        assert_eq!(told(&outcomes[0].outcome), "delivered to maildir");
        let outcomes = site.deliver(&[mailbox("alice@example.org")], MESSAGE).await;
        assert_eq!(told(&outcomes[0].outcome), "4.2.2 mailbox is full");
        let stored = messages(&spec.path.join("new"))[0].len() as u64;
        assert_eq!(
            site.usage(spec).await,
            UsageReply::Usage {
                bytes: stored,
                messages: 1
            }
        );
    });
}

#[test]
fn files_and_commands_of_aliases_get_the_alias_users_rights() {
    run(async {
        let mut site = Site::start("").await;
        let (file, seen) = (site.path("alias/file"), site.path("alias/seen"));
        let maildir = format!("{}/", site.path("alias/maildir").display());
        let targets = [
            Target::File(file.clone()),
            Target::File(maildir.into()),
            Target::Command(format!("(id -u; cat) > {}", seen.display())),
            Target::Command("exit 75".into()),
            Target::Command("cat > /dev/null; echo no such list; exit 67".into()),
        ];
        let outcomes = site.deliver(&targets, MESSAGE).await;
        let told: Vec<_> = outcomes.iter().map(|one| told(&one.outcome)).collect();
        let expected = [
            "delivered to mailbox",
            "delivered to maildir",
            "delivered to command",
            "4.3.0 temporary failure (exit status 75)",
            "5.1.1 user unknown (exit status 67): no such list",
        ];
        assert_eq!(told, expected);
        assert_eq!(messages(&site.path("alias/maildir/new")).len(), 1);
        let seen = fs::read_to_string(seen).unwrap();
        assert!(
            seen.contains("\nDelivered-To: alias@example.org\nSubject: x\n"),
            "{seen}"
        );
        if is_root() {
            assert_eq!(fs::metadata(file).unwrap().uid(), ALIAS_OWNER);
            assert!(seen.starts_with(&format!("{ALIAS_OWNER}\n")), "{seen}");
        }
    });
}

#[test]
fn a_dead_worker_defers_its_work_and_is_replaced() {
    run(async {
        let mut site = Site::start("lock_timeout = \"60s\"").await;
        site.user("bob@example.org", "mail/bob", MailboxFormat::Mbox);
        site.user("alice@example.org", "mail/alice", MailboxFormat::Maildir);
        let lock = site.path("mail/bob.lock");
        fs::write(&lock, "1").unwrap();
        site.give(&[mailbox("bob@example.org")], MESSAGE, false);
        // It has made the mbox and now waits for the lock.
        let begin = Instant::now();
        while !site.path("mail/bob").exists() {
            assert!(begin.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let workers = site.workers();
        assert_eq!(workers.len(), 1);
        sandbox::process::kill(workers[0]).unwrap();
        let (_, outcomes) = site.done().await;
        assert_eq!(
            told(&outcomes[0].outcome),
            "4.3.0 local delivery failed; see the server's log"
        );
        fs::remove_file(&lock).unwrap();
        for user in ["alice@example.org", "bob@example.org"] {
            let outcomes = site.deliver(&[mailbox(user)], MESSAGE).await;
            assert!(
                told(&outcomes[0].outcome).starts_with("delivered"),
                "{outcomes:?}"
            );
        }
        assert_ne!(site.workers(), workers);
    });
}

#[test]
fn workers_that_are_killed_lose_and_tear_nothing() {
    const MESSAGES: usize = 400;
    const KILLS: usize = 12;
    run(async {
        let mut site = Site::start("").await;
        let maildir = site.user("alice@example.org", "mail/alice", MailboxFormat::Maildir);
        let mbox = site.user("bob@example.org", "mail/bob", MailboxFormat::Mbox);
        let targets = [mailbox("alice@example.org"), mailbox("bob@example.org")];
        let content = |number: usize| {
            let line = format!("number {number:04} \r\n");
            format!("Subject: x\r\n\r\n{}", line.repeat(200)).into_bytes()
        };
        // Which target of which message a lease is for.
        let mut leases = HashMap::new();
        for number in 0..MESSAGES {
            for target in 0..targets.len() {
                let lease = site.give(&targets[target..=target], &content(number), number % 5 == 0);
                leases.insert(lease, (number, target));
            }
        }
        let (mut kills, mut done) = (0, 0);
        while !leases.is_empty() {
            let (lease, outcomes) = site.done().await;
            let (number, target) = leases.remove(&lease).unwrap();
            if told(&outcomes[0].outcome).starts_with("4.3.0") {
                let again = site.give(&targets[target..=target], &content(number), false);
                leases.insert(again, (number, target));
                continue;
            }
            assert!(
                told(&outcomes[0].outcome).starts_with("delivered"),
                "{outcomes:?}"
            );
            done += 1;
            if done % 40 == 0 && kills < KILLS {
                for worker in site.workers() {
                    sandbox::process::kill(worker).unwrap();
                }
                kills += 1;
            }
        }
        assert!(kills > 5, "the test has killed only {kills} times");
        let stored = |number: usize| {
            String::from_utf8(content(number))
                .unwrap()
                .replace("\r\n", "\n")
        };
        let found = messages(&maildir.path.join("new"));
        let mbox = fs::read_to_string(&mbox.path).unwrap();
        for number in 0..MESSAGES {
            let text = stored(number);
            let whole = |message: &&Vec<u8>| message.ends_with(text.as_bytes());
            assert!(
                found.iter().any(|message| whole(&message)),
                "{number} is lost"
            );
            assert!(mbox.contains(&text), "{number} is lost from the mbox");
        }
        let size = found.iter().map(Vec::len).max().unwrap();
        assert!(
            found.iter().all(|message| message.len() == size),
            "a message is torn"
        );
        println!("{kills} kills, {} repeated", found.len() - MESSAGES);
    });
}

#[test]
fn more_owners_than_workers_take_turns() {
    run(async {
        let mut site = Site::start("workers = 2").await;
        let count = 8;
        for n in 0..count {
            // A folder of its own each, and so a worker of its own.
            let name = format!("u{n}@example.org");
            let home = site.path(&format!("home{n}"));
            fs::create_dir(&home).unwrap();
            let spec = site.user(&name, &format!("home{n}/Maildir"), MailboxFormat::Maildir);
            if is_root() {
                std::os::unix::fs::chown(&home, Some(spec.uid), Some(spec.gid)).unwrap();
            }
        }
        for round in 0..3 {
            for n in 0..count {
                site.give(&[mailbox(&format!("u{n}@example.org"))], MESSAGE, false);
            }
            for _ in 0..count {
                let (_, outcomes) = site.done().await;
                assert_eq!(
                    told(&outcomes[0].outcome),
                    "delivered to maildir",
                    "round {round}"
                );
            }
        }
        for n in 0..count {
            let new = site.path(&format!("home{n}/Maildir/new"));
            assert_eq!(messages(&new).len(), 3);
        }
    });
}

#[test]
fn a_drain_finishes_what_was_begun() {
    run(async {
        let mut site = Site::start("").await;
        site.user("alice@example.org", "mail/alice", MailboxFormat::Maildir);
        site.deliver(&[mailbox("alice@example.org")], MESSAGE).await;
        let slow = Target::Command("sleep 1".into());
        let lease = site.give(&[slow], MESSAGE, false);
        let begin = Instant::now();
        while site.workers().len() < 2 {
            assert!(begin.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sandbox::process::terminate(site.program).unwrap();
        let (done, outcomes) = site.done().await;
        assert_eq!(done, lease);
        assert_eq!(told(&outcomes[0].outcome), "delivered to command");
        assert_eq!(site.stop().await, Ended::Exited(0));
    });
}

#[test]
fn a_spool_of_mboxes_is_written_through_its_group() {
    const SPOOL_GROUP: u32 = 12_347;
    if !is_root() {
        println!("skipped: only root can give a folder to another group");
        return;
    }
    run(async {
        for (settings, made) in [
            (format!("mbox_group = {SPOOL_GROUP}"), true),
            (String::new(), false),
        ] {
            let mut site = Site::start(&settings).await;
            let spool = site.path("spool");
            std::os::unix::fs::chown(&spool, Some(0), Some(SPOOL_GROUP)).unwrap();
            fs::set_permissions(&spool, fs::Permissions::from_mode(0o2775)).unwrap();
            let user = site.user("bob@example.org", "spool/bob", MailboxFormat::Mbox);
            let outcomes = site.deliver(&[mailbox("bob@example.org")], MESSAGE).await;
            assert_eq!(user.path.exists(), made, "{outcomes:?}");
            if made {
                assert_eq!(told(&outcomes[0].outcome), "delivered to mailbox");
                assert_eq!(fs::metadata(&user.path).unwrap().uid(), OWNER);
            } else {
                assert_eq!(
                    told(&outcomes[0].outcome),
                    "4.3.0 mailbox could not be written"
                );
            }
        }
    });
}
