//! One session: from the reply to PASS to the end of the connection.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use daemon::{SessionLife, Wake};
use mailbox::maildrop::{Found, Maildrop, MessageReader, OpenError};
use mailbox::mbox::LockOptions;
use mailbox::{Location, MailboxError};
use pop3_proto::{
    ContentEncoder, Listing, Progress, Session, SessionEnd, SessionOptions, SessionRefusal,
    SessionStep, Unavailable,
};

use crate::client::{Client, ReadBuffer};
use crate::log::Log;

/// The bounds of a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the protocol.
    pub session: SessionOptions,
    /// Without a command the session ends after this time.
    pub idle_timeout: Duration,
    /// Of the mailbox.
    pub lock: LockOptions,
}

/// What came of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why it ended.
    pub reason: String,
    /// Messages sent whole.
    pub retrieved: u64,
    /// Octets of them.
    pub bytes: u64,
    /// Messages removed.
    pub deleted: usize,
}

/// How a session waits: for its client, and for being told to end.
pub trait Wait {
    /// Waits until the client has something to read, the session is to end, or the time is over.
    ///
    /// # Errors
    /// The system does not let us wait.
    fn wait(&mut self, client: BorrowedFd<'_>, timeout: Duration) -> io::Result<Wake>;
}

impl Wait for SessionLife {
    fn wait(&mut self, client: BorrowedFd<'_>, timeout: Duration) -> io::Result<Wake> {
        Self::wait(self, client, timeout)
    }
}

/// Opens the mailbox, says so in reply to PASS, and serves.
pub fn serve(
    stream: TcpStream,
    wait: &mut impl Wait,
    location: &Location,
    options: &Options,
    sent_ahead: &[u8],
    log: &Log,
) -> Report {
    let mut report = Report::default();
    let served = Client::new(stream, options.idle_timeout).and_then(|client| {
        let Some((client, drop)) = open(client, location, options, log)? else {
            return Ok(End::NotOpened);
        };
        let session = Session::new(options.session.clone(), &View(&drop), sent_ahead);
        Serving {
            client,
            session,
            drop,
            wait,
            log,
            report: &mut report,
        }
        .run(options.idle_timeout)
    });
    report.reason = match served {
        Ok(end) => end.text().to_owned(),
        Err(error) => format!("the connection failed: {error}"),
    };
    report
}

/// Why a session ended.
#[derive(Clone, Copy, Debug)]
enum End {
    NotOpened,
    Quit,
    Errors,
    ClientGone,
    Idle,
    Drain,
    CutShort,
}

impl End {
    const fn text(self) -> &'static str {
        match self {
            Self::NotOpened => "the mailbox could not be opened",
            Self::Quit => "QUIT",
            Self::Errors => "too many errors",
            Self::ClientGone => "the client closed the connection",
            Self::Idle => "the client was idle for too long",
            Self::Drain => "the server is stopping",
            Self::CutShort => "a message could not be read to its end",
        }
    }
}

/// Opens the maildrop and answers PASS; `None` when it cannot be opened.
fn open(
    mut client: Client,
    location: &Location,
    options: &Options,
    log: &Log,
) -> io::Result<Option<(Client, Maildrop)>> {
    match Maildrop::open(location, options.lock) {
        Ok(mut drop) => {
            for note in drop.take_notes() {
                log.fault(&note);
            }
            log.opened(
                drop.count(),
                (0..drop.count()).map(|index| drop.octets(index)).sum(),
            );
            pop3_proto::opened(&mut client.out, drop.count());
            client.flush()?;
            Ok(Some((client, drop)))
        }
        Err(error) => {
            log.open_failed(&location.path, &error);
            pop3_proto::refused(&mut client.out, refusal(&error));
            client.flush()?;
            client.close();
            Ok(None)
        }
    }
}

/// What the client is told of an error whose text is for the log (RFC 3206 §4).
fn refusal(error: &OpenError) -> SessionRefusal {
    match error {
        OpenError::InUse { .. } | OpenError::Mailbox(MailboxError::Locked { .. }) => {
            SessionRefusal::InUse
        }
        OpenError::Mailbox(MailboxError::Unsafe { .. }) => SessionRefusal::Permanent,
        OpenError::Mailbox(MailboxError::Io { source, .. }) => match source.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidData
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => SessionRefusal::Permanent,
            _ => SessionRefusal::Temporary,
        },
        OpenError::Mailbox(MailboxError::OverQuota { .. }) => SessionRefusal::Temporary,
    }
}

/// The maildrop as the protocol sees it.
struct View<'d>(&'d Maildrop);

impl Listing for View<'_> {
    fn count(&self) -> u32 {
        self.0.count()
    }

    fn octets(&self, index: u32) -> u64 {
        self.0.octets(index)
    }

    fn unique_id(&self, index: u32, out: &mut Vec<u8>) {
        self.0.unique_id(index, out);
    }
}

/// An open session.
struct Serving<'s, W> {
    client: Client,
    session: Session,
    drop: Maildrop,
    wait: &'s mut W,
    log: &'s Log,
    report: &'s mut Report,
}

