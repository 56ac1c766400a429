use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::test_support::{Echo, Place, Say, bind};
use crate::{Listener, SendError};

const LONG: Duration = Duration::from_secs(20);

type Served = Connection<Say, Say>;

async fn accept(listener: &Listener) -> Served {
    let greeted = listener
        .accept()
        .await
        .expect("accept")
        .greeting()
        .await
        .expect("hello");
    greeted.accept::<Echo>().await.expect("served")
}

/// Answers every request with itself, for ever.
async fn echo(listener: Listener) {
    loop {
        let mut connection = accept(&listener).await;
        tokio::spawn(async move {
            while let Ok(Some(frame)) = connection.receiver.receive().await {
                let sent =
                    connection
                        .sender
                        .send_with(frame.id, &frame.message, frame.payload, frame.fds);
                if sent.is_err() {
                    return;
                }
            }
        });
    }
}

async fn call(client: &Client<Echo>, number: u64) -> Result<Say, CallError> {
    let request = Say::Number(number);
    let frame = client
        .call(&request, Bytes::new(), Vec::new(), LONG)
        .await?;
    Ok(frame.message)
}

#[tokio::test]
async fn many_calls_share_a_channel() {
    let place = Place::new();
    tokio::spawn(echo(place.listen()));
    let client = Client::<Echo>::new(&place.path);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..3000 {
        let client = client.clone();
        calls.spawn(async move {
            let file: OwnedFd = tempfile::tempfile().expect("temporary file").into();
            let fds = if number % 100 == 0 {
                vec![file]
            } else {
                Vec::new()
            };
            let payload = Bytes::from(vec![1; number as usize]);
            let frame = client
                .call(&Say::Number(number), payload, fds, LONG)
                .await
                .expect("answered");
            assert_eq!(frame.message, Say::Number(number));
            assert_eq!(frame.payload.len(), number as usize);
            assert_eq!(frame.fds.len(), usize::from(number % 100 == 0));
        });
    }
    while let Some(done) = calls.join_next().await {
        done.expect("call");
    }
}

#[tokio::test]
async fn an_unanswered_call_is_sent_again_after_a_farewell() {
    let place = Place::new();
    let listener = place.listen();
    let begun = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&begun);
    tokio::spawn(async move {
        // The first server answers one of two and says farewell; the second answers the rest.
        let mut first = accept(&listener).await;
        let frame = first
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        let _unanswered = first
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        first.sender.send(frame.id, &frame.message).expect("queued");
        count.fetch_add(1, Ordering::SeqCst);
        first.sender.goodbye();
        drop(first);
        let mut second = accept(&listener).await;
        while let Ok(Some(frame)) = second.receiver.receive().await {
            count.fetch_add(1, Ordering::SeqCst);
            second
                .sender
                .send(frame.id, &frame.message)
                .expect("queued");
        }
    });
    let client = Client::<Echo>::new(&place.path);
    let (one, two) = tokio::join!(call(&client, 1), call(&client, 2));
    assert_eq!(one.expect("answered"), Say::Number(1));
    assert_eq!(two.expect("answered"), Say::Number(2));
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_cut_off_without_farewell_is_lost_and_the_next_one_works() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let mut first = accept(&listener).await;
        let _ = first.receiver.receive().await;
        drop(first);
        echo(listener).await;
    });
    let client = Client::<Echo>::new(&place.path);
    let error = call(&client, 1).await.expect_err("lost");
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    assert!(error.outcome_unknown());
    assert_eq!(call(&client, 2).await.expect("answered"), Say::Number(2));
}

#[tokio::test]
async fn an_absent_server_is_waited_for() {
    let place = Place::new();
    let client = Client::<Echo>::new(&place.path);
    let short = Duration::from_millis(50);
    let error = client
        .call(&Say::Number(1), Bytes::new(), Vec::new(), short)
        .await
        .expect_err("absent");
    assert!(matches!(&error, CallError::Unavailable { reason } if reason.contains("socket")));
    assert!(!error.outcome_unknown());
    let path = place.path.clone();
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        echo(Listener::new(bind(&path).into(), 8).expect("listener")).await;
    });
    assert_eq!(call(&client, 2).await.expect("answered"), Say::Number(2));
}

