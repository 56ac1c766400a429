//! The Unix sockets between the programs: what is no frame ends that channel and nothing else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use harness::{PATIENCE, Site};
use ipc::Protocol;
use ipc::protocol::{
    Delivery, Expansion, Intake, Logins, MailboxUsage, Mailboxes, QueueControl, Recipients,
};
use ipc::wire::{Header, Kind, MAGIC};
use nix::unistd::{Gid, Uid, setegid, seteuid};

use super::{bobs_messages, send_one, site_with};

/// The greeting of a protocol as `ipc` writes it: magic, name, version.
fn hello<P: Protocol>() -> Vec<u8> {
    let mut body = vec![252];
    body.extend_from_slice(&MAGIC.to_le_bytes());
    for number in [P::NAME.len(), usize::try_from(P::VERSION).unwrap()] {
        assert!(number < 251, "one octet in this encoding");
    }
    body.push(u8::try_from(P::NAME.len()).unwrap());
    body.extend_from_slice(P::NAME.as_bytes());
    body.push(u8::try_from(P::VERSION).unwrap());
    let header = Header {
        body_len: u32::try_from(body.len()).unwrap(),
        payload_len: 0,
        id: 0,
        fds: 0,
        kind: Kind::Hello,
    };
    [header.to_bytes().as_slice(), &body].concat()
}

fn greet(socket: &Path, hello: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(hello).unwrap();
    stream
}

type Probe = fn(&Site, &str) -> bool;

/// Whether the server greets back with the protocol, which it does only to those who may speak it.
fn is_served<P: Protocol>(site: &Site, socket: &str) -> bool {
    let path = site.dir().join("run/ipc").join(socket);
    let mut stream = greet(&path, &hello::<P>());
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A refusal may come as a reset.
    let _ = stream.read_to_end(&mut answer);
    let name = P::NAME.as_bytes();
    answer.windows(name.len()).any(|part| part == name)
}

/// Garbage, and frames that are nearly right.
fn attacks() -> Vec<Vec<u8>> {
    let header = |body_len, payload_len, fds, kind| {
        let header = Header {
            body_len,
            payload_len,
            id: 7,
            fds,
            kind,
        };
        header.to_bytes().to_vec()
    };
    let mut hello = Header {
        body_len: 12,
        payload_len: 0,
        id: 0,
        fds: 0,
        kind: Kind::Hello,
    }
    .to_bytes()
    .to_vec();
    hello.extend_from_slice(&[0xff; 12]);
    let garbage = |hello: Vec<u8>| [hello, vec![0xff; 256]].concat();
    let empty = |hello: Vec<u8>| [hello, header(0, 0, 0, Kind::Message)].concat();
    vec![
        garbage(self::hello::<QueueControl>()),
        garbage(self::hello::<Delivery>()),
        garbage(self::hello::<Mailboxes>()),
        garbage(self::hello::<MailboxUsage>()),
        empty(self::hello::<QueueControl>()),
        empty(self::hello::<Delivery>()),
        empty(self::hello::<Mailboxes>()),
        empty(self::hello::<MailboxUsage>()),
        [self::hello::<QueueControl>(), self::hello::<QueueControl>()].concat(),
        b"MAIL FROM:<evil@example.org>\r\n".repeat(100),
        vec![0; 4096],
        vec![0xff; 4096],
        header(u32::MAX, u32::MAX, 255, Kind::Message),
        header(0, 0, 0, Kind::Goodbye),
        header(1 << 20, 0, 0, Kind::Hello),
        hello,
        Vec::new(),
    ]
}

#[test]
fn a_malformed_frame_closes_that_channel_only() {
    let site = site_with(&[]);
    let services = [
        "smtpd",
        "queue-manager",
        "directory",
        "local-delivery",
        "pop3d",
    ];
    let before: Vec<_> = services
        .iter()
        .map(|service| site.pids_of(service))
        .collect();
    let mut sockets = 0;
    for entry in fs::read_dir(site.dir().join("run/ipc")).unwrap() {
        let path = entry.unwrap().path();
        sockets += 1;
        for attack in attacks() {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // It may be closed before all of it is written.
            let _ = stream.write_all(&attack);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            match stream.read_to_end(&mut answer) {
                Ok(_) => {}
                Err(error) => assert_eq!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionReset,
                    "{}",
                    path.display()
                ),
            }
            assert!(
                answer.len() < 256,
                "{}: {} octets of answer",
                path.display(),
                answer.len()
            );
        }
    }
    assert!(sockets >= 3, "{sockets} sockets");
    send_one(&site);
    assert_eq!(bobs_messages(&site).len(), 1);
    let after: Vec<_> = services
        .iter()
        .map(|service| site.pids_of(service))
        .collect();
    assert_eq!(before, after, "{}", site.log());
}

/// Channels that are opened and never greet hold nobody up.
#[test]
fn silent_channels_do_not_keep_the_programs_from_each_other() {
    let site = site_with(&[]);
    let mut held = Vec::new();
    for entry in fs::read_dir(site.dir().join("run/ipc")).unwrap() {
        let path = entry.unwrap().path();
        for _ in 0..20 {
            let stream = UnixStream::connect(&path).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            held.push(stream);
        }
    }
    send_one(&site);
    assert_eq!(bobs_messages(&site).len(), 1);
    drop(held);
}

/// A program that was taken over can ask only what it could ask before.
#[test]
fn each_user_may_speak_only_its_own_protocols() {
    if !Uid::effective().is_root() {
        println!("without root all programs are one user");
        return;
    }
    let site = site_with(&[]);
    // As the harness has them: users.net, users.queue, users.dir, users.vmail; all in users.group.
    let (net, queue, directory, vmail) = (64_101, 64_102, 64_103, 64_104);
    let who_may: [(&str, u32, Probe); 7] = [
        ("queue.sock", net, is_served::<Intake>),
        ("queue.sock", 0, is_served::<Delivery>),
        ("directory.sock", net, is_served::<Recipients>),
        ("directory.sock", net, is_served::<Logins>),
        ("directory.sock", queue, is_served::<Expansion>),
        ("directory.sock", 0, is_served::<Mailboxes>),
        ("delivery.sock", directory, is_served::<MailboxUsage>),
    ];
    for user in [0, net, queue, directory, vmail] {
        for (number, (socket, owner, is_served)) in who_may.iter().enumerate() {
            if user == 0 && *owner != 0 {
                // Root may do everything anyway; whether it is served is of no matter.
                continue;
            }
            setegid(Gid::from_raw(64_100)).unwrap();
            seteuid(Uid::from_raw(user)).unwrap();
            let served = is_served(&site, socket);
            seteuid(Uid::from_raw(0)).unwrap();
            setegid(Gid::from_raw(0)).unwrap();
            assert_eq!(served, user == *owner, "{socket} {number} as {user}");
        }
        // Whoever reaches the socket is told, but only an administrator is answered.
        let mut command = site.posthouse(&["queue", "list"]).unwrap();
        let output = command.uid(user).gid(64_100).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.success(),
            user == 0 || user == queue,
            "{user}: {shown}"
        );
    }
}
