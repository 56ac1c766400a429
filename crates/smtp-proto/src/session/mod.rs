//! One connection, as the server sees it.
//!
//! The driver calls [`Session::greet`], then again and again [`Session::advance`] with what arrived, and does what
//! the [`Step`] asks. After [`Step::Ask`] it calls [`Session::answer`], after [`Step::Store`] [`Session::stored`],
//! before it advances further. Replies gather in the driver's buffer and are to be written before it waits for input.
//!
//! What a peer does out of turn never panics and never leaves a phase without a way on; what the driver does out of
//! turn (an answer nobody asked for) is ignored.

mod answers;
mod commands;
mod content;
mod transaction;

use std::sync::Arc;

use mail_types::{Address, Envelope, Recipient, ReversePath};

use crate::command::{CommandError, Verb, parse_command};
use crate::content::ContentDecoder;
use crate::line::{self, Line, Skipped};
use crate::permit::RelayPermit;
use crate::replies::{self, Reply};
use crate::settings::Server;

pub use answers::{Answer, ExpandAnswer, NotStored, Question, Verdict, VerifyAnswer};
use transaction::{Hello, Transaction};
pub use transaction::{HeloName, Protocol, Trace};

/// An over-long line that goes on for this many times the limit ends the session.
const ENDLESS: usize = 32;
/// Recipients over the limit that are refused kindly (RFC 5321 §4.5.3.1.10); more count as errors.
const OVERSHOOT: u32 = 1000;

/// What the driver is to do next.
#[derive(Debug)]
pub enum Step {
    /// All input is used: write the replies, then read more.
    NeedInput,
    /// Ask the directory and bring the answer.
    Ask(Question),
    /// Content begins: make room for it and put the trace header first. Then advance.
    BeginContent,
    /// What was kept of the content is not wanted any more. Then advance.
    DropContent,
    /// The content is complete: make it durable and tell.
    Store(Box<Envelope>),
    /// Something for the log. Then advance.
    Report(Box<Report>),
    /// Write the replies and close.
    Close,
}

/// Something an administrator will want to find in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is about.
    pub subject: Subject,
    /// What the peer was told.
    pub reply: String,
}

/// What a [`Report`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A recipient was refused; `None` when its address was no address, or one of many too many.
    Recipient(Option<Address>),
    /// MAIL was refused; `None` when its address was no address.
    Sender(Option<ReversePath>),
    /// Content was refused, or could not be stored.
    Message(ReversePath),
    /// Another command was refused; `None` when it is not known.
    Command(Option<Verb>),
    /// The session was ended by us because of what the peer did.
    Session,
}

/// For what the session waits, and so how long it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A command, with no transaction open.
    Idle,
    /// A command within a transaction.
    Command,
    /// The end of a line that is too long for a command.
    LineEnd,
    /// Content.
    Content,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    server: Arc<Server>,
    permit: Option<RelayPermit>,
    phase: Phase,
    hello: Option<Hello>,
    transaction: Option<Box<Transaction>>,
    /// Not yet told to the driver, oldest first.
    reports: Vec<Report>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    /// What the peer did wrong since the last accepted message.
    errors: u32,
    /// Commands that do not exist, in all.
    unknown: u32,
    /// Commands without mail since the last accepted message.
    without_mail: u32,
    /// Transactions begun.
    transactions: u32,
    /// An error was answered beyond the soft limit, and the delay for it is due.
    owes_delay: bool,
}

#[derive(Debug)]
enum Phase {
    /// The greeting was not sent.
    Opening,
    /// Between commands.
    Commands,
    /// In an over-long line; `last` is its last octet.
    LongLine { last: u8, seen: usize },
    /// The directory was asked.
    Asked(Asked),
    /// Content by DATA.
    Data,
    /// A chunk of content; so much of it is still to come.
    Chunk { size: u64, left: u64, last: bool },
    /// A chunk that is not wanted; its reply comes behind it.
    RefusedChunk {
        size: u64,
        left: u64,
        reply: Box<Reply>,
    },
    /// The content is with the driver; from whom it is, for the log.
    Storing(Box<ReversePath>),
    /// Nothing more is read.
    Closing,
}

#[derive(Debug)]
enum Asked {
    Recipient(Box<Recipient>),
    Verify { smtputf8: bool },
    Expand { smtputf8: bool },
}

