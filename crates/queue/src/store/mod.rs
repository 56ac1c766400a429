//! The writing side of the database: what each command does to the tables.
//!
//! Nothing here is durable until [`Store::commit`] returned. Any `rusqlite::Error` means that the
//! whole transaction must be rolled back: commands are run again, alone, by the commit thread.

mod administer;
mod ledger;
mod submit;
mod update;

use std::path::Path;

use mail_types::{QueueId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::connection::open_writer;
use crate::encode::{RowError, id_column, state};
use crate::error::OpenError;
use crate::schema;
use crate::types::{Counts, MessageState, SpoolId};

pub(crate) use administer::{Progress, Remaining};
use ledger::Ledger;
pub(crate) use update::UpdateEffect;

/// The writing connection and the ledger as this transaction has it.
pub(crate) struct Store {
    connection: Connection,
    ledger: Ledger,
}

/// A message's place in the tables, as far as changes need it.
struct Head {
    state: Option<MessageState>,
    recipients: i64,
    next_number: i64,
    spool: Option<String>,
}

impl Store {
    /// Opens the database for writing, brings it to the current schema, and moves what a former
    /// process left in the write-ahead log into the database and onto the disk.
    ///
    /// The last is also what makes a database trustworthy again after a sync failed: pages that
    /// the kernel dropped as "clean" are written a second time, and the doubtful log is cut off.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |operation| move |error| OpenError::sqlite(operation, path, error);
        let mut connection = open_writer(path).map_err(failed("open"))?;
        schema::migrate(&mut connection, path)?;
        let ledger = Ledger::read(&connection).map_err(failed("read the ledger of"))?;
        let mut store = Self { connection, ledger };
        let clean = store.checkpoint("TRUNCATE").map_err(failed("checkpoint"))?;
        if !clean {
            let busy = rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                Some("another process reads the database".to_owned()),
            );
            return Err(OpenError::sqlite("checkpoint", path, busy));
        }
        Ok(store)
    }

    pub(crate) fn begin(&mut self) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])
            .map(drop)
    }

    /// Ends the transaction. After an error nobody knows what is on the disk.
    pub(crate) fn commit(&mut self) -> rusqlite::Result<()> {
        self.ledger.write(&self.connection)?;
        self.connection
            .prepare_cached("COMMIT")?
            .execute([])
            .map(drop)
    }

    /// Undoes the transaction, if SQLite has not done so by itself.
    pub(crate) fn rollback(&mut self) -> rusqlite::Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.ledger = Ledger::read(&self.connection)?;
        Ok(())
    }

    /// Moves the log into the database; true when all of it was moved.
    pub(crate) fn checkpoint(&mut self, mode: &str) -> rusqlite::Result<bool> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.connection.query_row(&sql, [], |row| {
            let (busy, log, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(busy == 0 && log == moved)
        })
    }

    /// Gives up to `pages` free pages back to the file system when free pages are many; true when
    /// there is more to give.
    pub(crate) fn shrink(&mut self, pages: u32) -> rusqlite::Result<bool> {
        let count = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        let (free, all) = (count("freelist_count")?, count("page_count")?);
        if free < 2_048 || free < all / 4 {
            return Ok(false);
        }
        self.vacuum(pages)?;
        Ok(true)
    }

    /// Gives back to a full file system what can be had: the log's file, and up to `pages` free pages.
    pub(crate) fn give_back(&mut self, pages: u32) -> rusqlite::Result<()> {
        self.checkpoint("TRUNCATE")?;
        self.vacuum(pages)?;
        self.checkpoint("TRUNCATE")?;
        Ok(())
    }

    fn vacuum(&self, pages: u32) -> rusqlite::Result<()> {
        // Each step of the statement frees one page.
        let sql = format!("PRAGMA incremental_vacuum({pages})");
        let mut vacuum = self.connection.prepare(&sql)?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    }

    /// A name that was never given before: the time, or the last name and one.
    fn new_id(&mut self, now: Timestamp) -> QueueId {
        self.ledger.last_id = now.0.max(self.ledger.last_id.saturating_add(1));
        QueueId(self.ledger.last_id.cast_unsigned())
    }

    fn head(&self, queue_id: QueueId) -> rusqlite::Result<Option<Head>> {
        self.connection
            .prepare_cached(
                "SELECT state, recipients, next_number, spool FROM message WHERE id = ?1",
            )?
            .query_row([id_column(queue_id)], |row| {
                Ok(Head {
                    // A garbled column is no reason not to delete the message.
                    state: row.get(0).ok().and_then(|column| state(column).ok()),
                    recipients: row.get(1).unwrap_or(0),
                    next_number: row.get(2)?,
                    spool: row.get(3).unwrap_or(None),
                })
            })
            .optional()
    }

    /// Whether a message has this spool file.
    pub(crate) fn has_spool(&self, spool: SpoolId) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM message WHERE spool = ?1")?
            .exists([spool.to_string()])
    }

    /// Sets an unreadable message aside; false when it is gone or already was.
    pub(crate) fn set_aside(&mut self, queue_id: QueueId) -> rusqlite::Result<bool> {
        let id = id_column(queue_id);
        // Not through `head`: any of its columns may be what cannot be read.
        let found: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT state FROM message WHERE id = ?1")?
            .query_row([id], |row| Ok(row.get(0).ok()))
            .optional()?;
        let Some(column) = found else {
            return Ok(false);
        };
        let before = column.and_then(|column| state(column).ok());
        if before == Some(MessageState::Corrupt) {
            return Ok(false);
        }
        self.set_state(queue_id, before, MessageState::Corrupt, None)?;
        Ok(true)
    }

    fn set_state(
        &mut self,
        queue_id: QueueId,
        from: Option<MessageState>,
        to: MessageState,
        due: Option<Timestamp>,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE message SET state = ?2, due = ?3 WHERE id = ?1")?
            .execute(params![
                id_column(queue_id),
                crate::encode::state_column(to),
                due.map(|due| due.0)
            ])?;
        self.ledger.moved(from, Some(to));
        Ok(())
    }

    /// Removes a message with all that belongs to it; answers the spool file to unlink
    /// after the commit.
    fn remove(&mut self, queue_id: QueueId, head: &Head) -> rusqlite::Result<Option<SpoolId>> {
        let id = id_column(queue_id);
        let run = |sql| self.connection.prepare_cached(sql)?.execute([id]);
        run("DELETE FROM message WHERE id = ?1")?;
        if head.spool.is_none() {
            run("DELETE FROM content WHERE id = ?1")?;
        }
        self.ledger.moved(head.state, None);
        Ok(head.spool.as_deref().and_then(|name| name.parse().ok()))
    }
}

/// How many messages are in each state.
pub(crate) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    Ledger::read(connection).map(|ledger| ledger.counts())
}

/// For reads inside a transaction, where a garbled row is an error of SQLite's kind.
fn as_sqlite(error: RowError) -> rusqlite::Error {
    match error {
        RowError::Sqlite(error) => error,
        RowError::Garbled(text) => rusqlite::Error::ToSqlConversionFailure(text.into()),
    }
}
