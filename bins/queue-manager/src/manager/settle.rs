//! From memory to disk: updates, and what follows when they are durable.

use mail_types::{QueueId, Timestamp};
use queue::{Change, Command, Fate, RecipientState, StorageError, Update, Updated};
use tokio::time::Instant;

use super::message::{Ending, Message, Stage};
use super::report::Line;
use super::{Manager, STORE_PAUSE};
use crate::log;
use crate::sink::Tag;

/// Recipients whose reports may wait for those of the message's other recipients.
const MAX_OWED: usize = 100;
/// More of a message's recipients are read when fewer than this are open.
const FEW_OPEN: usize = 100;

impl Manager {
    /// Records what ended, parks the message when all of it has, reads more of it when little is open.
    ///
    /// To be called after anything happened to a message. While an update is on its way nothing is done;
    /// its end calls again. What settling one message does to others waits its turn, so that this does not
    /// nest.
    pub(super) fn settle(&mut self, queue_id: QueueId, now: Timestamp) {
        self.unsettled.push_back(queue_id);
        if self.settling {
            return;
        }
        self.settling = true;
        while let Some(queue_id) = self.unsettled.pop_front() {
            self.settle_one(queue_id, now);
        }
        self.settling = false;
    }

    fn settle_one(&mut self, queue_id: QueueId, now: Timestamp) {
        if self.wants_more(queue_id) {
            self.load_recipients(queue_id, now);
        }
        self.line_up(queue_id, now);
        let Some(message) = self.messages.get(&queue_id) else {
            return;
        };
        if message.recording {
            return;
        }
        let last = message.open() == 0 && (message.read_all || message.withdrawn);
        if last && message.withdrawn && !message.has_ended() {
            self.forget(queue_id);
        } else if last || message.has_ended() || message.is_owing_much() {
            self.record(queue_id, last, now);
        }
    }

    /// Whether more recipients of a message are to be read now.
    fn wants_more(&self, queue_id: QueueId) -> bool {
        self.messages.get(&queue_id).is_some_and(|message| {
            !message.recording
                && !message.read_all
                && !message.withdrawn
                && !message.is_owing_much()
                && message.open() < FEW_OPEN
        })
    }

    /// Sends what ended to the store, with the reports that go with it.
    fn record(&mut self, queue_id: QueueId, last: bool, now: Timestamp) {
        let Some(message) = self.messages.get(&queue_id) else {
            return;
        };
        let reporting = last || message.is_owing_much();
        let (changes, lines) = self.changes(queue_id, message, reporting, now);
        // What an expansion put in a recipient's place is due at once.
        let replaced = |change: &Change| matches!(change.fate, Fate::Replaced(_));
        let park = last && !message.withdrawn && !changes.iter().any(replaced);
        if changes.is_empty() && !park {
            return;
        }
        match self.reports(queue_id, lines, now) {
            Ok(reports) => {
                let update = Update {
                    queue_id,
                    changes,
                    reports,
                    park,
                };
                self.send_update(queue_id, update);
            }
            // It is being set aside as it is; what ended is attempted again if it is ever released.
            Err(StorageError::Corrupt { .. }) => self.forget(queue_id),
            Err(error) => {
                log::read_failed(&error);
                self.retry_later(queue_id);
            }
        }
    }

    /// What became of a message's recipients, and the lines that tell it. Without `reporting`, who is to be
    /// reported is only marked: one report for all of a message's recipients is better than one for each.
    fn changes(
        &self,
        queue_id: QueueId,
        message: &Message,
        reporting: bool,
        now: Timestamp,
    ) -> (Vec<Change>, Vec<Line>) {
        let (mut changes, mut lines) = (Vec::new(), Vec::new());
        for (&number, recipient) in &message.recipients {
            let (ending, is_owed) = match &recipient.stage {
                Stage::Ended(ending) => (ending, false),
                Stage::Owed(ending) => (ending, true),
                _ => continue,
            };
            if let Ending::Replaced { failures, .. } = ending {
                lines.extend(failures.iter().filter_map(|failed| {
                    let ending = Ending::Failed(failed.reply.clone());
                    self.line(queue_id, message, recipient, &ending, failed.owner.as_ref())
                }));
            }
            let fate = match self.line(queue_id, message, recipient, ending, None) {
                Some(_) if !reporting && is_owed => continue,
                Some(_) if !reporting => owed(ending, now),
                line => {
                    lines.extend(line);
                    fate(ending)
                }
            };
            changes.push(Change {
                recipient: number,
                fate,
            });
        }
        (changes, lines)
    }

