//! The TRANSACTION and UPDATE states (RFC 1939 §5, §6), in the session half.

use crate::command::{Command, Input};
use crate::reply::{self, Capabilities, line};

/// `step` asks for its output to be written once it has passed this many octets.
pub const OUTPUT_MARK: usize = 16 << 10;

/// The maildrop as the session sees it: fixed when the session began, messages counted from 0.
pub trait Listing {
    /// How many messages there are.
    fn count(&self) -> u32;
    /// The size of one as it is sent: line ends are CRLF, dots not doubled (RFC 1939 §11).
    fn octets(&self, index: u32) -> u64;
    /// Appends the unique-id of one: 1 to 70 characters from `!` to `~` (RFC 1939 §7, UIDL).
    fn unique_id(&self, index: u32, out: &mut Vec<u8>);
}

/// The bounds of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// What CAPA says.
    pub capabilities: Capabilities,
    /// Commands in error, one after another, before the connection is closed.
    pub max_errors: u32,
}

/// What the machine needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStep {
    /// More bytes from the client, after the output was written.
    Read,
    /// The output to be written; there is more to come.
    Write,
    /// A message: say [`Session::begin`] and send its encoded content, or say [`Session::unavailable`].
    Deliver {
        /// Which, from 0.
        index: u32,
        /// For TOP, how many lines of the body.
        body_lines: Option<u32>,
    },
    /// The messages of [`Session::deleted`] to be removed, and [`Session::updated`] said.
    Update,
    /// Nothing: write the output and close.
    Close(SessionEnd),
}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Another program has removed it.
    Gone,
    /// It is there and cannot be read.
    Unreadable,
}

/// Why a session ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// QUIT, and the update was done as far as possible.
    Quit,
    /// Too many commands in error; nothing was removed.
    Errors,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Command,
    /// In a listing; the message that comes next.
    Listing(Column, u32),
    Delivering {
        index: u32,
        body_lines: Option<u32>,
    },
    Updating,
    Ended(SessionEnd),
}

/// Which of the two listings.
#[derive(Clone, Copy, Debug)]
enum Column {
    Octets,
    UniqueId,
}

/// One client that has logged in.
#[derive(Debug)]
pub struct Session {
    input: Input,
    state: State,
    options: SessionOptions,
    /// One bit per message.
    deleted: Vec<u64>,
    errors: u32,
}

impl Session {
    /// A session that begins with what the client had pipelined behind its login.
    #[must_use]
    pub fn new(options: SessionOptions, listing: &impl Listing, pipelined: &[u8]) -> Self {
        let mut input = Input::default();
        input.push(pipelined);
        let words = usize::try_from(listing.count().div_ceil(u64::BITS)).unwrap_or(usize::MAX);
        Self {
            input,
            state: State::Command,
            options,
            deleted: vec![0; words],
            errors: 0,
        }
    }

    /// Bytes from the client.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Goes on as far as possible.
    pub fn step(&mut self, listing: &impl Listing, out: &mut Vec<u8>) -> SessionStep {
        loop {
            if out.len() >= OUTPUT_MARK {
                return SessionStep::Write;
            }
            match self.state {
                State::Command => match self.input.next() {
                    None => return SessionStep::Read,
                    Some(Ok(command)) => self.command(command, listing, out),
                    Some(Err(why)) => self.error(reply::bad_command(why), out),
                },
                State::Listing(column, next) => self.list(column, next, listing, out),
                State::Delivering { index, body_lines } => {
                    return SessionStep::Deliver { index, body_lines };
                }
                State::Updating => return SessionStep::Update,
                State::Ended(end) => return SessionStep::Close(end),
            }
        }
    }

    /// The message is open and has so many octets: its content follows in the output.
    pub fn begin(&mut self, octets: u64, out: &mut Vec<u8>) {
        if let State::Delivering { body_lines, .. } = self.state {
            match body_lines {
                None => line(out, format_args!("+OK {octets} octets")),
                Some(_) => line(out, reply::TOP_FOLLOWS),
            }
            self.state = State::Command;
        }
    }

    /// The message cannot be sent.
    pub fn unavailable(&mut self, why: Unavailable, out: &mut Vec<u8>) {
        if let State::Delivering { .. } = self.state {
            line(
                out,
                match why {
                    Unavailable::Gone => reply::MESSAGE_GONE,
                    Unavailable::Unreadable => reply::MESSAGE_UNREADABLE,
                },
            );
            self.state = State::Command;
        }
    }