impl<W: Wait> Serving<'_, W> {
    fn run(mut self, idle_timeout: Duration) -> io::Result<End> {
        let mut deadline = Instant::now() + idle_timeout;
        let mut buffer = None;
        loop {
            let step = self.session.step(&View(&self.drop), &mut self.client.out);
            // Only a command counts as activity (RFC 1939 §3), not the octets of one that never ends.
            if !self.client.out.is_empty() || step != SessionStep::Read {
                deadline = Instant::now() + idle_timeout;
            }
            let end = match step {
                SessionStep::Write => self.client.flush().map(|()| None)?,
                SessionStep::Read => self.read(deadline, &mut buffer)?,
                SessionStep::Deliver { index, body_lines } => self.deliver(index, body_lines)?,
                SessionStep::Update => return self.update(),
                SessionStep::Close(SessionEnd::Quit) => Some(End::Quit),
                SessionStep::Close(SessionEnd::Errors) => Some(End::Errors),
            };
            if let Some(end) = end {
                self.close(end)?;
                return Ok(end);
            }
        }
    }

    /// Writes what there is, and waits for input.
    fn read(&mut self, deadline: Instant, buffer: &mut ReadBuffer) -> io::Result<Option<End>> {
        self.client.flush()?;
        let left = deadline.saturating_duration_since(Instant::now());
        match self.wait.wait(self.client.as_fd(), left)? {
            Wake::Readable => {}
            Wake::TimedOut => return Ok(Some(End::Idle)),
            Wake::Drain => return Ok(Some(End::Drain)),
        }
        match self.client.read(buffer)? {
            [] => return Ok(Some(End::ClientGone)),
            input => self.session.receive(input),
        }
        Ok(None)
    }

    /// Says what is to be said last, and closes.
    fn close(mut self, end: End) -> io::Result<()> {
        match end {
            End::Drain => pop3_proto::shutting_down(&mut self.client.out),
            // RFC 1939 §3: closed without removing any message, and without a reply.
            End::Idle => {}
            // The client must see that the message has no end.
            End::CutShort | End::ClientGone => return Ok(()),
            End::NotOpened | End::Quit | End::Errors => {}
        }
        self.client.flush()?;
        self.client.close();
        Ok(())
    }

    /// Sends a message, or says why not. If it breaks off, nothing sensible can be said any more.
    fn deliver(&mut self, index: u32, body_lines: Option<u32>) -> io::Result<Option<End>> {
        // A long pipeline does not wait for input in between.
        if self.wait.wait(self.client.as_fd(), Duration::ZERO)? == Wake::Drain {
            return Ok(Some(End::Drain));
        }
        let mut reader = match self.drop.message(index) {
            Ok(Found::Message(reader)) => reader,
            Ok(Found::Gone) => {
                self.session
                    .unavailable(Unavailable::Gone, &mut self.client.out);
                return Ok(None);
            }
            Err(error) => {
                self.log.message_failed(&error);
                self.session
                    .unavailable(Unavailable::Unreadable, &mut self.client.out);
                return Ok(None);
            }
        };
        self.session.begin(reader.octets(), &mut self.client.out);
        let encoder = match body_lines {
            None => ContentEncoder::whole(),
            Some(lines) => ContentEncoder::top(lines),
        };
        match send(&mut self.client, &mut reader, encoder)? {
            Ok(()) => {
                if body_lines.is_none() {
                    self.report.retrieved += 1;
                    self.report.bytes += reader.octets();
                }
                Ok(None)
            }
            Err(error) => {
                self.log.message_failed(&error);
                Ok(Some(End::CutShort))
            }
        }
    }

    /// The UPDATE state (RFC 1939 §6).
    fn update(self) -> io::Result<End> {
        let Self {
            mut client,
            mut session,
            mut drop,
            log,
            report,
            ..
        } = self;
        let deleted: Vec<u32> = session.deleted().collect();
        let removed = drop.remove(&deleted);
        for note in drop.take_notes() {
            log.fault(&note);
        }
        // Let go first: who has the reply may log in again at once.
        std::mem::drop(drop);
        match &removed {
            Ok(()) => report.deleted = deleted.len(),
            Err(error) => log.message_failed(error),
        }
        session.updated(removed.is_ok(), &mut client.out);
        client.flush()?;
        client.close();
        Ok(End::Quit)
    }
}

/// Sends a message's content. The outer error is the connection's, the inner one the mailbox's.
fn send(
    client: &mut Client,
    reader: &mut MessageReader<'_>,
    mut encoder: ContentEncoder,
) -> io::Result<io::Result<()>> {
    let mut block = Vec::new();
    loop {
        match reader.next_block(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Ok(Err(error)),
        }
        let progress = encoder.encode(&block, &mut client.out);
        if progress == Progress::Enough {
            break;
        }
        // Small messages leave together with the replies around them.
        if client.out.len() >= pop3_proto::OUTPUT_MARK {
            client.flush()?;
        }
    }
    encoder.finish(&mut client.out);
    Ok(Ok(()))
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
