//! Message headers, trace fields and delivery status notifications as bytes.
//!
//! Purpose: what a mail server itself must read of a message and write into one. Reading: where the
//! header ends, its fields, how often a field stands in it ([`Header`]). Writing: fields that are
//! folded and cannot smuggle in another field ([`write_field`]), dates ([`rfc5322_date`]), trace
//! fields ([`trace`]) and reports ([`dsn`]).
//!
//! Invariants: no input makes the scanner panic or take more than linear time; no value that is
//! written can end its field or its line early; a report's boundary does not occur in what it holds.
//!
//! Deliberately absent: parsing of bodies and MIME parts (a mail server has no business there),
//! I/O, clock and randomness (moments and seeds are arguments).
//!
//! RFC 5322 (format), RFC 6532 (UTF-8 in headers), RFC 3464, 6522 and 6533 (reports).

mod date;
pub mod dsn;
mod header;
pub mod trace;
mod write;

pub use date::rfc5322_date;
pub use header::{Field, Fields, Header, fuzz_header};
pub use write::write_field;
