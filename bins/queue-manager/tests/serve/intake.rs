//! Mail comes in.

use bytes::Bytes;
use ipc::CallError;
use ipc::protocol::{IntakeReply, IntakeRequest, QueueStatus, Refusal, SpoolId};
use mail_types::BodyKind;

use crate::house::{CONTENT, House, PATIENCE, envelope, origin};

#[tokio::test]
async fn a_message_is_durable_then_delivered_then_gone() {
    let house = House::open();
    let mut sent = envelope("alice@example.org", &["bob@example.org"]);
    sent.body = BodyKind::EightBitMime;
    let queue_id = house.submit_envelope(sent, CONTENT).await;
    let mut agent = house.agent(1).await;
    let (work, content) = agent.work().await;
    assert_eq!((work.queue_id, &content[..]), (queue_id, CONTENT));
    assert_eq!(work.reverse_path.to_string(), "<alice@example.org>");
    assert_eq!(
        (work.body, work.size),
        (BodyKind::EightBitMime, CONTENT.len() as u64)
    );
    assert_eq!(
        work.recipients[0].accepted_as.to_string(),
        "bob@example.org"
    );
    assert_eq!(house.status().await.active, 1);
    agent.done(&work, &mail_types::Outcome::delivered("INBOX"));
    house.until_empty().await;
}

#[tokio::test]
async fn large_content_goes_by_a_file() {
    let house = House::open();
    let large = vec![b'x'; 300_000];
    let smtpd = house.smtpd().await;
    let spool = house.spool(&smtpd, &large).await;
    for (size, spool) in [(1, spool), (300_000, SpoolId(1))] {
        let reply = house.commit(&smtpd, spool, size).await;
        assert_eq!(reply, IntakeReply::Refused(Refusal::SpoolMismatch));
    }
    let reply = house.commit(&smtpd, spool, 300_000).await;
    assert!(matches!(reply, IntakeReply::Durable { .. }), "{reply:?}");
    let mut agent = house.agent(1).await;
    let (_, content) = agent.deliver_next().await;
    assert!(content == large);
    house.until_empty().await;
}

#[tokio::test]
async fn a_message_whose_content_is_gone_is_set_aside_and_harms_no_other() {
    let mut house = House::open();
    let smtpd = house.smtpd().await;
    let spool = house.spool(&smtpd, b"large").await;
    let reply = house.commit(&smtpd, spool, 5).await;
    assert!(matches!(reply, IntakeReply::Durable { .. }), "{reply:?}");
    house.stop().await;
    std::fs::remove_file(house.spool_folder().join(spool.to_string())).unwrap();
    house.start();
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(4).await;
    let (_, content) = agent.deliver_next().await;
    assert_eq!(content, CONTENT);
    house
        .until("set aside", |status| {
            (status.corrupt, status.active, status.incoming) == (1, 0, 0)
        })
        .await;
}

#[tokio::test]
async fn a_spool_file_can_be_committed_after_a_restart() {
    let mut house = House::open();
    let smtpd = house.smtpd().await;
    let spool = house.spool(&smtpd, b"large").await;
    house.stop().await;
    house.start();
    let reply = house.commit(&house.smtpd().await, spool, 5).await;
    assert!(matches!(reply, IntakeReply::Durable { .. }), "{reply:?}");
}

#[tokio::test]
async fn an_aborted_spool_file_is_removed_and_one_whose_writer_died_as_well() {
    let house = House::open();
    let smtpd = house.smtpd().await;
    let open = IntakeRequest::OpenSpool { expected: 0 };
    let files = || std::fs::read_dir(house.spool_folder()).unwrap().count();
    let mut last = SpoolId(0);
    for _ in 0..2 {
        let opened = smtpd
            .call(&open, Bytes::new(), Vec::new(), PATIENCE)
            .await
            .unwrap();
        let IntakeReply::Spool { spool } = opened.message else {
            panic!("{:?}", opened.message);
        };
        last = spool;
    }
    assert_eq!(files(), 2);
    let abort = IntakeRequest::Abort { spool: last };
    let reply = smtpd
        .call(&abort, Bytes::new(), Vec::new(), PATIENCE)
        .await
        .unwrap();
    assert_eq!(reply.message, IntakeReply::Aborted);
    assert_eq!(files(), 1);
    drop(smtpd);
    house.until("the file goes", |_| files() == 0).await;
}

#[tokio::test]
async fn many_messages_pipelined_are_all_answered_and_delivered_in_bounded_memory() {
    let house = House::open_with(|settings| {
        settings.limits.max_messages = 20;
        settings.limits.max_recipients = 20;
    });
    let smtpd = house.smtpd().await;
    let request = IntakeRequest::Submit {
        envelope: envelope("alice@example.org", &["bob@example.org"]),
        origin: origin(),
    };
    let call = || smtpd.call(&request, Bytes::from_static(CONTENT), Vec::new(), PATIENCE);
    let (mut durable, mut waiting) = (0, Vec::new());
    for _ in 0..400 {
        waiting.push(call());
    }
    for reply in futures(waiting).await {
        assert!(matches!(
            reply.unwrap().message,
            IntakeReply::Durable { .. }
        ));
        durable += 1;
    }
    assert_eq!(durable, 400);
    let status = house.status().await;
    assert!(status.active <= 20, "{status:?}");
    let mut agent = house.agent(4).await;
    for _ in 0..400 {
        agent.deliver_next().await;
    }
    house.until_empty().await;
}

/// Runs all at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut results = Vec::new();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results
}

#[tokio::test]
async fn too_much_that_waits_is_refused_for_now() {
    let house = House::open_with(|settings| settings.store.max_waiting_bytes = 0);
    let smtpd = house.smtpd().await;
    let request = IntakeRequest::Submit {
        envelope: envelope("alice@example.org", &["bob@example.org"]),
        origin: origin(),
    };
    let reply = smtpd.call(&request, Bytes::from_static(CONTENT), Vec::new(), PATIENCE);
    let refused = IntakeReply::Refused(Refusal::Overloaded);
    assert_eq!(reply.await.unwrap().message, refused);
    assert_eq!(house.status().await, QueueStatus::default());
}

#[tokio::test]
async fn a_full_disk_is_said_so() {
    let house = House::open_with(|settings| settings.store.min_free = u64::MAX / 4);
    let smtpd = house.smtpd().await;
    let requests = [
        IntakeRequest::Submit {
            envelope: envelope("alice@example.org", &["bob@example.org"]),
            origin: origin(),
        },
        IntakeRequest::OpenSpool { expected: 0 },
    ];
    for request in requests {
        let reply = smtpd.call(&request, Bytes::from_static(CONTENT), Vec::new(), PATIENCE);
        let refused = IntakeReply::Refused(Refusal::DiskFull);
        assert_eq!(reply.await.unwrap().message, refused);
    }
}

#[tokio::test]
async fn a_drain_says_farewell_and_the_next_start_has_everything() {
    let mut house = House::open();
    let smtpd = house.smtpd().await;
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    house.stop().await;
    let request = IntakeRequest::OpenSpool { expected: 0 };
    let reply = smtpd
        .call(&request, Bytes::new(), Vec::new(), PATIENCE)
        .await;
    assert!(
        matches!(reply, Err(CallError::Unavailable { .. })),
        "{reply:?}"
    );
    house.start();
    let mut agent = house.agent(1).await;
    assert_eq!(agent.deliver_next().await.0, "bob@example.org");
    house.until_empty().await;
}
