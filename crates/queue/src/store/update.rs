//! What became of recipients.

use std::time::SystemTime;

use mail_types::{QueueId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::{Head, Store, as_sqlite};
use crate::command::{Change, Fate, NewTarget, Update};
use crate::encode::{id_column, notify_column, recipient, recipient_state_column, target_columns};
use crate::types::{LastReply, MessageState, RecipientState, SpoolId, StoredRecipient};

/// The longest reply text that is kept, in octets; a peer's reply may be longer.
const MAX_REPLY: usize = 2_048;

/// What an update did, to be told after the commit.
#[derive(Debug)]
pub(crate) struct UpdateEffect {
    pub(crate) left: u64,
    pub(crate) due: Option<Timestamp>,
    pub(crate) reports: Vec<QueueId>,
    /// The message is gone, and this file with it.
    pub(crate) unlink: Option<SpoolId>,
}

impl Store {
    /// Applies an update. A message that does not exist (any more) is no error.
    pub(crate) fn update(&mut self, update: &Update) -> rusqlite::Result<UpdateEffect> {
        let id = update.queue_id;
        let Some(mut head) = self.head(id)? else {
            return Ok(UpdateEffect {
                left: 0,
                due: None,
                reports: Vec::new(),
                unlink: None,
            });
        };
        let before = (head.recipients, head.next_number);
        let mut found = update.changes.is_empty();
        for change in &update.changes {
            found |= self.change(id, &mut head, change)?;
        }
        let mut reports = Vec::new();
        if found {
            for report in &update.reports {
                reports.push(self.submit(report)?);
            }
        }
        if head.recipients <= 0 {
            // Before a message goes, the rows themselves are asked.
            head.recipients = self.count_recipients(id)?;
        }
        let mut effect = UpdateEffect {
            left: u64::try_from(head.recipients).unwrap_or(0),
            due: None,
            reports,
            unlink: None,
        };
        if head.recipients == 0 {
            effect.unlink = self.remove(id, &head)?;
            return Ok(effect);
        }
        if before != (head.recipients, head.next_number) {
            self.connection
                .prepare_cached(
                    "UPDATE message SET recipients = ?2, next_number = ?3 WHERE id = ?1",
                )?
                .execute([id_column(id), head.recipients, head.next_number])?;
        }
        if update.park {
            effect.due = self.park(id, &head)?;
        }
        Ok(effect)
    }

    /// Applies one change; false when its recipient does not exist (any more).
    fn change(&self, id: QueueId, head: &mut Head, change: &Change) -> rusqlite::Result<bool> {
        let number = change.recipient.cast_signed();
        let found = match &change.fate {
            Fate::Gone => {
                let gone = self.delete_recipient(id, number)?;
                head.recipients -= i64::from(gone);
                gone
            }
            Fate::Owed { ended, reply, due } => {
                self.set_recipient(id, number, *ended, *due, 1, reply)?
            }
            Fate::Deferred {
                due,
                reply,
                attempted,
            } => {
                let attempts = i64::from(*attempted);
                self.set_recipient(id, number, RecipientState::Pending, *due, attempts, reply)?
            }
            Fate::Replaced(targets) => self.replace(id, head, number, targets)?,
        };
        Ok(found)
    }

    fn delete_recipient(&self, id: QueueId, number: i64) -> rusqlite::Result<bool> {
        let deleted = self
            .connection
            .prepare_cached("DELETE FROM recipient WHERE message = ?1 AND number = ?2")?
            .execute([id_column(id), number])?;
        Ok(deleted > 0)
    }

    fn set_recipient(
        &self,
        id: QueueId,
        number: i64,
        state: RecipientState,
        due: Timestamp,
        attempts: i64,
        reply: &LastReply,
    ) -> rusqlite::Result<bool> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE recipient SET state = ?3, due = ?4, attempts = attempts + ?5,
                 status = ?6, reply = ?7 WHERE message = ?1 AND number = ?2",
            )?
            .execute(params![
                id_column(id),
                number,
                recipient_state_column(state),
                due.0,
                attempts,
                reply.status.to_string(),
                cut(&reply.text, MAX_REPLY),
            ])?;
        Ok(changed > 0)
    }

    /// Puts the targets in the recipient's place.
    fn replace(
        &self,
        id: QueueId,
        head: &mut Head,
        number: i64,
        targets: &[NewTarget],
    ) -> rusqlite::Result<bool> {
        let replaced = self
            .connection
            .prepare_cached("SELECT * FROM recipient WHERE message = ?1 AND number = ?2")?
            .query_row([id_column(id), number], |row| {
                recipient(row).map_err(as_sqlite)
            })
            .optional()?;
        let Some(replaced) = replaced else {
            return Ok(false);
        };
        self.delete_recipient(id, number)?;
        head.recipients -= 1;
        for target in targets {
            if !self.has_target(id, &replaced, target)? {
                self.insert_target(id, head.next_number, &replaced, target)?;
                head.next_number += 1;
                head.recipients += 1;
            }
        }
        Ok(true)
    }

    /// NOTIFY is part of what makes a duplicate: else a recipient with NOTIFY=NEVER could swallow the
    /// failure report of another that leads to the same mailbox.
    fn has_target(
        &self,
        id: QueueId,
        replaced: &StoredRecipient,
        new: &NewTarget,
    ) -> rusqlite::Result<bool> {
        let (kind, value) = target_columns(&new.target);
        self.connection
            .prepare_cached(
                "SELECT 1 FROM recipient WHERE message = ?1 AND target = ?2 AND target_kind = ?3
                 AND owner IS ?4 AND notify IS ?5 AND state = 0",
            )?
            .exists(params![
                id_column(id),
                value,
                kind,
                new.owner.as_ref().map(ToString::to_string),
                replaced.notify.map(notify_column),
            ])
    }

    fn insert_target(
        &self,
        id: QueueId,
        number: i64,
        replaced: &StoredRecipient,
        new: &NewTarget,
    ) -> rusqlite::Result<()> {
        let (kind, value) = target_columns(&new.target);
        self.connection
            .prepare_cached(
                "INSERT INTO recipient (message, number, state, due, attempts, address, notify,
                 orcpt_type, orcpt, target_kind, target, owner)
                 VALUES (?1, ?2, 0, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                id_column(id),
                number,
                Timestamp::from(SystemTime::now()).0,
                replaced.accepted_as.to_string(),
                replaced.notify.map(notify_column),
                replaced
                    .original
                    .as_ref()
                    .map(|original| &original.address_type),
                replaced.original.as_ref().map(|original| &original.address),
                kind,
                value,
                new.owner.as_ref().map(ToString::to_string),
            ])?;
        Ok(())
    }

    fn count_recipients(&self, id: QueueId) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("SELECT count(*) FROM recipient WHERE message = ?1")?
            .query_row([id_column(id)], |row| row.get(0))
    }

    /// The message leaves memory: due when the first of its recipients is.
    fn park(&mut self, id: QueueId, head: &Head) -> rusqlite::Result<Option<Timestamp>> {
        let from = match head.state {
            Some(state @ (MessageState::Incoming | MessageState::Deferred)) => state,
            _ => return Ok(None),
        };
        let due: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(due) FROM recipient WHERE message = ?1")?
            .query_row([id_column(id)], |row| row.get(0))?;
        let due = due.map(Timestamp);
        self.set_state(id, Some(from), MessageState::Deferred, due)?;
        Ok(due)
    }
}

/// The longest beginning of `text` with at most `most` octets.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
