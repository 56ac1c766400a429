//! The commit thread: the only one that writes to the database.
//!
//! It takes all that waits, does it in one transaction, and tells everybody after COMMIT. When a
//! transaction fails, what follows depends on why:
//!
//! | failure | what becomes of the batch | and then |
//! |---|---|---|
//! | full (`SQLITE_FULL`) | new mail is refused; the reserve is given up, and the rest is tried once more | new mail is refused until there is room for a reserve again |
//! | busy, out of memory | refused | nothing |
//! | I/O error, anywhere | refused | nobody knows what is on the disk: the database is opened anew and its log moved and cut off before anything is promised again |
//! | anything else | each job alone; one that fails is refused | nothing |

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use crate::command::{Done, Event, Updated};
use crate::error::StorageError;
use crate::inbox::{Found, Job, Task};
use crate::mover::Mover;
use crate::pool::{self, FileTask, spooled};
use crate::queue::Shared;
use crate::settings::Settings;
use crate::spool;
use crate::store::{Progress, Store, UpdateEffect};
use crate::types::{Durable, SpoolId};

/// Nothing to do for so long: time to tidy up.
const IDLE: Duration = Duration::from_millis(100);
/// Pause between attempts to open a database that failed.
const REOPEN: Duration = Duration::from_secs(1);
/// Octets written to the log, by estimate, after which it is moved into the database although
/// commands wait.
const LOG_BYTES: usize = 32 << 20;
/// What a transaction writes to the log whatever it does: the pages that every one touches.
const COMMIT_BYTES: usize = 32 << 10;
/// Octets after which commands wait until the log is moved.
const LONGEST_LOG: usize = 4 * LOG_BYTES;
/// What a job writes to the log besides content, by estimate.
const JOB_BYTES: usize = 5 << 10;
/// Free pages given back in one step.
const SHRINK_PAGES: u32 = 256;

/// What a job did, to be told after COMMIT.
enum Effect {
    Accepted(mail_types::QueueId),
    Aborted(SpoolId),
    Updated(UpdateEffect),
    Administered(Progress),
    SetAside(bool),
    Swept(Vec<SpoolId>),
}

/// Why a transaction as a whole failed.
struct Failed {
    error: rusqlite::Error,
    operation: &'static str,
}

/// What follows from it.
enum Remedy {
    WithoutSubmits,
    Refuse,
    Reopen,
    OneByOne,
}

pub(crate) struct CommitThread<T> {
    shared: Arc<Shared<T>>,
    /// `None` while the database cannot be trusted.
    store: Option<Store>,
    /// When it was last tried to open it again, and what that said.
    failed: Option<(Instant, StorageError)>,
    /// Octets in the log, by estimate.
    log: usize,
    /// When the reserve was last asked for, and whether there is none.
    reserve: Option<(Instant, StorageError)>,
    /// The owner was told that storage fails.
    failing: bool,
    mover: Mover,
    /// The mover was asked since the log last began anew.
    moved: bool,
}

