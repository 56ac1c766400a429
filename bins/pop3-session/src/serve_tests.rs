use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use mailbox::Format;
use mailbox::quota::Quota;
use pop3_proto::Capabilities;
use sandbox::events::{Interest, poll};
use tempfile::TempDir;

use super::*;

/// Waits as the real one does, but is told to end by the closing of a socket.
struct Master(UnixStream);

impl Wait for Master {
    fn wait(&mut self, client: BorrowedFd<'_>, timeout: Duration) -> io::Result<Wake> {
        let fds = [
            (client, Interest::Readable),
            (self.0.as_fd(), Interest::Readable),
        ];
        let ready = poll(&fds, Some(timeout))?;
        Ok(match (ready[0].readable, ready[1].readable) {
            (_, true) => Wake::Drain,
            (true, false) => Wake::Readable,
            (false, false) => Wake::TimedOut,
        })
    }
}

struct Place {
    _folder: TempDir,
    location: Location,
}

impl Place {
    fn with(messages: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("Maildir");
        for part in ["new", "cur", "tmp"] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        for (number, content) in messages.iter().enumerate() {
            fs::write(path.join(format!("new/{}.M1.host", number + 1)), content).unwrap();
        }
        let owner =
            fs::metadata(&path).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
        let location = Location {
            path,
            format: Format::Maildir,
            owner: owner.unwrap(),
            quota: Quota::NONE,
        };
        Self {
            _folder: folder,
            location,
        }
    }

    fn left(&self) -> usize {
        fs::read_dir(self.location.path.join("new"))
            .unwrap()
            .count()
    }

    fn session(&self, sent_ahead: &[u8]) -> Running {
        self.session_with(sent_ahead, Duration::from_secs(20))
    }

    fn session_with(&self, sent_ahead: &[u8], idle_timeout: Duration) -> Running {
        let (client, server) = UnixStream::pair().unwrap();
        let (master, told) = UnixStream::pair().unwrap();
        // As it comes from a login half.
        server.set_nonblocking(true).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let location = self.location.clone();
        let sent_ahead = sent_ahead.to_vec();
        let options = Options {
            session: SessionOptions {
                capabilities: Capabilities::default(),
                max_errors: 3,
            },
            idle_timeout,
            lock: LockOptions::default(),
        };
        let thread = thread::spawn(move || {
            let log = Log::new([127, 0, 0, 1].into(), &"alice@example.org".parse().unwrap());
            let stream = TcpStream::from(OwnedFd::from(server));
            serve(
                stream,
                &mut Master(told),
                &location,
                &options,
                &sent_ahead,
                &log,
            )
        });
        Running {
            client,
            master,
            thread,
        }
    }
}

struct Running {
    client: UnixStream,
    master: UnixStream,
    thread: JoinHandle<Report>,
}

impl Running {
    fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).unwrap();
    }

    /// Reads up to and with `end`.
    fn until(&mut self, end: &str) -> String {
        let (mut all, mut byte) = (Vec::new(), [0]);
        while !all.ends_with(end.as_bytes()) {
            self.client.read_exact(&mut byte).unwrap();
            all.push(byte[0]);
        }
        String::from_utf8(all).unwrap()
    }

    /// Reads to the end of the connection.
    fn rest(mut self) -> (String, Report) {
        let mut all = String::new();
        self.client.read_to_string(&mut all).unwrap();
        (all, self.thread.join().unwrap())
    }
}

#[test]
fn a_session_from_pass_to_quit() {
    let place = Place::with(&["A: 1\n\n.x\n", "B: 2\n\nno end"]);
    let mut session = place.session(b"STAT\r\nRETR 1\r\n");
    session.send("RETR 2\r\nTOP 1 0\r\nUIDL 2\r\nDELE 1\r\nQUIT\r\n");
    let (said, report) = session.rest();
    assert_eq!(
        said,
        "+OK Logged in, 2 messages.\r\n+OK 2 26\r\n\
         +OK 12 octets\r\nA: 1\r\n\r\n..x\r\n.\r\n\
         +OK 14 octets\r\nB: 2\r\n\r\nno end\r\n.\r\n\
         +OK Top of message follows.\r\nA: 1\r\n\r\n.\r\n\
         +OK 2 2.M1.host\r\n+OK Marked to be deleted.\r\n+OK Bye.\r\n"
    );
    let wanted = Report {
        reason: "QUIT".into(),
        retrieved: 2,
        bytes: 26,
        deleted: 1,
    };
    assert_eq!((report, place.left()), (wanted, 1));
}

