//! Sessions over real sockets, with fakes behind them.

mod fakes;

use std::time::Duration;

use fakes::{House, Mood, settings};
use ipc::protocol::Refusal;

use crate::connection::Connection;

/// A thousand waiting sessions must cost far less than 16 KiB each, most of which the kernel takes for the socket.
#[test]
fn a_session_is_small() {
    fn size_of_future<F>(_: fn(Connection) -> F) -> usize {
        size_of::<F>()
    }
    let size = size_of_future(Connection::run);
    assert!(size <= 4096, "{size}");
}

#[tokio::test]
async fn a_message_goes_to_the_queue_with_its_trace() {
    let house = House::open(settings(), true).await;
    let mut client = house.client().await;
    client.begin(&["bob@home.example"]).await;
    let reply = client.ask("Subject: x\r\n\r\n..dot\r\n.\r\n").await;
    assert_eq!(reply, "250 2.0.0 Ok: queued as 1\r\n");
    // A second one in the same session, to two: nobody is named in its trace.
    client
        .begin(&["bob@home.example", "carol@home.example"])
        .await;
    assert!(client.ask("y\r\n.\r\n").await.ends_with("queued as 2\r\n"));
    assert_eq!(client.ask("QUIT\r\n").await, "221 2.0.0 Bye\r\n");
    assert_eq!(client.reply().await, "");

    let received = house.queue.received.lock().unwrap();
    let [first, second] = received.as_slice() else {
        panic!("two messages: {received:?}");
    };
    let session = first.origin.session.unwrap();
    let trace = format!(
        "Received: from client.example (unknown [127.0.0.1])\r\n\
         \tby mail.example (Posthouse) with ESMTP id {session}.1\r\n\
         \tfor <bob@home.example>; "
    );
    assert!(first.content.starts_with(&trace), "{}", first.content);
    assert!(
        first
            .content
            .ends_with(" +0000\r\nSubject: x\r\n\r\n.dot\r\n"),
        "{}",
        first.content
    );
    assert_eq!(first.envelope.reverse_path.to_string(), "<a@b.example>");
    assert_eq!(first.origin.protocol, "ESMTP");
    assert!(!second.content.contains("bob@"), "{}", second.content);
    assert_eq!(second.envelope.recipients.len(), 2);
}

