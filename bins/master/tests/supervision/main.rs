//! The real master with stand-ins for its services: what happens to the processes, seen from outside.

#![cfg(test)]

mod house;

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use house::{House, SERVICES};

#[test]
fn every_service_gets_its_descriptors_and_all_stop_in_order() {
    let mut house = House::start(&[]);
    for name in SERVICES {
        house.await_event(name, "ready");
    }
    let events = house.events();
    let ready = |name: &str| {
        events
            .iter()
            .find(|e| e.name == name && e.text.starts_with("ready"))
    };
    assert_eq!(ready("smtpd").unwrap().text, "ready listeners=1 ipc=false");
    assert_eq!(ready("pop3d").unwrap().text, "ready listeners=1 ipc=false");
    assert_eq!(
        ready("queue-manager").unwrap().text,
        "ready listeners=0 ipc=true"
    );

    assert!(house.stop().success(), "{}", house.log());
    let order: Vec<String> = house
        .events()
        .iter()
        .filter(|event| event.text == "end" || event.text == "drain")
        .map(|event| format!("{} {}", event.name, event.text))
        .collect();
    let position = |what: &str| order.iter().position(|entry| entry == what).unwrap();
    for (earlier, later) in [
        ("smtpd end", "local-delivery drain"),
        ("pop3d end", "local-delivery drain"),
        ("local-delivery end", "queue-manager drain"),
        ("queue-manager end", "directory drain"),
    ] {
        assert!(position(earlier) < position(later), "{order:?}");
    }
}

#[test]
fn a_stop_is_bounded_even_if_services_do_not_obey() {
    let mut house = House::start(&[("smtpd", "stubborn"), ("queue-manager", "stubborn")]);
    house.await_all_ready();
    let before = Instant::now();
    assert!(house.stop().success(), "{}", house.log());
    // stop_timeout is 4 s; each stage has a quarter of it.
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(
        house.count("directory", "end"),
        1,
        "the others still ended in order"
    );
}

#[test]
fn a_crash_loop_is_slowed_and_the_others_go_on() {
    let house = House::start(&[("smtpd", "crash")]);
    house.await_event("directory", "ready");
    house.await_count("smtpd", "start", 6);
    let delays = house.delays_of("smtpd");
    assert_eq!(delays[..4], ["100", "200", "400", "400"], "{}", house.log());
    assert_eq!(house.count("directory", "start"), 1);

    // Mended: the next start is the last.
    house.behave("smtpd", "");
    house.await_event("smtpd", "ready");
    assert_eq!(house.count("directory", "start"), 1);
}

#[test]
fn the_dead_are_replaced_at_once() {
    let house = House::start(&[]);
    house.await_all_ready();
    for name in ["queue-manager", "smtpd", "directory"] {
        house.kill_service(name);
        house.await_count(name, "ready", 2);
    }
    assert_eq!(house.count("local-delivery", "start"), 1);
    assert_eq!(house.delays_of("smtpd"), [""; 0]);
}

#[test]
fn a_service_that_does_not_come_up_is_killed_and_started_again() {
    let house = House::start(&[("directory", "unready")]);
    house.await_count("directory", "start", 2);
    house.behave("directory", "");
    house.await_event("directory", "ready");
}

#[test]
fn a_child_that_breaks_the_protocol_is_killed_and_replaced() {
    for fault in ["garbage", "wrong-word"] {
        let house = House::start(&[("smtpd", fault)]);
        house.await_count("smtpd", "start", 2);
        house.behave("smtpd", "");
        house.await_event("smtpd", "ready");
        house.await_event("directory", "ready");
        assert_eq!(house.count("directory", "start"), 1, "{fault}");
        assert!(house.log().contains("broke the rules"), "{}", house.log());
    }
}

#[test]
fn two_masters_cannot_share_a_house_or_a_queue() {
    let first = House::start(&[]);
    first.await_all_ready();
    let said = first.run_second(&[]);
    assert!(
        said.contains("master.pid") && said.contains(&first.pid().to_string()),
        "{said}"
    );
    let other_run = format!("paths.run_dir={}", first.path("run2").display());
    let said = first.run_second(&[&other_run, "smtpd.listen=[]", "pop3.listen=[]"]);
    assert!(
        said.contains("queue") && said.contains("another process"),
        "{said}"
    );
    assert_eq!(first.count("smtpd", "start"), 1);
}

#[test]
fn after_a_killed_master_the_next_waits_for_what_it_left_behind() {
    let mut house = House::start(&[("queue-manager", "lingering")]);
    house.await_all_ready();
    house.kill_master();
    house.await_event("queue-manager", "drain");
    house.start_again();
    // The lock goes from the old queue-manager to the new master, and nobody starts before.
    assert_eq!(house.count("queue-manager", "start"), 1);
    house.behave("queue-manager", "");
    house.await_event("queue-manager", "end");
    house.await_count("queue-manager", "ready", 2);
    house.await_count("smtpd", "ready", 2);
    assert!(house.stop().success(), "{}", house.log());
}