#[test]
fn only_quit_removes() {
    let place = Place::with(&["A: 1\n\n"]);
    // The client vanishes.
    let mut session = place.session(b"");
    session.send("DELE 1\r\nSTAT\r\n");
    session.until("+OK 0 0\r\n");
    session.client.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(
        session.thread.join().unwrap().reason,
        "the client closed the connection"
    );
    // The server stops; the reply that is under way is given.
    let mut session = place.session(b"");
    session.send("DELE 1\r\n");
    session.until("deleted.\r\n");
    session.master.shutdown(std::net::Shutdown::Both).unwrap();
    let (said, report) = session.rest();
    assert_eq!(
        said,
        "-ERR [SYS/TEMP] Server is shutting down, try again later.\r\n"
    );
    assert_eq!(report.reason, "the server is stopping");
    // Too many errors.
    let (said, report) = place.session(b"DELE 1\r\nA\r\nB\r\nC\r\nQUIT\r\n").rest();
    assert!(said.ends_with("closing the connection.\r\n"), "{said}");
    assert_eq!(report.reason, "too many errors");
    // Nothing is said for too long, though octets come.
    let mut session = place.session_with(b"DELE 1\r\n", Duration::from_millis(60));
    session.send("NOO");
    let (said, report) = session.rest();
    assert!(said.ends_with("Marked to be deleted.\r\n"), "{said}");
    assert_eq!(report.reason, "the client was idle for too long");
    assert_eq!(place.left(), 1);
}

#[test]
fn one_session_at_a_time() {
    let place = Place::with(&["A: 1\n\n"]);
    let mut first = place.session(b"");
    first.until("messages.\r\n");
    let (said, report) = place.session(b"QUIT\r\n").rest();
    assert_eq!(
        said,
        "-ERR [IN-USE] Mailbox is in use by another POP3 session.\r\n"
    );
    assert_eq!(report.reason, "the mailbox could not be opened");
    first.send("QUIT\r\n");
    first.until("+OK Bye.\r\n");
    // The reply to QUIT says that the mailbox is free again.
    let (said, _) = place.session(b"QUIT\r\n").rest();
    assert!(said.starts_with("+OK"), "{said}");
    assert_eq!(first.thread.join().unwrap().reason, "QUIT");
}

#[test]
fn what_vanishes_meanwhile_is_a_clean_error() {
    let place = Place::with(&["A: 1\n\n", "B: 2\n\n"]);
    let mut session = place.session(b"");
    session.until("messages.\r\n");
    fs::remove_file(place.location.path.join("new/1.M1.host")).unwrap();
    session.send("RETR 1\r\nRETR 2\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n");
    let (said, _) = session.rest();
    assert!(
        said.starts_with("-ERR Message was removed by another program.\r\n+OK 8 octets\r\n"),
        "{said}"
    );
    assert!(said.ends_with("+OK Bye.\r\n"), "{said}");
    assert_eq!(place.left(), 0);
}

#[test]
fn a_mailbox_that_is_not_safe_is_a_matter_for_the_administrator() {
    let place = Place::with(&[]);
    fs::remove_dir(place.location.path.join("new")).unwrap();
    std::os::unix::fs::symlink("cur", place.location.path.join("new")).unwrap();
    let (said, _) = place.session(b"").rest();
    assert!(said.starts_with("-ERR [SYS/PERM] "), "{said}");
}

#[test]
fn ten_thousand_pipelined_commands_are_answered_in_order() {
    let texts: Vec<String> = (0..50)
        .map(|number| format!("N: {number}\n\n{}", "line\n".repeat(500)))
        .collect();
    let place = Place::with(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut session = place.session(b"");
    session.until("messages.\r\n");
    let mut writer = session.client.try_clone().unwrap();
    let sender = thread::spawn(move || {
        for number in 0..10_000 {
            let message = number % 50 + 1;
            writer
                .write_all(format!("RETR {message}\r\n").as_bytes())
                .unwrap();
        }
        writer.write_all(b"QUIT\r\n").unwrap();
    });
    let (said, report) = session.rest();
    sender.join().unwrap();
    assert_eq!(report.retrieved, 10_000);
    let numbers = said.lines().filter_map(|line| line.strip_prefix("N: "));
    // Messages are in the order of the times in their names.
    assert!(
        numbers
            .enumerate()
            .all(|(at, number)| number.parse() == Ok(at % 50))
    );
    assert!(said.ends_with("\r\n.\r\n+OK Bye.\r\n"));
}

#[test]
fn no_mailbox_is_an_empty_one() {
    let mut place = Place::with(&[]);
    place.location.path.push("none");
    let (said, _) = place.session(b"STAT\r\nLIST\r\nQUIT\r\n").rest();
    assert_eq!(
        said,
        "+OK Logged in, 0 messages.\r\n+OK 0 0\r\n+OK Listing follows.\r\n.\r\n+OK Bye.\r\n"
    );
}
