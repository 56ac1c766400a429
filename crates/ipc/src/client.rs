//! The calling end: many calls at a time over one channel, and a channel that comes back.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::connection::{Connection, Received, Receiver, Sender};
use crate::error::{CallError, ConnectError};
use crate::socket::lock;
use crate::wire::ProtocolError;
use crate::{Frame, PUSH, Protocol};

/// Opens one channel of protocol `P` to the server behind `path`, for a client that reads pushes itself.
pub async fn connect<P: Protocol>(
    path: &Path,
) -> Result<Connection<P::Request, P::Reply>, ConnectError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| ConnectError::Io {
            path: path.to_owned(),
            source,
        })?;
    Connection::greet_stream::<P>(stream)
        .await
        .map_err(|source| ConnectError::Greeting {
            path: path.to_owned(),
            source,
        })
}

/// How a channel ended for the calls that were waiting on it.
#[derive(Clone, Debug)]
enum Ending {
    /// The server said farewell: they were not begun.
    NotBegun,
    /// Nobody knows.
    Lost(Arc<str>),
}

type Answer<P> = Result<Frame<<P as Protocol>::Reply>, Ending>;

struct Waiting<P: Protocol> {
    calls: HashMap<u32, oneshot::Sender<Answer<P>>>,
    last_id: u32,
    ended: Option<Ending>,
}

/// Calls over one channel, matched to their answers by id. It does not reconnect; see [`Client`].
pub struct Caller<P: Protocol> {
    sender: Sender<P::Request>,
    waiting: Arc<Mutex<Waiting<P>>>,
    over: Arc<Notify>,
    reader: AbortHandle,
}

impl<P: Protocol> Caller<P> {
    /// Starts reading answers. Pushes go to `on_push`; what it must do with them must not block.
    pub fn new(
        connection: Connection<P::Request, P::Reply>,
        on_push: impl FnMut(Frame<P::Reply>) + Send + 'static,
    ) -> Self {
        Self::start(connection, Some(on_push))
    }

    fn start(
        connection: Connection<P::Request, P::Reply>,
        on_push: Option<impl FnMut(Frame<P::Reply>) + Send + 'static>,
    ) -> Self {
        let waiting = Arc::new(Mutex::new(Waiting {
            calls: HashMap::new(),
            last_id: PUSH,
            ended: None,
        }));
        let over = Arc::new(Notify::new());
        let reader = tokio::spawn({
            let (waiting, over) = (Arc::clone(&waiting), Arc::clone(&over));
            async move {
                let ending = read_answers(connection.receiver, &waiting, on_push).await;
                let mut waiting = lock(&waiting);
                for (_, call) in waiting.calls.drain() {
                    // A caller that has given up is not there to be told.
                    let _ = call.send(Err(ending.clone()));
                }
                waiting.ended = Some(ending);
                over.notify_waiters();
            }
        });
        Self {
            sender: connection.sender,
            waiting,
            over,
            reader: reader.abort_handle(),
        }
    }

    /// For messages that expect no answer, sent with id [`PUSH`].
    #[must_use]
    pub fn sender(&self) -> &Sender<P::Request> {
        &self.sender
    }

    /// Sends a request and waits for its answer.
    pub async fn call(
        &self,
        request: &P::Request,
        payload: Bytes,
        fds: Vec<OwnedFd>,
        deadline: Duration,
    ) -> Result<Frame<P::Reply>, CallError> {
        let deadline = Instant::now() + deadline;
        match self.attempt(request, payload, fds, deadline).await? {
            Ok(frame) => Ok(frame),
            Err(Ending::NotBegun) => Err(CallError::Unavailable {
                reason: "the service is ending".to_owned(),
            }),
            Err(Ending::Lost(reason)) => Err(lost(&reason)),
        }
    }

    async fn attempt(
        &self,
        request: &P::Request,
        payload: Bytes,
        fds: Vec<OwnedFd>,
        deadline: Instant,
    ) -> Result<Answer<P>, CallError> {
        let Some((id, answer)) = self.register() else {
            return Ok(Err(Ending::NotBegun));
        };
        // Forgets the call when it is answered, times out, or is dropped by its caller.
        let _guard = Registered { caller: self, id };
        match self.sender.send_with(id, request, payload, fds) {
            Ok(()) => {}
            Err(crate::SendError::Closed) => return Ok(Err(Ending::NotBegun)),
            Err(error) => return Err(error.into()),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(lost("the reader of the channel has ended")),
            Err(_) => Err(CallError::TimedOut),
        }
    }

    /// A free id and the place where its answer will arrive; `None` if the channel has ended.
    fn register(&self) -> Option<(u32, oneshot::Receiver<Answer<P>>)> {
        let mut waiting = lock(&self.waiting);
        if waiting.ended.is_some() {
            return None;
        }
        let mut id = waiting.last_id;
        loop {
            id = id.wrapping_add(1);
            if id != PUSH && !waiting.calls.contains_key(&id) {
                break;
            }
        }
        waiting.last_id = id;
        let (sender, receiver) = oneshot::channel();
        waiting.calls.insert(id, sender);
        Some((id, receiver))
    }

    fn has_ended(&self) -> bool {
        lock(&self.waiting).ended.is_some()
    }

    /// Waits until the channel has ended; a child's control channel ends when master does.
    pub async fn ended(&self) {
        loop {
            let notified = self.over.notified();
            if self.has_ended() {
                return;
            }
            notified.await;
        }
    }
}

impl<P: Protocol> Drop for Caller<P> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Registered<'a, P: Protocol> {
    caller: &'a Caller<P>,
    id: u32,
}

impl<P: Protocol> Drop for Registered<'_, P> {
    fn drop(&mut self) {
        lock(&self.caller.waiting).calls.remove(&self.id);
    }
}

