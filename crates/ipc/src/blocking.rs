//! Channels for programs without an event loop of tokio: master's poll loop, and one call at a time.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{CallError, ConnectError, ReceiveError};
use crate::socket::{self, HIGH_WATER};
use crate::wire::{Decoder, Hello, Incoming, Limits, Outgoing, ProtocolError, SendError};
use crate::{Frame, PUSH, Protocol};

/// One read of a poll loop: control messages are small.
const SMALL_READ: usize = 16 << 10;
/// How often one channel is read before the poll loop looks at the others.
const READS_IN_A_ROW: usize = 16;

/// The serving end of a socket pair in a poll loop: no call here ever blocks.
///
/// Poll [`Self::as_fd`] for reading, and for writing while [`Self::wants_write`]; then call
/// [`Self::read_available`] or [`Self::write_available`].
#[derive(Debug)]
pub struct PollConnection<P: Protocol> {
    stream: UnixStream,
    outgoing: Outgoing,
    decoder: Decoder,
    buffer: Vec<u8>,
    received: VecDeque<Frame<P::Request>>,
}

/// Is the peer still there?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// More may come.
    Open,
    /// The peer has closed the channel, or said farewell.
    Ended,
}

impl<P: Protocol> PollConnection<P> {
    /// Takes over one end of a socket pair and queues the greeting.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(true)?;
        let mut outgoing = Outgoing::default();
        outgoing
            .push_hello(&Hello::of::<P>())
            .map_err(io::Error::other)?;
        let mut connection = Self {
            stream,
            outgoing,
            decoder: Decoder::new(Limits::of::<P>()),
            buffer: vec![0; SMALL_READ],
            received: VecDeque::new(),
        };
        connection.write_available()?;
        Ok(connection)
    }

    /// Reads what has arrived; the frames are then taken with [`Self::next_frame`].
    ///
    /// A peer that sends without end is left for the next round, so that it neither keeps the loop to
    /// itself nor fills the memory.
    pub fn read_available(&mut self) -> Result<Status, ReceiveError> {
        self.decoder.check()?;
        for _ in 0..READS_IN_A_ROW {
            let read = socket::read(self.stream.as_fd(), &mut self.buffer, self.decoder.fds());
            let count = match read {
                Ok(0) => {
                    self.decoder.finish()?;
                    return Ok(Status::Ended);
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Status::Open),
                Err(error) => return Err(error.into()),
            };
            let mut input = &self.buffer[..count];
            while let Some(incoming) = self.decoder.next(&mut input)? {
                match incoming {
                    Incoming::Hello(hello) => hello.check::<P>()?,
                    Incoming::Frame(frame) => self.received.push_back(frame),
                    Incoming::Goodbye => return Ok(Status::Ended),
                }
            }
        }
        Ok(Status::Open)
    }

    /// The oldest frame not yet taken.
    pub fn next_frame(&mut self) -> Option<Frame<P::Request>> {
        self.received.pop_front()
    }

    /// Sends a message as far as the socket takes it now; the rest waits for [`Self::write_available`].
    ///
    /// Fails with [`SendError::Closed`] if the peer is gone, or has left too much unread.
    pub fn send(
        &mut self,
        id: u32,
        message: &P::Reply,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<(), SendError> {
        if self.outgoing.queued() > HIGH_WATER {
            return Err(SendError::Closed);
        }
        self.outgoing
            .push(&Limits::of::<P>(), id, message, payload, fds)?;
        self.write_available().map_err(|_| SendError::Closed)
    }

    /// Is something waiting for the socket to take more?
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Writes what the socket takes now.
    pub fn write_available(&mut self) -> io::Result<()> {
        match socket::flush(&mut self.outgoing, self.stream.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }
}

impl<P: Protocol> AsFd for PollConnection<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// One call at a time to the server behind a path, for commands and session programs.
#[derive(Debug)]
pub struct BlockingClient<P: Protocol> {
    path: PathBuf,
    connection: BlockingConnection<P>,
    last_id: u32,
}

impl<P: Protocol> BlockingClient<P> {
    /// Connects and greets, within `timeout`.
    pub fn connect(path: impl Into<PathBuf>, timeout: Duration) -> Result<Self, ConnectError> {
        let path = path.into();
        Ok(Self {
            connection: BlockingConnection::open(&path, Instant::now() + timeout)?,
            path,
            last_id: PUSH,
        })
    }

    /// Sends a request and waits for its answer. One that was surely not begun is sent again.
    pub fn call(
        &mut self,
        request: &P::Request,
        payload: Bytes,
        fds: Vec<OwnedFd>,
        timeout: Duration,
    ) -> Result<Frame<P::Reply>, CallError> {
        let deadline = Instant::now() + timeout;
        loop {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            let again = fds
                .iter()
                .map(OwnedFd::try_clone)
                .collect::<io::Result<Vec<_>>>()
                .map_err(unavailable)?;
            let id = self.last_id;
            let outgoing = &mut self.connection.outgoing;
            outgoing.push(&Limits::of::<P>(), id, request, payload.clone(), again)?;
            match self.connection.exchange(id, deadline)? {
                Some(frame) => return Ok(frame),
                None => {
                    self.connection =
                        BlockingConnection::open(&self.path, deadline).map_err(unavailable)?
                }
            }
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> CallError {
    CallError::Unavailable {
        reason: error.to_string(),
    }
}

/// The client's or child's end of a channel, with time-outs instead of an event loop.
#[derive(Debug)]
pub struct BlockingConnection<P: Protocol> {
    stream: UnixStream,
    outgoing: Outgoing,
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    protocol: PhantomData<P>,
}

impl<P: Protocol> BlockingConnection<P> {
    /// Greets over one end of a socket pair, such as an inherited control socket, within `timeout`.
    pub fn from_fd(fd: OwnedFd, timeout: Duration) -> Result<Self, ReceiveError> {
        Self::greet(UnixStream::from(fd), Instant::now() + timeout)
    }

    /// Sends a message.
    pub fn send(
        &mut self,
        id: u32,
        message: &P::Request,
        payload: Bytes,
        fds: Vec<OwnedFd>,
        timeout: Duration,
    ) -> Result<(), CallError> {
        self.outgoing
            .push(&Limits::of::<P>(), id, message, payload, fds)?;
        self.flush(Instant::now() + timeout).map_err(lost)
    }

    /// The next message, push or answer; `None` if the peer said farewell or closed the channel.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Frame<P::Reply>>, ReceiveError> {
        match self.incoming(Instant::now() + timeout)? {
            Some(Incoming::Frame(frame)) => Ok(Some(frame)),
            Some(Incoming::Goodbye | Incoming::Hello(_)) | None => Ok(None),
        }
    }

    fn open(path: &Path, deadline: Instant) -> Result<Self, ConnectError> {
        let stream = UnixStream::connect(path).map_err(|source| ConnectError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::greet(stream, deadline).map_err(|source| ConnectError::Greeting {
            path: path.to_owned(),
            source,
        })
    }

    fn greet(stream: UnixStream, deadline: Instant) -> Result<Self, ReceiveError> {
        stream.set_nonblocking(false)?;
        let mut connection = Self {
            stream,
            outgoing: Outgoing::default(),
            decoder: Decoder::new(Limits::of::<P>()),
            buffer: vec![0; SMALL_READ],
            start: 0,
            end: 0,
            protocol: PhantomData,
        };
        let hello = Hello::of::<P>();
        connection
            .outgoing
            .push_hello(&hello)
            .map_err(io::Error::other)?;
        connection.flush(deadline)?;
        match connection.incoming(deadline)? {
            Some(Incoming::Hello(hello)) => hello.check::<P>()?,
            Some(_) => return Err(ProtocolError::NoHello.into()),
            None => return Err(ProtocolError::Truncated.into()),
        }
        Ok(connection)
    }

    /// Writes the queued request and reads its answer; `None` if the server said farewell instead.
    fn exchange(
        &mut self,
        id: u32,
        deadline: Instant,
    ) -> Result<Option<Frame<P::Reply>>, CallError> {
        match self.flush(deadline) {
            Ok(()) => {}
            // The peer is gone: whether with a farewell, the read below finds out.
            Err(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(lost(error)),
        }
        loop {
            match self.incoming(deadline).map_err(lost)? {
                Some(Incoming::Frame(frame)) if frame.id == id => return Ok(Some(frame)),
                // A push, or the answer to a call that timed out before.
                Some(Incoming::Frame(_) | Incoming::Hello(_)) => {}
                Some(Incoming::Goodbye) => return Ok(None),
                None => {
                    return Err(CallError::Lost {
                        reason: "the service ended unexpectedly".to_owned(),
                    });
                }
            }
        }
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), ReceiveError> {
        self.stream.set_write_timeout(Some(left(deadline)?))?;
        socket::flush(&mut self.outgoing, self.stream.as_fd()).map_err(timed)
    }

    fn incoming(&mut self, deadline: Instant) -> Result<Option<Incoming<P::Reply>>, ReceiveError> {
        loop {
            let mut input = &self.buffer[self.start..self.end];
            let next = self.decoder.next(&mut input)?;
            self.start = self.end - input.len();
            if next.is_some() {
                return Ok(next);
            }
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            let fds = self.decoder.fds();
            let count = socket::read(self.stream.as_fd(), &mut self.buffer, fds).map_err(timed)?;
            if count == 0 {
                self.decoder.finish()?;
                return Ok(None);
            }
            (self.start, self.end) = (0, count);
        }
    }
}

fn lost(error: ReceiveError) -> CallError {
    match error {
        ReceiveError::TimedOut => CallError::TimedOut,
        other => CallError::Lost {
            reason: other.to_string(),
        },
    }
}

/// The time left; none is a time-out, as a socket takes no time-out of zero.
fn left(deadline: Instant) -> Result<Duration, ReceiveError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ReceiveError::TimedOut);
    }
    Ok(left)
}

/// A blocking socket tells its time-out as `WouldBlock`.
fn timed(error: io::Error) -> ReceiveError {
    match error.kind() {
        io::ErrorKind::WouldBlock => ReceiveError::TimedOut,
        _ => error.into(),
    }
}

#[cfg(test)]
#[path = "blocking_tests.rs"]
mod tests;
