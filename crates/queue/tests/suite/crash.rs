//! The process is killed at any moment: what it called durable is there, and whole.
//!
//! The victim is this test program again, started with a folder in its environment. It says each
//! thing that was made durable on its standard output, and is killed when a number of them was
//! read, so that no test depends on timing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command as Program, Stdio};

use mail_types::QueueId;
use queue::{Command, Content, Done, Fate, MessageState, NewContent, NewMessage, Update};

use crate::common::{Fixture, changes, message, settings};

const FOLDER: &str = "QUEUE_TEST_VICTIM";

/// Starts the victim's part of this file in a process of its own.
fn victim(folder: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Program::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::victim_works",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// Submits and removes messages until it is killed. Does nothing when run as a test.
#[test]
fn victim_works() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let fixture = Fixture::at(Path::new(&folder), settings());
    let mut open = Vec::new();
    for round in 0.. {
        let mut commands: Vec<Command> = (0..8).map(|n| submit(&fixture, round + n)).collect();
        for id in open.drain(..).take(5) {
            // It may be gone from now on; only when that was answered, it must be.
            say(&format!("removing {id}"));
            commands.push(remove(id));
        }
        for done in fixture.call_all(commands) {
            match done.unwrap() {
                Done::Accepted(id) => {
                    open.push(id.into_inner());
                    say(&format!("accepted {}", id.into_inner()));
                }
                Done::Updated(updated) => {
                    say(&format!("removed {}", updated.queue_id));
                    for report in updated.reports {
                        say(&format!("accepted {}", report.into_inner()));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn say(line: &str) {
    // Not println!, which would be torn: one write each.
    std::io::stdout()
        .write_all(format!("fact {line}\n").as_bytes())
        .unwrap();
}

/// Every fourth message has its content in a spool file.
fn submit(fixture: &Fixture, number: usize) -> Command {
    let mut message = message(1 + number % 3, vec![b'm'; 10 + number % 5000]);
    if number.is_multiple_of(4) {
        let opened = fixture.call(Command::OpenSpool { expected: 0 });
        let Ok(Done::Spool { spool, mut file }) = opened else {
            panic!("{opened:?}");
        };
        file.write_all(&vec![b's'; 100_000]).unwrap();
        message.content = NewContent::Spooled {
            spool,
            size: 100_000,
        };
    }
    Command::Submit(Box::new(message))
}

/// Ends all recipients; one in three with a report in the same transaction.
fn remove(id: QueueId) -> Command {
    let reports: Vec<NewMessage> =
        id.0.is_multiple_of(3)
            .then(|| message(1, "report"))
            .into_iter()
            .collect();
    let fates = (0..3).map(|number| (number, Fate::Gone)).collect();
    Command::Update(Box::new(Update {
        reports,
        ..changes(id, fates)
    }))
}

#[test]
fn what_was_durable_survives_a_kill() {
    let temporary = tempfile::tempdir().unwrap();
    let mut facts = BTreeMap::new();
    for lines_before_death in [1, 7, 40, 3, 150, 23, 90, 11] {
        let (mut child, mut output) = victim(temporary.path());
        let mut line = String::new();
        let mut seen = 0;
        loop {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                break;
            }
            let Some(fact) = line
                .strip_suffix('\n')
                .and_then(|line| line.strip_prefix("fact "))
            else {
                continue;
            };
            let (what, id) = fact.split_once(' ').unwrap();
            facts.insert(id.parse().unwrap(), what.to_owned());
            seen += 1;
            if seen == lines_before_death {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= lines_before_death);
        check(temporary.path(), &facts);
    }
}

/// Everything durable is there and whole, everything removed is gone, and the tables agree.
fn check(folder: &Path, facts: &BTreeMap<QueueId, String>) {
    let fixture = Fixture::at(folder, settings());
    let stored: BTreeSet<QueueId> = fixture
        .reader
        .list(None, None, usize::MAX)
        .unwrap()
        .into_iter()
        .collect();
    for (id, last) in facts {
        match last.as_str() {
            "accepted" => assert!(stored.contains(id), "{id} is lost"),
            "removed" => assert!(!stored.contains(id), "{id} came back"),
            _ => {}
        }
    }
    for &id in &stored {
        let message = fixture.reader.message(id).unwrap().unwrap();
        assert_eq!(message.state, MessageState::Incoming);
        let recipients = fixture.recipients(id).len() as u64;
        assert_eq!(message.recipients_left, recipients);
        assert!(recipients > 0, "{id} has nobody left");
        let size = match fixture.reader.content(id).unwrap().unwrap() {
            Content::Inline(content) => content.len() as u64,
            Content::File(file) => file.metadata().unwrap().len(),
        };
        assert_eq!(message.size, size);
    }
    assert_eq!(fixture.counts().incoming, stored.len() as u64);
    let rows = |sql: &str| {
        fixture
            .database()
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(
        rows("SELECT count(*) FROM recipient WHERE message NOT IN (SELECT id FROM message)"),
        0
    );
    assert_eq!(
        rows("SELECT count(*) FROM content WHERE id NOT IN (SELECT id FROM message)"),
        0
    );
    let sound: String = fixture
        .database()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    let named = rows("SELECT count(*) FROM message WHERE spool IS NOT NULL");
    let files = fs::read_dir(folder.join("spool")).unwrap().count();
    assert!(
        i64::try_from(files).unwrap() >= named,
        "a row without its file"
    );
}
