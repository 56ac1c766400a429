//! What an administrator asks.

use bytes::Bytes;
use ipc::Sender;
use ipc::protocol::{
    MessageState, MessageSummary, QueueControlReply, QueueControlRequest, QueueStatus,
    RecipientSummary, Selection,
};
use mail_types::{QueueId, Timestamp};
use queue::{Action, Command, Content, Done, RecipientPage, StorageError};
use schedule::Kind;

use super::Manager;
use crate::log;
use crate::sink::{AdministerTag, Tag};

/// The most messages in one page of a listing.
const PAGE: usize = 100;
/// The most recipients listed of one message.
const RECIPIENTS: usize = 100;
/// Of what the last attempt said, so much is listed; the log has all of it.
const REPLY: usize = 500;
/// A page of a listing ends when its messages name so many recipients: it must fit a frame.
const PAGE_RECIPIENTS: usize = 2000;

impl Manager {
    pub(super) fn control(&mut self, request: QueueControlRequest, asker: &Asker, now: Timestamp) {
        let reply = match request {
            QueueControlRequest::List {
                selection,
                after,
                limit,
            } => {
                let limit = usize::try_from(limit).unwrap_or(PAGE).clamp(1, PAGE);
                self.list(&selection, after, limit, now)
            }
            QueueControlRequest::Show { queue_id } => return self.show(queue_id, asker),
            QueueControlRequest::Status => self.status(),
            QueueControlRequest::Hold(selection) => {
                return self.administer(Action::Hold, &selection, asker);
            }
            QueueControlRequest::Release(selection) => {
                return self.administer(Action::Release, &selection, asker);
            }
            QueueControlRequest::Delete(selection) => {
                return self.administer(Action::Delete, &selection, asker);
            }
            QueueControlRequest::Flush(selection) => {
                return self.administer(Action::Flush, &selection, asker);
            }
        };
        asker.answer(&reply.unwrap_or_else(|error| failed(&error)));
    }

