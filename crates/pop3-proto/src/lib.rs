//! POP3 as pure state machines: bytes in, replies and questions out.
//!
//! Purpose: the protocol without sockets, files or clocks. [`Login`] is the AUTHORIZATION state and runs in
//! the login half; [`Session`] is TRANSACTION and UPDATE and runs in the session half, in another process.
//! [`ContentEncoder`] turns a stored message into what RFC 1939 §3 sends.
//!
//! Both machines are driven alike: bytes from the peer go in by `receive`, then `step` is called again and
//! again. It appends replies to the caller's buffer and says what it needs: more input, a written buffer, an
//! answer, or the end. A machine that waits for an answer reads no further command.
//!
//! Invariants:
//! - Every complete command gets exactly one reply, in order, however the bytes were cut (RFC 2449 §6.6).
//! - Memory is bounded: a command has at most [`MAX_LINE`] octets, and `step` asks for its output to be
//!   written once that passes [`OUTPUT_MARK`], however long a listing is.
//! - An unknown user and a wrong password get the same reply.
//! - Messages are removed only by [`SessionStep::Update`], which only QUIT leads to (RFC 1939 §6).
//!
//! Deliberately absent: I/O, time-outs and delays (the programs have them); APOP (needs the password in
//! clear at the server); LAST (obsolete since RFC 1725); knowledge of how messages are stored.
//!
//! RFCs: 1939 (POP3), 2449 (CAPA, response codes, pipelining), 3206 (SYS and AUTH response codes).

mod command;
mod encode;
mod fuzz;
mod login;
mod reply;
mod session;

pub use command::{MAX_LINE, Password};
pub use encode::{ContentEncoder, Progress};
pub use fuzz::{fuzz_content, fuzz_login, fuzz_session};
pub use login::{CheckPassword, Login, LoginAnswer, LoginEnd, LoginOptions, LoginStep};
pub use reply::{
    Capabilities, SessionRefusal, opened, refused, shutting_down, too_many_connections,
};
pub use session::{
    Listing, OUTPUT_MARK, Session, SessionEnd, SessionOptions, SessionStep, Unavailable,
};
