//! One channel under tokio: a [`Sender`] that many tasks and threads share, a [`Receiver`] for one task.
//!
//! Messages that are queued in one turn of the event loop leave in one write: `send` only appends to a
//! buffer and wakes the channel's writer task. A thread outside the loop can queue many messages and
//! then [`Sender::flush`] them itself, which spares the loop a wake-up.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::ReceiveError;
use crate::shared::{Flushed, Handle, Shared, State, write_loop};
use crate::socket::{self, READ_SIZE};
use crate::wire::{Decoder, Hello, Incoming, Limits, ProtocolError, SendError};
use crate::{Frame, PUSH, Protocol};

/// How long a peer may take over its greeting.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// An open, greeted channel that sends `Out` and receives `In`.
#[derive(Debug)]
pub struct Connection<Out, In> {
    /// The sending half.
    pub sender: Sender<Out>,
    /// The receiving half.
    pub receiver: Receiver<In>,
}

impl<Out, In> Connection<Out, In>
where
    Out: Serialize + Send + 'static,
    In: DeserializeOwned,
{
    /// Greets over a connected socket, such as an inherited control socket, and waits for the peer's greeting.
    ///
    /// A client or child of protocol `P` uses `Connection::<P::Request, P::Reply>::greet::<P>`.
    pub async fn greet<P: Protocol>(stream: OwnedFd) -> Result<Self, ReceiveError> {
        let stream = StdUnixStream::from(stream);
        stream.set_nonblocking(true)?;
        Self::greet_stream::<P>(UnixStream::from_std(stream)?).await
    }

    pub(crate) async fn greet_stream<P: Protocol>(
        stream: UnixStream,
    ) -> Result<Self, ReceiveError> {
        let mut raw = RawConnection::new(stream, Limits::of::<P>(), None);
        raw.send_hello(&Hello::of::<P>());
        raw.receive_hello().await?.check::<P>()?;
        Ok(raw.typed(Limits::of::<P>(), false))
    }
}

/// A channel before its protocol is known.
#[derive(Debug)]
pub(crate) struct RawConnection {
    handle: Arc<Handle>,
    receiver: Receiver<()>,
}

impl RawConnection {
    pub(crate) fn new(
        stream: UnixStream,
        limits: Limits,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let shared = Arc::new(Shared::new(stream, permit));
        tokio::spawn(write_loop(Arc::clone(&shared)));
        let receiver = Receiver {
            shared: Arc::clone(&shared),
            decoder: Decoder::new(limits),
            buffer: vec![0; READ_SIZE],
            start: 0,
            end: 0,
            serving: false,
            message: PhantomData,
        };
        Self {
            handle: Arc::new(Handle { shared }),
            receiver,
        }
    }

    pub(crate) fn send_hello(&self, hello: &Hello) {
        let shared = &self.handle.shared;
        if let Ok(mut state) = shared.open_state() {
            // A greeting is always within the limits.
            let _ = state.outgoing.push_hello(hello);
            shared.wake(&mut state);
        }
    }

    pub(crate) async fn receive_hello(&mut self) -> Result<Hello, ReceiveError> {
        let hello = tokio::time::timeout(GREETING_TIMEOUT, self.receiver.incoming()).await;
        match hello {
            Err(_) => Err(ReceiveError::TimedOut),
            Ok(Ok(Some(Incoming::Hello(hello)))) => Ok(hello),
            Ok(Ok(Some(_))) => Err(ProtocolError::NoHello.into()),
            Ok(Ok(None)) => Err(ProtocolError::Truncated.into()),
            Ok(Err(error)) => Err(error),
        }
    }

    pub(crate) fn typed<Out, In>(self, limits: Limits, serving: bool) -> Connection<Out, In> {
        let Receiver {
            shared,
            mut decoder,
            buffer,
            start,
            end,
            ..
        } = self.receiver;
        decoder.set_limits(limits);
        Connection {
            sender: Sender {
                handle: self.handle,
                limits,
                serving,
                message: PhantomData,
            },
            receiver: Receiver {
                shared,
                decoder,
                buffer,
                start,
                end,
                serving,
                message: PhantomData,
            },
        }
    }
}

/// The sending half of a channel; cheap to clone, usable from any thread.
#[derive(Debug)]
pub struct Sender<M> {
    handle: Arc<Handle>,
    limits: Limits,
    serving: bool,
    message: PhantomData<fn(M)>,
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
            limits: self.limits,
            serving: self.serving,
            message: PhantomData,
        }
    }
}

impl<M: Serialize> Sender<M> {
    /// Sends a message without payload or descriptors.
    pub fn send(&self, id: u32, message: &M) -> Result<(), SendError> {
        self.send_with(id, message, Bytes::new(), Vec::new())
    }

