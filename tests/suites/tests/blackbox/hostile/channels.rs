//! The Unix sockets between the programs: what is no frame ends that channel and nothing else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use harness::PATIENCE;
use ipc::wire::{Header, Kind};

use super::{bobs_messages, send_one, site_with};

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
    vec![
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