#[tokio::test]
async fn large_content_goes_through_a_file() {
    let house = House::open(settings(), true).await;
    let mut client = house.client().await;
    let body: String = (0..9000).map(|n| format!("line {n}\r\n")).collect();
    for chunked in [false, true] {
        client.begin(&["bob@home.example"]).await;
        let reply = if chunked {
            client.ask("\r\n.\r\n").await;
            client
                .say("MAIL FROM:<> SIZE=90000\r\nRCPT TO:<bob@home.example>\r\n")
                .await;
            let (head, tail) = body.split_at(5001);
            client
                .say(&format!(
                    "BDAT {}\r\n{head}BDAT {} LAST\r\n{tail}",
                    head.len(),
                    tail.len()
                ))
                .await;
            for _ in 0..3 {
                client.reply().await;
            }
            client.reply().await
        } else {
            client.ask(&format!("{body}.\r\n")).await
        };
        assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
        let received = house.queue.received.lock().unwrap().pop().unwrap();
        assert!(received.spooled);
        assert!(received.content.ends_with(&body));
    }
    // Refused half way, or left half way: the file goes.
    let mut aborted = house.queue.aborted.subscribe();
    client.begin(&["bob@home.example"]).await;
    assert!(
        client
            .ask(&format!("{body}a\nb\r\n.\r\n"))
            .await
            .starts_with("550 5.6.11 ")
    );
    aborted.wait_for(|count| *count == 1).await.unwrap();
    client.begin(&["bob@home.example"]).await;
    client.say(&body).await;
    drop(client);
    aborted.wait_for(|count| *count == 2).await.unwrap();
    assert_eq!(house.queue.received.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_queue_does_not_keep_is_not_accepted() {
    let house = House::open(settings(), true).await;
    let large = "x\r\n".repeat(5000);
    for (mood, reply) in [
        (Mood::Refuse(Refusal::DiskFull), "452 4.3.1 "),
        (Mood::Refuse(Refusal::StorageFailed), "451 4.3.0 "),
        (Mood::Refuse(Refusal::Overloaded), "451 4.3.2 "),
        (Mood::Die, "451 4.3.0 "),
    ] {
        let mut client = house.client().await;
        *house.queue.mood.lock().unwrap() = mood;
        for content in ["x\r\n", &large] {
            client.begin(&["bob@home.example"]).await;
            let got = client.ask(&format!("{content}.\r\n")).await;
            assert!(got.starts_with(reply), "{mood:?}: {got}");
        }
        *house.queue.mood.lock().unwrap() = Mood::Durable;
        client.begin(&["bob@home.example"]).await;
        assert!(client.ask("x\r\n.\r\n").await.starts_with("250 "));
    }
}

#[tokio::test]
async fn without_a_directory_nobody_can_be_checked() {
    let house = House::open(settings(), false).await;
    let mut client = house.client().await;
    client.ask("EHLO x\r\n").await;
    client.ask("MAIL FROM:<>\r\n").await;
    assert!(
        client
            .ask("RCPT TO:<bob@home.example>\r\n")
            .await
            .starts_with("451 4.3.0 ")
    );
    assert!(
        client
            .ask("RCPT TO:<postmaster>\r\n")
            .await
            .starts_with("250 2.1.5 ")
    );
    assert!(client.ask("VRFY bob\r\n").await.starts_with("451 4.3.0 "));
}

#[tokio::test]
async fn strangers_may_not_relay() {
    let house = House::open(settings(), true).await;
    let mut client = house.client().await;
    client.ask("EHLO x\r\n").await;
    client.ask("MAIL FROM:<bob@home.example>\r\n").await;
    for (recipient, reply) in [
        ("x@elsewhere.example", "554 5.7.1 "),
        ("nobody@home.example", "550 5.1.1 "),
    ] {
        let got = client.ask(&format!("RCPT TO:<{recipient}>\r\n")).await;
        assert!(got.starts_with(reply), "{got}");
    }
    let mut trusting = settings();
    trusting.mynetworks = vec!["127.0.0.0/8".parse().unwrap()];
    let house = House::open(trusting, true).await;
    let mut client = house.client().await;
    client.begin(&["x@elsewhere.example"]).await;
}

#[tokio::test]
async fn early_talkers_are_sent_away() {
    let mut settings = settings();
    settings.connection_limit = 1;
    let house = House::open(settings, true).await;
    let first = house.client().await;
    // While the house is full, nobody looks at what this one sends.
    let mut second = house.silent_client().await;
    assert_eq!(second.reply().await.split(' ').next(), Some("421"));
    assert_eq!(second.reply().await, "");
    drop(first);
    // The test runs on one thread: what is sent here is there before the server accepts.
    loop {
        let std_stream = std::net::TcpStream::connect(house.address).unwrap();
        std::io::Write::write_all(&mut &std_stream, b"EHLO x\r\nMAIL FROM:<>\r\n").unwrap();
        std_stream.set_nonblocking(true).unwrap();
        let mut client = house.silent_client().await;
        client.stream = tokio::net::TcpStream::from_std(std_stream).unwrap();
        let reply = client.reply().await;
        if reply.starts_with("421 ") {
            continue;
        }
        assert!(reply.starts_with("554 5.5.0 You spoke before"), "{reply}");
        assert_eq!(client.reply().await, "");
        break;
    }
}

#[tokio::test]
async fn silence_and_crowds_are_limited() {
    let mut settings = settings();
    settings.times.idle = Duration::from_millis(80);
    settings.times.data = Duration::from_millis(80);
    settings.times.command = Duration::from_millis(40);
    settings.connection_limit_per_client = 2;
    let house = House::open(settings, true).await;
    let mut idle = house.client().await;
    let mut sending = house.client().await;
    let mut third = house.silent_client().await;
    assert!(
        third
            .reply()
            .await
            .starts_with("421 4.7.0 Too many connections from your network")
    );
    sending.begin(&["bob@home.example"]).await;
    sending.say("half a line").await;
    idle.say("NOO").await;
    assert!(
        idle.reply()
            .await
            .starts_with("421 4.4.2 No command in time")
    );
    assert!(
        sending
            .reply()
            .await
            .starts_with("421 4.4.2 The content did not come in time")
    );
    assert_eq!(idle.reply().await, "");
    drop((idle, sending));
}

/// A drip of octets is as slow in chunks of one octet, in a refused chunk without end, and behind an over-long line.
#[tokio::test]
async fn a_drip_is_too_slow_however_it_is_cut() {
    let mut settings = settings();
    settings.times.rate_window = Duration::from_millis(100);
    settings.min_data_rate = 10_000;
    settings.times.command = Duration::from_millis(100);
    let house = House::open(settings, true).await;
    for (in_transaction, first, drip, wanted) in [
        (
            true,
            "DATA\r\n".to_owned(),
            "x",
            "421 4.4.2 The content comes too slowly",
        ),
        (
            true,
            String::new(),
            "BDAT 1\r\nx",
            "421 4.4.2 The content comes too slowly",
        ),
        (
            true,
            String::new(),
            "BDAT 0\r\n",
            "421 4.7.0 Too many commands",
        ),
        (
            false,
            "BDAT 99999999999\r\n".to_owned(),
            "x",
            "421 4.4.2 The content comes too slowly",
        ),
        (
            false,
            "x".repeat(3_000),
            "x",
            "421 4.4.2 No command in time",
        ),
    ] {
        let mut client = house.client().await;
        client.ask("EHLO client.example\r\n").await;
        if in_transaction {
            client.ask("MAIL FROM:<>\r\n").await;
            client.ask("RCPT TO:<bob@home.example>\r\n").await;
        }
        client.say(&first).await;
        let mut reply = String::new();
        for _ in 0..200 {
            client.say(drip).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let wait = tokio::time::timeout(Duration::from_millis(20), client.reply());
            if let Ok(came) = wait.await
                && !came.starts_with("250 ")
                && !came.starts_with("354 ")
            {
                reply = came;
                break;
            }
        }
        assert!(reply.starts_with(wanted), "{first}{drip}: {reply}");
    }
}

#[tokio::test]
async fn the_drain_lets_transactions_finish() {
    let house = House::open(settings(), true).await;
    let mut idle = house.client().await;
    let mut sending = house.client().await;
    sending.begin(&["bob@home.example"]).await;
    house.end.send_replace(true);
    assert!(
        idle.reply()
            .await
            .starts_with("421 4.3.2 Server is shutting down")
    );
    assert_eq!(idle.reply().await, "");
    drop(idle);
    assert!(!house.serving.is_finished());
    assert!(sending.ask("x\r\n.\r\n").await.starts_with("250 "));
    assert!(sending.reply().await.starts_with("421 4.3.2 "));
    drop(sending);
    house.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_are_answered_slowly() {
    let mut settings = settings();
    settings.times.error_delay = Duration::from_millis(20);
    let house = House::open(settings, true).await;
    let mut client = house.client().await;
    for count in 0..20 {
        let asked = std::time::Instant::now();
        let reply = client.ask("DATA\r\n").await;
        assert!(reply.starts_with("503 "), "{count}: {reply}");
        assert_eq!(
            asked.elapsed() >= Duration::from_millis(20),
            count >= 10,
            "{count}"
        );
    }
    assert!(
        client
            .reply()
            .await
            .starts_with("421 4.7.0 Too many errors")
    );
    assert_eq!(client.reply().await, "");
}