impl<T: Send + 'static> CommitThread<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>, store: Store) -> Self {
        let reserve = shared.files.keep_reserve();
        let mover = Mover::start(shared.files.database.clone());
        Self {
            shared,
            mover,
            moved: false,
            store: Some(store),
            failed: None,
            log: 0,
            reserve: reserve.err().map(|error| (Instant::now(), error)),
            failing: false,
        }
    }

    /// Works until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        let _closes = ClosesInbox(Arc::clone(&self.shared));
        loop {
            let patience = match self.store {
                None => Some(REOPEN),
                Some(_) if self.log > 0 => Some(IDLE),
                Some(_) => None,
            };
            match self.shared.inbox.take(patience) {
                Found::Batch(jobs) => {
                    let mut events = Vec::with_capacity(jobs.len());
                    self.batch(jobs, &mut events);
                    self.tell(events);
                    self.bound_log();
                }
                Found::Idle if self.store.is_none() => self.reopen(),
                Found::Idle => self.tidy(),
                Found::Closed => return self.tidy(),
            }
        }
    }

    /// Has a long log moved beside the commits, and then moves the rest, after which it begins anew. A log
    /// that grows faster than it is moved is moved here.
    fn bound_log(&mut self) {
        if self.log <= LOG_BYTES {
            return;
        }
        let asked = !self.moved && self.mover.ask();
        self.moved |= asked;
        if !self.mover.is_working() || self.log > LONGEST_LOG {
            self.mover.wait();
            self.tidy();
            self.moved = false;
        }
    }

    fn batch(&mut self, jobs: Vec<Job<T>>, events: &mut Vec<Event<T>>) {
        if self.store.is_none() {
            self.reopen();
        }
        let room = self.room(&jobs);
        self.work(jobs, &room, events);
    }

    /// Whether new mail may be taken. Without the reserve it may not; then, once in a while, the
    /// database gives back what it does not need, until there is room for a reserve again.
    fn room(&mut self, jobs: &[Job<T>]) -> Result<(), StorageError> {
        let files = &self.shared.files;
        if let Some((asked, error)) = &self.reserve {
            if asked.elapsed() < REOPEN {
                return Err(error.clone());
            }
            // Where even that finds no room, the ends of deliveries will make some.
            let _ = self
                .store
                .as_mut()
                .map(|store| store.give_back(SHRINK_PAGES));
            let kept = files.keep_reserve();
            self.reserve = kept.err().map(|error| (Instant::now(), error));
        }
        if let Some((_, error)) = &self.reserve {
            return Err(error.clone());
        }
        let room = self.check_free(jobs);
        if room.is_ok() || self.log == 0 {
            return room;
        }
        // There may be room enough once the log is moved.
        self.tidy();
        self.check_free(jobs)
    }

    /// Is there room for these jobs? They are written to the log, and what is in the log is written once
    /// more when it is moved into the database: a log that finds no room there any more could never be
    /// emptied, and a full disk would stay full.
    fn check_free(&self, jobs: &[Job<T>]) -> Result<(), StorageError> {
        let batch: usize = jobs.iter().map(|job| job.task.bytes() + JOB_BYTES).sum();
        let needed = self.log + 2 * (batch + COMMIT_BYTES);
        let needed = u64::try_from(needed).unwrap_or(u64::MAX);
        let Settings { min_free, .. } = self.shared.settings;
        self.shared.files.check_free(min_free, needed)
    }

    /// Frees the reserve; false when there is none to free.
    fn give_up_reserve(&mut self, error: &StorageError) -> bool {
        self.reserve = Some((Instant::now(), error.clone()));
        self.shared.files.give_up_reserve()
    }

    fn work(
        &mut self,
        jobs: Vec<Job<T>>,
        room: &Result<(), StorageError>,
        events: &mut Vec<Event<T>>,
    ) {
        match self.attempt(&jobs, room) {
            Ok(effects) => {
                let accepted = |effect: &Result<_, _>| matches!(effect, Ok(Effect::Accepted(_)));
                if room.is_err() || effects.iter().any(accepted) {
                    self.health(room.clone(), events);
                }
                self.settle(jobs, effects, events);
            }
            Err(failed) => self.remedy(jobs, room, failed, events),
        }
    }

    /// Does all jobs in one transaction.
    fn attempt(
        &mut self,
        jobs: &[Job<T>],
        room: &Result<(), StorageError>,
    ) -> Result<Vec<Result<Effect, StorageError>>, Failed> {
        let Some(store) = &mut self.store else {
            let error = self
                .failed
                .as_ref()
                .map_or(StorageError::Closed, |failed| failed.1.clone());
            return Ok(jobs.iter().map(|_| Err(error.clone())).collect());
        };
        let failed = |operation| move |error| Failed { error, operation };
        store.begin().map_err(failed("begin a transaction"))?;
        let mut effects = Vec::with_capacity(jobs.len());
        for job in jobs {
            let effect = match (&job.task, room) {
                (Task::Submit(_), Err(full)) => Err(full.clone()),
                (task, _) => {
                    perform(store, &self.shared, task).map_err(failed("write to the queue"))?
                }
            };
            self.log += job.task.bytes() + JOB_BYTES;
            effects.push(effect);
        }
        self.log += COMMIT_BYTES;
        store.commit().map_err(failed("commit"))?;
        Ok(effects)
    }

    fn remedy(
        &mut self,
        jobs: Vec<Job<T>>,
        room: &Result<(), StorageError>,
        failed: Failed,
        events: &mut Vec<Event<T>>,
    ) {
        let error = StorageError::sqlite(failed.operation, &failed.error);
        let rolled_back = self.store.as_mut().map_or(Ok(()), Store::rollback);
        let remedy = if rolled_back.is_err() {
            Remedy::Reopen
        } else {
            remedy(&failed.error)
        };
        match remedy {
            Remedy::OneByOne if jobs.len() > 1 => {
                for job in jobs {
                    self.work(vec![job], room, events);
                }
            }
            Remedy::WithoutSubmits
                if self.give_up_reserve(&error) || jobs.iter().any(|job| job.task.is_submit()) =>
            {
                self.health(Err(error.clone()), events);
                let (submits, rest): (Vec<_>, Vec<_>) =
                    jobs.into_iter().partition(|job| job.task.is_submit());
                refuse(submits, &error, events);
                self.work(rest, room, events);
            }
            Remedy::Reopen => {
                // Closed here, before anything else is tried with it.
                self.store = None;
                self.failed = Some((Instant::now(), error.clone()));
                self.health(Err(error.clone()), events);
                refuse(jobs, &error, events);
            }
            Remedy::OneByOne => refuse(jobs, &error, events),
            Remedy::WithoutSubmits | Remedy::Refuse => {
                self.health(Err(error.clone()), events);
                refuse(jobs, &error, events);
            }
        }
    }

    /// Opens the database again, unless that was tried just now.
    fn reopen(&mut self) {
        let just_now = |failed: &(Instant, StorageError)| failed.0.elapsed() < REOPEN;
        if self.failed.as_ref().is_some_and(just_now) {
            return;
        }
        self.mover.wait();
        match Store::open(&self.shared.files.database) {
            Ok(store) => {
                self.store = Some(store);
                self.failed = None;
                self.log = 0;
            }
            Err(error) => {
                self.failed = Some((Instant::now(), StorageError::Failed(error.to_string())));
            }
        }
    }

    fn tell(&self, events: Vec<Event<T>>) {
        if !events.is_empty() {
            (self.shared.sink)(events);
        }
    }

    /// Tells the owner when storage begins to fail and when it works again.
    fn health(&mut self, state: Result<(), StorageError>, events: &mut Vec<Event<T>>) {
        match state {
            Err(error) if !self.failing => {
                self.failing = true;
                events.push(Event::StorageFailing(error));
            }
            Ok(()) if self.failing => {
                self.failing = false;
                events.push(Event::StorageRecovered);
            }
            _ => {}
        }
    }

    /// After COMMIT: only here does anything become `Durable`.
    fn settle(
        &mut self,
        jobs: Vec<Job<T>>,
        effects: Vec<Result<Effect, StorageError>>,
        events: &mut Vec<Event<T>>,
    ) {
        let mut unlink = Vec::new();
        for (job, effect) in jobs.into_iter().zip(effects) {
            let Job {
                tag: Some(tag),
                task,
            } = job
            else {
                self.settle_own(job.task, effect, events);
                continue;
            };
            let result = match effect {
                Err(error) => Err(error),
                Ok(Effect::Administered(Progress {
                    remaining: Some(todo),
                    unlink: files,
                    ..
                })) => {
                    unlink.extend(files);
                    let task = Task::Administer(todo);
                    self.shared.inbox.push_continued(Job {
                        tag: Some(tag),
                        task,
                    });
                    continue;
                }
                Ok(effect) => self.done(&task, effect, &mut unlink),
            };
            events.push(Event::Done { tag, result });
        }
        self.unlink(unlink);
    }

    /// What a command came to.
    fn done(
        &self,
        task: &Task,
        effect: Effect,
        unlink: &mut Vec<SpoolId>,
    ) -> Result<Done, StorageError> {
        Ok(match (task, effect) {
            (_, Effect::Accepted(queue_id)) => Done::Accepted(Durable::after_commit(queue_id)),
            (Task::Update(update), Effect::Updated(effect)) => {
                unlink.extend(effect.unlink);
                let reports = effect.reports.into_iter();
                Done::Updated(Updated {
                    queue_id: update.queue_id,
                    left: effect.left,
                    due: effect.due,
                    reports: reports.map(Durable::after_commit).collect(),
                })
            }
            (_, Effect::Administered(progress)) => {
                unlink.extend(progress.unlink);
                Done::Changed {
                    messages: progress.changed,
                }
            }
            (_, Effect::Aborted(spool)) => {
                self.unlink_now(spool)?;
                Done::Aborted
            }
            (_, Effect::Updated(_) | Effect::SetAside(_) | Effect::Swept(_)) => {
                return Err(StorageError::Failed(
                    "a command was answered as another".to_owned(),
                ));
            }
        })
    }

    /// The end of work that the queue gave itself.
    fn settle_own(
        &self,
        task: Task,
        effect: Result<Effect, StorageError>,
        events: &mut Vec<Event<T>>,
    ) {
        match (task, effect) {
            (Task::SetAside(queue_id, why), Ok(Effect::SetAside(true))) => {
                events.push(Event::SetAside { queue_id, why });
            }
            (_, Ok(Effect::Swept(spools))) => {
                let removed = |&spool: &SpoolId| self.unlink_now(spool).is_ok_and(|done| done);
                match spools.iter().filter(|spool| removed(spool)).count() as u64 {
                    0 => {}
                    files => events.push(Event::OrphansRemoved { files }),
                }
            }
            // Not done: whoever reads the message next, or the next sweep, asks again.
            _ => {}
        }
    }

    /// Removes a file unless a message has it; true when it did. Right only between transactions,
    /// when what this thread reads is what is on the disk.
    fn unlink_now(&self, spool: SpoolId) -> Result<bool, StorageError> {
        let has_row = match &self.store {
            Some(store) => store
                .has_spool(spool)
                .map_err(|error| StorageError::sqlite("look for a spool file's message", &error))?,
            None => true,
        };
        if has_row {
            return Ok(false);
        }
        spool::remove(&self.shared.files, spool).map(|()| true)
    }

    fn unlink(&self, spools: Vec<SpoolId>) {
        if spools.is_empty() {
            return;
        }
        if let Err(FileTask::Remove(spools)) = self.shared.pool.push(FileTask::Remove(spools)) {
            pool::remove(&self.shared, &spools);
        }
    }

    /// Moves the log into the database, and gives back space that a burst left. That it fails
    /// loses nothing, as the log holds everything; it is told, as the log grows.
    fn tidy(&mut self) {
        let Some(store) = &mut self.store else {
            return;
        };
        let tidied = store.checkpoint("PASSIVE").and_then(|moved| {
            let more = moved && store.shrink(SHRINK_PAGES)?;
            Ok((moved, more))
        });
        // Anything but 0 makes the next idle moment go on with it. What was not moved is still in the log.
        self.log = match tidied {
            Ok((true, more)) => usize::from(more),
            Ok((false, _)) | Err(_) => self.log.max(1),
        };
        if let Err(error) = tidied {
            let error = StorageError::sqlite("move the log into the database", &error);
            let mut events = Vec::new();
            self.health(Err(error), &mut events);
            self.tell(events);
        }
    }
}

