//! The disk fails or is full: nothing is promised that is not so, and the queue recovers.
//!
//! The victim is this test program again, under `strace`, which makes system calls fail: it needs
//! no rights and reaches the calls that SQLite and we really make. Where strace is not installed
//! or not permitted (`cargo xtask test` installs it), these tests say so and pass.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command as Program, Stdio};

use mail_types::QueueId;
use queue::{Command, Done, Event, Fate, StorageError};

use crate::common::{Fixture, changes, message, settings};

const FOLDER: &str = "QUEUE_TEST_FAULTS";

/// Submits in batches until an error was met and then enough went well; says what became of each.
/// Does nothing when run as a test.
#[test]
fn victim_works() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let fixture = Fixture::at(Path::new(&folder), settings());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let (mut errors, mut good_after) = (0, 0);
    while good_after < 20 && std::time::Instant::now() < deadline {
        let submit = || Command::Submit(Box::new(message(1, vec![b'x'; 9000])));
        for result in fixture.call_all(vec![submit(), submit(), submit()]) {
            match result {
                Ok(Done::Accepted(id)) => {
                    println!("\ndurable {}", id.into_inner());
                    good_after += u32::from(errors > 0);
                }
                Err(StorageError::DiskFull(why)) => {
                    println!("\nfull {why}");
                    errors += 1;
                }
                Err(StorageError::Failed(why)) => {
                    println!("\nfailed {why}");
                    errors += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(errors > 0, "no fault was met");
    assert!(good_after >= 20, "it did not recover");
    let others = fixture.others.lock().unwrap();
    let failing = others
        .iter()
        .filter(|e| matches!(e, Event::StorageFailing(_)))
        .count();
    let recovered = others
        .iter()
        .filter(|e| matches!(e, Event::StorageRecovered))
        .count();
    assert!(
        failing >= 1 && recovered == failing,
        "told {failing} times, recovered {recovered}"
    );
}

/// Runs the victim with `fault` injected; answers its output, or `None` where that is impossible.
fn with_fault(folder: &Path, fault: &str) -> Option<String> {
    let calls = fault.split(':').next()?;
    let probe = Program::new("strace")
        .args(["-f", "-qq", "-e", "trace=none", "true"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not installed or not permitted");
        return None;
    }
    let output = Program::new("strace")
        .args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"])
        .args([
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={fault}"),
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "faults::victim_works",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(text)
}

/// Everything that was called durable is there after opening again.
fn check(folder: &Path, output: &str) {
    let fixture = Fixture::at(folder, settings());
    let stored: BTreeSet<QueueId> = fixture
        .reader
        .list(None, None, usize::MAX)
        .unwrap()
        .into_iter()
        .collect();
    let mut durable = 0;
    for line in output
        .lines()
        .filter_map(|line| line.strip_prefix("durable "))
    {
        assert!(stored.contains(&line.parse().unwrap()), "{line} is lost");
        durable += 1;
    }
    assert!(durable >= 20);
    assert_eq!(fixture.counts().incoming, stored.len() as u64);
    let sound: String = fixture
        .database()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    let id = *stored.first().unwrap();
    assert_eq!(fixture.update(changes(id, vec![(0, Fate::Gone)])).left, 0);
}

/// Injects a fault and wants the victim to meet it as `word`, to lose nothing, and to recover.
///
/// `when` in a fault counts the calls of one thread: here the commit thread's, after those that
/// open the queue.
fn survives(fault: &str, word: &str) {
    let temporary = tempfile::tempdir().unwrap();
    // The victim finds a database, so that few of its calls are for opening.
    drop(Fixture::at(temporary.path(), settings()));
    if let Some(output) = with_fault(temporary.path(), fault) {
        assert!(output.contains(&format!("\n{word}")), "{fault}: {output}");
        check(temporary.path(), &output);
    }
}

#[test]
fn a_failing_sync_fails_its_batch() {
    survives("fsync,fdatasync:error=EIO:when=20..21", "failed");
}

#[test]
fn syncs_that_fail_now_and_then() {
    survives("fsync,fdatasync:error=EIO:when=20..30+3", "failed");
}

#[test]
fn failing_writes() {
    survives("pwrite64:error=EIO:when=60..65", "failed");
}

#[test]
fn a_full_disk() {
    // A few failures only: a full queue tries just once a second.
    survives("pwrite64:error=ENOSPC:when=60..66", "full");
}

/// SQLite tells ENOSPC apart, but not EDQUOT.
#[test]
fn an_exhausted_quota() {
    survives("pwrite64:error=EDQUOT:when=70..72", "failed");
}
