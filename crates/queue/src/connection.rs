//! How SQLite is set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Pages in the write-ahead log at which SQLite itself checkpoints inside a COMMIT. Only a
/// backstop: the commit thread does it earlier, between commits.
const BACKSTOP_PAGES: i64 = 32_768;
/// Octets of a page. Against 4 KiB, a message of 50 KiB costs a seventh less CPU and one of 4 KiB no more;
/// 16 KiB gains nothing further.
const PAGE_SIZE: i64 = 8192;
/// Statements kept prepared per connection.
const STATEMENTS: usize = 64;

/// Opens the connection that writes. A new database gets its page size and vacuum mode here,
/// which can only be chosen before the first table.
pub(crate) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Answers the mode that it has now, which fails on a file that is no database.
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            format!("the file system does not support a write-ahead log (journal mode {mode})")
                .into(),
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", BACKSTOP_PAGES)?;
    // After a burst the log is cut to this size, in octets.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

/// Opens a connection that reads beside the one that writes.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -4_096)?;
    Ok(connection)
}

/// Opens a connection that moves the log into the database beside the one that writes.
pub(crate) fn open_mover(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    // What it moves is synced in full before the log may be written over.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // Not CREATE: the file was created with its mode already. Not URI: the path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // An I/O error on a mapped page is a SIGBUS; on a read it is an error.
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}
