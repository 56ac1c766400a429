//! The one row that knows the last id and how many messages are in each state.

use rusqlite::{Connection, params};

use crate::types::{Counts, MessageState};

/// The row as the running transaction has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) last_id: i64,
    /// In the order of the columns.
    counts: [i64; 4],
    /// As it is in the database.
    written: Option<(i64, [i64; 4])>,
}

impl Ledger {
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached("SELECT last_id, incoming, deferred, hold, corrupt FROM ledger")?
            .query_row([], |row| {
                let last_id = row.get(0)?;
                let counts = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
                Ok(Self {
                    last_id,
                    counts,
                    written: Some((last_id, counts)),
                })
            })
    }

    /// To be called last in a transaction.
    pub(crate) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let now = (self.last_id, self.counts);
        if self.written == Some(now) {
            return Ok(());
        }
        let [incoming, deferred, hold, corrupt] = self.counts;
        connection
            .prepare_cached(
                "UPDATE ledger SET last_id = ?1, incoming = ?2, deferred = ?3, hold = ?4,
                 corrupt = ?5 WHERE one = 1",
            )?
            .execute(params![self.last_id, incoming, deferred, hold, corrupt])?;
        self.written = Some(now);
        Ok(())
    }

    /// A message moved between states; `None` is outside of the queue (or a garbled state).
    pub(crate) fn moved(&mut self, from: Option<MessageState>, to: Option<MessageState>) {
        if let Some(from) = from {
            let count = &mut self.counts[index(from)];
            *count = (*count - 1).max(0);
        }
        if let Some(to) = to {
            self.counts[index(to)] += 1;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let count = |state| u64::try_from(self.counts[index(state)]).unwrap_or(0);
        Counts {
            incoming: count(MessageState::Incoming),
            deferred: count(MessageState::Deferred),
            hold: count(MessageState::Hold),
            corrupt: count(MessageState::Corrupt),
        }
    }
}

const fn index(state: MessageState) -> usize {
    match state {
        MessageState::Incoming => 0,
        MessageState::Deferred => 1,
        MessageState::Hold => 2,
        MessageState::Corrupt => 3,
    }
}
