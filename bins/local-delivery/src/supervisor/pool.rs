//! The workers: found or started when needed, at most so many at a time, ended when idle.
//!
//! Each worker process has a place, and places are given in the order of asking. When somebody waits for a
//! place, an idle worker gives its own up at once; one that is never idle is replaced after a while, so that
//! its successor must queue: no owner of mailboxes keeps another one out.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use config::settings::LocalDelivery;
use ipc::{CallError, Caller, Connection, Protocol, ReceiveError};
use telemetry::{catalogue, event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::starter::{Starter, WorkerJob, WorkerKey, WorkerUser};
use crate::worker_protocol::{Worker, WorkerReply, WorkerRequest};

/// How long the end of idle workers is waited for.
const PARTING: Duration = Duration::from_secs(2);
/// How many requests a worker serves before it gives way to others who wait.
const TURN: usize = 200;
/// Idle workers are not looked for more often.
const MIN_SWEEP_PAUSE: Duration = Duration::from_millis(500);
/// How often a request that was surely not begun is given to another worker.
const ATTEMPTS: usize = 3;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFailure {
    /// All places for workers were taken for the whole time.
    #[error(
        "no worker became free in time (local_delivery.workers or command_concurrency may be too low)"
    )]
    Busy,
    /// No process could be started.
    #[error("cannot start a worker: {0}")]
    Start(#[from] io::Error),
    /// It was started and did not come up.
    #[error("a new worker did not answer: {0}")]
    Greeting(#[from] ReceiveError),
    /// It ended or hung in the middle.
    #[error("the worker failed: {0}")]
    Lost(#[from] CallError),
}

/// All workers; cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    starter: Starter,
    idle_time: Duration,
    mailbox_places: Arc<Semaphore>,
    command_places: Arc<Semaphore>,
    /// How many wait for a place of a mailbox worker.
    waiting: AtomicUsize,
    workers: Mutex<HashMap<WorkerKey, Arc<Entry>>>,
    /// Processes that are not reaped yet, so that their ids are surely theirs, and whose rights they have.
    alive: Mutex<HashMap<u32, Option<WorkerUser>>>,
    /// Ended processes were reaped.
    reaped: Notify,
}

/// One worker, or the wait for its start.
#[derive(Default)]
struct Entry {
    running: tokio::sync::Mutex<Option<Arc<Running>>>,
    use_: Mutex<Use>,
}

#[derive(Default)]
struct Use {
    now: usize,
    served: usize,
    idle_since: Option<Instant>,
}

struct Running {
    caller: Caller<Worker>,
    process: u32,
    _place: OwnedSemaphorePermit,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; the data would be whole even so.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// No workers yet.
    pub fn new(starter: Starter, settings: &LocalDelivery) -> Self {
        let places = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self(Arc::new(Inner {
            starter,
            idle_time: settings.worker_idle_time,
            mailbox_places: places(settings.workers),
            command_places: places(settings.command_concurrency),
            waiting: AtomicUsize::new(0),
            workers: Mutex::default(),
            alive: Mutex::default(),
            reaped: Notify::new(),
        }))
    }

    /// Collects ended worker processes and ends idle ones, for as long as the supervisor runs.
    pub async fn look_after(self) {
        let mut ended = match signal(SignalKind::child()) {
            Ok(ended) => ended,
            Err(error) => {
                event!(
                    catalogue::PROGRAM_FAILED,
                    operation = "watch for ended workers",
                    reason = %error
                );
                return;
            }
        };
        let pause = (self.0.idle_time / 4).max(MIN_SWEEP_PAUSE);
        loop {
            tokio::select! {
                _ = ended.recv() => self.reap(),
                () = tokio::time::sleep(pause) => {
                    if let Some(then) = Instant::now().checked_sub(self.0.idle_time) {
                        self.end_idle_since(then, usize::MAX);
                    }
                }
            }
        }
    }

    /// Ends the workers, which have nothing left to do, and waits for their processes.
    pub async fn end(&self) {
        self.end_idle_since(Instant::now(), usize::MAX);
        let all_gone = async {
            loop {
                // Created before the look, it hears of every end from here on.
                let reaped = self.0.reaped.notified();
                if lock(&self.0.alive).is_empty() {
                    return;
                }
                reaped.await;
            }
        };
        // A worker that does not end has lost its channel, and ends when it looks at it.
        let _ = timeout_at(Instant::now() + PARTING, all_gone).await;
    }

    fn reap(&self) {
        let mut alive = lock(&self.0.alive);
        while let Ok(Some(process)) = sandbox::process::next_dead() {
            let Ok(end) = sandbox::process::wait(process) else {
                return;
            };
            let user = alive.remove(&process).flatten();
            self.0.reaped.notify_waiters();
            if !end.is_success() {
                event!(
                    catalogue::WORKER_DIED,
                    uid = user.map(|user| user.uid),
                    pid = process,
                    status = %end
                );
            }
        }
    }

    /// Gives a request to the worker of `key` and waits for its answer, both within `time_limit`.
    pub async fn call(
        &self,
        key: &WorkerKey,
        mut request: WorkerRequest,
        payload: Bytes,
        fd: Option<&OwnedFd>,
        time_limit: Duration,
    ) -> Result<WorkerReply, WorkerFailure> {
        let deadline = Instant::now() + time_limit;
        if key.job == WorkerJob::Commands {
            return self.call_once(key, request, payload, fd, deadline).await;
        }
        let mut attempt = 1;
        loop {
            let turn = Turn::take(self, key);
            let worker = timeout_at(deadline, turn.worker()).await;
            let running = worker.map_err(|_| WorkerFailure::Busy)??;
            let answer = ask(&running, &mut request, payload.clone(), fd, deadline).await;
            let Err(WorkerFailure::Lost(error)) = &answer else {
                return answer;
            };
            let late = matches!(error, CallError::TimedOut);
            if late && matches!(request, WorkerRequest::Usage(_)) {
                // It is busy with deliveries, which are worth more than this answer.
                return answer;
            }
            turn.discard();
            if late {
                self.kill(running.process);
            }
            let begun = !matches!(error, CallError::Unavailable { .. });
            if begun || attempt == ATTEMPTS {
                return answer;
            }
            attempt += 1;
        }
    }

    /// Commands may take long and must not wait for each other: each has a worker of its own.
    async fn call_once(
        &self,
        key: &WorkerKey,
        mut request: WorkerRequest,
        payload: Bytes,
        fd: Option<&OwnedFd>,
        deadline: Instant,
    ) -> Result<WorkerReply, WorkerFailure> {
        let places = Arc::clone(&self.0.command_places);
        let start = async {
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            self.start(key, place).await
        };
        let running = timeout_at(deadline, start)
            .await
            .map_err(|_| WorkerFailure::Busy)??;
        let answer = ask(&running, &mut request, payload, fd, deadline).await;
        if answer.is_err() {
            self.kill(running.process);
        }
        answer
    }

    async fn start(
        &self,
        key: &WorkerKey,
        place: OwnedSemaphorePermit,
    ) -> Result<Running, WorkerFailure> {
        let (process, channel) = {
            let mut alive = lock(&self.0.alive);
            let started = self.0.starter.start(key)?;
            alive.insert(started.0, key.user);
            started
        };
        type Talk = Connection<<Worker as Protocol>::Request, <Worker as Protocol>::Reply>;
        let connection = Talk::greet::<Worker>(channel).await?;
        Ok(Running {
            caller: Caller::new(connection, |_| {}),
            process,
            _place: place,
        })
    }

    /// Ends a process that did not do what it was to do, unless it is gone.
    fn kill(&self, process: u32) {
        let alive = lock(&self.0.alive);
        if alive.contains_key(&process) {
            // Nothing can keep us from it; that it has ended by then is as good.
            let _ = sandbox::process::kill(process);
        }
    }

    /// A place for one more mailbox worker; idle ones are ended to make room.
    async fn place(&self) -> io::Result<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.0.mailbox_places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::begin(&self.0.waiting);
        self.end_idle_since(Instant::now(), 1);
        places.acquire_owned().await.map_err(io::Error::other)
    }

    /// Ends up to `most` workers that have been idle since `then`, the longest idle first.
    fn end_idle_since(&self, then: Instant, most: usize) {
        let mut workers = lock(&self.0.workers);
        let mut idle: Vec<(Instant, WorkerKey)> = workers
            .iter()
            .filter_map(|(key, entry)| Some((lock(&entry.use_).idle_since?, key.clone())))
            .filter(|(since, _)| *since <= then)
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        for (_, key) in idle.into_iter().take(most) {
            workers.remove(&key);
        }
    }
}

