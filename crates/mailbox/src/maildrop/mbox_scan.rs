//! Where the messages of an mbox are, in one pass over its octets.
//!
//! A message begins with a line `From sender date` and ends before the blank line before the next, or before
//! the last blank line of the file. In mboxrd no line of a message begins so; the date is looked for all the
//! same, for the sake of files that other programs wrote with less care.

use std::hash::{DefaultHasher, Hasher};

use sha2::{Digest, Sha256};

use super::reader::WireCount;
use super::unique_id::{ContentId, shorten};
use super::unquote::Unquoter;

/// Longer lines are looked at in pieces of this size.
const MAX_LINE: usize = 4096;

/// Enough of a message to have its trace and its Message-ID in it.
const HEAD: usize = 1024;

/// Header fields in which programs keep state about a message; it is the same message without.
const STATE_FIELDS: [&[u8]; 9] = [
    b"status:",
    b"x-status:",
    b"x-keywords:",
    b"x-uid:",
    b"x-imap:",
    b"x-imapbase:",
    b"x-uidl:",
    b"content-length:",
    b"lines:",
];

/// One message in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Where its `From ` line begins.
    pub start: u64,
    /// Where its header begins.
    pub content: u64,
    /// Where its last line ends.
    pub end: u64,
    /// Without quoting and with CRLF line ends.
    pub octets: u64,
    /// What it is known by.
    pub id: ContentId,
    /// [`hash`] of its first [`HEAD`] octets as stored, to know it again at its place.
    pub head: u64,
}

impl Message {
    /// How many octets `head` is of.
    pub fn head_length(&self) -> usize {
        usize::try_from(self.end - self.start).map_or(HEAD, |length| length.min(HEAD))
    }
}

/// The file does not begin with a `From ` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnMbox;

/// Takes the file's octets in order, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The line so far.
    line: Vec<u8>,
    /// Where `line` begins.
    at: u64,
    /// `line` is not the beginning of its line.
    within: bool,
    /// A blank line that may be the one between messages, and where it begins.
    blank: Option<(u64, Vec<u8>)>,
    current: Option<Current>,
    messages: Vec<Message>,
}

/// The message that is being read.
#[derive(Debug)]
struct Current {
    start: u64,
    content: u64,
    end: u64,
    head: Vec<u8>,
    digest: Sha256,
    count: WireCount,
    unquoter: Unquoter,
    unquoted: Vec<u8>,
    in_header: bool,
    in_state_field: bool,
    ends_with_lf: bool,
}

impl Scanner {
    pub fn push(&mut self, mut block: &[u8]) -> Result<(), NotAnMbox> {
        while !block.is_empty() {
            let end = memchr::memchr(b'\n', block).map(|at| at + 1);
            let room = MAX_LINE - self.line.len();
            let take = end.unwrap_or(block.len()).min(room);
            let (text, rest) = block.split_at(take);
            block = rest;
            let is_whole = text.ends_with(b"\n");
            if self.line.is_empty() && is_whole {
                self.piece(text)?;
            } else {
                self.line.extend_from_slice(text);
                if is_whole || self.line.len() == MAX_LINE {
                    self.take_line()?;
                }
            }
        }
        Ok(())
    }

    /// The file is over.
    pub fn finish(mut self) -> Result<Vec<Message>, NotAnMbox> {
        if !self.line.is_empty() {
            self.take_line()?;
        }
        self.close();
        Ok(self.messages)
    }

    fn take_line(&mut self) -> Result<(), NotAnMbox> {
        let mut line = std::mem::take(&mut self.line);
        let result = self.piece(&line);
        line.clear();
        self.line = line;
        result
    }

    /// A line, or a piece of an over-long one.
    fn piece(&mut self, text: &[u8]) -> Result<(), NotAnMbox> {
        let at = self.at;
        self.at += text.len() as u64;
        let is_first = !std::mem::replace(&mut self.within, !text.ends_with(b"\n"));
        if is_first && is_from_line(text) {
            self.close();
            self.current = Some(Current::new(at, text));
            return Ok(());
        }
        let is_blank = is_first && matches!(text, b"\n" | b"\r\n");
        let Some(current) = &mut self.current else {
            return if is_blank { Ok(()) } else { Err(NotAnMbox) };
        };
        if let Some((at, blank)) = self.blank.take() {
            current.take(&blank, at, true);
        }
        if is_blank {
            self.blank = Some((at, text.to_vec()));
        } else {
            current.take(text, at, is_first);
        }
        Ok(())
    }

    fn close(&mut self) {
        self.blank = None;
        if let Some(current) = self.current.take() {
            self.messages.push(current.close());
        }
    }
}

impl Current {
    fn new(at: u64, from_line: &[u8]) -> Self {
        let content = at + from_line.len() as u64;
        Self {
            start: at,
            content,
            end: content,
            head: from_line[..from_line.len().min(HEAD)].to_vec(),
            // Two deliveries of one text differ at least in this line.
            digest: Sha256::new().chain_update(from_line),
            count: WireCount::default(),
            unquoter: Unquoter::default(),
            unquoted: Vec::new(),
            in_header: true,
            in_state_field: false,
            ends_with_lf: true,
        }
    }

    fn take(&mut self, text: &[u8], at: u64, is_first: bool) {
        self.end = at + text.len() as u64;
        self.ends_with_lf = text.ends_with(b"\n");
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&text[..text.len().min(room)]);
        self.unquoter.push(text, &mut self.unquoted);
        self.count.add(&self.unquoted);
        self.unquoted.clear();
        if self.in_header && is_first {
            let is_continued = text.starts_with(b" ") || text.starts_with(b"\t");
            self.in_state_field = is_state_field(text) || (is_continued && self.in_state_field);
            self.in_header = !matches!(text, b"\n" | b"\r\n");
        }
        if !self.in_state_field {
            self.digest.update(text);
        }
    }

    fn close(mut self) -> Message {
        self.unquoter.finish(&mut self.unquoted);
        self.count.add(&self.unquoted);
        if !self.ends_with_lf {
            // The next delivery will add it.
            self.digest.update(b"\n");
        }
        Message {
            start: self.start,
            content: self.content,
            end: self.end,
            octets: self.count.octets(),
            id: shorten(self.digest),
            head: hash(&self.head),
        }
    }
}

