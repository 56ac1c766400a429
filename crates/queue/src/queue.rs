//! The handle: from here commands go to the threads that do them.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::command::{Command, Event};
use crate::commit::CommitThread;
use crate::error::{OpenError, StorageError};
use crate::files::Files;
use crate::inbox::{Inbox, Job, Task};
use crate::pool::{self, FileTask, Pool, spooled};
use crate::reader::{Reader, Report};
use crate::settings::Settings;
use crate::spool;
use crate::store::{Remaining, Store};
use crate::types::SpoolId;

/// Old spool files that are asked about at a time.
const SWEEP: usize = 256;

/// The queue, open. Commands go in by [`Queue::send`]; what became of them comes out of the
/// sink given to [`Queue::open`].
///
/// Dropping it lets the commands that wait come to their end, then stops the threads.
pub struct Queue<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    pool: Vec<JoinHandle<()>>,
    commit: Option<JoinHandle<()>>,
    sweep: Option<JoinHandle<()>>,
}

/// Takes the events, in batches.
pub(crate) type Sink<T> = Box<dyn Fn(Vec<Event<T>>) + Send + Sync>;

/// What the threads share.
pub(crate) struct Shared<T> {
    pub(crate) inbox: Inbox<T>,
    pub(crate) pool: Pool<T>,
    pub(crate) sink: Sink<T>,
    pub(crate) files: Arc<Files>,
    pub(crate) settings: Settings,
    closing: Mutex<bool>,
    closed: Condvar,
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
        let files = Arc::new(Files::open(folder)?);
        let store = open_store(&files)?;
        let shared = Arc::new(Shared {
            inbox: Inbox::new(),
            pool: Pool::new(),
            sink: Box::new(sink),
            files,
            settings,
            closing: Mutex::new(false),
            closed: Condvar::new(),
        });
        let mut queue = Self {
            shared: Arc::clone(&shared),
            pool: Vec::new(),
            commit: None,
            sweep: None,
        };
        let commit = CommitThread::new(Arc::clone(&shared), store);
        queue.commit = Some(start(folder, "queue-commit", move || commit.run())?);
        for _ in 0..shared.settings.sync_threads.max(1) {
            let shared = Arc::clone(&shared);
            let thread = start(folder, "queue-sync", move || pool::work(&shared))?;
            queue.pool.push(thread);
        }
        queue.sweep = Some(start(folder, "queue-sweep", move || sweep(&shared))?);
        Ok(queue)
    }

    /// Hands a command to the threads. Never waits for the disk.
    ///
    /// # Errors
    /// The command was not begun: [`StorageError::Overloaded`] or [`StorageError::Closed`]. Else
    /// one [`Event::Done`] with `tag` will come.
    pub fn send(&self, tag: T, command: Command) -> Result<(), NotTaken<T>> {
        if let Err(error) = self.admit(&command) {
            return Err(NotTaken { tag, error });
        }
        let task = match command {
            Command::Submit(message) => match spooled(&message) {
                Some((spool, size)) => {
                    return self.send_to_pool(FileTask::Sync {
                        tag,
                        message,
                        spool,
                        size,
                    });
                }
                None => Task::Submit(message),
            },
            Command::OpenSpool { expected } => {
                return self.send_to_pool(FileTask::Open { tag, expected });
            }
            Command::AbortSpool { spool } => Task::Abort(spool),
            Command::Update(update) => Task::Update(update),
            Command::Administer { action, selection } => {
                Task::Administer(Remaining::all(action, selection))
            }
        };
        let job = Job {
            tag: Some(tag),
            task,
        };
        match self.shared.inbox.push(job) {
            Err(Job { tag: Some(tag), .. }) => Err(closed(tag)),
            _ => Ok(()),
        }
    }

    fn send_to_pool(&self, task: FileTask<T>) -> Result<(), NotTaken<T>> {
        match self.shared.pool.push(task) {
            Err(FileTask::Open { tag, .. } | FileTask::Sync { tag, .. }) => Err(closed(tag)),
            _ => Ok(()),
        }
    }

    /// Only what adds mail is refused: outcomes make room, and their number is bounded by leases.
    fn admit(&self, command: &Command) -> Result<(), StorageError> {
        if !matches!(command, Command::Submit(_) | Command::OpenSpool { .. }) {
            return Ok(());
        }
        let Settings {
            max_waiting,
            max_waiting_bytes,
            ..
        } = self.shared.settings;
        let (jobs, bytes) = self.shared.inbox.waiting().ok_or(StorageError::Closed)?;
        let waiting = jobs + self.shared.pool.waiting();
        if waiting >= max_waiting || bytes >= max_waiting_bytes {
            return Err(StorageError::Overloaded { waiting, bytes });
        }
        Ok(())
    }

    /// Opens one more connection for reading. Reads see all that was committed before they began.
    ///
    /// # Errors
    /// When the database cannot be opened again.
    pub fn reader(&self) -> Result<Reader, StorageError> {
        let shared = Arc::clone(&self.shared);
        let report: Report = Arc::new(move |queue_id, why| {
            let task = Task::SetAside(queue_id, why);
            // When the queue is being closed, the next read after it is opened finds it again.
            let _ = shared.inbox.push(Job { tag: None, task });
        });
        Reader::open(Arc::clone(&self.shared.files), report)
    }
}

/// Opens the database. On a full disk the reserve is given up for what the log still has to move.
fn open_store(files: &Files) -> Result<Store, OpenError> {
    match Store::open(&files.database) {
        Err(error) if error.is_full() && files.give_up_reserve() => Store::open(&files.database),
        opened => opened,
    }
}

fn closed<T>(tag: T) -> NotTaken<T> {
    NotTaken {
        tag,
        error: StorageError::Closed,
    }
}

fn start(
    folder: &Path,
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| OpenError::io("start a thread for", folder, error))
}

/// Looks for orphans once after opening and then every `orphan_age`, until the queue closes.
fn sweep<T>(shared: &Shared<T>) {
    let age = shared.settings.orphan_age;
    loop {
        let mut old = spool::old_files(&shared.files, age);
        loop {
            let some: Vec<SpoolId> = old.by_ref().take(SWEEP).collect();
            if some.is_empty() {
                break;
            }
            let job = Job {
                tag: None,
                task: Task::Sweep(some),
            };
            if shared.inbox.push(job).is_err() {
                return;
            }
        }
        let closing = shared
            .closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pause = age.max(Duration::from_secs(60));
        let (closing, _) = shared
            .closed
            .wait_timeout_while(closing, pause, |closing| !*closing)
            .unwrap_or_else(PoisonError::into_inner);
        if *closing {
            return;
        }
    }
}

impl<T: Send + 'static> Drop for Queue<T> {
    fn drop(&mut self) {
        *self
            .shared
            .closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.closed.notify_all();
        // In this order: what the pool finishes still goes to the commit thread.
        self.shared.pool.close();
        let sweep = self.sweep.take();
        for thread in self.pool.drain(..).chain(sweep) {
            let _ = thread.join();
        }
        self.shared.inbox.close();
        if let Some(thread) = self.commit.take() {
            let _ = thread.join();
        }
    }
}