    /// Sends a message; it leaves with everything else that is queued in this turn of the event loop.
    pub fn send_with(
        &self,
        id: u32,
        message: &M,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<(), SendError> {
        let mut state = self.push(id, message, payload, fds)?;
        self.handle.shared.wake(&mut state);
        Ok(())
    }

    /// Queues a message without waking anybody: [`Self::flush`] must follow.
    pub fn queue(
        &self,
        id: u32,
        message: &M,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<(), SendError> {
        self.push(id, message, payload, fds).map(drop)
    }

    fn push(
        &self,
        id: u32,
        message: &M,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<MutexGuard<'_, State>, SendError> {
        let shared = &self.handle.shared;
        let mut state = shared.open_state()?;
        state
            .outgoing
            .push(&self.limits, id, message, payload, fds)?;
        if self.serving && id != PUSH {
            shared.answered(&mut state);
        }
        Ok(state)
    }
}

impl<M> Sender<M> {
    /// Writes what is queued, on the calling thread; what the socket does not take is left to the writer task.
    pub fn flush(&self) {
        if matches!(self.handle.shared.flush(), Flushed::Blocked) {
            let shared = &self.handle.shared;
            shared.wake(&mut shared.state());
        }
    }

    /// Says farewell: what is queued is still written, requests that were not answered were not begun.
    pub fn goodbye(&self) {
        let shared = &self.handle.shared;
        if let Ok(mut state) = shared.open_state() {
            // A farewell is always within the limits.
            let _ = state.outgoing.push_goodbye();
            shared.close(&mut state);
        }
    }

    /// Waits until everything that was queued so far is written, or the peer is gone.
    pub async fn written(&self) {
        let shared = &self.handle.shared;
        loop {
            match shared.flush() {
                Flushed::Blocked => {
                    if shared.stream.writable().await.is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Bytes that are queued and not yet written.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.handle.shared.state().outgoing.queued()
    }
}

/// The receiving half of a channel.
#[derive(Debug)]
pub struct Receiver<M> {
    shared: Arc<Shared>,
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    serving: bool,
    message: PhantomData<fn() -> M>,
}

impl<M: DeserializeOwned> Receiver<M> {
    /// The next message; `None` when the peer closed the channel between two frames.
    ///
    /// Cancel safe. A server that does not keep up with answering or whose peer does not read is held up here.
    pub async fn receive(&mut self) -> Result<Option<Frame<M>>, ReceiveError> {
        match self.receive_or_goodbye().await? {
            Received::Frame(frame) => Ok(Some(frame)),
            Received::Goodbye | Received::End => Ok(None),
        }
    }

    /// As [`Self::receive`], telling an orderly farewell from the mere end of the stream.
    pub(crate) async fn receive_or_goodbye(&mut self) -> Result<Received<M>, ReceiveError> {
        match self.incoming().await? {
            Some(Incoming::Frame(frame)) => {
                if self.serving && frame.id != PUSH {
                    self.shared.owe_answer();
                }
                Ok(Received::Frame(frame))
            }
            Some(Incoming::Goodbye) if self.serving => {
                self.shared.abort();
                Err(ProtocolError::UnexpectedGoodbye.into())
            }
            Some(Incoming::Goodbye) => Ok(Received::Goodbye),
            // The decoder lets no second Hello through.
            Some(Incoming::Hello(_)) => Err(ProtocolError::SecondHello.into()),
            None => Ok(Received::End),
        }
    }

    async fn incoming(&mut self) -> Result<Option<Incoming<M>>, ReceiveError> {
        loop {
            match self.decode() {
                Ok(Some(incoming)) => return Ok(Some(incoming)),
                Ok(None) => {}
                Err(fault) => {
                    self.shared.abort();
                    return Err(fault.into());
                }
            }
            self.shared.room_to_read().await;
            if self.read().await? == 0 {
                self.decoder.finish()?;
                return Ok(None);
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Incoming<M>>, ProtocolError> {
        let mut input = &self.buffer[self.start..self.end];
        let result = self.decoder.next(&mut input);
        self.start = self.end - input.len();
        result
    }

    /// One read into the empty buffer.
    async fn read(&mut self) -> Result<usize, ReceiveError> {
        let stream = &self.shared.stream;
        loop {
            stream.readable().await?;
            let mut received = None;
            let result = stream.try_io(Interest::READABLE, || {
                let fds = self.decoder.fds();
                let before = fds.len();
                let count = socket::read(stream.as_fd(), &mut self.buffer, fds)?;
                received = Some(count);
                // A short read without descriptors has emptied the socket: saying so here saves the read
                // that would only find that out. (A read that brought descriptors stops behind them.)
                if count > 0 && count < self.buffer.len() && self.decoder.fds().len() == before {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            if let Some(count) = received {
                (self.start, self.end) = (0, count);
                return Ok(count);
            }
            match result {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
        }
    }
}

/// One step of a client's reading.
pub(crate) enum Received<M> {
    Frame(Frame<M>),
    Goodbye,
    End,
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
