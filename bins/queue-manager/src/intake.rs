//! Mail comes in: one task per channel reads requests and hands them to the store, whose threads answer.

use std::sync::Arc;

use bytes::Bytes;
use daemon::Drain;
use ipc::protocol::{Intake, IntakeReply, IntakeRequest};
use ipc::{Connection, Frame, Protocol};
use queue::{Command, NewContent, NewMessage, Queue, SpoolId, StorageError};
use tokio::sync::mpsc::UnboundedSender;

use crate::admission::Admission;
use crate::log;
use crate::manager::Input;
use crate::sink::{AfterAccept, Fresh, IntakePeer, IntakeTag, Tag, refusal};

/// Messages with more recipients are read from the store by pages, so that memory stays bounded.
const FRESH_RECIPIENTS: usize = 100;

/// What all intake channels share.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) queue: Arc<Queue<Tag>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) inbox: UnboundedSender<Input>,
    pub(crate) hold_new: bool,
    pub(crate) drain: Drain,
}

type Channel = Connection<<Intake as Protocol>::Reply, <Intake as Protocol>::Request>;

impl Door {
    /// Serves one channel until its peer ends it or the drain begins.
    pub(crate) async fn serve(self, channel: Channel, uid: u32) {
        let peer = IntakePeer::new(channel.sender);
        let mut receiver = channel.receiver;
        let drained = self.drain.requested();
        tokio::pin!(drained);
        let draining = loop {
            tokio::select! {
                biased;
                () = &mut drained => break true,
                received = receiver.receive() => match received {
                    Ok(Some(frame)) => self.request(&peer, frame),
                    Ok(None) => break false,
                    Err(error) => {
                        log::channel_fault(Intake::NAME, uid, &error);
                        break false;
                    }
                },
            }
        };
        peer.settled().await;
        if draining {
            // What was not answered was not begun; the peer comes again, also for its spool files.
            peer.sender().goodbye();
            peer.sender().written().await;
        } else {
            peer.open_spools()
                .drain()
                .for_each(|spool| self.discard(spool));
        }
    }

    fn request(&self, peer: &Arc<IntakePeer>, frame: Frame<IntakeRequest>) {
        let id = frame.id;
        let (command, next) = match frame.message {
            IntakeRequest::Submit { envelope, origin } => {
                let next = self.after_accept(&envelope, Some(&frame.payload));
                let content = NewContent::Inline(frame.payload);
                (self.submit(envelope, origin, content), next)
            }
            IntakeRequest::OpenSpool { expected } => {
                (Command::OpenSpool { expected }, AfterAccept::Nothing)
            }
            IntakeRequest::Commit {
                spool,
                size,
                envelope,
                origin,
            } => {
                let spool = SpoolId(spool.0);
                peer.open_spools().remove(&spool);
                let next = self.after_accept(&envelope, None);
                let content = NewContent::Spooled { spool, size };
                (self.submit(envelope, origin, content), next)
            }
            IntakeRequest::Abort { spool } => {
                let spool = SpoolId(spool.0);
                peer.open_spools().remove(&spool);
                (Command::AbortSpool { spool }, AfterAccept::Nothing)
            }
        };
        self.send(peer, id, command, next);
    }

    fn submit(
        &self,
        envelope: mail_types::Envelope,
        origin: ipc::protocol::Origin,
        content: NewContent,
    ) -> Command {
        Command::Submit(Box::new(NewMessage {
            envelope,
            origin: queue::Origin {
                session: origin.session,
                client: origin.client,
                protocol: origin.protocol,
            },
            content,
            hold: self.hold_new,
        }))
    }

    fn after_accept(&self, envelope: &mail_types::Envelope, inline: Option<&Bytes>) -> AfterAccept {
        if self.hold_new {
            return AfterAccept::Nothing;
        }
        let fresh = inline
            .filter(|_| envelope.recipients.len() <= FRESH_RECIPIENTS)
            .and_then(|content| {
                Some(Fresh {
                    place: self
                        .admission
                        .admit(envelope.recipients.len(), content.len())?,
                    envelope: envelope.clone(),
                    content: content.clone(),
                })
            });
        fresh.map_or(AfterAccept::Backlog, |fresh| {
            AfterAccept::Deliver(Box::new(fresh))
        })
    }

    fn send(&self, peer: &Arc<IntakePeer>, id: u32, command: Command, next: AfterAccept) {
        peer.begin();
        let tag = IntakeTag {
            peer: Arc::clone(peer),
            id,
            next,
        };
        let Err(not_taken) = self.queue.send(Tag::Intake(tag), command) else {
            return;
        };
        log::turned_away(&not_taken.error);
        if not_taken.error == StorageError::Closed {
            // Not answered, as it was not begun. The manager ends this program.
            let _ = self.inbox.send(Input::StoreEnded);
        } else {
            let reply = IntakeReply::Refused(refusal(&not_taken.error));
            // A peer that is gone needs no refusal.
            let _ = peer.sender().send(id, &reply);
        }
        peer.end();
    }

    /// Removes a spool file whose writer is gone.
    fn discard(&self, spool: SpoolId) {
        if let Err(not_taken) = self.queue.send(Tag::Discard, Command::AbortSpool { spool }) {
            // It is removed as an orphan after a later start.
            log::turned_away(&not_taken.error);
        }
    }
}
