//! master: restarts, ordered stop, reload, one master per queue.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{PATIENCE, Site, eventually, program};
use nix::sys::signal::{Signal, kill};

const LETTER: &[u8] = b"Subject: supervision\r\n\r\nbody\r\n";

/// Every long-lived program, as `ps` shows it.
const SERVICES: &[&str] = &[
    "smtpd",
    "queue-manager",
    "directory",
    "local-delivery",
    "pop3d",
];

fn send_one(site: &Site) {
    let mut smtp = site.smtp_client().unwrap();
    smtp.deliver("alice@posthouse.test", &["bob@posthouse.test"], LETTER)
        .unwrap();
}

#[test]
fn any_program_that_is_killed_comes_back_and_mail_goes_on() {
    let site = Site::running().unwrap();
    for (round, service) in SERVICES.iter().enumerate() {
        let before = site.pids_of(service);
        assert!(!before.is_empty(), "{service} does not run");
        for &pid in &before {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        let back = eventually(PATIENCE, || {
            let now = site.pids_of(service);
            (now.len() >= before.len() && now.iter().all(|pid| !before.contains(pid))).then_some(())
        });
        assert!(
            back.is_some(),
            "{service} did not come back: {}",
            site.log()
        );
        // A client may have met the moment of the death: it tries again, as clients do.
        let sent = eventually(PATIENCE, || {
            let mut smtp = site.smtp_client().ok()?;
            smtp.deliver("alice@posthouse.test", &["bob@posthouse.test"], LETTER)
                .ok()
        });
        assert!(
            sent.is_some(),
            "no mail after the death of {service}: {}",
            site.log()
        );
        site.fetch(site.bob(), round + 1).unwrap();
    }
}

#[test]
fn a_stop_is_clean_and_leaves_nobody_behind() {
    let mut site = Site::running().unwrap();
    send_one(&site);
    let pids: Vec<_> = SERVICES
        .iter()
        .flat_map(|service| site.pids_of(service))
        .collect();
    assert!(site.stop().unwrap().success(), "{}", site.log());
    for pid in pids {
        let shown = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(kill(pid, None).is_err(), "{pid} {shown} is still there");
    }
}

#[test]
fn a_second_master_on_the_same_queue_is_refused() {
    let site = Site::running().unwrap();
    let second = Command::new(program("master").unwrap())
        .arg("--config")
        .arg(site.config())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    let pid = site.master_pid().unwrap().to_string();
    assert!(
        said.contains(&pid),
        "the refusal names the running master {pid}: {said}"
    );
    send_one(&site);
}

#[test]
fn a_reload_cuts_no_transaction_and_closes_no_listener() {
    let site = Site::running().unwrap();
    let before = site.pids_of("smtpd");
    let mut inside = site.smtp_client().unwrap();
    inside
        .command("MAIL FROM:<alice@posthouse.test>", 250)
        .unwrap();
    inside.command("RCPT TO:<bob@posthouse.test>", 250).unwrap();
    inside.command("DATA", 354).unwrap();
    site.signal(Signal::SIGHUP).unwrap();
    let replaced = eventually(PATIENCE, || {
        // Nobody who connects meanwhile is turned away.
        send_one(&site);
        let now = site.pids_of("smtpd");
        now.iter().any(|pid| !before.contains(pid)).then_some(())
    });
    assert!(replaced.is_some(), "{}", site.log());
    inside
        .send(b"Subject: through the reload\r\n\r\nbody\r\n.\r\n")
        .unwrap();
    inside.expect(250).unwrap();
    let gone = eventually(PATIENCE, || {
        let now = site.pids_of("smtpd");
        now.iter().all(|pid| !before.contains(pid)).then_some(())
    });
    assert!(gone.is_some(), "the old smtpd stays: {}", site.log());
}

#[test]
fn a_reload_with_a_bad_configuration_is_refused_and_the_old_goes_on() {
    let site = Site::running().unwrap();
    let good = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{good}\n[smptd]\nlisten = 5\n")).unwrap();
    site.signal(Signal::SIGHUP).unwrap();
    let said = eventually(PATIENCE, || site.log().contains("smptd").then_some(()));
    assert!(said.is_some(), "{}", site.log());
    send_one(&site);
    // A program that dies now still starts with the last good configuration.
    for pid in site.pids_of("smtpd") {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    send_one(&site);
    site.fetch(site.bob(), 2).unwrap();
}

#[test]
fn queued_mail_survives_a_stop_and_a_start() {
    let mut site = Site::builder()
        .set("queue.hold_new", "true")
        .unwrap()
        .start()
        .unwrap();
    send_one(&site);
    site.stop().unwrap();
    site.start().unwrap();
    site.run_posthouse(&["queue", "release", "--all"]).unwrap();
    site.fetch(site.bob(), 1).unwrap();
}

#[test]
fn a_program_that_keeps_dying_is_slowed_down_and_the_others_go_on() {
    let site = Site::running().unwrap();
    let slowed = eventually(Duration::from_secs(30), || {
        for pid in site.pids_of("pop3d") {
            // It may be gone by itself already.
            let _ = kill(pid, Signal::SIGKILL);
        }
        site.log()
            .contains("child_delayed service=pop3d")
            .then_some(())
    });
    assert!(slowed.is_some(), "{}", site.log());
    send_one(&site);
    site.fetch(site.bob(), 1).unwrap();
}