/// One request to one worker.
async fn ask(
    running: &Running,
    request: &mut WorkerRequest,
    payload: Bytes,
    fd: Option<&OwnedFd>,
    deadline: Instant,
) -> Result<WorkerReply, WorkerFailure> {
    let fds = fd
        .map(OwnedFd::try_clone)
        .transpose()?
        .into_iter()
        .collect();
    let left = deadline.saturating_duration_since(Instant::now());
    if let WorkerRequest::Deliver(parcel) = request {
        // The worker is to end a command itself, and tell of it, before it is ended.
        parcel.time_limit = left * 9 / 10;
    }
    Ok(running
        .caller
        .call(request, payload, fds, left)
        .await?
        .message)
}

/// Counts one who waits, for as long as it exists.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The use of one worker for one request.
struct Turn<'p> {
    pool: &'p Pool,
    key: &'p WorkerKey,
    entry: Arc<Entry>,
}

impl<'p> Turn<'p> {
    fn take(pool: &'p Pool, key: &'p WorkerKey) -> Self {
        let mut workers = lock(&pool.0.workers);
        let must_give_way = |entry: &Entry| {
            pool.0.waiting.load(Ordering::Relaxed) > 0 && lock(&entry.use_).served >= TURN
        };
        if workers.get(key).is_some_and(|entry| must_give_way(entry)) {
            // Those who use it finish with it; then its place is free.
            workers.remove(key);
        }
        let entry = Arc::clone(workers.entry(key.clone()).or_default());
        let mut use_ = lock(&entry.use_);
        use_.now += 1;
        use_.served += 1;
        use_.idle_since = None;
        drop(use_);
        Self { pool, key, entry }
    }

    /// The worker, started if need be. Others who want the same one wait here, too.
    async fn worker(&self) -> Result<Arc<Running>, WorkerFailure> {
        let mut running = self.entry.running.lock().await;
        if let Some(running) = &*running {
            return Ok(Arc::clone(running));
        }
        let place = self.pool.place().await?;
        let started = self.pool.start(self.key, place).await;
        if started.is_err() {
            self.discard();
        }
        let started = Arc::new(started?);
        *running = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Lets nobody use this worker any more.
    fn discard(&self) {
        let mut workers = lock(&self.pool.0.workers);
        if workers
            .get(self.key)
            .is_some_and(|entry| Arc::ptr_eq(entry, &self.entry))
        {
            workers.remove(self.key);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut use_ = lock(&self.entry.use_);
        use_.now -= 1;
        if use_.now > 0 {
            return;
        }
        use_.idle_since = Some(Instant::now());
        drop(use_);
        if self.pool.0.waiting.load(Ordering::Relaxed) > 0 {
            self.discard();
        }
    }
}