#[tokio::test]
async fn a_silent_server_runs_into_the_deadline_and_a_late_answer_is_ignored() {
    let place = Place::new();
    let listener = place.listen();
    let go_on = Arc::new(Notify::new());
    let resume = Arc::clone(&go_on);
    tokio::spawn(async move {
        let mut connection = accept(&listener).await;
        let late = connection
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        resume.notified().await;
        connection
            .sender
            .send(late.id, &Say::Number(99))
            .expect("queued");
        while let Ok(Some(frame)) = connection.receiver.receive().await {
            connection
                .sender
                .send(frame.id, &frame.message)
                .expect("queued");
        }
    });
    let client = Client::<Echo>::new(&place.path);
    let short = Duration::from_millis(50);
    let error = client
        .call(&Say::Number(1), Bytes::new(), Vec::new(), short)
        .await
        .expect_err("silent");
    assert!(matches!(error, CallError::TimedOut));
    go_on.notify_one();
    assert_eq!(call(&client, 2).await.expect("answered"), Say::Number(2));
}

#[tokio::test]
async fn our_own_oversize_request_harms_nothing() {
    let place = Place::new();
    tokio::spawn(echo(place.listen()));
    let client = Client::<Echo>::new(&place.path);
    let big = Say::Text("x".repeat(2000));
    let result = client.call(&big, Bytes::new(), Vec::new(), LONG).await;
    assert!(matches!(
        result,
        Err(CallError::NotSent(SendError::TooLarge { .. }))
    ));
    assert_eq!(call(&client, 2).await.expect("answered"), Say::Number(2));
}

#[tokio::test]
async fn calls_beyond_the_bound_wait_for_their_turn() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let mut connection = accept(&listener).await;
        let mut held = Vec::new();
        while held.len() < 2 {
            held.push(
                connection
                    .receiver
                    .receive()
                    .await
                    .expect("frame")
                    .expect("not over"),
            );
        }
        let third = tokio::time::timeout(Duration::from_millis(50), connection.receiver.receive());
        assert!(
            third.await.is_err(),
            "a third call came while two were unanswered"
        );
        for frame in held {
            connection
                .sender
                .send(frame.id, &frame.message)
                .expect("queued");
        }
        let last = connection
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        connection
            .sender
            .send(last.id, &last.message)
            .expect("queued");
        // Keep the channel open until the client is done with it.
        let _ = connection.receiver.receive().await;
    });
    let options = ClientOptions {
        max_calls: 2,
        ..ClientOptions::default()
    };
    let client = Client::<Echo>::with_options(&place.path, options);
    let (one, two, three) = tokio::join!(call(&client, 1), call(&client, 2), call(&client, 3));
    for (result, number) in [(one, 1), (two, 2), (three, 3)] {
        assert_eq!(result.expect("answered"), Say::Number(number));
    }
}

#[tokio::test]
async fn pushes_reach_a_caller_that_takes_them_and_its_end_is_told() {
    let place = Place::new();
    let listener = place.listen();
    let (client, server) = tokio::join!(connect::<Echo>(&place.path), accept(&listener));
    let (push, mut pushed) = tokio::sync::mpsc::unbounded_channel();
    let caller = Caller::<Echo>::new(client.expect("connected"), move |frame| {
        let _ = push.send(frame.message);
    });
    server.sender.send(PUSH, &Say::Number(7)).expect("queued");
    assert_eq!(pushed.recv().await, Some(Say::Number(7)));
    drop(server);
    caller.ended().await;
    let result = caller
        .call(&Say::Number(1), Bytes::new(), Vec::new(), LONG)
        .await;
    assert!(matches!(result, Err(CallError::Unavailable { .. })));
}
