//! SMTP as a pure state machine: bytes in, replies and questions out.
//!
//! [`Session`] is one connection as the server sees it. Its driver hands it what arrived and gets back a
//! [`Step`]: read more, ask the directory, keep or drop content, make a message durable, close.
//! Replies are appended to a buffer of the driver, so that a pipelined group costs one write.
//!
//! Invariants:
//! - The end of DATA is CRLF.CRLF and nothing else, wherever the input is cut ([`ContentDecoder`]).
//! - No octet of the peer gets into a reply; all texts are in `replies.rs`.
//! - A recipient of another domain is taken only against a [`RelayPermit`].
//! - 250 for a message is said only by [`Session::stored`], which takes its queue id.
//! - Memory is bounded by [`Settings`]; a refused message keeps none of its content.
//!
//! Deliberately absent: I/O, clocks, randomness, who a recipient is (asked), BINARYMIME (what is behind us
//! keeps lines), STARTTLS and AUTH (refused with 502 until they are there).
//!
//! RFCs: 5321, 1870 (SIZE), 2034 (enhanced codes), 2920 (pipelining), 3030 (CHUNKING), 3461 and 6533 (DSN),
//! 6152 (8BITMIME), 6531 (SMTPUTF8), 9422 (LIMITS).

mod command;
mod content;
mod fuzz;
mod header_scan;
mod line;
mod permit;
mod replies;
mod session;
mod settings;

pub use command::{
    ChunkHeader, Command, CommandError, MailCommand, MailParameters, Query, RcptCommand,
    RcptParameters, Verb, parse_command,
};
pub use content::{ContentDecoder, ContentRules, Decoded, Fault, NewlinePolicy, NulPolicy};
pub use fuzz::{fuzz_command, fuzz_content, fuzz_session};
pub use permit::{RelayGround, RelayPermit};
pub use session::{
    Answer, Ending, ExpandAnswer, HeloName, NotStored, Protocol, Question, Report, Session, Step,
    Subject, Trace, Verdict, VerifyAnswer, Waiting,
};
pub use settings::{OverQuotaReply, Server, Settings, Unwelcome};
