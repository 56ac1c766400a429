//! Owns the queue: makes mail durable, schedules it, leases it to delivery agents.
//!
//! ```text
//!  smtpd ──Intake──▶ one task per channel ──▶ store's commit thread ──▶ answers, one write per commit
//!                                                    │ inbox
//!  posthouse ──QueueControl──▶ inbox ──▶ manager ◀───┘
//!  local-delivery ◀──Delivery── manager ──Expansion──▶ directory
//! ```
//!
//! Invariants: an answer "durable" is sent only after COMMIT; every recipient that was answered so is on disk
//! until COMMIT of its end, and of the report that is owed for it; memory is bounded whatever the queue holds;
//! a program that talks to us can spoil its own channel and nothing else.
//!
//! Deliberately absent: knowledge of SMTP and of mailboxes, name look-ups, network sockets. RFC 3461, RFC 5321 §4.5.

mod admission;
mod intake;
mod log;
mod manager;
mod server;
mod settings;
mod sink;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use daemon::{Drain, Service};
use ipc::Client;
use jiff::tz::TimeZone;
use queue::Queue;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use admission::Admission;
use intake::Door;
use manager::{Input, Manager, Parts};
use server::Server;
pub use settings::{Access, Settings};
use sink::{Sink, Tag};

/// How long channels may take to end once everything is answered.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why the queue-manager cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started as master starts it.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// A setting does not fit this host.
    #[error("{0}")]
    Setting(String),
    /// The queue cannot be opened.
    #[error(transparent)]
    Open(#[from] queue::OpenError),
    /// The queue cannot be read, or its threads have ended.
    #[error("the queue cannot be served: {0}")]
    Store(#[from] queue::StorageError),
    /// The socket cannot be served.
    #[error("cannot serve the queue's socket: {0}")]
    Listen(#[from] std::io::Error),
}

/// The program: takes what master handed down, puts the jail on, serves.
///
/// # Errors
/// See [`Error`].
pub fn run(mut service: Service) -> Result<(), Error> {
    let settings = Settings::of(&service)?;
    let listening = service.take("ipc")?;
    // Read while the files are there; it then knows every change of the clock to come.
    let time_zone = TimeZone::system();
    service.jail(&[])?;
    service.run(async |life| {
        let drain = life.drain();
        serve(settings, listening, time_zone, drain, || {
            life.ready().map_err(Error::from)
        })
        .await
    })
}

/// Opens the queue and serves until the drain is over. `ready` is called once everything is.
///
/// # Errors
/// See [`Error`].
pub async fn serve(
    settings: Settings,
    listening: OwnedFd,
    time_zone: TimeZone,
    drain: Drain,
    ready: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let (inbox, mut inputs) = unbounded_channel();
    let (store, mut manager, server) = assemble(settings, time_zone, inbox, &drain)?;
    // One task, and its channels' tasks below it: they end with this future, however it ends.
    let mut served = JoinSet::new();
    served.spawn(server.run(listening, drain.clone()));
    ready()?;
    tokio::select! {
        ended = manager.run(&mut inputs, drain.requested()) => ended?,
        Some(ended) = served.join_next() => {
            // It ends by itself only when it cannot begin.
            return ended.map_err(std::io::Error::other)?.map_err(Error::from);
        }
    }
    manager.drain(&mut inputs).await;
    // Agents are told farewell when nobody reads the inbox any more.
    drop((manager, inputs));
    if tokio::time::timeout(FAREWELL, served.join_next())
        .await
        .is_err()
    {
        served.shutdown().await;
    }
    // What waits in the store is written before it closes.
    drop(store);
    Ok(())
}

/// Opens the store and puts the parts together.
fn assemble(
    settings: Settings,
    time_zone: TimeZone,
    inbox: UnboundedSender<Input>,
    drain: &Drain,
) -> Result<(Arc<Queue<Tag>>, Manager, Server), Error> {
    let backlog = Arc::new(AtomicBool::new(false));
    let sink = Sink::new(inbox.clone(), Arc::clone(&backlog));
    let begun = Instant::now();
    let store = Arc::new(Queue::open(
        &settings.queue_directory,
        settings.store.clone(),
        move |events| sink.take(events),
    )?);
    let reader = store.reader()?;
    log::opened(
        &settings.queue_directory,
        &reader.counts()?,
        begun.elapsed(),
    );
    let limits = &settings.limits;
    let server = Server {
        access: Arc::new(settings.access.clone()),
        door: Door {
            queue: Arc::clone(&store),
            admission: Admission::new(
                limits.max_messages,
                limits.max_recipients,
                settings.content_memory,
            ),
            inbox: inbox.clone(),
            hold_new: settings.hold_new,
            drain: drain.clone(),
        },
        inbox: inbox.clone(),
    };
    let manager = Manager::new(Parts {
        reader,
        store: Arc::clone(&store),
        time_zone,
        directory: Client::new(&settings.directory_socket),
        inbox,
        backlog,
        settings,
    });
    Ok((store, manager, server))
}