    fn send_update(&mut self, queue_id: QueueId, update: Update) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        for change in &update.changes {
            if let Some(recipient) = message.recipients.get_mut(&change.recipient) {
                let stage = std::mem::replace(&mut recipient.stage, Stage::Expanding);
                recipient.stage = match stage {
                    Stage::Ended(ending) | Stage::Owed(ending) => match change.fate {
                        Fate::Owed { .. } => Stage::Owed(ending),
                        _ => Stage::Recording(ending),
                    },
                    other => other,
                };
            }
        }
        message.recording = true;
        message.parking = update.park;
        let command = Command::Update(Box::new(update));
        if let Err(not_taken) = self.store.send(Tag::Update(queue_id), command) {
            self.not_updated(queue_id, &not_taken.error);
        }
    }

    /// An update is durable.
    pub(super) fn updated(&mut self, queue_id: QueueId, updated: &Updated, now: Timestamp) {
        for report in &updated.reports {
            let report = report.into_inner();
            log::bounce_queued(report, queue_id);
            if let Err(error) = self.load_message(report, now) {
                log::read_failed(&error);
                self.loader.new_waits();
            }
        }
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        message.recording = false;
        message.unrecorded = false;
        let mut replaced = false;
        message.recipients.retain(|_, recipient| {
            let Stage::Recording(ending) = &recipient.stage else {
                return true;
            };
            replaced |= matches!(ending, Ending::Replaced { .. });
            false
        });
        if updated.left == 0 {
            log::removed(queue_id, &message.facts, now);
            self.forget(queue_id);
            return;
        }
        if message.parking {
            self.forget(queue_id);
            if let Some(due) = updated.due {
                self.loader.note_due(due);
            }
            return;
        }
        if replaced {
            // Its targets have numbers above all that there were, and are due.
            message.read_all = false;
        }
        self.settle(queue_id, now);
    }

    /// An update failed: nothing of it is on disk, and all of it is tried again later.
    pub(super) fn not_updated(&mut self, queue_id: QueueId, error: &StorageError) {
        self.store_ended |= *error == StorageError::Closed;
        // What is delivered now might have to be delivered again.
        self.lease_not_before = Some(Instant::now() + STORE_PAUSE);
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        if !std::mem::replace(&mut message.unrecorded, true) {
            log::not_recorded(queue_id, error);
        }
        message.recording = false;
        for recipient in message.recipients.values_mut() {
            let stage = std::mem::replace(&mut recipient.stage, Stage::Expanding);
            recipient.stage = match stage {
                // What is owed is not known to be on disk; said once more it does no harm.
                Stage::Recording(ending) | Stage::Owed(ending) => Stage::Ended(ending),
                other => other,
            };
        }
        self.retry_later(queue_id);
    }

    /// Nothing new is begun with a message: somebody else moved it. What is leased comes to its end.
    pub(super) fn withdraw(&mut self, queue_id: QueueId, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        message.withdrawn = true;
        message.recipients.retain(|_, recipient| {
            !matches!(
                recipient.stage,
                Stage::Expanding | Stage::Ready | Stage::Waiting
            )
        });
        self.scheduler.remove(queue_id);
        self.settle(queue_id, now);
    }

    /// Takes a message out of memory.
    pub(super) fn forget(&mut self, queue_id: QueueId) {
        self.messages.remove(&queue_id);
        self.scheduler.remove(queue_id);
    }
}

impl Message {
    fn has_ended(&self) -> bool {
        self.recipients
            .values()
            .any(|recipient| matches!(recipient.stage, Stage::Ended(_)))
    }

    fn is_owing_much(&self) -> bool {
        let owed = |stage: &Stage| matches!(stage, Stage::Owed(_));
        self.recipients
            .values()
            .filter(|recipient| owed(&recipient.stage))
            .count()
            >= MAX_OWED
    }
}

/// It ended, and a report will follow.
fn owed(ending: &Ending, now: Timestamp) -> Fate {
    match Line::outcome(ending) {
        Some((ended, reply)) => Fate::Owed {
            ended,
            reply,
            due: now,
        },
        None => fate(ending),
    }
}

/// What becomes of a recipient that is not reported, or is reported in the same step.
fn fate(ending: &Ending) -> Fate {
    match ending {
        Ending::Delivered(_) | Ending::Failed(_) | Ending::Expired(_) | Ending::Merged => {
            Fate::Gone
        }
        Ending::Deferred {
            due,
            reply,
            attempted,
        } => Fate::Deferred {
            due: *due,
            reply: reply.clone(),
            attempted: *attempted,
        },
        Ending::Replaced { targets, .. } => Fate::Replaced(targets.clone()),
    }
}

impl Line {
    /// How an ending that can be reported stands on disk until then.
    fn outcome(ending: &Ending) -> Option<(RecipientState, queue::LastReply)> {
        match ending {
            Ending::Delivered(text) => Some((
                RecipientState::Delivered,
                queue::LastReply {
                    status: super::report::DELIVERED,
                    text: text.clone(),
                },
            )),
            Ending::Failed(reply) | Ending::Expired(reply) => {
                Some((RecipientState::Failed, reply.clone()))
            }
            Ending::Deferred { .. } | Ending::Replaced { .. } | Ending::Merged => None,
        }
    }
}
