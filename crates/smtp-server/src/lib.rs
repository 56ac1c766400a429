//! Drives SMTP sessions ([`smtp_proto`]) over sockets, with the directory and the queue behind them.
//!
//! One event loop, one task per session. A session that waits holds no buffer: what arrives is read into one
//! scratch buffer of the thread, and only what cannot be used yet is kept. Replies gather until the input is used up
//! and leave in one write. Content stays in memory up to `queue.inline_limit`; larger content goes to a file that
//! queue-manager opened, by plain writes into the page cache: under a full page cache the kernel slows this process
//! down, and with it all of its clients, which is the answer to overload that loses nothing.
//!
//! Invariants: 250 for content is said only after the queue answered that it is durable; a session that ends for any
//! reason leaves no spool file behind (an abort is sent; the queue removes orphans when that is lost too); everything
//! that a client can make us wait for or keep has a limit among the [`Settings`].
//!
//! Deliberately absent: threads (the jail has no call to make one), DNS, TLS, authentication.

mod backends;
mod clock;
mod connection;
mod content;
mod log;
mod pending;
mod server;
mod settings;
mod throttle;
mod verdicts;

pub use backends::Backends;
pub use server::serve;
pub use settings::{Settings, Times};

#[cfg(test)]
mod tests;
