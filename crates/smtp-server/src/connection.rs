//! One session over one socket.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::Place;
use ipc::protocol::Origin;
use mail_types::{Envelope, SessionId};
use smtp_proto::{Ending, NotStored, Question, Session, Step, Subject, Waiting};
use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::backends;
use crate::clock::Rate;
use crate::content::{Content, Request};
use crate::log::{self, Facts};
use crate::pending::Pending;
use crate::server::Shared;

/// After so long, replies do not wait for the rest of their group.
const LONG: Duration = Duration::from_secs(1);
/// A client between transactions has so long to begin another when the server ends.
const LEAVE_TAKING: Duration = Duration::from_secs(1);
/// How much one read takes.
const READ_SIZE: usize = 64 << 10;
/// After a session that we ended, what the client still sends is read for so long, as closing a socket with unread
/// input would take our last reply away from it (RFC 1122 §4.2.2.13).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: usize = 64;

thread_local! {
    /// What arrives, for as long as it takes to use it: sessions that wait need no buffer.
    static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_SIZE]);
}

/// One session and all that belongs to it.
pub(crate) struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    session: Session,
    id: SessionId,
    client: IpAddr,
    pending: Pending,
    replies: Vec<u8>,
    content: Content,
    began: Instant,
    /// When input arrived last, or when `pending` began.
    since: Instant,
    rate: Rate,
    /// Since when this server is ending.
    draining: Option<Instant>,
    /// The directory did not answer a question of the present group.
    unanswered: bool,
    protocol: &'static str,
    tally: Tally,
    _place: Place,
}

/// What the session came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u32,
    pub(crate) refused: u32,
    /// We ended it.
    pub(crate) hung_up: bool,
}

/// What is to be done next.
enum Next {
    Read,
    Ask(Question),
    Store(Box<Envelope>),
    Spill,
    Close,
}

/// Why a wait for input ended.
enum Wake {
    Next(Next),
    Gone(io::Result<()>),
    TimedOut,
    Drain,
}

