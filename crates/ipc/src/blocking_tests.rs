use super::*;
use crate::Listener;
use crate::test_support::{Echo, NewerEcho, Place, Say};

const LONG: Duration = Duration::from_secs(20);

/// A server on a thread of its own; `serve` handles each channel.
fn server<F, S>(listener_of: &Place, serve: S) -> std::thread::JoinHandle<()>
where
    F: Future<Output = ()>,
    S: Fn(usize, crate::Connection<Say, Say>) -> F + Send + 'static,
{
    let fd = crate::test_support::bind(&listener_of.path);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let listener = Listener::new(fd.into(), 8).expect("listener");
            for number in 0..2 {
                let new = listener.accept().await.expect("accept");
                let greeted = new.greeting().await.expect("hello");
                let Ok(connection) = greeted.accept::<Echo>().await else {
                    return;
                };
                serve(number, connection).await;
            }
        });
    })
}

#[test]
fn a_call_is_answered_and_repeated_after_a_farewell() {
    let place = Place::new();
    let thread = server(&place, |number, mut connection| async move {
        let frame = connection
            .receiver
            .receive()
            .await
            .expect("frame")
            .expect("not over");
        if number == 1 {
            connection
                .sender
                .send(PUSH, &Say::Number(0))
                .expect("queued");
            connection
                .sender
                .send_with(frame.id, &frame.message, frame.payload, frame.fds)
                .expect("queued");
        }
        connection.sender.goodbye();
        connection.sender.written().await;
    });
    let mut client = BlockingClient::<Echo>::connect(&place.path, LONG).expect("connected");
    let file: OwnedFd = tempfile::tempfile().expect("temporary file").into();
    let payload = Bytes::from(vec![5; 500_000]);
    let frame = client
        .call(&Say::Text("hi".into()), payload.clone(), vec![file], LONG)
        .expect("answered");
    assert_eq!(frame.message, Say::Text("hi".into()));
    assert_eq!(frame.payload, payload);
    assert_eq!(frame.fds.len(), 1);
    thread.join().expect("server");
}

#[test]
fn silence_and_loss_are_told_apart() {
    let place = Place::new();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let thread = server(&place, move |number, mut connection| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            let _ = connection.receiver.receive().await.expect("frame");
            if number == 0 {
                let _ = wait.lock().expect("lock").recv();
            }
        }
    });
    let mut client = BlockingClient::<Echo>::connect(&place.path, LONG).expect("connected");
    let short = Duration::from_millis(50);
    let result = client.call(&Say::Number(1), Bytes::new(), Vec::new(), short);
    assert!(matches!(result, Err(CallError::TimedOut)));
    done.send(()).expect("server lives");
    let mut client = BlockingClient::<Echo>::connect(&place.path, LONG).expect("connected");
    let result = client.call(&Say::Number(1), Bytes::new(), Vec::new(), LONG);
    assert!(matches!(result, Err(CallError::Lost { .. })));
    thread.join().expect("server");
}

#[test]
fn another_version_is_told() {
    let place = Place::new();
    let thread = server(&place, |_, _| async {});
    let error = BlockingClient::<NewerEcho>::connect(&place.path, LONG).expect_err("mismatch");
    assert!(error.to_string().contains("version 3"), "{error}");
    thread.join().expect("server");
}

#[test]
fn a_poll_loop_talks_to_a_blocking_child() {
    let (ours, theirs) = UnixStream::pair().expect("socket pair");
    let mut master = PollConnection::<Echo>::from_fd(ours.into()).expect("master's end");
    let child = std::thread::spawn(move || {
        let mut child =
            BlockingConnection::<Echo>::from_fd(theirs.into(), LONG).expect("child's end");
        let file: OwnedFd = tempfile::tempfile().expect("temporary file").into();
        let payload = Bytes::from(vec![1; 1_000_000]);
        child
            .send(1, &Say::Number(1), payload, vec![file], LONG)
            .expect("sent");
        let reply = child.receive(LONG).expect("reply").expect("not over");
        assert_eq!((reply.id, reply.message), (1, Say::Number(2)));
        assert_eq!(reply.payload.len(), 3_000_000);
        assert!(child.receive(LONG).expect("end").is_none());
    });
    // The test's poll loop: socket reads wait, as `poll` would.
    let frame = loop {
        assert_eq!(master.read_available().expect("channel"), Status::Open);
        if let Some(frame) = master.next_frame() {
            break frame;
        }
        std::thread::yield_now();
    };
    assert_eq!(
        (frame.message, frame.payload.len(), frame.fds.len()),
        (Say::Number(1), 1_000_000, 1)
    );
    let payload = Bytes::from(vec![2; 3_000_000]);
    master
        .send(1, &Say::Number(2), payload, Vec::new())
        .expect("sent");
    while master.wants_write() {
        master.write_available().expect("written");
        std::thread::yield_now();
    }
    drop(master);
    child.join().expect("child");
}

#[test]
fn a_poll_loop_sees_the_end_and_the_fault() {
    let (ours, theirs) = UnixStream::pair().expect("socket pair");
    let mut master = PollConnection::<Echo>::from_fd(ours.into()).expect("master's end");
    assert_eq!(master.read_available().expect("channel"), Status::Open);
    drop(theirs);
    assert_eq!(master.read_available().expect("channel"), Status::Ended);
    let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
    let mut master = PollConnection::<Echo>::from_fd(ours.into()).expect("master's end");
    std::io::Write::write_all(&mut theirs, &[0xff; 32]).expect("written");
    assert!(matches!(
        master.read_available(),
        Err(ReceiveError::Protocol(_))
    ));
    assert!(matches!(
        master.read_available(),
        Err(ReceiveError::Protocol(_))
    ));
}

#[test]
fn a_child_that_does_not_read_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().expect("socket pair");
    let mut master = PollConnection::<Echo>::from_fd(ours.into()).expect("master's end");
    let payload = Bytes::from(vec![0; 1 << 20]);
    let result =
        (0..4).try_for_each(|_| master.send(PUSH, &Say::Number(1), payload.clone(), Vec::new()));
    assert!(matches!(result, Err(SendError::Closed)));
}

#[test]
fn a_child_that_sends_without_end_does_not_keep_the_loop() {
    let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
    let mut master = PollConnection::<Echo>::from_fd(ours.into()).expect("master's end");
    let mut outgoing = Outgoing::default();
    outgoing.push_hello(&Hello::of::<Echo>()).expect("fits");
    socket::flush(&mut outgoing, theirs.as_fd()).expect("written");
    let limits = Limits::of::<Echo>();
    outgoing
        .push(&limits, PUSH, &Say::Number(1), Bytes::new(), Vec::new())
        .expect("fits");
    let mut slices = [io::IoSlice::new(&[])];
    let _ = outgoing.gather(&mut slices);
    let frames = slices[0].repeat(10_000);
    let child = std::thread::spawn(
        move || {
            while io::Write::write_all(&mut theirs, &frames).is_ok() {}
        },
    );
    for _ in 0..10 {
        assert_eq!(master.read_available().expect("channel"), Status::Open);
        let held = std::iter::from_fn(|| master.next_frame()).count();
        assert!(
            held <= 1 + READS_IN_A_ROW * SMALL_READ / slices[0].len(),
            "{held}"
        );
    }
    drop(master);
    child.join().expect("child");
}