/// Tells messages apart within one session.
pub(super) fn hash(head: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(head);
    hasher.finish()
}

fn is_state_field(line: &[u8]) -> bool {
    STATE_FIELDS.iter().any(|field| {
        line.get(..field.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(field))
    })
}

/// `From `, then anywhere a day of the week and a month: `Sat Nov`.
pub(super) fn is_from_line(line: &[u8]) -> bool {
    const DAYS: [&[u8]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let Some(rest) = line.strip_prefix(b"From ") else {
        return false;
    };
    let mut after_day = false;
    for word in rest
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
    {
        if after_day && MONTHS.contains(&word) {
            return true;
        }
        after_day = DAYS.contains(&word.strip_suffix(b",").unwrap_or(word));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FROM: &str = "From a@b Sat Nov 21 11:13:43 2026\n";

    fn scan(text: &str, cut: usize) -> Result<Vec<Message>, NotAnMbox> {
        let mut scanner = Scanner::default();
        for piece in text.as_bytes().chunks(cut) {
            scanner.push(piece)?;
        }
        scanner.finish()
    }

    fn contents(text: &str) -> Vec<(&str, u64)> {
        let place = |at: u64| usize::try_from(at).unwrap();
        scan(text, 1 << 16)
            .unwrap()
            .iter()
            .map(|found| (&text[place(found.content)..place(found.end)], found.octets))
            .collect()
    }

    #[test]
    fn messages_end_before_their_blank_line() {
        for (stored, wanted) in [
            (String::new(), vec![]),
            ("\n\n".into(), vec![]),
            (FROM.to_owned(), vec![("", 0)]),
            (format!("{FROM}H: x\n\n"), vec![("H: x\n", 6)]),
            (format!("{FROM}H: x\n\n\n"), vec![("H: x\n\n", 8)]),
            (format!("{FROM}H: x\n\nb"), vec![("H: x\n\nb", 9)]),
            (
                format!("{FROM}H: x\n\nb\n\n{FROM}I: y\n"),
                vec![("H: x\n\nb\n", 11), ("I: y\n", 6)],
            ),
            (
                format!("{FROM}H: x\n\nb\n{FROM}I: y\n"),
                vec![("H: x\n\nb\n", 11), ("I: y\n", 6)],
            ),
            (
                format!("{FROM}H: x\n\n>From \n\n"),
                vec![("H: x\n\n>From \n", 15)],
            ),
            (
                format!("{FROM}H: x\r\n\r\nb\r\n\r\n"),
                vec![("H: x\r\n\r\nb\r\n", 11)],
            ),
            (
                format!("{FROM}H: x\n\nFrom me to you\n\n"),
                vec![("H: x\n\nFrom me to you\n", 24)],
            ),
        ] {
            assert_eq!(contents(&stored), wanted, "{stored:?}");
        }
        assert_eq!(scan("Subject: x\n\nb\n", 9), Err(NotAnMbox));
    }

    #[test]
    fn ids_do_not_change_with_state_and_place() {
        let id = |text: &str| scan(text, 100).unwrap().last().unwrap().id;
        let plain = id(&format!("{FROM}H: x\n\nb\n\n"));
        for same in [
            format!("{FROM}H: x\n\nb"),
            format!("{FROM}Status: RO\nH: x\nX-Keywords: a\n b\nX-UID: 7\n\nb\n\n"),
            format!("{FROM}H: y\n\n\n{FROM}H: x\n\nb\n"),
        ] {
            assert_eq!(id(&same), plain, "{same:?}");
        }
        for other in [
            format!("{FROM}H: x\n\nb\nStatus: RO\n"),
            format!("{FROM}H: x\n z\n\nb\n"),
            format!("{}H: x\n\nb\n", FROM.replace("43", "44")),
        ] {
            assert_ne!(id(&other), plain, "{other:?}");
        }
    }

    #[test]
    fn long_lines_are_one_line() {
        let long = "x".repeat(3 * MAX_LINE - 1);
        let text = format!("{FROM}H: x\n\n{long}\n\n{FROM}\n{long}From x Sat Nov 1\n");
        let found = scan(&text, 1000).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found, scan(&text, text.len()).unwrap());
    }

    #[test]
    fn from_lines() {
        for line in [
            "From a@b Sat Nov 21 11:13:43 2026",
            "From MAILER-DAEMON  Sun Feb  1 00:00:00 1970",
            "From \"a b\"@c Mon Jan  2 15:04 CET 2006",
            "From - Tue, Mar 3 10:00:00 2020",
        ] {
            assert!(is_from_line(line.as_bytes()), "{line}");
        }
        for line in [
            "From me to you",
            "From Mon to Jan",
            "from a Sat Nov 1",
            ">From a Sat Nov 1",
            "From",
        ] {
            assert!(!is_from_line(line.as_bytes()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            lines in proptest::collection::vec(
                prop_oneof![Just(FROM), Just("\n"), Just("H: x\n"), Just(">From x\n"), Just("Status: O\n"), Just(" z\r\n"), Just("\r\n")],
                0..12,
            ),
            cut in 1usize..50,
        ) {
            let text = lines.concat();
            prop_assert_eq!(scan(&text, cut), scan(&text, 1 << 16));
        }
    }
}
