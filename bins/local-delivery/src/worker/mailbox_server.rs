//! Deliveries into mailboxes and questions about them.

use std::io;

use ipc::Frame;
use ipc::protocol::{MailboxFormat, UsageReply};
use mail_types::{Outcome, QueueId};
use mailbox::quota::Quota;
use mailbox::{Deliverer, Delivery, Format, FullMailbox, Location, MailboxError};

use super::batch::Answers;
use super::head::{DeliveredTo, Source, prefix, sender};
use crate::worker_protocol::{
    MailboxPlace, Parcel, ParcelRecipient, Place, WorkerReply, WorkerRequest,
};

/// The most messages that are written before they are synced: each is an open file until then.
const MAX_BATCH: usize = 256;

/// Answers a worker's frames.
pub struct MailboxServer {
    deliverer: Deliverer,
    full: FullMailbox,
    owner: u32,
}

/// A parcel whose content was found good.
struct Opened {
    source: Source,
    sender: String,
}

/// One copy to be written.
struct Copy {
    parcel: usize,
    recipient: u64,
    location: Location,
    prefix: Vec<u8>,
}

type Answer<'a> = &'a mut dyn FnMut(u32, WorkerReply);

impl MailboxServer {
    /// For mailboxes of the user that this process is.
    pub fn new(deliverer: Deliverer, full: FullMailbox) -> Self {
        Self {
            deliverer,
            full,
            owner: sandbox::ids::effective_uid(),
        }
    }

    /// Answers all frames: Maildirs first, since mboxes may have to wait for locks.
    pub fn answer(&self, frames: Vec<Frame<WorkerRequest>>, answer: Answer<'_>) {
        let (mut opened, mut answers, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        for frame in frames {
            let (id, payload, fds) = (frame.id, frame.payload, frame.fds);
            match frame.message {
                WorkerRequest::Usage(place) => answer(id, self.usage(&place)),
                WorkerRequest::Deliver(parcel) => {
                    let source = Source::of(parcel.content, parcel.size, payload, fds);
                    let at = answers.len();
                    let mut waiting = Answers::new(id, parcel.recipients.len());
                    opened.push(self.open(
                        at,
                        source,
                        *parcel,
                        &mut copies,
                        &mut |number, outcome, problem| {
                            waiting.report(number, outcome, problem, answer);
                        },
                    ));
                    answers.push(waiting);
                }
            }
        }
        let (maildirs, mut mboxes): (Vec<_>, Vec<_>) = copies
            .into_iter()
            .partition(|copy| copy.location.format == Format::Maildir);
        for batch in maildirs.chunks(MAX_BATCH) {
            self.deliver(batch, &opened, &mut answers, answer);
        }
        // One at a time: the outcomes of one need not wait for the lock of the next.
        mboxes.sort_by(|one, other| one.location.path.cmp(&other.location.path));
        for batch in mboxes.chunk_by(|one, other| one.location == other.location) {
            self.deliver(batch, &opened, &mut answers, answer);
        }
    }

    /// Reads what a parcel needs and lists its copies; recipients that get none are reported.
    fn open(
        &self,
        at: usize,
        source: io::Result<Source>,
        parcel: Parcel,
        copies: &mut Vec<Copy>,
        report: &mut dyn FnMut(u64, Outcome, Option<String>),
    ) -> Option<Opened> {
        let read = source.and_then(|source| {
            let delivered = DeliveredTo::of(source.content())?;
            Ok((source, delivered))
        });
        let (source, delivered) = match read {
            Ok(read) => read,
            Err(error) => {
                for recipient in &parcel.recipients {
                    let (outcome, problem) = unreadable(parcel.queue_id, &error);
                    report(recipient.number, outcome, Some(problem));
                }
                return None;
            }
        };
        for recipient in parcel.recipients {
            let number = recipient.number;
            let looped = delivered.loop_to(&recipient.address);
            match looped.map_or_else(|| self.place(&recipient), Err) {
                Ok(location) => copies.push(Copy {
                    parcel: at,
                    recipient: number,
                    location,
                    prefix: prefix(&parcel.reverse_path, &recipient.address),
                }),
                Err(outcome) => report(number, outcome, None),
            }
        }
        let sender = sender(&parcel.reverse_path);
        Some(Opened { source, sender })
    }

    /// The recipient's mailbox, or the outcome of having none.
    fn place(&self, recipient: &ParcelRecipient) -> Result<Location, Outcome> {
        match &recipient.place {
            Place::Mailbox(place) => Ok(self.location(place)),
            // The supervisor has other workers for these.
            Place::Command(_) => Err(Outcome::deferred(3, 5, "no command is run here")),
        }
    }

    fn location(&self, place: &MailboxPlace) -> Location {
        Location {
            path: place.path.clone(),
            format: match place.format {
                MailboxFormat::Maildir => Format::Maildir,
                MailboxFormat::Mbox => Format::Mbox,
            },
            owner: self.owner,
            quota: Quota {
                bytes: place.quota_bytes,
                messages: place.quota_messages,
            },
        }
    }

    fn deliver(
        &self,
        copies: &[Copy],
        opened: &[Option<Opened>],
        answers: &mut [Answers],
        answer: Answer<'_>,
    ) {
        // A copy is only listed when its parcel was opened: none is left out here.
        let deliveries: Vec<Delivery<'_>> = copies
            .iter()
            .filter_map(|copy| {
                let parcel = opened[copy.parcel].as_ref()?;
                Some(Delivery {
                    location: &copy.location,
                    prefix: &copy.prefix,
                    content: parcel.source.content(),
                    sender: &parcel.sender,
                })
            })
            .collect();
        let results = self.deliverer.deliver_batch(&deliveries);
        for (copy, result) in copies.iter().zip(results) {
            let (outcome, problem) = match result {
                Ok(()) => (delivered(copy.location.format), None),
                Err(error) => (error.outcome(self.full), Some(error.to_string())),
            };
            answers[copy.parcel].report(copy.recipient, outcome, problem, answer);
        }
    }

    fn usage(&self, place: &MailboxPlace) -> WorkerReply {
        match self.deliverer.usage(&self.location(place)) {
            Ok(used) => WorkerReply::Usage {
                usage: UsageReply::Usage {
                    bytes: used.bytes,
                    messages: used.messages,
                },
                problem: None,
            },
            Err(error) => unavailable(&error),
        }
    }
}

fn unavailable(error: &MailboxError) -> WorkerReply {
    WorkerReply::Usage {
        usage: UsageReply::Unavailable,
        problem: Some(error.to_string()),
    }
}

fn delivered(format: Format) -> Outcome {
    Outcome::delivered(match format {
        Format::Maildir => "delivered to maildir",
        Format::Mbox => "delivered to mailbox",
    })
}

fn unreadable(queue_id: QueueId, error: &io::Error) -> (Outcome, String) {
    let outcome = Outcome::deferred(3, 0, "message content could not be read");
    (
        outcome,
        format!("cannot read the content of {queue_id}: {error}"),
    )
}