impl Session {
    /// A new connection; `permit` when the client may relay.
    #[must_use]
    pub fn new(server: Arc<Server>, permit: Option<RelayPermit>) -> Self {
        Self {
            server,
            permit,
            phase: Phase::Opening,
            hello: None,
            transaction: None,
            reports: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Greets; `early_input` says that the peer did not wait for it (RFC 5321 §3.1), which no SMTP client does.
    pub fn greet(&mut self, early_input: bool, replies: &mut Vec<u8>) {
        if early_input {
            self.hang_up(replies::EARLY_TALKER, replies);
        } else {
            replies.extend_from_slice(self.server.greeting.as_bytes());
            self.phase = Phase::Commands;
        }
    }

    /// Consumes input up to the next thing that the driver must do.
    ///
    /// Content is appended to `content`. Input that is left is to be given again.
    pub fn advance(
        &mut self,
        input: &mut &[u8],
        content: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Step {
        loop {
            if !self.reports.is_empty() {
                return Step::Report(Box::new(self.reports.remove(0)));
            }
            let step = match &mut self.phase {
                Phase::Commands => self.command(input, replies),
                Phase::LongLine { .. } => self.skip_line(input, replies),
                Phase::Data => self.data(input, content, replies),
                Phase::Chunk { .. } => self.chunk(input, content, replies),
                Phase::RefusedChunk { .. } => self.refused_chunk(input, replies),
                Phase::Opening | Phase::Asked(_) | Phase::Storing(_) => Some(Step::NeedInput),
                Phase::Closing => Some(Step::Close),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// What the session waits for, when it waits for input.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        match self.phase {
            Phase::Data | Phase::Chunk { .. } | Phase::RefusedChunk { .. } => Waiting::Content,
            Phase::LongLine { .. } => Waiting::LineEnd,
            _ if self.transaction.is_some() => Waiting::Command,
            _ => Waiting::Idle,
        }
    }

    /// Whether the replies that are due are to be held back for a while, as the peer makes error after error.
    pub fn take_delay(&mut self) -> bool {
        std::mem::take(&mut self.counters.owes_delay)
    }

    /// Whether a transaction is open, which an orderly end of the server lets finish.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some() || !matches!(self.phase, Phase::Opening | Phase::Commands)
    }

    /// Octets of content so far: of the open transaction, or of the refused chunk that is being read.
    #[must_use]
    pub fn content_size(&self) -> u64 {
        if let Phase::RefusedChunk { size, left, .. } = &self.phase {
            return size - left;
        }
        let content = self
            .transaction
            .as_ref()
            .and_then(|transaction| transaction.content.as_ref());
        content.map_or(0, ContentDecoder::size)
    }

    /// Ends the session from our side.
    pub fn end(&mut self, why: Ending, replies: &mut Vec<u8>) {
        let reply = match (why, self.waiting()) {
            (Ending::TimedOut, Waiting::Content) => replies::CONTENT_TIMEOUT,
            (Ending::TimedOut, _) => replies::COMMAND_TIMEOUT,
            (Ending::TooSlow, _) => replies::TOO_SLOW,
            (Ending::ShuttingDown, _) => replies::SHUTTING_DOWN,
        };
        reply.write(replies);
        self.phase = Phase::Closing;
    }

    /// One command line, if there is a whole one.
    fn command(&mut self, input: &mut &[u8], replies: &mut Vec<u8>) -> Option<Step> {
        let limit = self.server.settings.command_line_limit;
        match line::split(input, limit, self.server.newlines()) {
            Line::Unfinished => Some(Step::NeedInput),
            Line::BareLf => self.hang_up(replies::BARE_LF_COMMAND, replies),
            Line::TooLong => {
                self.phase = Phase::LongLine { last: 0, seen: 0 };
                None
            }
            Line::Whole { text, used } => {
                let (line, rest) = (text, &input[used..]);
                *input = rest;
                let step = self.line(line, !rest.is_empty(), replies);
                self.end_if_hopeless(replies);
                step
            }
        }
    }

    fn line(&mut self, line: &[u8], more: bool, replies: &mut Vec<u8>) -> Option<Step> {
        let verb = verb_of(line);
        if more && verb.is_some_and(|verb| self.must_wait(verb)) {
            return self.hang_up(replies::OUT_OF_STEP, replies);
        }
        match verb {
            None => self.counters.unknown += 1,
            Some(verb) if verb.is_overhead() => self.counters.without_mail += 1,
            Some(_) => {}
        }
        match parse_command(line) {
            Ok(command) => self.execute(command, replies),
            Err(error @ (CommandError::Http | CommandError::ChunkSize)) => {
                self.hang_up(replies::command_error(error), replies)
            }
            Err(error) => {
                let subject = match verb {
                    Some(Verb::Mail) => Subject::Sender(None),
                    Some(Verb::Rcpt) => Subject::Recipient(None),
                    verb => Subject::Command(verb),
                };
                self.refuse(subject, replies::command_error(error), replies)
            }
        }
    }

    /// Whether the client had to wait for the reply to this command (RFC 2920 §3.1).
    ///
    /// Input behind EHLO, HELO or DATA means that the peer and whoever speaks through it do not agree about who says
    /// what: that is always the end. Behind the others it is merely against the rules.
    fn must_wait(&self, verb: Verb) -> bool {
        let may_pipeline = self.hello.as_ref().is_some_and(|hello| hello.extended);
        match verb {
            Verb::Ehlo | Verb::Helo | Verb::Data | Verb::StartTls | Verb::Auth => true,
            Verb::Bdat | Verb::Quit => false,
            verb => self.server.settings.strict_pipelining && (verb.ends_group() || !may_pipeline),
        }
    }

    fn skip_line(&mut self, input: &mut &[u8], replies: &mut Vec<u8>) -> Option<Step> {
        let Phase::LongLine { last, seen } = &mut self.phase else {
            return None;
        };
        match line::skip(input, *last) {
            Skipped::End(used) => {
                *input = &input[used..];
                self.phase = Phase::Commands;
                let subject = Subject::Command(None);
                let step = self.refuse(subject, replies::LINE_TOO_LONG, replies);
                self.end_if_hopeless(replies);
                step
            }
            Skipped::Unfinished { last: now } => {
                *last = now;
                *seen += input.len();
                *input = &[];
                if *seen > ENDLESS * self.server.settings.command_line_limit {
                    return self.hang_up(replies::LINE_ENDLESS, replies);
                }
                Some(Step::NeedInput)
            }
        }
    }

    /// Replies.
    fn say(&self, reply: Reply, replies: &mut Vec<u8>) -> Option<Step> {
        reply.write(replies);
        None
    }

    /// Replies, has it logged, and counts it when it is the peer's fault.
    fn refuse(&mut self, what: Subject, reply: Reply, replies: &mut Vec<u8>) -> Option<Step> {
        if reply.is_permanent() {
            self.count_error();
        }
        self.report(what, &reply);
        self.say(reply, replies)
    }

    fn refuse_command(&mut self, verb: Verb, reply: Reply, replies: &mut Vec<u8>) -> Option<Step> {
        self.refuse(Subject::Command(Some(verb)), reply, replies)
    }

    fn count_error(&mut self) {
        self.counters.errors += 1;
        self.counters.owes_delay |= self.counters.errors > self.server.settings.soft_error_limit;
    }

    /// Replies, has it logged, and closes.
    fn hang_up(&mut self, reply: Reply, replies: &mut Vec<u8>) -> Option<Step> {
        self.report(Subject::Session, &reply);
        reply.write(replies);
        self.phase = Phase::Closing;
        None
    }

    fn end_if_hopeless(&mut self, replies: &mut Vec<u8>) {
        let (counters, settings) = (&self.counters, &self.server.settings);
        let reply = if !matches!(self.phase, Phase::Commands) {
            return;
        } else if counters.errors >= settings.hard_error_limit {
            replies::TOO_MANY_ERRORS
        } else if counters.unknown >= settings.junk_command_limit {
            replies::TOO_MUCH_JUNK
        } else if counters.without_mail >= settings.commands_without_mail_limit {
            replies::TOO_MUCH_OVERHEAD
        } else {
            return;
        };
        self.hang_up(reply, replies);
    }

    fn report(&mut self, subject: Subject, reply: &Reply) {
        let reply = reply.to_string();
        self.reports.push(Report { subject, reply });
    }

    /// Forgets the transaction; content that the driver has of it is to be dropped.
    fn reset(&mut self) -> Option<Step> {
        let transaction = self.transaction.take()?;
        transaction.content.map(|_| Step::DropContent)
    }
}

/// Why our side ends a session that did nothing forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing came for too long.
    TimedOut,
    /// Content came below the minimum rate.
    TooSlow,
    /// The server is about to end.
    ShuttingDown,
}

fn verb_of(line: &[u8]) -> Option<Verb> {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    std::str::from_utf8(&line[..end]).ok().and_then(Verb::parse)
}

#[cfg(test)]
mod tests;