    /// The messages to be removed, in ascending order.
    pub fn deleted(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.deleted).flat_map(|(word, bits)| {
            (0..u64::BITS)
                .filter(move |bit| bits & (1 << bit) != 0)
                .map(move |bit| word * u64::BITS + bit)
        })
    }

    /// The update is done; `complete` if every deleted message is removed (RFC 1939 §6).
    pub fn updated(&mut self, complete: bool, out: &mut Vec<u8>) {
        if let State::Updating = self.state {
            line(
                out,
                if complete {
                    reply::SIGNED_OFF
                } else {
                    reply::NOT_ALL_REMOVED
                },
            );
            self.state = State::Ended(SessionEnd::Quit);
        }
    }

    fn command(&mut self, command: Command, listing: &impl Listing, out: &mut Vec<u8>) {
        let errors = std::mem::take(&mut self.errors);
        match command {
            Command::Capa => reply::capabilities(out, &self.options.capabilities),
            Command::Noop => line(out, reply::NOOP_DONE),
            Command::Quit => self.state = State::Updating,
            Command::Stat => {
                let (messages, octets) = self.total(listing);
                line(out, format_args!("+OK {messages} {octets}"));
            }
            Command::Rset => {
                self.deleted.fill(0);
                let (messages, octets) = self.total(listing);
                line(
                    out,
                    format_args!("+OK {messages} messages ({octets} octets)"),
                );
            }
            Command::List(which) => self.start_list(Column::Octets, which, listing, out),
            Command::Uidl(which) => self.start_list(Column::UniqueId, which, listing, out),
            Command::Retr(number) => self.deliver(number, None, listing, out),
            Command::Top { message, lines } => self.deliver(message, Some(lines), listing, out),
            Command::Dele(number) => {
                if let Some(index) = self.find(number, listing, out) {
                    self.mark(index);
                    line(out, reply::MARKED_DELETED);
                }
            }
            Command::User(_) | Command::Pass(_) => {
                self.errors = errors;
                self.error(reply::LOGGED_IN_ALREADY, out);
            }
        }
    }

    /// A line of a listing is `number value`.
    fn entry(column: Column, index: u32, listing: &impl Listing, out: &mut Vec<u8>) {
        let number = u64::from(index) + 1;
        match column {
            Column::Octets => line(out, format_args!("{number} {}", listing.octets(index))),
            Column::UniqueId => {
                out.extend_from_slice(format!("{number} ").as_bytes());
                listing.unique_id(index, out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn start_list(
        &mut self,
        column: Column,
        which: Option<u32>,
        listing: &impl Listing,
        out: &mut Vec<u8>,
    ) {
        match which {
            None => {
                line(out, reply::LISTING_FOLLOWS);
                self.state = State::Listing(column, 0);
            }
            Some(number) => {
                if let Some(index) = self.find(number, listing, out) {
                    out.extend_from_slice(b"+OK ");
                    Self::entry(column, index, listing, out);
                }
            }
        }
    }

    /// Continues a listing until its end or until the output should be written.
    fn list(&mut self, column: Column, from: u32, listing: &impl Listing, out: &mut Vec<u8>) {
        for index in from..listing.count() {
            if out.len() >= OUTPUT_MARK {
                self.state = State::Listing(column, index);
                return;
            }
            if !self.is_deleted(index) {
                Self::entry(column, index, listing, out);
            }
        }
        line(out, reply::END_OF_LIST);
        self.state = State::Command;
    }

    fn deliver(
        &mut self,
        number: u32,
        body_lines: Option<u32>,
        listing: &impl Listing,
        out: &mut Vec<u8>,
    ) {
        if let Some(index) = self.find(number, listing, out) {
            self.state = State::Delivering { index, body_lines };
        }
    }

    /// The message that a client calls `number`; if there is none, the client is told so.
    fn find(&self, number: u32, listing: &impl Listing, out: &mut Vec<u8>) -> Option<u32> {
        let index = number
            .checked_sub(1)
            .filter(|&index| index < listing.count());
        match index {
            None => line(out, reply::NO_SUCH_MESSAGE),
            Some(index) if self.is_deleted(index) => line(out, reply::DELETED_ALREADY),
            found => return found,
        }
        None
    }

    fn total(&self, listing: &impl Listing) -> (u32, u64) {
        (0..listing.count())
            .filter(|&index| !self.is_deleted(index))
            .fold((0, 0), |(messages, octets), index| {
                (messages + 1, octets + listing.octets(index))
            })
    }

    fn error(&mut self, text: &str, out: &mut Vec<u8>) {
        self.errors += 1;
        if self.errors >= self.options.max_errors {
            line(out, reply::TOO_MANY_ERRORS);
            self.state = State::Ended(SessionEnd::Errors);
        } else {
            line(out, text);
        }
    }

    fn is_deleted(&self, index: u32) -> bool {
        let (word, bit) = place(index);
        self.deleted.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn mark(&mut self, index: u32) {
        let (word, bit) = place(index);
        if let Some(bits) = self.deleted.get_mut(word) {
            *bits |= bit;
        }
    }
}

fn place(index: u32) -> (usize, u64) {
    let word = usize::try_from(index / u64::BITS).unwrap_or(usize::MAX);
    (word, 1 << (index % u64::BITS))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