    fn list(
        &self,
        selection: &Selection,
        after: Option<QueueId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<QueueControlReply, StorageError> {
        let names = match selection {
            Selection::Message(queue_id) => vec![*queue_id],
            Selection::State(MessageState::Active) => self.active_page(after, limit + 1),
            Selection::State(state) => self.reader.list(stored_state(*state), after, limit + 1)?,
            Selection::All => self.reader.list(None, after, limit + 1)?,
        };
        let mut messages = Vec::new();
        let mut recipients = 0;
        for &queue_id in names.iter().take(limit) {
            let summary = match self.summary(queue_id, now) {
                Ok(summary) => summary,
                Err(StorageError::Corrupt { .. }) => Some(unreadable(queue_id)),
                Err(error) => return Err(error),
            };
            let Some(summary) = summary else {
                continue;
            };
            recipients += summary.recipients.len();
            messages.push(summary);
            if recipients >= PAGE_RECIPIENTS {
                break;
            }
        }
        if matches!(selection, Selection::Message(_)) && messages.is_empty() {
            return Ok(QueueControlReply::NotFound);
        }
        let more = match (messages.last(), names.last()) {
            (Some(shown), Some(last)) => shown.queue_id != *last,
            // Every message of the page went away while it was read: the next page tells.
            (None, Some(_)) => names.len() > limit,
            (_, None) => false,
        };
        Ok(QueueControlReply::Messages { messages, more })
    }

    fn active_page(&self, after: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let mut names: Vec<QueueId> = self
            .messages
            .keys()
            .copied()
            .filter(|queue_id| after.is_none_or(|after| *queue_id > after))
            .collect();
        names.sort_unstable();
        names.truncate(limit);
        names
    }

    fn summary(
        &self,
        queue_id: QueueId,
        now: Timestamp,
    ) -> Result<Option<MessageSummary>, StorageError> {
        let Some(stored) = self.reader.message(queue_id)? else {
            return Ok(None);
        };
        let page = RecipientPage {
            state: None,
            due_by: None,
            after: None,
            limit: RECIPIENTS,
        };
        let recipients = self.reader.recipients(queue_id, page)?;
        let active = self.messages.get(&queue_id).is_some_and(|m| !m.withdrawn);
        let state = match stored.state {
            queue::MessageState::Incoming | queue::MessageState::Deferred if active => {
                MessageState::Active
            }
            queue::MessageState::Incoming => MessageState::Incoming,
            queue::MessageState::Deferred => MessageState::Deferred,
            queue::MessageState::Hold => MessageState::Hold,
            queue::MessageState::Corrupt => MessageState::Corrupt,
        };
        let planned = matches!(state, MessageState::Deferred | MessageState::Incoming);
        Ok(Some(MessageSummary {
            queue_id,
            state,
            size: stored.size,
            accepted: stored.accepted,
            reverse_path: stored.reverse_path,
            recipients: recipients
                .into_iter()
                .map(|recipient| RecipientSummary {
                    address: recipient.accepted_as,
                    attempts: recipient.attempts,
                    next_attempt: planned.then_some(recipient.due.max(now)),
                    last_reply: recipient
                        .last_reply
                        .map(|reply| shortened(format!("{} {}", reply.status, reply.text))),
                })
                .collect(),
            recipients_left: stored.recipients_left,
        }))
    }

    fn show(&self, queue_id: QueueId, asker: &Asker) {
        let (payload, fds) = match self.reader.content(queue_id) {
            Ok(Some(Content::Inline(bytes))) => (bytes, Vec::new()),
            Ok(Some(Content::File(file))) => (Bytes::new(), vec![file.into()]),
            Ok(None) => return asker.answer(&QueueControlReply::NotFound),
            Err(error) => return asker.answer(&failed(&error)),
        };
        let reply = QueueControlReply::Content;
        let sent = asker.sender.send_with(asker.id, &reply, payload, fds);
        if let Err(error) = sent {
            asker.answer(&QueueControlReply::Failed(error.to_string()));
        }
    }

    fn status(&self) -> Result<QueueControlReply, StorageError> {
        let counts = self.reader.counts()?;
        // Active messages are incoming or deferred on disk.
        let active = u64::try_from(self.messages.len()).unwrap_or(u64::MAX);
        let new = self.messages.values().filter(|m| m.kind == Kind::New);
        let new = u64::try_from(new.count()).unwrap_or(u64::MAX);
        Ok(QueueControlReply::Status(QueueStatus {
            incoming: counts.incoming.saturating_sub(new),
            active,
            deferred: counts.deferred.saturating_sub(active.saturating_sub(new)),
            hold: counts.hold,
            corrupt: counts.corrupt,
        }))
    }

    fn administer(&mut self, action: Action, selection: &Selection, asker: &Asker) {
        let (selection, name) = match selection {
            Selection::All => (queue::Selection::All, "all".to_owned()),
            Selection::Message(queue_id) => (
                queue::Selection::Messages(vec![*queue_id]),
                queue_id.to_string(),
            ),
            Selection::State(state) => (
                match stored_state(*state) {
                    Some(state) => queue::Selection::State(state),
                    None => queue::Selection::Messages(self.active_page(None, usize::MAX)),
                },
                format!("{state:?}").to_lowercase(),
            ),
        };
        let tag = AdministerTag {
            sender: asker.sender.clone(),
            id: asker.id,
            uid: asker.uid,
            action,
            only: match selection {
                queue::Selection::Messages(ref ids) if ids.len() == 1 => ids.first().copied(),
                _ => None,
            },
            selection: name,
        };
        let command = Command::Administer { action, selection };
        if let Err(not_taken) = self.store.send(Tag::Administer(Box::new(tag)), command) {
            asker.answer(&failed(&not_taken.error));
        }
    }

    /// An administrator's action is durable, or failed in part: what is in memory is compared with the disk, and
    /// the disk is read again. What is leased comes to its end.
    pub(super) fn administered(
        &mut self,
        tag: &AdministerTag,
        result: Result<Done, StorageError>,
        now: Timestamp,
    ) {
        let reply = match result {
            Ok(Done::Changed { messages: 0 }) => QueueControlReply::NotFound,
            Ok(Done::Changed { messages }) => {
                let action = match tag.action {
                    Action::Hold => "hold",
                    Action::Release => "release",
                    Action::Delete => "delete",
                    Action::Flush => "flush",
                };
                log::administered(action, &tag.selection, messages, tag.uid);
                QueueControlReply::Changed(messages)
            }
            Ok(_) => QueueControlReply::Changed(0),
            Err(error) => failed(&error),
        };
        if reply != QueueControlReply::NotFound {
            self.catch_up(tag, now);
        }
        let asker = Asker {
            sender: tag.sender.clone(),
            id: tag.id,
            uid: tag.uid,
        };
        asker.answer(&reply);
    }

    /// Brings memory up to what was done on disk. Active messages that may have been moved are withdrawn: what is
    /// leased comes to its end, what was not moved is read again.
    fn catch_up(&mut self, tag: &AdministerTag, now: Timestamp) {
        match (tag.action, tag.only) {
            (Action::Release, _) => {}
            (Action::Flush, _) => self.scheduler.revive(),
            (Action::Hold | Action::Delete, Some(queue_id)) => self.withdraw(queue_id, now),
            (Action::Hold | Action::Delete, None) => {
                for queue_id in self.active_page(None, usize::MAX) {
                    self.withdraw(queue_id, now);
                }
            }
        }
        self.loader.restart();
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REPLY));
    text
}

/// The state on disk; `None` for active, which is a matter of memory.
fn stored_state(state: MessageState) -> Option<queue::MessageState> {
    match state {
        MessageState::Incoming => Some(queue::MessageState::Incoming),
        MessageState::Active => None,
        MessageState::Deferred => Some(queue::MessageState::Deferred),
        MessageState::Hold => Some(queue::MessageState::Hold),
        MessageState::Corrupt => Some(queue::MessageState::Corrupt),
    }
}

/// What can be said of a message that cannot be read.
fn unreadable(queue_id: QueueId) -> MessageSummary {
    MessageSummary {
        queue_id,
        state: MessageState::Corrupt,
        size: 0,
        accepted: Timestamp(i64::try_from(queue_id.0).unwrap_or(i64::MAX)),
        reverse_path: mail_types::ReversePath::Null,
        recipients: Vec::new(),
        recipients_left: 0,
    }
}

fn failed(error: &StorageError) -> QueueControlReply {
    QueueControlReply::Failed(error.to_string())
}

/// An administrator's request.
pub(super) struct Asker {
    pub(super) sender: Sender<QueueControlReply>,
    pub(super) id: u32,
    pub(super) uid: u32,
}

impl Asker {
    fn answer(&self, reply: &QueueControlReply) {
        // Whoever asked may be gone.
        let _ = self.sender.send(self.id, reply);
    }
}