fn lost(reason: &str) -> CallError {
    CallError::Lost {
        reason: reason.to_owned(),
    }
}

async fn read_answers<P: Protocol>(
    mut receiver: Receiver<P::Reply>,
    waiting: &Mutex<Waiting<P>>,
    mut on_push: Option<impl FnMut(Frame<P::Reply>)>,
) -> Ending {
    loop {
        let frame = match receiver.receive_or_goodbye().await {
            Ok(Received::Frame(frame)) => frame,
            Ok(Received::Goodbye) => return Ending::NotBegun,
            Ok(Received::End) => return Ending::Lost("the service ended unexpectedly".into()),
            Err(error) => return Ending::Lost(error.to_string().into()),
        };
        if frame.id != PUSH {
            // An answer that nobody waits for any more came after its deadline.
            if let Some(call) = lock(waiting).calls.remove(&frame.id) {
                let _ = call.send(Ok(frame));
            }
        } else if let Some(on_push) = &mut on_push {
            on_push(frame);
        } else {
            return Ending::Lost(ProtocolError::UnexpectedPush.to_string().into());
        }
    }
}

/// The bounds of a [`Client`].
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Calls that may be under way at a time; more wait for their turn, within their deadline.
    pub max_calls: usize,
    /// The first pause after a failed attempt to connect; doubled up to `max_pause`.
    pub min_pause: Duration,
    /// The longest pause between two attempts to connect.
    pub max_pause: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            max_calls: 1024,
            min_pause: Duration::from_millis(20),
            max_pause: Duration::from_secs(1),
        }
    }
}

/// Calls to the server behind a path: connects when first needed, and again when the channel has ended.
pub struct Client<P: Protocol> {
    inner: Arc<Inner<P>>,
}

impl<P: Protocol> Clone for Client<P> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<P: Protocol> {
    path: PathBuf,
    options: ClientOptions,
    turns: Semaphore,
    current: Mutex<Option<Arc<Caller<P>>>>,
    connecting: tokio::sync::Mutex<Pause>,
}

/// When the next attempt to connect may be made.
struct Pause {
    not_before: Instant,
    next: Duration,
}

impl<P: Protocol> Client<P> {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with_options(path, ClientOptions::default())
    }

    /// As [`Self::new`] with other bounds.
    #[must_use]
    pub fn with_options(path: impl Into<PathBuf>, options: ClientOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                path: path.into(),
                options,
                turns: Semaphore::new(options.max_calls),
                current: Mutex::new(None),
                connecting: tokio::sync::Mutex::new(Pause {
                    not_before: Instant::now(),
                    next: options.min_pause,
                }),
            }),
        }
    }

    /// Sends a request and waits for its answer, at most `deadline` long from now.
    ///
    /// A request that was surely not begun is sent again on a new channel within the deadline.
    pub async fn call(
        &self,
        request: &P::Request,
        payload: Bytes,
        fds: Vec<OwnedFd>,
        deadline: Duration,
    ) -> Result<Frame<P::Reply>, CallError> {
        let deadline = Instant::now() + deadline;
        let _turn = match timeout_at(deadline, self.inner.turns.acquire()).await {
            Ok(Ok(turn)) => turn,
            _ => return Err(unavailable("too many calls are waiting for it")),
        };
        loop {
            let caller = self.inner.caller(deadline).await?;
            // Only requests with descriptors pay for the chance that they must be sent twice.
            let again = fds
                .iter()
                .map(OwnedFd::try_clone)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unavailable(&error.to_string()))?;
            let attempt = caller.attempt(request, payload.clone(), again, deadline);
            match attempt.await? {
                Ok(frame) => return Ok(frame),
                Err(Ending::Lost(reason)) => return Err(lost(&reason)),
                Err(Ending::NotBegun) => self.inner.forget(&caller),
            }
        }
    }
}

fn unavailable(reason: &str) -> CallError {
    CallError::Unavailable {
        reason: reason.to_owned(),
    }
}

impl<P: Protocol> Inner<P> {
    fn live(&self) -> Option<Arc<Caller<P>>> {
        let current = lock(&self.current);
        current
            .as_ref()
            .filter(|caller| !caller.has_ended())
            .cloned()
    }

    fn forget(&self, ended: &Arc<Caller<P>>) {
        let mut current = lock(&self.current);
        if current
            .as_ref()
            .is_some_and(|caller| Arc::ptr_eq(caller, ended))
        {
            *current = None;
        }
    }

    /// The open channel, or a new one; one caller connects, the others wait for it.
    async fn caller(&self, deadline: Instant) -> Result<Arc<Caller<P>>, CallError> {
        if let Some(caller) = self.live() {
            return Ok(caller);
        }
        let mut reason = "it did not accept the connection in time".to_owned();
        let connected = timeout_at(deadline, self.connect(&mut reason)).await;
        connected.map_err(|_| unavailable(&reason))
    }

    async fn connect(&self, reason: &mut String) -> Arc<Caller<P>> {
        let mut pause = self.connecting.lock().await;
        loop {
            if let Some(caller) = self.live() {
                return caller;
            }
            sleep_until(pause.not_before).await;
            // Set before the attempt: it may be dropped at its caller's deadline.
            pause.not_before = Instant::now() + pause.next;
            match connect::<P>(&self.path).await {
                Ok(connection) => {
                    pause.next = self.options.min_pause;
                    let caller = Arc::new(Caller::start(connection, None::<fn(Frame<P::Reply>)>));
                    *lock(&self.current) = Some(Arc::clone(&caller));
                    return caller;
                }
                Err(error) => {
                    *reason = error.to_string();
                    pause.next = (2 * pause.next).min(self.options.max_pause);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
