use std::os::unix::net::UnixDatagram;

use super::*;
use crate::event;

const OPTIONS: Options = Options {
    program: "smtpd",
    target: Target::Journald,
    format: Format::Text,
    level: Level::INFO,
};

/// What arrives at a socket for the events that `report` makes.
fn datagrams(encoding: Encoding, report: impl FnOnce()) -> Vec<String> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("log");
    let daemon = UnixDatagram::bind(&path).expect("bound");
    daemon.set_nonblocking(true).expect("non-blocking");
    let log = Arc::new(Log::new(
        &OPTIONS,
        Sink::connect(&path).expect("connected"),
        encoding,
    ));
    tracing::subscriber::with_default(Reporter(log), report);
    let mut buffer = vec![0; 65_536];
    let mut lines = Vec::new();
    while let Ok(len) = daemon.recv(&mut buffer) {
        lines.push(String::from_utf8(buffer[..len].to_vec()).expect("UTF-8"));
    }
    lines
}

fn one(encoding: Encoding) -> String {
    let mut lines = datagrams(encoding, || {
        event!(
            catalogue::MAIL_ACCEPTED,
            session = %"s1",
            queue_id = "q\n1",
            size = 12_u64,
            from = Some("a b"),
            helo = None::<&str>,
        );
    });
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

#[test]
fn a_text_line() {
    let line = one(Encoding::Stream(Format::Text));
    let (time, rest) = line.split_once(' ').expect("time");
    assert_eq!(time.len(), "2026-01-02T03:04:05.678Z".len());
    let pid = std::process::id();
    assert_eq!(
        rest,
        format!(
            "info smtpd[{pid}]: mail_accepted session=s1 queue_id=\"q\\n1\" size=12 from=\"a b\"\n"
        )
    );
}

#[test]
fn a_json_line() {
    let line = one(Encoding::Stream(Format::Json));
    let pid = std::process::id();
    let end = format!(
        "\"level\":\"info\",\"program\":\"smtpd\",\"program_pid\":{pid},\"event\":\"mail_accepted\",\
         \"session\":\"s1\",\"queue_id\":\"q\\n1\",\"size\":12,\"from\":\"a b\"}}\n"
    );
    assert!(
        line.starts_with("{\"time\":\"") && line.ends_with(&end),
        "{line}"
    );
}

#[test]
fn a_syslog_datagram() {
    let line = one(Encoding::Syslog(Format::Text));
    let pid = std::process::id();
    let end = format!(
        " posthouse/smtpd[{pid}]: mail_accepted session=s1 queue_id=\"q\\n1\" size=12 from=\"a b\""
    );
    assert!(line.starts_with("<22>") && line.ends_with(&end), "{line}");
    assert_eq!(line.len(), "<22>Nov  1 01:02:03".len() + end.len());
    let json = one(Encoding::Syslog(Format::Json));
    assert!(json.contains("]: {\"level\":\"info\",\"event\":\"mail_accepted\",\"session\":\"s1\""));
    assert!(json.ends_with('}'));
}

#[test]
fn a_journal_datagram() {
    assert_eq!(
        one(Encoding::Journal),
        "PRIORITY=6\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=posthouse/smtpd\n\
         POSTHOUSE_EVENT=mail_accepted\nPOSTHOUSE_SESSION=s1\nPOSTHOUSE_QUEUE_ID=q\\n1\n\
         POSTHOUSE_SIZE=12\nPOSTHOUSE_FROM=a b\n\
         MESSAGE=mail_accepted session=s1 queue_id=\"q\\n1\" size=12 from=\"a b\"\n"
    );
}

#[test]
fn only_our_events_at_the_level_are_logged() {
    let lines = datagrams(Encoding::Stream(Format::Text), || {
        tracing::error!("a library says something about the content");
        event!(catalogue::CHILD_STARTED, service = "smtpd", pid = 1);
        event!(catalogue::MASTER_ENDED);
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with(": master_ended\n"));
}

#[test]
fn a_lost_daemon_does_not_stop_the_program() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("log");
    let daemon = UnixDatagram::bind(&path).expect("bound");
    let sink = Sink::connect(&path).expect("connected");
    drop(daemon);
    let log = Arc::new(Log::new(&OPTIONS, sink, Encoding::Syslog(Format::Text)));
    tracing::subscriber::with_default(Reporter(log), || event!(catalogue::MASTER_ENDED));
}

#[test]
fn times_are_exact() {
    let mut clock = Clock::new();
    clock.zone = TimeZone::UTC;
    let time: Timestamp = "2026-11-01T03:04:05.0067Z".parse().expect("time");
    assert_eq!(
        clock.at(time, Encoding::Stream(Format::Text)),
        "2026-11-01T03:04:05.006Z"
    );
    assert_eq!(
        clock.at(time, Encoding::Syslog(Format::Text)),
        "Nov  1 03:04:05"
    );
    assert_eq!(clock.at(time, Encoding::Journal), "");
}
