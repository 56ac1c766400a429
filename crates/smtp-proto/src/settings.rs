//! What all sessions of a server share.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use mail_types::Address;

use crate::content::{ContentRules, NewlinePolicy};
use crate::replies;

/// How a server behaves; each field is a setting of `posthouse.toml`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in greeting and EHLO.
    pub hostname: String,
    /// What the greeting says behind the name; `ESMTP` comes first in any case.
    pub greeting: String,
    /// Where mail for `<postmaster>` goes.
    pub postmaster: Address,
    /// Recipients of one message.
    pub recipient_limit: u32,
    /// Messages of one session.
    pub message_limit: Option<NonZeroU32>,
    /// Octets of one command line, CRLF included.
    pub command_line_limit: usize,
    /// What content is held to.
    pub content: ContentRules,
    /// Errors after which replies to errors are delayed.
    pub soft_error_limit: u32,
    /// Errors after which the session is ended.
    pub hard_error_limit: u32,
    /// Commands that do not exist, after which the session is ended.
    pub junk_command_limit: u32,
    /// Commands without a message between them after which the session is ended.
    pub commands_without_mail_limit: u32,
    /// SMTPUTF8 is offered.
    pub smtputf8: bool,
    /// VRFY answers what it knows.
    pub verify: bool,
    /// EXPN lists members.
    pub expand: bool,
    /// Input behind VRFY, EXPN, NOOP and in sessions without EHLO ends the session.
    pub strict_pipelining: bool,
    /// The reply for a full mailbox.
    pub over_quota: OverQuotaReply,
}

/// Whether a full mailbox is a matter of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverQuotaReply {
    /// 452 4.2.2: the sender's server tries again for days.
    Temporary,
    /// 552 5.2.2: the sender is told at once.
    Permanent,
}

/// Why a client is turned away before a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// All places are taken.
    Full,
    /// The client's share is taken.
    ClientFull,
    /// The server is about to end.
    ShuttingDown,
}

/// Settings, with what follows from them worked out once.
#[derive(Debug)]
pub struct Server {
    pub(crate) settings: Settings,
    pub(crate) greeting: Box<str>,
    pub(crate) helo: Box<str>,
    pub(crate) ehlo: Box<str>,
}

impl Server {
    /// For any number of sessions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let name = &settings.hostname;
        let mut greeting = format!("220 {name} ESMTP");
        if !settings.greeting.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(greeting, " {}", settings.greeting);
        }
        greeting.push_str("\r\n");
        Self {
            greeting: greeting.into(),
            helo: format!("250 {name}\r\n").into(),
            ehlo: replies::ehlo(&settings).into(),
            settings,
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What a client that gets no session is told.
    pub fn turn_away(&self, why: Unwelcome, out: &mut Vec<u8>) {
        replies::unwelcome(why).write(out);
    }

    pub(crate) fn newlines(&self) -> NewlinePolicy {
        self.settings.content.newlines
    }
}
