//! What the two halves of a channel and its writer task share.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::socket::{self, HIGH_WATER, lock};
use crate::wire::{Outgoing, SendError};

/// A server reads no further while it owes this many answers on one channel.
pub(crate) const MAX_UNANSWERED: usize = 1024;

/// What both halves and the writer task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stream: UnixStream,
    state: Mutex<State>,
    writer: Notify,
    reader: Notify,
    /// Frees the listener's place when the channel is gone.
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) outgoing: Outgoing,
    writer_woken: bool,
    reader_waiting: bool,
    /// Requests received and not yet answered.
    unanswered: usize,
    /// Nothing more will be queued; what is queued is still written.
    closing: bool,
    /// The socket is done for; nothing more is written.
    broken: bool,
}

impl State {
    fn reader_must_wait(&self) -> bool {
        !self.broken && (self.outgoing.queued() > HIGH_WATER || self.unanswered >= MAX_UNANSWERED)
    }
}

pub(crate) enum Flushed {
    All { closing: bool },
    Blocked,
    Broken,
}

impl Shared {
    pub(crate) fn new(stream: UnixStream, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            stream,
            state: Mutex::default(),
            writer: Notify::new(),
            reader: Notify::new(),
            _permit: permit,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A request came that must be answered.
    pub(crate) fn owe_answer(&self) {
        lock(&self.state).unanswered += 1;
    }

    /// An answer was queued.
    pub(crate) fn answered(&self, state: &mut State) {
        state.unanswered = state.unanswered.saturating_sub(1);
        self.let_reader_go_on(state);
    }

    /// Waits while the peer leaves too much unread or is owed too many answers.
    pub(crate) async fn room_to_read(&self) {
        loop {
            {
                let mut state = lock(&self.state);
                if !state.reader_must_wait() {
                    return;
                }
                state.reader_waiting = true;
            }
            self.reader.notified().await;
        }
    }

    /// The state, if the channel still takes messages.
    pub(crate) fn open_state(&self) -> Result<MutexGuard<'_, State>, SendError> {
        let state = lock(&self.state);
        if state.closing || state.broken {
            return Err(SendError::Closed);
        }
        Ok(state)
    }

    pub(crate) fn wake(&self, state: &mut State) {
        if !std::mem::replace(&mut state.writer_woken, true) {
            self.writer.notify_one();
        }
    }

    /// Nothing more will be queued.
    pub(crate) fn close(&self, state: &mut State) {
        state.closing = true;
        self.let_reader_go_on(state);
        self.writer.notify_one();
    }

    /// Writes what the socket takes now.
    pub(crate) fn flush(&self) -> Flushed {
        let mut state = lock(&self.state);
        state.writer_woken = false;
        if state.broken {
            return Flushed::Broken;
        }
        let outgoing = &mut state.outgoing;
        let result = self.stream.try_io(Interest::WRITABLE, || {
            socket::flush(outgoing, self.stream.as_fd())
        });
        let flushed = match result {
            _ if state.outgoing.is_empty() => Flushed::All {
                closing: state.closing,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flushed::Blocked,
            _ => {
                // The reader finds out how the channel ended; a farewell may still wait to be read.
                state.broken = true;
                state.outgoing.clear();
                Flushed::Broken
            }
        };
        self.let_reader_go_on(&mut state);
        flushed
    }

    fn let_reader_go_on(&self, state: &mut State) {
        if state.reader_waiting && !state.reader_must_wait() {
            state.reader_waiting = false;
            self.reader.notify_one();
        }
    }

    pub(crate) fn abort(&self) {
        let mut state = lock(&self.state);
        state.broken = true;
        state.outgoing.clear();
        self.writer.notify_one();
    }
}

/// The task that writes what the senders queue, for as long as there is one.
pub(crate) async fn write_loop(shared: Arc<Shared>) {
    loop {
        match shared.flush() {
            Flushed::All { closing: false } => shared.writer.notified().await,
            Flushed::Blocked => tokio::select! {
                ready = shared.stream.writable() => if ready.is_err() { return },
                () = shared.writer.notified() => {}
            },
            Flushed::All { closing: true } | Flushed::Broken => return,
        }
    }
}

/// Ends the writer task when the last sender is gone.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(&mut lock(&self.shared.state));
    }
}
