//! The durable queue: SQLite, group commit, spool files.
