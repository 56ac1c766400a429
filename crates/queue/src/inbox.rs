//! What waits for the commit thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail_types::QueueId;

use crate::command::Update;
use crate::store::Remaining;
use crate::types::{NewContent, NewMessage, SpoolId};

/// Jobs in one transaction, at most.
const BATCH_JOBS: usize = 512;
/// Octets of content in one transaction, at most, but for a single job that has more.
const BATCH_BYTES: usize = 16 << 20;

/// One piece of work for the commit thread.
pub(crate) struct Job<T> {
    /// Whom to tell; nobody for work that the queue gives itself.
    pub(crate) tag: Option<T>,
    pub(crate) task: Task,
}

/// What to do. It is not consumed by the doing: after a rollback it is done again.
pub(crate) enum Task {
    Submit(Box<NewMessage>),
    Abort(SpoolId),
    Update(Box<Update>),
    Administer(Remaining),
    SetAside(QueueId, String),
    /// Remove those files that no message has.
    Sweep(Vec<SpoolId>),
}

impl Task {
    /// Octets of content that will be written to the database.
    pub(crate) fn bytes(&self) -> usize {
        let inline = |message: &NewMessage| match &message.content {
            NewContent::Inline(data) => data.len(),
            NewContent::Spooled { .. } => 0,
        };
        match self {
            Self::Submit(message) => inline(message),
            Self::Update(update) => update.reports.iter().map(inline).sum(),
            _ => 0,
        }
    }

    /// Adds to the queue, so that it may be refused for want of room.
    pub(crate) fn is_submit(&self) -> bool {
        matches!(self, Self::Submit(_))
    }
}

/// The waiting line.
pub(crate) struct Inbox<T> {
    line: Mutex<Line<T>>,
    arrived: Condvar,
}

struct Line<T> {
    jobs: VecDeque<Job<T>>,
    bytes: usize,
    closed: bool,
}

/// What the commit thread finds.
pub(crate) enum Found<T> {
    /// Jobs, in order.
    Batch(Vec<Job<T>>),
    /// Nothing came in the time given.
    Idle,
    /// Nothing is left and nothing will come.
    Closed,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            line: Mutex::new(Line {
                jobs: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many jobs and octets wait; `None` when closed.
    pub(crate) fn waiting(&self) -> Option<(usize, usize)> {
        let line = self.lock();
        (!line.closed).then_some((line.jobs.len(), line.bytes))
    }

    /// Adds a job; gives it back when closed.
    pub(crate) fn push(&self, job: Job<T>) -> Result<(), Job<T>> {
        let mut line = self.lock();
        if line.closed {
            return Err(job);
        }
        line.bytes += job.task.bytes();
        let was_empty = line.jobs.is_empty();
        line.jobs.push_back(job);
        drop(line);
        // The commit thread takes all that waits at once: only the first needs to wake it.
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Adds work that goes on although the line was closed meanwhile.
    pub(crate) fn push_continued(&self, job: Job<T>) {
        self.lock().jobs.push_back(job);
    }

    /// Refuses further jobs; those that wait are still found.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Takes what waits, up to a batch; waits for it at most for `patience`, if given.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Found<T> {
        let mut line = self.lock();
        while line.jobs.is_empty() {
            if line.closed {
                return Found::Closed;
            }
            line = match patience {
                None => self
                    .arrived
                    .wait(line)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (line, timeout) = self
                        .arrived
                        .wait_timeout(line, patience)
                        .unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && line.jobs.is_empty() && !line.closed {
                        return Found::Idle;
                    }
                    line
                }
            };
        }
        let mut batch = Vec::with_capacity(line.jobs.len().min(BATCH_JOBS));
        let mut bytes = 0;
        while batch.len() < BATCH_JOBS
            && bytes < BATCH_BYTES
            && let Some(job) = line.jobs.pop_front()
        {
            bytes += job.task.bytes();
            batch.push(job);
        }
        line.bytes = line.bytes.saturating_sub(bytes);
        Found::Batch(batch)
    }
}