/// How a session ended, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// QUIT, or our reply.
    Closed,
    /// The client closed without QUIT.
    Gone,
    /// The socket failed.
    Failed,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        client: IpAddr,
        session: Session,
        place: Place,
        shared: Arc<Shared>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            session,
            id: shared.calendar.session_id(),
            client,
            pending: Pending::default(),
            replies: Vec::new(),
            content: Content::default(),
            began: now,
            since: now,
            rate: Rate::begin(now),
            draining: None,
            unanswered: false,
            protocol: "",
            tally: Tally::default(),
            shared,
            _place: place,
        }
    }

    pub(crate) async fn run(mut self) {
        let end = self.serve().await.unwrap_or(End::Failed);
        self.content.discard(&self.shared.backends);
        let open = self.session.in_transaction();
        log::disconnected(&self.facts(), end, open, self.tally, self.began.elapsed());
    }

    async fn serve(&mut self) -> io::Result<End> {
        let shared = Arc::clone(&self.shared);
        let mut timer = pin!(sleep(shared.settings.times.idle));
        let mut drained = pin!(shared.ending());
        let Some(early) = self.early_input().await? else {
            return Ok(End::Gone);
        };
        self.session.greet(early, &mut self.replies);
        let mut next = self.feed(&mut [].as_slice());
        loop {
            next = match next {
                Next::Read => {
                    if let Some(next) = self.end_if_draining() {
                        next
                    } else {
                        self.flush().await?;
                        self.unanswered = false;
                        match self.read(timer.as_mut(), drained.as_mut()).await {
                            Wake::Next(next) => next,
                            Wake::Gone(outcome) => return outcome.map(|()| End::Gone),
                            Wake::TimedOut if self.must_leave() => Next::Read,
                            Wake::TimedOut => self.end(Ending::TimedOut),
                            Wake::Drain => {
                                self.draining = Some(Instant::now());
                                Next::Read
                            }
                        }
                    }
                }
                Next::Ask(question) => {
                    let asked = Instant::now();
                    self.ask(question).await;
                    self.resume(asked).await?
                }
                Next::Store(envelope) => {
                    let asked = Instant::now();
                    self.store(*envelope).await;
                    self.resume(asked).await?
                }
                Next::Spill => {
                    let asked = Instant::now();
                    self.spill().await;
                    self.resume(asked).await?
                }
                Next::Close => {
                    self.flush().await?;
                    if self.tally.hung_up {
                        self.linger().await;
                    }
                    return Ok(End::Closed);
                }
            }
        }
    }

    /// Whether something arrived before our greeting; `None` when the client is gone.
    ///
    /// A client that waits costs one read that finds nothing.
    async fn early_input(&mut self) -> io::Result<Option<bool>> {
        let ready = self
            .stream
            .ready(Interest::READABLE | Interest::WRITABLE)
            .await?;
        if !ready.is_readable() {
            return Ok(Some(false));
        }
        match SCRATCH.with_borrow_mut(|scratch| self.stream.try_read(scratch)) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(true)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// Lets the session use `input`, up to the next thing that takes time.
    fn feed(&mut self, input: &mut &[u8]) -> Next {
        loop {
            let step = self
                .session
                .advance(input, &mut self.content.buffer, &mut self.replies);
            match step {
                Step::NeedInput if self.content.must_spill(self.shared.settings.inline_limit) => {
                    return Next::Spill;
                }
                Step::NeedInput => return Next::Read,
                Step::Ask(question) => return Next::Ask(question),
                Step::Store(envelope) => return Next::Store(envelope),
                Step::Close => return Next::Close,
                Step::BeginContent => self.begin_content(),
                Step::DropContent => self.content.discard(&self.shared.backends),
                Step::Report(report) => {
                    match report.subject {
                        Subject::Session => self.tally.hung_up = true,
                        Subject::Command(_) => {}
                        _ => self.tally.refused += 1,
                    }
                    log::refused(&self.facts(), &report);
                }
            }
        }
    }

    /// Goes on with what was left, after something that was not for the client to hurry. When it took long, the client
    /// has the replies so far: its patience is for one command each (RFC 5321 §4.5.3.2), not for a group of them.
    async fn resume(&mut self, asked: Instant) -> io::Result<Next> {
        if asked.elapsed() >= LONG {
            self.flush().await?;
        }
        self.since = Instant::now();
        Ok(self.use_pending())
    }

    /// A directory that was silent once is not waited for again in the same group of commands.
    async fn ask(&mut self, question: Question) {
        let shared = Arc::clone(&self.shared);
        let answer = if self.unanswered {
            backends::unavailable(&question)
        } else {
            let asked = Instant::now();
            let answer = shared.backends.ask(question).await;
            self.unanswered = asked.elapsed() >= shared.settings.times.lookup;
            answer
        };
        self.session.answer(answer, &mut self.replies);
    }

    fn use_pending(&mut self) -> Next {
        let pending = std::mem::take(&mut self.pending);
        let (pending, next) = pending.offer(|rest| self.feed(rest));
        self.pending = pending;
        next
    }

    /// Uses what arrived. Content has one rate, into however many chunks it is cut.
    fn arrived(&mut self, input: &[u8]) -> Next {
        let now = Instant::now();
        if self.session.waiting() != Waiting::Content && self.session.content_size() == 0 {
            let next = self.use_input(input, now);
            self.rate = Rate::begin(now);
            return next;
        }
        let octets = self.countable(input.len());
        let settings = &self.shared.settings;
        let (minimum, window) = (settings.min_data_rate, settings.times.rate_window);
        if !self.rate.is_fair(now, octets, minimum, window) {
            return self.end(Ending::TooSlow);
        }
        self.use_input(input, now)
    }

    fn use_input(&mut self, input: &[u8], now: Instant) -> Next {
        if !self.pending.is_empty() {
            self.pending.push(input);
            let before = self.pending.len();
            let next = self.use_pending();
            // What is left then is the beginning of another command, which has its own time.
            if self.pending.len() < before {
                self.since = now;
            }
            return next;
        }
        let in_line = self.session.waiting() == Waiting::LineEnd;
        let mut rest = input;
        let next = self.feed(&mut rest);
        // A line that goes on and on has the time of one command.
        if !(in_line && self.session.waiting() == Waiting::LineEnd) {
            self.since = now;
        }
        if !rest.is_empty() {
            self.pending.push(rest);
        }
        next
    }

    /// Content over the limit buys no time.
    fn countable(&self, octets: usize) -> u64 {
        let limit = self.shared.settings.server.settings().content.size_limit;
        match self.session.content_size() > limit {
            true => 0,
            false => octets as u64,
        }
    }

    fn begin_content(&mut self) {
        let Some(trace) = self.session.trace() else {
            return;
        };
        self.protocol = trace.protocol.name();
        let id = format!("{}.{}", self.id, trace.number);
        let settings = &self.shared.settings;
        let header = self.shared.calendar.with_date(|date| {
            mime::trace::received(&mime::trace::Hop {
                helo: trace.helo.as_str(),
                client_name: None,
                client: self.client,
                by: &settings.server.settings().hostname,
                protocol: trace.protocol.name(),
                id: &id,
                recipient: trace.sole_recipient,
                date,
            })
        });
        self.content
            .begin(&header, trace.declared_size, settings.inline_limit);
    }

    async fn spill(&mut self) {
        let expected = self.session.trace().map_or(0, |trace| trace.declared_size);
        let shared = &self.shared;
        let spilled = self
            .content
            .spill(&shared.backends, expected, shared.settings.times.queue);
        if let Err(why) = spilled.await {
            self.content.discard(&self.shared.backends);
            self.session.content_lost(why);
        }
    }

    async fn store(&mut self, envelope: Envelope) {
        let shared = Arc::clone(&self.shared);
        let origin = Origin {
            session: Some(self.id),
            client: Some(self.client),
            protocol: self.protocol.to_owned(),
        };
        let timeout = shared.settings.times.queue;
        let request = Request { envelope, origin };
        let outcome = self.content.store(&shared.backends, request, timeout).await;
        let outcome: Result<_, NotStored> = match outcome {
            Ok(stored) => {
                self.tally.accepted += 1;
                log::accepted(&self.facts(), self.protocol, &stored);
                Ok(stored.queue_id)
            }
            Err(why) => {
                self.content.discard(&shared.backends);
                Err(why)
            }
        };
        self.session.stored(outcome, &mut self.replies);
    }

    /// Waits for input, the deadline or the drain.
    async fn read(
        &mut self,
        mut timer: Pin<&mut Sleep>,
        mut drained: Pin<&mut impl Future<Output = ()>>,
    ) -> Wake {
        let deadline = self.deadline();
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        poll_fn(|cx| {
            if let Poll::Ready(wake) = self.poll_input(cx) {
                return Poll::Ready(wake);
            }
            if self.draining.is_none() && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Drain);
            }
            // The timer is only moved when it fires: most input comes long before.
            while timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(Wake::TimedOut);
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Wake::Gone(Err(error))),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Poll::Ready(Wake::Gone(Ok(())))
                }
                Poll::Ready(Ok(())) => Poll::Ready(Wake::Next(self.arrived(buffer.filled()))),
            }
        })
    }

    fn deadline(&self) -> Instant {
        let times = &self.shared.settings.times;
        let patience = match self.session.waiting() {
            Waiting::Content => times.data,
            Waiting::Idle | Waiting::Command if self.pending.is_empty() => times.idle,
            Waiting::Idle | Waiting::Command | Waiting::LineEnd => times.command,
        };
        let deadline = self.since + patience;
        match self.draining {
            Some(since) if !self.session.in_transaction() => deadline.min(since + LEAVE_TAKING),
            _ => deadline,
        }
    }

    /// Writes the replies; a client that does not read them is waited for as long as for one that does not speak.
    async fn flush(&mut self) -> io::Result<()> {
        if self.session.take_delay() {
            sleep(self.shared.settings.times.error_delay).await;
        }
        let mut rest = self.replies.as_slice();
        if rest.is_empty() {
            return Ok(());
        }
        match self.stream.try_write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if !rest.is_empty() {
            let times = &self.shared.settings.times;
            let write = self.stream.write_all(rest);
            // Boxed: hardly ever needed, and large.
            Box::pin(timeout(times.data, write)).await??;
        }
        self.replies = Vec::new();
        Ok(())
    }

    fn end(&mut self, why: Ending) -> Next {
        self.tally.hung_up = true;
        self.session.end(why, &mut self.replies);
        log::ended(&self.facts(), why);
        Next::Close
    }

    /// Between transactions, an ending server takes its leave (RFC 5321 §3.8).
    fn end_if_draining(&mut self) -> Option<Next> {
        self.must_leave().then(|| self.end(Ending::ShuttingDown))
    }

    /// A client that has just come, or is about to send its next message, is let do so.
    fn must_leave(&self) -> bool {
        let over = self
            .draining
            .is_some_and(|since| since.elapsed() >= LEAVE_TAKING);
        over && !self.session.in_transaction()
    }

    async fn linger(&mut self) {
        let stream = &mut self.stream;
        let rest = async {
            stream.shutdown().await?;
            for _ in 0..LINGER_READS {
                stream.readable().await?;
                let read = SCRATCH.with_borrow_mut(|scratch| stream.try_read(scratch));
                match read {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
            Ok::<(), io::Error>(())
        };
        // Whether the client took notice is its own affair.
        let _ = Box::pin(timeout(LINGER, rest)).await;
    }

    fn facts(&self) -> Facts<'_> {
        let trace = self.session.trace();
        Facts {
            session: self.id,
            client: self.client,
            helo: self.session.helo(),
            reverse_path: trace.map(|trace| trace.reverse_path),
        }
    }
}
