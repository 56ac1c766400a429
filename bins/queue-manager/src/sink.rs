//! What the store tells, sorted on the store's own threads.
//!
//! Answers to intake leave from here, in one write per channel and commit: the event loop is not woken for
//! them. Everything else goes to the manager's inbox, one entry per commit.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ipc::protocol::{IntakeReply, QueueControlReply, Refusal};
use ipc::{SendError, Sender};
use mail_types::{Envelope, QueueId};
use queue::{Action, Done, Durable, Event, SpoolId, StorageError};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::admission::Place;
use crate::log;
use crate::manager::Input;

/// What the commit thread gives back with a command's end.
#[derive(Debug)]
pub enum Tag {
    /// Answer an intake channel.
    Intake(IntakeTag),
    /// Remove a spool file that nobody will commit; nobody waits for it.
    Discard,
    /// An update of a message that is in memory.
    Update(QueueId),
    /// Answer an administrator.
    Administer(Box<AdministerTag>),
}

/// Whom to answer, and what to log.
#[derive(Debug)]
pub struct AdministerTag {
    pub(crate) sender: Sender<QueueControlReply>,
    pub(crate) id: u32,
    pub(crate) uid: u32,
    pub(crate) action: Action,
    /// The one message that was named, when it was one.
    pub(crate) only: Option<QueueId>,
    /// What was named, in words.
    pub(crate) selection: String,
}

/// Whom to answer, and what to do with an accepted message.
#[derive(Debug)]
pub struct IntakeTag {
    pub(crate) peer: Arc<IntakePeer>,
    pub(crate) id: u32,
    pub(crate) next: AfterAccept,
}

/// What becomes of a message once it is durable.
#[derive(Debug)]
pub(crate) enum AfterAccept {
    /// Not a message, or one that begins on hold.
    Nothing,
    /// The manager is to read it from the store when it has room.
    Backlog,
    /// The manager gets it at once.
    Deliver(Box<Fresh>),
}

/// A new message as it came, so that it need not be read back.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) envelope: Envelope,
    pub(crate) content: Bytes,
    pub(crate) place: Place,
}

/// One intake channel.
#[derive(Debug)]
pub(crate) struct IntakePeer {
    sender: Sender<IntakeReply>,
    in_flight: AtomicUsize,
    idle: Notify,
    /// Spool files that it opened and has neither committed nor given up.
    spools: Mutex<HashSet<SpoolId>>,
}

impl IntakePeer {
    pub(crate) fn new(sender: Sender<IntakeReply>) -> Arc<Self> {
        Arc::new(Self {
            sender,
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            spools: Mutex::default(),
        })
    }

    pub(crate) fn open_spools(&self) -> MutexGuard<'_, HashSet<SpoolId>> {
        self.spools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sender(&self) -> &Sender<IntakeReply> {
        &self.sender
    }

    /// A command of this channel goes to the store.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// A command came back, and its answer is queued.
    pub(crate) fn end(&self) {
        if self.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_one();
        }
    }

    /// Waits until every command of this channel came back.
    pub(crate) async fn settled(&self) {
        while self.in_flight.load(Ordering::Acquire) > 0 {
            self.idle.notified().await;
        }
    }
}

/// Where the store's events go.
#[derive(Debug)]
pub(crate) struct Sink {
    inbox: UnboundedSender<Input>,
    /// New messages wait in the store that the manager was not told of.
    backlog: Arc<AtomicBool>,
}

impl Sink {
    pub(crate) fn new(inbox: UnboundedSender<Input>, backlog: Arc<AtomicBool>) -> Self {
        Self { inbox, backlog }
    }

    /// Takes the events of one commit.
    pub(crate) fn take(&self, events: Vec<Event<Tag>>) {
        let mut peers: Vec<Arc<IntakePeer>> = Vec::new();
        let mut rest = Vec::new();
        for event in events {
            match event {
                Event::Done {
                    tag: Tag::Intake(tag),
                    result,
                } => {
                    if !peers.iter().any(|peer| Arc::ptr_eq(peer, &tag.peer)) {
                        peers.push(Arc::clone(&tag.peer));
                    }
                    rest.extend(self.answer(tag, result));
                }
                other => rest.push(Stored::Event(other)),
            }
        }
        for peer in peers {
            peer.sender.flush();
        }
        if !rest.is_empty() {
            // The manager ends last: without it there is nobody to tell.
            let _ = self.inbox.send(Input::Stored(rest));
        }
    }

    fn answer(&self, tag: IntakeTag, result: Result<Done, StorageError>) -> Option<Stored> {
        let IntakeTag { peer, id, next } = tag;
        let (sent, stored) = match result {
            Ok(Done::Accepted(queue_id)) => {
                let sent = reply_durable(&peer, id, queue_id);
                (sent, self.accepted(queue_id.into_inner(), next))
            }
            Ok(Done::Spool { spool, file }) => {
                peer.open_spools().insert(spool);
                let reply = IntakeReply::Spool {
                    spool: ipc::protocol::SpoolId(spool.0),
                };
                let fds = vec![file.into()];
                (peer.sender.queue(id, &reply, Bytes::new(), fds), None)
            }
            Ok(_) => (queue_reply(&peer, id, &IntakeReply::Aborted), None),
            Err(error) => {
                log::turned_away(&error);
                let reply = IntakeReply::Refused(refusal(&error));
                (queue_reply(&peer, id, &reply), None)
            }
        };
        // A peer that is gone will say 451 or has said nothing, and the message is ours.
        drop(sent);
        peer.end();
        stored
    }

    fn accepted(&self, queue_id: QueueId, next: AfterAccept) -> Option<Stored> {
        match next {
            AfterAccept::Nothing => None,
            AfterAccept::Backlog => {
                let known = self.backlog.swap(true, Ordering::AcqRel);
                (!known).then_some(Stored::Backlog)
            }
            AfterAccept::Deliver(fresh) => Some(Stored::Fresh(queue_id, fresh)),
        }
    }
}

/// What the manager learns of the store.
#[derive(Debug)]
pub(crate) enum Stored {
    /// A new message.
    Fresh(QueueId, Box<Fresh>),
    /// New messages wait on disk.
    Backlog,
    /// Anything else.
    Event(Event<Tag>),
}

/// Only what is durable can be called so.
fn reply_durable(peer: &IntakePeer, id: u32, durable: Durable<QueueId>) -> Result<(), SendError> {
    let queue_id = durable.into_inner();
    queue_reply(peer, id, &IntakeReply::Durable { queue_id })
}

fn queue_reply(peer: &IntakePeer, id: u32, reply: &IntakeReply) -> Result<(), SendError> {
    peer.sender.queue(id, reply, Bytes::new(), Vec::new())
}

/// What smtpd is told of an error.
pub(crate) fn refusal(error: &StorageError) -> Refusal {
    match error {
        StorageError::DiskFull(_) => Refusal::DiskFull,
        StorageError::Overloaded { .. } => Refusal::Overloaded,
        StorageError::SpoolMismatch { .. } => Refusal::SpoolMismatch,
        StorageError::Failed(_) | StorageError::Corrupt { .. } | StorageError::Closed => {
            Refusal::StorageFailed
        }
    }
}
