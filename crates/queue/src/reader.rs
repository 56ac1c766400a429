//! Reading the queue while the commit thread writes.

use std::sync::Arc;

use bytes::Bytes;
use mail_types::{QueueId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use crate::connection::open_reader;
use crate::encode::{
    RowError, id_column, message, recipient, recipient_state_column, state_column,
};
use crate::error::StorageError;
use crate::files::Files;
use crate::spool::open_for_reading;
use crate::types::{
    Content, Counts, Due, DueKind, MessageState, RecipientState, SpoolId, StoredMessage,
    StoredRecipient,
};

/// Tells the commit thread of a message that cannot be read.
pub(crate) type Report = Arc<dyn Fn(QueueId, String) + Send + Sync>;

/// One connection for reading. Its calls block on the disk at most for some pages; a program may
/// call it on its own thread, or give it one.
///
/// A message that cannot be decoded gives [`StorageError::Corrupt`] and is set aside by itself.
pub struct Reader {
    connection: Connection,
    files: Arc<Files>,
    report: Report,
}

/// Which recipients of a message.
#[derive(Clone, Copy, Debug)]
pub struct RecipientPage {
    /// Only in this state.
    pub state: Option<RecipientState>,
    /// Only those due at this time.
    pub due_by: Option<Timestamp>,
    /// Only numbers above this one.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl Reader {
    pub(crate) fn open(files: Arc<Files>, report: Report) -> Result<Self, StorageError> {
        let connection = open_reader(&files.database)
            .map_err(|error| StorageError::sqlite("open the queue for reading", &error))?;
        Ok(Self {
            connection,
            files,
            report,
        })
    }

    /// Messages due at `now`, longest due first, at most `limit`, after the place `after`.
    ///
    /// Active messages are among them (that they are active, only memory knows): go on from the
    /// last place given, skip those in memory, and begin again from `None` when a page came
    /// back short and new work is wanted, or after a flush.
    ///
    /// # Errors
    /// When reading fails.
    pub fn due(
        &self,
        kind: DueKind,
        now: Timestamp,
        after: Option<Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StorageError> {
        let (due, id) = after.map_or((i64::MIN, -1), |after| {
            (after.due.0, id_column(after.queue_id))
        });
        let due = || -> rusqlite::Result<Vec<Due>> {
            self.connection
                .prepare_cached(
                    "SELECT due, id FROM message INDEXED BY message_due
                     WHERE state = ?1 AND (due, id) > (?2, ?3) AND due <= ?4
                     ORDER BY due, id LIMIT ?5",
                )?
                .query_map(
                    params![state_column(of_kind(kind)), due, id, now.0, rows(limit)],
                    |row| {
                        Ok(Due {
                            due: Timestamp(row.get(0)?),
                            queue_id: QueueId(row.get::<_, i64>(1)?.cast_unsigned()),
                        })
                    },
                )?
                .collect()
        };
        due().map_err(|error| StorageError::sqlite("list due messages", &error))
    }

    /// The first moment after `now` at which a deferred message becomes due.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        let next = || -> rusqlite::Result<Option<i64>> {
            self.connection
                .prepare_cached(
                    "SELECT min(due) FROM message INDEXED BY message_due
                     WHERE state = ?1 AND due > ?2",
                )?
                .query_row([state_column(MessageState::Deferred), now.0], |row| {
                    row.get(0)
                })
        };
        let next = next();
        next.map(|due| due.map(Timestamp))
            .map_err(|error| StorageError::sqlite("find the next due message", &error))
    }

    /// One message; `None` when there is none of this name.
    ///
    /// # Errors
    /// When reading fails, or the message is corrupt.
    pub fn message(&self, queue_id: QueueId) -> Result<Option<StoredMessage>, StorageError> {
        let read = || -> Result<Option<StoredMessage>, RowError> {
            let mut select = self
                .connection
                .prepare_cached("SELECT * FROM message WHERE id = ?1")?;
            let mut found = select.query([id_column(queue_id)])?;
            found.next()?.map(message).transpose()
        };
        read().map_err(|error| self.failed("read", queue_id, error))
    }

    /// A page of a message's recipients, in order of their number.
    ///
    /// # Errors
    /// When reading fails, or the message is corrupt.
    pub fn recipients(
        &self,
        queue_id: QueueId,
        page: RecipientPage,
    ) -> Result<Vec<StoredRecipient>, StorageError> {
        let read = || -> Result<Vec<StoredRecipient>, RowError> {
            let mut select = self.connection.prepare_cached(
                "SELECT * FROM recipient WHERE message = ?1 AND number > ?2 AND due <= ?3
                 AND (?4 IS NULL OR state = ?4) ORDER BY number LIMIT ?5",
            )?;
            let mut found = select.query(params![
                id_column(queue_id),
                page.after.map_or(-1, u64::cast_signed),
                page.due_by.map_or(i64::MAX, |by| by.0),
                page.state.map(recipient_state_column),
                rows(page.limit),
            ])?;
            let mut recipients = Vec::new();
            while let Some(row) = found.next()? {
                recipients.push(recipient(row)?);
            }
            Ok(recipients)
        };
        read().map_err(|error| self.failed("read the recipients of", queue_id, error))
    }

    /// A message's content; `None` when there is no such message.
    ///
    /// # Errors
    /// When reading fails, or the content is not there.
    pub fn content(&self, queue_id: QueueId) -> Result<Option<Content>, StorageError> {
        let read = || -> Result<Option<(i64, Option<String>, Value)>, RowError> {
            let found = self
                .connection
                .prepare_cached(
                    "SELECT size, spool, data FROM message LEFT JOIN content USING (id)
                     WHERE message.id = ?1",
                )?
                .query_row([id_column(queue_id)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()?;
            Ok(found)
        };
        let found = read().map_err(|error| self.failed("read the content of", queue_id, error))?;
        let garbled = |why: String| self.failed("", queue_id, RowError::Garbled(why));
        match found {
            None => Ok(None),
            Some((_, Some(name), _)) => {
                let spool: SpoolId = name
                    .parse()
                    .map_err(|_| garbled(format!("{name:?} names no spool file")))?;
                self.spooled(spool, &garbled).map(Some)
            }
            Some((size, None, Value::Blob(data))) if i64::try_from(data.len()) == Ok(size) => {
                Ok(Some(Content::Inline(Bytes::from(data))))
            }
            Some((size, None, _)) => Err(garbled(format!("its content is not {size} octets"))),
        }
    }

    fn spooled(
        &self,
        spool: SpoolId,
        garbled: &dyn Fn(String) -> StorageError,
    ) -> Result<Content, StorageError> {
        let path = self.files.spool.join(spool.to_string());
        match open_for_reading(&path) {
            Ok(file) => Ok(Content::File(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(garbled(format!("its content {} is gone", path.display())))
            }
            Err(error) => Err(StorageError::io("open", &path, &error)),
        }
    }

    /// Names of messages in a state (or in any), in order, above `after`, at most `limit`.
    ///
    /// # Errors
    /// When reading fails.
    pub fn list(
        &self,
        state: Option<MessageState>,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<QueueId>, StorageError> {
        list(&self.connection, state, after, limit)
            .map_err(|error| StorageError::sqlite("list messages", &error))
    }

    /// Incoming and deferred messages that got their name before `before`, in order, above `after`:
    /// candidates for the end of their lifetime. None of them is overlooked without this, as each
    /// becomes due in time.
    ///
    /// # Errors
    /// When reading fails.
    pub fn accepted_before(
        &self,
        before: Timestamp,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<QueueId>, StorageError> {
        let find = || -> rusqlite::Result<Vec<QueueId>> {
            self.connection
                .prepare_cached(
                    "SELECT id FROM message WHERE id > ?1 AND id < ?2 AND state IN (0, 1)
                     ORDER BY id LIMIT ?3",
                )?
                .query_map(
                    [after.map_or(-1, id_column), before.0, rows(limit)],
                    |row| Ok(QueueId(row.get::<_, i64>(0)?.cast_unsigned())),
                )?
                .collect()
        };
        find().map_err(|error| StorageError::sqlite("list old messages", &error))
    }

    /// How many messages are in each state. Costs the same however many they are.
    ///
    /// # Errors
    /// When reading fails.
    pub fn counts(&self) -> Result<Counts, StorageError> {
        crate::store::counts(&self.connection)
            .map_err(|error| StorageError::sqlite("read the counts", &error))
    }

    /// Tells of a garbled message, to the caller and to the commit thread.
    fn failed(&self, operation: &str, queue_id: QueueId, error: RowError) -> StorageError {
        match error {
            RowError::Sqlite(error) => {
                StorageError::sqlite(&format!("{operation} message {queue_id}"), &error)
            }
            RowError::Garbled(why) => {
                (self.report)(queue_id, why.clone());
                StorageError::Corrupt { queue_id, why }
            }
        }
    }
}

/// Names of messages in a state (or in any), in order.
///
/// On hold and corrupt, the due time is NULL and the index is in order of the names. Few are
/// incoming, and sorted. Of deferred messages there may be a million, and then a walk over all
/// messages in order meets one at every step.
pub(crate) fn list(
    connection: &Connection,
    state: Option<MessageState>,
    after: Option<QueueId>,
    limit: usize,
) -> rusqlite::Result<Vec<QueueId>> {
    let sql = match state {
        None => "SELECT id FROM message WHERE id > ?1 AND ?2 < 0 ORDER BY id LIMIT ?3",
        Some(MessageState::Incoming) => {
            "SELECT id FROM message INDEXED BY message_due WHERE id > ?1 AND state = ?2
             ORDER BY id LIMIT ?3"
        }
        Some(MessageState::Deferred) => {
            "SELECT id FROM message NOT INDEXED WHERE id > ?1 AND state = ?2 ORDER BY id LIMIT ?3"
        }
        Some(MessageState::Hold | MessageState::Corrupt) => {
            "SELECT id FROM message INDEXED BY message_due
             WHERE state = ?2 AND due IS NULL AND id > ?1 ORDER BY id LIMIT ?3"
        }
    };
    connection
        .prepare_cached(sql)?
        .query_map(
            [
                after.map_or(-1, id_column),
                state.map_or(-1, state_column),
                rows(limit),
            ],
            |row| Ok(QueueId(row.get::<_, i64>(0)?.cast_unsigned())),
        )?
        .collect()
}

const fn of_kind(kind: DueKind) -> MessageState {
    match kind {
        DueKind::New => MessageState::Incoming,
        DueKind::Deferred => MessageState::Deferred,
    }
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
