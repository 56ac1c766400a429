//! What an administrator asks, in transactions of bounded size.

use std::time::SystemTime;

use mail_types::{QueueId, Timestamp};
use rusqlite::params;

use super::Store;
use crate::command::{Action, Selection};
use crate::encode::id_column;
use crate::reader::list;
use crate::types::{MessageState, SpoolId};

/// Messages in one transaction.
const MESSAGES: usize = 500;
/// Rows of recipients in one transaction, but for a single message that has more.
const RECIPIENTS: i64 = 5_000;

/// An administrator's command on its way through the queue.
#[derive(Clone, Debug)]
pub(crate) struct Remaining {
    pub(crate) action: Action,
    pub(crate) selection: Selection,
    /// Done up to this message.
    pub(crate) after: Option<QueueId>,
    /// Messages changed so far.
    pub(crate) changed: u64,
    /// Messages of an explicit selection that were dealt with.
    pub(crate) taken: usize,
}

impl Remaining {
    /// All of a command.
    pub(crate) fn all(action: Action, selection: Selection) -> Self {
        Self {
            action,
            selection,
            after: None,
            changed: 0,
            taken: 0,
        }
    }
}

/// What one transaction of it did.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Messages changed, in all.
    pub(crate) changed: u64,
    /// Files to unlink after the commit.
    pub(crate) unlink: Vec<SpoolId>,
    /// What is left to do.
    pub(crate) remaining: Option<Remaining>,
}

impl Store {
    /// Does the next part of an administrator's command.
    pub(crate) fn administer(&mut self, todo: &Remaining) -> rusqlite::Result<Progress> {
        let ids = self.select(todo)?;
        let full_page = ids.len() == MESSAGES;
        let mut next = todo.clone();
        let (mut unlink, mut rows) = (Vec::new(), 0);
        let mut stopped = false;
        for queue_id in ids {
            if rows > RECIPIENTS {
                stopped = true;
                break;
            }
            next.after = Some(queue_id);
            next.taken += 1;
            let (changed, recipients, file) = self.act(todo.action, queue_id)?;
            next.changed += u64::from(changed);
            rows += recipients;
            unlink.extend(file);
        }
        Ok(Progress {
            changed: next.changed,
            unlink,
            remaining: (full_page || stopped).then_some(next),
        })
    }

    fn select(&self, todo: &Remaining) -> rusqlite::Result<Vec<QueueId>> {
        match &todo.selection {
            Selection::All => list(&self.connection, None, todo.after, MESSAGES),
            Selection::State(state) => list(&self.connection, Some(*state), todo.after, MESSAGES),
            Selection::Messages(ids) => Ok(ids
                .iter()
                .skip(todo.taken)
                .take(MESSAGES)
                .copied()
                .collect()),
        }
    }

    /// Acts on one message: whether it changed, how many recipients it had, and the file to unlink.
    fn act(
        &mut self,
        action: Action,
        queue_id: QueueId,
    ) -> rusqlite::Result<(bool, i64, Option<SpoolId>)> {
        let Some(head) = self.head(queue_id)? else {
            return Ok((false, 0, None));
        };
        let due = Timestamp::from(SystemTime::now());
        let from = head.state;
        let changed = match (action, from) {
            (Action::Delete, _) => {
                self.connection
                    .prepare_cached("DELETE FROM recipient WHERE message = ?1")?
                    .execute([id_column(queue_id)])?;
                let file = self.remove(queue_id, &head)?;
                return Ok((true, head.recipients, file));
            }
            (Action::Hold, Some(MessageState::Incoming | MessageState::Deferred)) => {
                self.set_state(queue_id, from, MessageState::Hold, None)?;
                return Ok((true, 0, None));
            }
            (Action::Release, Some(MessageState::Hold | MessageState::Corrupt) | None) => true,
            (Action::Flush, Some(MessageState::Deferred)) => true,
            _ => false,
        };
        if !changed {
            return Ok((false, 0, None));
        }
        self.set_state(queue_id, from, MessageState::Deferred, Some(due))?;
        self.connection
            .prepare_cached(
                "UPDATE recipient SET due = ?2 WHERE message = ?1 AND state = 0 AND due > ?2",
            )?
            .execute(params![id_column(queue_id), due.0])?;
        Ok((true, head.recipients, None))
    }
}
