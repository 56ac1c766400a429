//! Logging: one catalogue of events, one line per event.
//!
//! A program calls [`init`] once, before its jail closes, and then reports with [`event!`]. Each event is a
//! constant of [`catalogue`] with its level and its fields; a field that is not in the catalogue does not
//! compile. Events are `tracing` events of one target, so that a test can collect them; what libraries
//! say to `tracing` is not logged, as nobody has checked it for content.
//!
//! Invariants: an event leaves in one write; no value can end a line, forge another or hide part of one
//! (control characters and those that change the direction of text are escaped); a value is cut after
//! [`MAX_VALUE`] bytes; a log daemon that fails or stalls never stops a program (one that stalls holds it
//! up for half a second an event; a standard error that nobody reads holds it up for as long as that lasts).
//!
//! Deliberately absent: spans (the session and queue ids in each line join them), log files and their
//! rotation (the journal and syslog do that), metrics.

pub mod catalogue;
mod event;
mod line;
mod sink;
mod subscriber;

pub use event::EventKind;
pub use line::MAX_VALUE;
pub use sink::{Format, Target};
pub use subscriber::{Handle, InitError, Options, init};
pub use tracing::Level;
pub use tracing::field::{debug, display};

#[doc(hidden)]
pub use tracing;

/// The target of our events; nothing else is logged.
pub const TARGET: &str = "posthouse";
