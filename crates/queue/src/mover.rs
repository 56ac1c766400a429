//! The thread that moves the log into the database while commits go on.
//!
//! SQLite lets one connection checkpoint while another writes. What is written meanwhile stays in the log; the
//! commit thread moves that little rest itself, after which the log begins anew. A move that fails loses
//! nothing, since the log keeps what was not moved *and synced*; the commit thread meets the same fault with the rest
//! and tells of it.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::connection;

/// What the thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Asked,
    Working,
    Closed,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    turned: Condvar,
}

impl Shared {
    /// No invariant spans a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, to: State) {
        *self.state() = to;
        self.turned.notify_all();
    }

    fn wait_while(&self, waits: impl Fn(State) -> bool) -> State {
        let state = self.turned.wait_while(self.state(), |state| waits(*state));
        *state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Mover {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// Without a thread nothing is moved here, and the commit thread does all of it.
    pub(crate) fn start(database: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Idle),
            turned: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("queue-move".to_owned())
            .spawn(move || work(&of_thread, &database))
            .ok();
        Self { shared, thread }
    }

    /// Begins a move; false when there is nobody to do it, or one is under way.
    pub(crate) fn ask(&self) -> bool {
        let idle = self.thread.is_some() && *self.shared.state() == State::Idle;
        if idle {
            self.shared.turn(State::Asked);
        }
        idle
    }

    /// Whether a move is under way.
    pub(crate) fn is_working(&self) -> bool {
        matches!(*self.shared.state(), State::Asked | State::Working)
    }

    /// Waits for the end of a move that is under way.
    pub(crate) fn wait(&self) {
        self.shared
            .wait_while(|state| matches!(state, State::Asked | State::Working));
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.wait();
        self.shared.turn(State::Closed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared, database: &std::path::Path) {
    /// Whatever ends the thread, nobody may wait for it in vain.
    struct Ends<'a>(&'a Shared);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.turn(State::Closed);
        }
    }
    let _ends = Ends(shared);
    let mut connection = None;
    loop {
        if shared.wait_while(|state| state == State::Idle) == State::Closed {
            return;
        }
        shared.turn(State::Working);
        connection = connection
            .or_else(|| connection::open_mover(database).ok())
            .filter(|connection| move_log(connection).is_ok());
        shared.turn(State::Idle);
    }
}

fn move_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
