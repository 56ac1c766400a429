//! A few threads for spool files, so that many are created, synced and removed at the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::command::{Done, Event};
use crate::error::StorageError;
use crate::inbox::{Job, Task};
use crate::queue::Shared;
use crate::spool;
use crate::types::{NewContent, NewMessage, SpoolId};

/// Work for the pool.
pub(crate) enum FileTask<T> {
    /// Create a spool file for so many octets.
    Open { tag: T, expected: u64 },
    /// Sync a complete spool file, then hand the message to the commit thread.
    Sync {
        tag: T,
        message: Box<NewMessage>,
        spool: SpoolId,
        size: u64,
    },
    /// Remove files whose messages are gone.
    Remove(Vec<SpoolId>),
}

/// The pool's waiting line.
pub(crate) struct Pool<T> {
    line: Mutex<(VecDeque<FileTask<T>>, bool)>,
    arrived: Condvar,
}

impl<T: Send + 'static> Pool<T> {
    pub(crate) fn new() -> Self {
        Self {
            line: Mutex::new((VecDeque::new(), false)),
            arrived: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<FileTask<T>>, bool)> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().0.len()
    }

    /// Adds work; gives it back when closed.
    pub(crate) fn push(&self, task: FileTask<T>) -> Result<(), FileTask<T>> {
        let mut line = self.lock();
        if line.1 {
            return Err(task);
        }
        line.0.push_back(task);
        drop(line);
        self.arrived.notify_one();
        Ok(())
    }

    /// Refuses further work; what waits is still done.
    pub(crate) fn close(&self) {
        self.lock().1 = true;
        self.arrived.notify_all();
    }

    fn take(&self) -> Option<FileTask<T>> {
        let mut line = self.lock();
        loop {
            if let Some(task) = line.0.pop_front() {
                return Some(task);
            }
            if line.1 {
                return None;
            }
            line = self
                .arrived
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What one thread of the pool does until the pool is closed and empty.
pub(crate) fn work<T: Send + 'static>(shared: &Arc<Shared<T>>) {
    while let Some(task) = shared.pool.take() {
        match task {
            FileTask::Open { tag, expected } => {
                let result = shared
                    .files
                    .check_free(shared.settings.min_free, expected)
                    .and_then(|()| spool::create(&shared.files))
                    .map(|(spool, file)| Done::Spool { spool, file });
                (shared.sink)(vec![Event::Done { tag, result }]);
            }
            FileTask::Sync {
                tag,
                message,
                spool,
                size,
            } => {
                sync(shared, tag, message, spool, size);
            }
            FileTask::Remove(spools) => remove(shared, &spools),
        }
    }
}

fn sync<T: Send + 'static>(
    shared: &Shared<T>,
    tag: T,
    message: Box<NewMessage>,
    spool: SpoolId,
    size: u64,
) {
    let error = match spool::sync(&shared.files, spool, size) {
        Ok(()) => {
            let job = Job {
                tag: Some(tag),
                task: Task::Submit(message),
            };
            match shared.inbox.push(job) {
                Ok(()) => return,
                Err(Job { tag: Some(tag), .. }) => (tag, StorageError::Closed),
                Err(Job { tag: None, .. }) => return,
            }
        }
        Err(error) => (tag, error),
    };
    let (tag, error) = error;
    (shared.sink)(vec![Event::Done {
        tag,
        result: Err(error),
    }]);
}

/// Removes files that no message has any more. One that cannot be removed is an orphan, and the
/// sweep will find it.
pub(crate) fn remove<T>(shared: &Shared<T>, spools: &[SpoolId]) {
    for &spool in spools {
        let _ = spool::remove(&shared.files, spool);
    }
}

/// The spool file of a new message, if it has one.
pub(crate) fn spooled(message: &NewMessage) -> Option<(SpoolId, u64)> {
    match message.content {
        NewContent::Spooled { spool, size } => Some((spool, size)),
        NewContent::Inline(_) => None,
    }
}
