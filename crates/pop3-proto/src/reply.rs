//! Every reply text, and which response code it carries (RFC 2449 §8, RFC 3206).

use std::fmt::Display;

use crate::command::BadCommand;

/// What CAPA says beyond what this crate always can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Seconds between two logins of one user (RFC 2449 §6.5); 0 is no limit and not announced.
    pub login_delay: u64,
}

/// Why a confirmed login gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRefusal {
    /// Another session has the maildrop (RFC 2449 §8.1.2).
    InUse,
    /// It can succeed later without anybody doing anything (RFC 3206 §4).
    Temporary,
    /// Somebody must repair something first (RFC 3206 §4).
    Permanent,
}

pub(crate) const SIGNED_OFF: &str = "+OK Bye.";
pub(crate) const USER_NOTED: &str = "+OK Send PASS.";
pub(crate) const NO_USER_YET: &str = "-ERR Send USER first.";
pub(crate) const NOT_LOGGED_IN: &str = "-ERR Log in first.";
pub(crate) const LOGGED_IN_ALREADY: &str = "-ERR You are logged in already.";
/// For an unknown user and for a wrong password.
pub(crate) const LOGIN_REFUSED: &str = "-ERR [AUTH] Authentication failed.";
pub(crate) const LOGIN_UNAVAILABLE: &str =
    "-ERR [SYS/TEMP] Logins cannot be checked just now, try again later.";
pub(crate) const LOGIN_TOO_SOON: &str =
    "-ERR [LOGIN-DELAY] Your last login was a moment ago, try again later.";
pub(crate) const TOO_MANY_ERRORS: &str = "-ERR Too many errors, closing the connection.";
pub(crate) const NO_SUCH_MESSAGE: &str = "-ERR No such message.";
pub(crate) const DELETED_ALREADY: &str = "-ERR Message is marked as deleted.";
pub(crate) const MARKED_DELETED: &str = "+OK Marked to be deleted.";
pub(crate) const NOOP_DONE: &str = "+OK";
pub(crate) const TOP_FOLLOWS: &str = "+OK Top of message follows.";
pub(crate) const LISTING_FOLLOWS: &str = "+OK Listing follows.";
pub(crate) const MESSAGE_GONE: &str = "-ERR Message was removed by another program.";
pub(crate) const MESSAGE_UNREADABLE: &str =
    "-ERR [SYS/TEMP] Message cannot be read just now, try again later.";
pub(crate) const NOT_ALL_REMOVED: &str = "-ERR [SYS/TEMP] Some deleted messages were not removed.";
pub(crate) const END_OF_LIST: &str = ".";

pub(crate) fn bad_command(why: BadCommand) -> &'static str {
    match why {
        BadCommand::Unknown => "-ERR Unknown command.",
        BadCommand::TooLong => "-ERR Command line is too long.",
        BadCommand::NoArgumentAllowed => "-ERR Command takes no argument.",
        BadCommand::ArgumentMissing => "-ERR Argument is missing.",
        BadCommand::MessageNumber => "-ERR Argument is not one message number.",
        BadCommand::LineCount => "-ERR Argument is not one number of lines.",
    }
}

/// Appends one line.
pub(crate) fn line(out: &mut Vec<u8>, text: impl Display) {
    use std::io::Write;
    // Writing to memory does not fail.
    let _ = write!(out, "{text}\r\n");
}

pub(crate) fn greeting(out: &mut Vec<u8>, host: &str) {
    line(out, format_args!("+OK {host} POP3 server ready."));
}

/// The CAPA listing (RFC 2449 §5); the same in both states.
pub(crate) fn capabilities(out: &mut Vec<u8>, capabilities: &Capabilities) {
    line(out, "+OK Capabilities follow.");
    for capability in [
        "TOP",
        "USER",
        "UIDL",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
    ] {
        line(out, capability);
    }
    if capabilities.login_delay > 0 {
        line(
            out,
            format_args!("LOGIN-DELAY {}", capabilities.login_delay),
        );
    }
    line(out, "EXPIRE NEVER");
    line(out, "IMPLEMENTATION Posthouse");
    line(out, END_OF_LIST);
}

/// The reply to PASS that opens a session.
pub fn opened(out: &mut Vec<u8>, messages: u32) {
    line(out, format_args!("+OK Logged in, {messages} messages."));
}

/// The reply to PASS when the login was right and yet there is no session.
pub fn refused(out: &mut Vec<u8>, why: SessionRefusal) {
    line(
        out,
        match why {
            SessionRefusal::InUse => "-ERR [IN-USE] Mailbox is in use by another POP3 session.",
            SessionRefusal::Temporary => {
                "-ERR [SYS/TEMP] Mailbox cannot be opened just now, try again later."
            }
            SessionRefusal::Permanent => {
                "-ERR [SYS/PERM] Mailbox cannot be opened, tell the administrator."
            }
        },
    );
}

/// Said instead of a greeting when there is no room.
pub fn too_many_connections(out: &mut Vec<u8>) {
    line(
        out,
        "-ERR [SYS/TEMP] Too many connections, try again later.",
    );
}

/// Said to a client when the server stops between two commands.
pub fn shutting_down(out: &mut Vec<u8>) {
    line(
        out,
        "-ERR [SYS/TEMP] Server is shutting down, try again later.",
    );
}