#[test]
fn a_bad_configuration_is_refused_and_changes_nothing() {
    let house = House::start(&[]);
    house.await_all_ready();
    let taken = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let holder = TcpListener::bind(taken).unwrap();
    for bad in [
        "[smtpd]\nworkers = \"many\"\n".to_owned(),
        "this is no TOML".to_owned(),
        house.configuration(&[("smtpd.listen", &format!("[\"{taken}\"]"))]),
        house.configuration(&[("paths.queue_dir", "\"/somewhere/else\"")]),
    ] {
        let before = house.log().matches("config_refused").count();
        house.write_configuration(&bad);
        house.reload();
        house.await_log("config_refused", before + 1);
    }
    drop(holder);
    for name in SERVICES {
        assert_eq!(house.count(name, "start"), 1, "{name}");
    }
    TcpStream::connect(house.smtp).unwrap();
}

#[test]
fn a_reload_replaces_everything_without_closing_a_listener() {
    let house = House::start(&[]);
    house.await_all_ready();
    let waiting = TcpStream::connect(house.smtp).unwrap();
    let added = house::free_address();
    let listen = format!("[\"{}\", \"{added}\"]", house.smtp);
    house.write_configuration(
        &house.configuration(&[("smtpd.listen", &listen), ("pop3.listen", "[]")]),
    );
    house.reload();
    house.await_count("smtpd", "ready", 2);
    house.await_count("smtpd", "end", 1);
    house.await_event("pop3d", "end");
    house.await_count("directory", "ready", 2);
    house.await_count("queue-manager", "ready", 2);
    let position = |name: &str, text: &str, nth: usize| {
        let events = house.events();
        let found = events
            .iter()
            .enumerate()
            .filter(|(_, e)| e.name == name && e.text.starts_with(text));
        found.map(|(index, _)| index).nth(nth).unwrap()
    };
    assert!(
        position("smtpd", "ready", 1) < position("smtpd", "drain", 0),
        "the new serves first"
    );
    assert!(
        position("directory", "end", 0) < position("directory", "start", 1),
        "one at a time"
    );
    let events = house.events();
    let second = events
        .iter()
        .filter(|e| e.name == "smtpd" && e.text.starts_with("ready"))
        .nth(1);
    assert_eq!(second.unwrap().text, "ready listeners=2 ipc=false");
    TcpStream::connect(added).unwrap();
    TcpStream::connect(house.smtp).unwrap();
    assert!(TcpStream::connect(house.pop3).is_err());
    drop(waiting);
}

#[test]
fn a_confirmed_login_becomes_a_session_as_the_owner() {
    let house = House::start(&[("directory", "confirm"), ("pop3d", "log-in")]);
    house.await_event("pop3d", "session said");
    let events = house.events();
    let said = events
        .iter()
        .find(|event| event.text.starts_with("session said"))
        .unwrap();
    let own = sandbox::ids::effective_uid();
    let uid = if own == 0 { 45_321 } else { own };
    assert_eq!(
        said.text,
        format!("session said alice@example.org {uid} STAT")
    );
    house.await_log("session_ended", 1);
}

#[test]
fn a_login_that_directory_does_not_confirm_is_refused() {
    let house = House::start(&[("pop3d", "log-in")]);
    house.await_event("pop3d", "answer SessionRefused");
    assert_eq!(house.count("pop3-session", "start"), 0);
}

#[test]
fn sessions_are_bounded_survive_a_reload_and_end_with_the_suite() {
    let behaviours = [
        ("directory", "confirm"),
        ("pop3d", "log-in"),
        ("pop3-session", "stay"),
    ];
    let mut house = House::start_with(&behaviours, &[], &[("pop3.max_sessions", "1")]);
    house.await_event("pop3d", "session said");
    house.await_event("pop3d", "answer SessionRefused");
    assert!(
        house.log().contains("1 sessions run already"),
        "{}",
        house.log()
    );
    house.behave("pop3d", "");
    house.reload();
    house.await_count("pop3d", "ready", 2);
    house.await_event("pop3d", "end");
    assert_eq!(
        house.count("pop3-session", "drain"),
        0,
        "a reload leaves sessions alone"
    );
    assert!(house.stop().success(), "{}", house.log());
    assert_eq!(house.count("pop3-session", "drain"), 1);
}

#[test]
fn a_session_never_runs_as_root() {
    if !sandbox::ids::is_root() {
        return;
    }
    let house = House::start(&[("directory", "confirm-root"), ("pop3d", "log-in")]);
    house.await_event("pop3d", "answer SessionRefused");
    assert_eq!(house.count("pop3-session", "start"), 0);
}

#[test]
fn a_check_finds_what_cannot_be_run() {
    let house = House::start(&[]);
    house.await_all_ready();
    let (good, said) = house.check(&[]);
    assert!(good, "{said}");
    let missing = format!("paths.lib_dir={}", house.path("nowhere").display());
    let mut faults = vec![
        (missing.as_str(), "nowhere/smtpd is missing"),
        ("smtpd.worker=2", "did you mean"),
        ("smtpd.workers=0", "out of range"),
    ];
    if sandbox::ids::is_root() {
        faults.push(("users.net=nobody-has-this-name", "create it"));
        faults.push(("users.queue=0", "must not be root"));
    }
    for (assignment, expected) in faults {
        let (good, said) = house.check(&[assignment]);
        assert!(!good && said.contains(expected), "{assignment}: {said}");
    }
    assert_eq!(house.count("smtpd", "start"), 1);
}

#[test]
fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(house::PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 200];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut house = House::start_with(
        &[],
        &[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "600000000"),
        ],
        &[],
    );
    assert_eq!(next(), "READY=1\n");
    house.reload();
    assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(next(), "READY=1\n");
    house.stop();
    assert_eq!(next(), "STOPPING=1\n");
}
