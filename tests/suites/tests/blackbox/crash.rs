//! Programs die at any moment, disks fill up and fail: what got 250 is in the mailbox.
//!
//! Bounded here; `POSTHOUSE_CRASH_ROUNDS=1000 cargo xtask test crash` is the long run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use harness::{PATIENCE, Site, SmtpClient, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Uid;

const SENDERS: u64 = 4;

/// Uniquely numbered letters, sent by several clients until they are told to stop.
struct Load {
    smtp: std::net::SocketAddr,
    stop: AtomicBool,
    next: AtomicU64,
    accepted: Mutex<Vec<u64>>,
}

impl Load {
    fn new(site: &Site) -> Self {
        Self {
            smtp: site.smtp(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            accepted: Mutex::new(Vec::new()),
        }
    }

    fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Sends until told to stop; whatever fails is given up, its number never used again.
    fn send(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let limit = Duration::from_secs(20);
            let Ok(mut client) = SmtpClient::connect_patiently(self.smtp, limit) else {
                continue;
            };
            if client.expect(220).is_err() || client.command("EHLO load.example", 250).is_err() {
                continue;
            }
            while !self.stop.load(Ordering::Relaxed) {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                if client
                    .deliver(
                        "alice@posthouse.test",
                        &["bob@posthouse.test"],
                        &letter(number),
                    )
                    .is_err()
                {
                    break;
                }
                self.accepted.lock().unwrap().push(number);
            }
        }
    }

    /// Waits until so many more are accepted, or a while: with everything dead nothing comes.
    fn some_more(&self, more: usize) {
        let goal = self.accepted() + more;
        let _ = eventually(Duration::from_secs(5), || {
            (self.accepted() >= goal).then_some(())
        });
    }
}

/// Every tenth is large enough for the spool.
fn letter(number: u64) -> Vec<u8> {
    let mut content = format!("Subject: number {number}\r\n\r\n").into_bytes();
    let lines = if number.is_multiple_of(10) { 1_500 } else { 10 };
    for _ in 0..lines {
        content.extend_from_slice(
            b"The mail coach goes through the night, whatever falls off it.\r\n",
        );
    }
    content
}

fn random(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    u64::from_le_bytes(bytes) % bound
}

fn rounds(usual: u64) -> u64 {
    std::env::var("POSTHOUSE_CRASH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// Waits until the queue is empty.
fn drained(site: &Site) {
    let empty = eventually(PATIENCE * 3, || {
        let listing = site.run_posthouse(&["queue", "list", "--json"]).ok()?;
        (!listing.contains("queue_id")).then_some(())
    });
    assert!(
        empty.is_some(),
        "the queue does not drain: {}",
        site.run_posthouse(&["queue", "list"]).unwrap()
    );
}

/// Every accepted number is in bob's mailbox, whole; returns how many came more than once.
fn nothing_is_lost(site: &Site, accepted: &[u64]) -> usize {
    drained(site);
    let messages = site.fetch(site.bob(), accepted.len()).unwrap();
    let mut copies: BTreeMap<u64, usize> = BTreeMap::new();
    for message in messages {
        let text = String::from_utf8(message).unwrap();
        let number = text
            .lines()
            .find_map(|line| line.strip_prefix("Subject: number "))
            .unwrap();
        let number: u64 = number.parse().unwrap();
        assert!(
            text.as_bytes().ends_with(&letter(number)),
            "message {number} is not whole"
        );
        *copies.entry(number).or_default() += 1;
    }
    let lost: Vec<_> = accepted
        .iter()
        .filter(|number| !copies.contains_key(number))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} accepted messages are lost: {lost:?}",
        lost.len(),
        accepted.len()
    );
    copies.values().filter(|&&count| count > 1).count()
}

fn crash_site() -> Site {
    Site::builder()
        .set("master.restart_delay_min", "20ms")
        .and_then(|builder| builder.set("master.restart_delay_max", "100ms"))
        .and_then(|builder| builder.set("schedule.retry_min", "1s"))
        .and_then(|builder| builder.set("schedule.retry_max", "2s"))
        .and_then(harness::SiteBuilder::start)
        .unwrap()
}

#[test]
fn killed_programs_lose_nothing() {
    let site = crash_site();
    let load = Load::new(&site);
    let rounds = rounds(25);
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| load.send());
        }
        for _ in 0..rounds {
            load.some_more(usize::try_from(random(60)).unwrap());
            let victims = [
                "queue-manager",
                "smtpd",
                "directory",
                "local-delivery",
                "local-delivery worker",
            ];
            let victim = victims[usize::try_from(random(victims.len() as u64)).unwrap()];
            for pid in site.pids_of(victim) {
                // It may have ended already.
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        load.some_more(50);
        load.stop.store(true, Ordering::Relaxed);
    });
    let accepted = load.accepted.into_inner().unwrap();
    assert!(!accepted.is_empty());
    let repeats = nothing_is_lost(&site, &accepted);
    println!(
        "{rounds} kills: {} accepted, 0 lost, {repeats} repeated",
        accepted.len()
    );
}