/// Does one job inside the running transaction. The inner error refuses this job only and left
/// nothing behind; the outer one ends the transaction.
fn perform<T>(
    store: &mut Store,
    shared: &Shared<T>,
    task: &Task,
) -> rusqlite::Result<Result<Effect, StorageError>> {
    Ok(Ok(match task {
        Task::Submit(message) => {
            if let Some((spool, size)) = spooled(message)
                && let Err(error) = check_spooled(store, shared, spool, size)?
            {
                return Ok(Err(error));
            }
            Effect::Accepted(store.submit(message)?)
        }
        // Files are unlinked after the commit: should it fail, a row may need them yet.
        Task::Abort(spool) => Effect::Aborted(*spool),
        Task::Update(update) => Effect::Updated(store.update(update)?),
        Task::Administer(remaining) => Effect::Administered(store.administer(remaining)?),
        Task::SetAside(queue_id, _) => Effect::SetAside(store.set_aside(*queue_id)?),
        Task::Sweep(spools) => Effect::Swept(spools.clone()),
    }))
}

/// A file that was aborted, swept or committed by another message meanwhile must not get a row.
///
/// One case is left open: a receiver that commits a file a second time, in the moment between the
/// removal of its first message and the unlink, gets a message that will be set aside. It asked
/// for what it may not, and harms only itself.
fn check_spooled<T>(
    store: &Store,
    shared: &Shared<T>,
    spool: SpoolId,
    size: u64,
) -> rusqlite::Result<Result<(), StorageError>> {
    if store.has_spool(spool)? {
        let why = "belongs to a message already".to_owned();
        return Ok(Err(StorageError::SpoolMismatch { spool, why }));
    }
    Ok(spool::check(&shared.files, spool, size))
}

fn refuse<T>(jobs: Vec<Job<T>>, error: &StorageError, events: &mut Vec<Event<T>>) {
    for tag in jobs.into_iter().filter_map(|job| job.tag) {
        events.push(Event::Done {
            tag,
            result: Err(error.clone()),
        });
    }
}

fn remedy(error: &rusqlite::Error) -> Remedy {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Remedy::WithoutSubmits,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => Remedy::Refuse,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::NotADatabase
            | ErrorCode::PermissionDenied,
        ) => Remedy::Reopen,
        _ => Remedy::OneByOne,
    }
}

/// Whatever ends the commit thread, nobody may wait for it in vain afterwards.
struct ClosesInbox<T>(Arc<Shared<T>>);

impl<T> Drop for ClosesInbox<T> {
    fn drop(&mut self) {
        self.0.inbox.close();
    }
}
