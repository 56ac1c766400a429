use std::io::{Read, Seek, Write};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::shared::MAX_UNANSWERED;
use crate::socket::HIGH_WATER;
use crate::test_support::{Echo, NewerEcho, Place, Say};
use crate::{ConnectError, connect};

type Served = Connection<Say, Say>;

async fn pair(place: &Place) -> (Served, Served) {
    let listener = place.listen();
    let serve = async {
        let greeted = listener
            .accept()
            .await
            .expect("accept")
            .greeting()
            .await
            .expect("hello");
        assert_eq!(greeted.protocol(), "echo");
        assert_eq!(greeted.peer().pid, Some(std::process::id() as i32));
        greeted.accept::<Echo>().await.expect("served")
    };
    let (client, server) = tokio::join!(connect::<Echo>(&place.path), serve);
    (client.expect("connected"), server)
}

#[tokio::test]
async fn messages_payloads_and_descriptors_arrive() {
    let place = Place::new();
    let (client, mut server) = pair(&place).await;
    let mut file = tempfile::tempfile().expect("temporary file");
    let payload = Bytes::from(vec![b'p'; 3_000_000]);
    let duplicate = file.try_clone().expect("duplicate").into();
    for id in 1..=3 {
        client
            .sender
            .send(id, &Say::Number(u64::from(id)))
            .expect("queued");
    }
    client
        .sender
        .send_with(
            4,
            &Say::Text("four".into()),
            payload.clone(),
            vec![duplicate],
        )
        .expect("queued");
    client.sender.send(5, &Say::Number(5)).expect("queued");
    for id in 1..=5 {
        let frame = server
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        assert_eq!(frame.id, id);
        if id == 4 {
            assert_eq!(frame.message, Say::Text("four".into()));
            assert_eq!(frame.payload, payload);
            let fd = frame.fds.into_iter().next().expect("descriptor");
            std::fs::File::from(fd)
                .write_all(b"through")
                .expect("written");
        } else {
            assert_eq!(frame.message, Say::Number(u64::from(id)));
        }
    }
    let mut text = String::new();
    file.rewind().expect("rewound");
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "through");
    drop(client);
    assert!(server.receiver.receive().await.expect("end").is_none());
}

#[tokio::test]
async fn another_version_is_told_to_both_ends() {
    let place = Place::new();
    let listener = place.listen();
    let serve = async {
        let greeted = listener
            .accept()
            .await
            .expect("accept")
            .greeting()
            .await
            .expect("hello");
        greeted.accept::<Echo>().await
    };
    let (client, server) = tokio::join!(connect::<NewerEcho>(&place.path), serve);
    assert!(matches!(
        client,
        Err(ConnectError::Greeting {
            source: ReceiveError::Protocol(ProtocolError::WrongVersion {
                ours: 4,
                theirs: 3,
                ..
            }),
            ..
        })
    ));
    assert!(matches!(
        server,
        Err(ReceiveError::Protocol(ProtocolError::WrongVersion {
            ours: 3,
            theirs: 4,
            ..
        }))
    ));
}

#[tokio::test]
async fn a_refusal_is_told() {
    let place = Place::new();
    let listener = place.listen();
    let serve = async {
        let greeted = listener
            .accept()
            .await
            .expect("accept")
            .greeting()
            .await
            .expect("hello");
        greeted.refuse();
    };
    let (client, ()) = tokio::join!(connect::<Echo>(&place.path), serve);
    assert!(matches!(
        client,
        Err(ConnectError::Greeting {
            source: ReceiveError::Protocol(ProtocolError::Refused { ours: "echo" }),
            ..
        })
    ));
}

#[tokio::test]
async fn garbage_ends_the_channel_with_a_reason() {
    let place = Place::new();
    let listener = place.listen();
    let mut peer = UnixStream::connect(&place.path).await.expect("connected");
    peer.write_all(b"EHLO you.example.org\r\n")
        .await
        .expect("written");
    let new = listener.accept().await.expect("accept");
    assert!(matches!(
        new.greeting().await,
        Err(ReceiveError::Protocol(_))
    ));
    let mut rest = Vec::new();
    assert_eq!(peer.read_to_end(&mut rest).await.expect("end"), 0);
}

#[tokio::test]
async fn a_server_reads_no_further_than_it_answers() {
    let place = Place::new();
    let (client, mut server) = pair(&place).await;
    for id in 1..=MAX_UNANSWERED as u32 + 10 {
        client.sender.send(id, &Say::Number(1)).expect("queued");
    }
    for _ in 0..MAX_UNANSWERED {
        server
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
    }
    // What one read brought is still given out, but the channel is not read while the answers are owed.
    let mut extra = 0;
    loop {
        let next = server.receiver.receive();
        match tokio::time::timeout(Duration::from_millis(50), next).await {
            Ok(frame) => drop(frame.expect("frame")),
            Err(_) => break,
        }
        extra += 1;
        if extra == 10 {
            break;
        }
    }
    let answers = server.sender.clone();
    for id in 1..=20 {
        answers.send(id, &Say::Number(2)).expect("queued");
    }
    for _ in extra..10 {
        server
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_only_its_own_requests() {
    let place = Place::new();
    let (client, mut server) = pair(&place).await;
    let payload = Bytes::from(vec![0; 2 << 20]);
    client.sender.send(1, &Say::Number(1)).expect("queued");
    server
        .receiver
        .receive()
        .await
        .expect("frame")
        .expect("not over");
    server
        .sender
        .send_with(1, &Say::Number(1), payload, Vec::new())
        .expect("queued");
    server.sender.flush();
    assert!(server.sender.backlog() > HIGH_WATER);
    client.sender.send(2, &Say::Number(2)).expect("queued");
    let held = tokio::time::timeout(Duration::from_millis(50), server.receiver.receive()).await;
    assert!(held.is_err());
    let mut reading = client.receiver;
    let answer = reading.receive().await.expect("frame").expect("not over");
    assert_eq!(answer.payload.len(), 2 << 20);
    let next = server
        .receiver
        .receive()
        .await
        .expect("frame")
        .expect("not over");
    assert_eq!(next.id, 2);
}

#[tokio::test]
async fn what_a_thread_queues_it_can_flush_itself() {
    let place = Place::new();
    let (mut client, server) = pair(&place).await;
    let sender = server.sender.clone();
    let thread = std::thread::spawn(move || {
        for id in 1..=100 {
            sender
                .queue(id, &Say::Number(1), Bytes::new(), Vec::new())
                .expect("queued");
        }
        sender.flush();
    });
    for id in 1..=100 {
        let frame = client
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        assert_eq!(frame.id, id);
    }
    thread.join().expect("thread");
}

#[tokio::test]
async fn a_client_has_no_farewell_to_say() {
    let place = Place::new();
    let (client, mut server) = pair(&place).await;
    client.sender.goodbye();
    assert!(matches!(
        server.receiver.receive().await,
        Err(ReceiveError::Protocol(ProtocolError::UnexpectedGoodbye))
    ));
    assert!(matches!(
        client.sender.send(1, &Say::Number(1)),
        Err(SendError::Closed)
    ));
}