#[test]
fn a_killed_suite_loses_nothing() {
    let mut site = crash_site();
    let rounds = rounds(5);
    let load = Load::new(&site);
    for _ in 0..rounds {
        load.stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| load.send());
            }
            load.some_more(usize::try_from(random(150)).unwrap());
            site.kill_all();
            load.stop.store(true, Ordering::Relaxed);
        });
        site.start().unwrap();
    }
    let accepted = load.accepted.into_inner().unwrap();
    let repeats = nothing_is_lost(&site, &accepted);
    println!(
        "{rounds} deaths of all: {} accepted, 0 lost, {repeats} repeated",
        accepted.len()
    );
}

/// A small disk of its own for a folder, taken away again at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path, size: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=755"),
                "posthouse-test",
            ])
            .arg(folder)
            .status()
            .unwrap();
        assert!(status.success(), "mount: {status}");
        Self(folder)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_to_be_and_nothing_accepted_is_lost() {
    if !Uid::effective().is_root() {
        println!("only root can mount a small disk: not run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("queue");
    let _mounted = SmallDisk::mount(&disk, "12m");
    let mut site = Site::builder()
        .folder(folder.path())
        .set("queue.hold_new", "true")
        .and_then(|builder| builder.set("queue.min_free", "0"))
        .and_then(harness::SiteBuilder::start)
        .unwrap();
    let manager = site.pids_of("queue-manager");
    let mut accepted = Vec::new();
    let mut refused = 0;
    for number in 0..1_000 {
        let mut client = site.smtp_client().unwrap();
        match client.deliver(
            "alice@posthouse.test",
            &["bob@posthouse.test"],
            &letter(number),
        ) {
            Ok(_) => accepted.push(number),
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains(": 45"), "a full disk is temporary: {said}");
                refused += 1;
                if refused == 20 {
                    break;
                }
            }
        }
    }
    assert!(
        refused > 0 && !accepted.is_empty(),
        "{refused} refused, {} accepted",
        accepted.len()
    );
    assert_eq!(
        site.pids_of("queue-manager"),
        manager,
        "the queue-manager lives on"
    );
    // With some of it delivered there is room again; nothing that was accepted is missing.
    site.run_posthouse(&["queue", "release", "--all"]).unwrap();
    nothing_is_lost(&site, &accepted);
    let again = eventually(PATIENCE, || {
        let mut client = site.smtp_client().unwrap();
        let alice = "alice@posthouse.test";
        client.deliver(alice, &[alice], &letter(5_000)).ok()
    });
    assert!(again.is_some(), "{}", site.log());
    println!("{} accepted, {refused} refused, 0 lost", accepted.len());
    assert!(site.stop().unwrap().success());
}

/// strace(1), which makes system calls of a process fail.
struct Failing(Child);

impl Failing {
    fn attach(site: &Site, program: &str, injection: &str) -> Self {
        let log = site.dir().join("strace.log");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o"]).arg(&log).args([
            "-e",
            "trace=fsync,fdatasync,pwrite64,write",
            "-e",
            injection,
        ]);
        for pid in site.pids_of(program) {
            strace.args(["-p", &pid.to_string()]);
        }
        let child = strace
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let attached = eventually(PATIENCE, || {
            let tracer = |pid: &nix::unistd::Pid| {
                let status =
                    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                status
                    .lines()
                    .any(|line| line == format!("TracerPid:\t{}", child.id()))
            };
            site.pids_of(program).iter().all(tracer).then_some(())
        });
        assert!(attached.is_some(), "strace did not attach to {program}");
        Self(child)
    }

    fn detach(mut self) {
        let _ = kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap()),
            Signal::SIGINT,
        );
        let _ = self.0.wait();
    }
}

fn failing_calls_lose_nothing(program: &str, injections: &[&str]) {
    if !Uid::effective().is_root() {
        println!("only root can trace the programs: not run");
        return;
    }
    let site = crash_site();
    let load = Load::new(&site);
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| load.send());
        }
        load.some_more(20);
        for injection in injections {
            let failing = Failing::attach(&site, program, injection);
            load.some_more(100);
            failing.detach();
        }
        load.some_more(50);
        load.stop.store(true, Ordering::Relaxed);
    });
    let accepted = load.accepted.into_inner().unwrap();
    let repeats = nothing_is_lost(&site, &accepted);
    println!(
        "{program} {injections:?}: {} accepted, 0 lost, {repeats} repeated",
        accepted.len()
    );
}

#[test]
fn failing_syncs_and_writes_of_the_queue_lose_nothing() {
    failing_calls_lose_nothing(
        "queue-manager",
        &[
            "inject=fsync,fdatasync:error=EIO:when=3+5",
            "inject=pwrite64:error=ENOSPC:when=5+11",
        ],
    );
}

#[test]
fn failing_syncs_of_the_mailboxes_lose_nothing() {
    failing_calls_lose_nothing(
        "local-delivery worker",
        &["inject=fsync,fdatasync,write:error=ENOSPC:when=7+9"],
    );
}
