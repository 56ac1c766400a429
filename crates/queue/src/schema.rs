//! The schema and its history.
//!
//! `PRAGMA user_version` is the version; a step of [`MIGRATIONS`] leads from each version to the
//! next. A published step is never changed: a file of version 1 opens forever.
//!
//! Why so:
//! - Content has a table of its own, because SQLite rewrites a row as a whole: a new due time
//!   must not rewrite 64 KiB.
//! - `message` has one index, (state, due): it orders due messages, finds the few that are on
//!   hold or corrupt (their due is NULL, so there the index is ordered by id), and nothing else.
//! - Recipients are rows of a `WITHOUT ROWID` table: one b-tree, in the order they are read in.
//!   A row each, for one recipient as for 100 000: one way to do it.
//! - `recipient_target` has entries only for recipients that came from an expansion.
//! - `ledger` is one row with the last id given and the number of messages per state, written
//!   once per transaction: ids never repeat, even when the clock steps back over a
//!   restart, and nothing is counted at start.
//! - Columns are plain numbers and text, to be read with the `sqlite3` shell.

use std::path::Path;

use rusqlite::Connection;

use crate::error::OpenError;

/// "Post", so that `file` and we can tell the file from another program's.
const APPLICATION_ID: i64 = 0x506f_7374;

/// Step `n` leads from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &["
CREATE TABLE message (
    id INTEGER PRIMARY KEY,             -- microseconds since 1970, made unique
    state INTEGER NOT NULL,             -- 0 incoming, 1 deferred, 2 hold, 3 corrupt
    due INTEGER,                        -- microseconds since 1970; NULL in hold and corrupt
    accepted INTEGER NOT NULL,          -- microseconds since 1970
    size INTEGER NOT NULL,              -- octets of content
    recipients INTEGER NOT NULL,        -- rows left in recipient
    next_number INTEGER NOT NULL,       -- the next recipient's number
    reverse_path TEXT NOT NULL,         -- empty for <>
    body INTEGER NOT NULL,              -- 0 7BIT, 1 8BITMIME, 2 BINARYMIME
    smtputf8 INTEGER NOT NULL,
    ret TEXT,                           -- FULL, HDRS
    envid TEXT,
    session INTEGER,
    client TEXT,
    protocol TEXT NOT NULL,
    spool TEXT                          -- the file's name; NULL when in content
) STRICT;
CREATE INDEX message_due ON message (state, due);
CREATE UNIQUE INDEX message_spool ON message (spool) WHERE spool IS NOT NULL;
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE recipient (
    message INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state INTEGER NOT NULL,             -- 0 pending; 1 delivered, 2 failed: a report is owed
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    address TEXT NOT NULL,              -- what RCPT said
    notify INTEGER,                     -- 1 success, 2 failure, 4 delay; 0 never; NULL not said
    orcpt_type TEXT,
    orcpt TEXT,
    target_kind INTEGER,                -- 0 mailbox, 1 remote, 2 file, 3 command; NULL not expanded
    target ANY,
    owner TEXT,                         -- replaces the reverse-path
    status TEXT,                        -- of the last attempt
    reply TEXT,
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipient_target ON recipient (message, target) WHERE target IS NOT NULL;
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_id INTEGER NOT NULL,
    incoming INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    hold INTEGER NOT NULL,
    corrupt INTEGER NOT NULL
) STRICT;
INSERT INTO ledger VALUES (1, 0, 0, 0, 0, 0);
"];

/// Brings a database to the newest version, each step in a transaction of its own.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |operation| move |error| OpenError::sqlite(operation, path, error);
    let read = |connection: &Connection, name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(failed("read"))
    };
    let application = read(connection, "application_id")?;
    let version = read(connection, "user_version")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed("read"))?;
    if application != APPLICATION_ID && !(application == 0 && version == 0 && tables == 0) {
        return Err(OpenError::NotAQueue {
            path: path.to_owned(),
            found: application,
        });
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let Some(done) = usize::try_from(version).ok().filter(|_| version <= known) else {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known,
        });
    };
    for (step, sql) in (1i64..).zip(MIGRATIONS).skip(done) {
        let migrate = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", step)?;
            transaction.commit()
        };
        migrate(connection).map_err(failed("bring to the current schema version"))?;
    }
    Ok(())
}
