//! Message content as it streams in, by DATA or BDAT.
//!
//! Invariants:
//! - With dots (DATA) the end is exactly CRLF.CRLF, where the CRLF of the DATA command counts as the first one
//!   (RFC 5321 §4.1.1.4). LF.LF, LF.CRLF, CRLF.LF, CRLF.CR and all their kin are content. Two servers that disagree
//!   about the end would let a sender smuggle a second message in; so this holds under every [`NewlinePolicy`].
//! - The outcome depends on the octets, never on where the input was cut.
//! - What comes out has only CRLF line ends and ends in one, unless there was a [`Fault`], which drops everything.
//! - After a fault nothing more is stored, but input is consumed to its true end: the reply comes there.

use memchr::memchr3;

use crate::header_scan::HeaderScan;

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// What to do with a CR or LF that is not part of a CRLF (RFC 5321 §2.3.8 forbids both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewlinePolicy {
    /// Refuse the message (550 5.6.11) or command.
    Refuse,
    /// A bare LF becomes CRLF, a bare CR a space.
    Normalize,
}

/// What to do with a NUL octet in content, which no text message may have (RFC 5321 §4.5.2, RFC 2045 §2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NulPolicy {
    /// Refuse the message.
    Refuse,
    /// Keep it as it is.
    Keep,
}

/// What content is held to.
#[derive(Clone, Copy, Debug)]
pub struct ContentRules {
    /// Bare CR and LF.
    pub newlines: NewlinePolicy,
    /// NUL octets.
    pub nul: NulPolicy,
    /// Octets of content.
    pub size_limit: u64,
    /// Octets of one text line, without its end. RFC 5321 §4.5.3.1.6 lets senders rely on 998.
    pub line_limit: u64,
    /// Received fields in the header.
    pub hop_limit: u32,
}

/// Why content is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A LF without a CR before it.
    BareLf,
    /// A CR without a LF behind it.
    BareCr,
    /// A NUL octet.
    Nul,
    /// A line over [`ContentRules::line_limit`].
    LineTooLong,
    /// Over [`ContentRules::size_limit`].
    TooLarge,
    /// Over [`ContentRules::hop_limit`]: a loop, most likely.
    TooManyHops,
}

/// What one call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Octets of input that were consumed; less than all only at the end.
    pub used: usize,
    /// CRLF.CRLF was found.
    pub ended: bool,
}

/// Where in its line the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind a CRLF, or at the very beginning.
    LineStart,
    /// Behind a bare LF: a dot here is stuffing for whoever takes LF for a line end, but never begins the end of data.
    AfterLf,
    /// Within a line.
    Text,
    /// Behind a CR that was held back.
    Cr,
    /// Behind a dot at a line's start, which was dropped.
    Dot,
    /// Behind such a dot and a CR, both held back.
    DotCr,
}

/// Decodes and checks the content of one message.
#[derive(Clone, Debug)]
pub struct ContentDecoder {
    rules: ContentRules,
    dots: bool,
    place: Place,
    line: u64,
    size: u64,
    header: HeaderScan,
    eight_bit: bool,
    fault: Option<Fault>,
}

impl ContentDecoder {
    /// For content with dot-stuffing and CRLF.CRLF at its end (DATA).
    #[must_use]
    pub const fn with_dots(rules: ContentRules) -> Self {
        Self::new(rules, true)
    }

    /// For content whose length is told otherwise (BDAT): dots mean nothing, [`Self::finish`] ends it.
    #[must_use]
    pub const fn without_dots(rules: ContentRules) -> Self {
        Self::new(rules, false)
    }

    const fn new(rules: ContentRules, dots: bool) -> Self {
        Self {
            rules,
            dots,
            place: Place::LineStart,
            line: 0,
            size: 0,
            header: HeaderScan::new(),
            eight_bit: false,
            fault: None,
        }
    }

    /// Why the content is refused, if it is so far.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Octets of decoded content so far, also those that were dropped after a fault.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether an octet over 127 was in it.
    #[must_use]
    pub const fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether content that is to be of `size` octets in all fits; if not, it is refused at once.
    pub fn expect(&mut self, more: u64) {
        if self.size.saturating_add(more) > self.rules.size_limit {
            self.fail(Fault::TooLarge);
        }
    }

    /// Consumes `input` and appends what it means to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        // `input[from..at]` was looked at and goes out as it is.
        let (mut from, mut at) = (0, 0);
        while let Some(&byte) = input.get(at) {
            match self.place {
                Place::Cr if byte == LF => {
                    self.emit(b"\r\n", out);
                    self.end_line(Place::LineStart);
                    at += 1;
                    from = at;
                }
                Place::DotCr if byte == LF => {
                    return Decoded {
                        used: at + 1,
                        ended: true,
                    };
                }
                Place::Cr | Place::DotCr => self.bare_cr(out),
                Place::Dot if byte == CR => {
                    self.place = Place::DotCr;
                    at += 1;
                    from = at;
                }
                Place::Dot => self.place = Place::Text,
                Place::LineStart | Place::AfterLf if self.dots && byte == b'.' => {
                    self.emit(&input[from..at], out);
                    self.place = match self.place {
                        Place::LineStart => Place::Dot,
                        _ => Place::Text,
                    };
                    at += 1;
                    from = at;
                }
                Place::LineStart | Place::AfterLf | Place::Text => {
                    (from, at) = self.text(input, from, at, out);
                }
            }
        }
        self.emit(&input[from..], out);
        Decoded {
            used: input.len(),
            ended: false,
        }
    }

    /// Text up to the next octet with a meaning, and that octet.
    fn text(&mut self, input: &[u8], from: usize, at: usize, out: &mut Vec<u8>) -> (usize, usize) {
        let found = memchr3(CR, LF, 0, &input[at..]);
        let end = found.map_or(input.len(), |found| at + found);
        if end > at {
            self.count_text(&input[at..end]);
        }
        match (found.map(|_| input[end]), input.get(end + 1)) {
            (None, _) => (from, end),
            (Some(CR), Some(&LF)) => {
                self.end_line(Place::LineStart);
                (from, end + 2)
            }
            (Some(CR), _) => {
                self.emit(&input[from..end], out);
                self.place = Place::Cr;
                (end + 1, end + 1)
            }
            (Some(LF), _) => {
                self.emit(&input[from..end], out);
                self.bare_lf(out);
                (end + 1, end + 1)
            }
            (Some(_nul), _) => {
                if self.rules.nul == NulPolicy::Refuse {
                    self.fail(Fault::Nul);
                }
                self.count_text(&[0]);
                (from, end + 1)
            }
        }
    }

    /// The content is complete (BDAT LAST).
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.place == Place::Cr {
            self.bare_cr(out);
        }
        // A last line without end would run into whatever a mailbox puts behind it.
        if self.place == Place::Text {
            self.emit(b"\r\n", out);
            self.end_line(Place::LineStart);
        }
    }

    fn count_text(&mut self, text: &[u8]) {
        self.place = Place::Text;
        self.line += text.len() as u64;
        if self.line > self.rules.line_limit {
            self.fail(Fault::LineTooLong);
        }
        self.header.text(text);
    }

    fn end_line(&mut self, place: Place) {
        self.place = place;
        self.line = 0;
        self.header.end_of_line();
        if self.header.hops() > self.rules.hop_limit {
            self.fail(Fault::TooManyHops);
        }
    }

    fn bare_cr(&mut self, out: &mut Vec<u8>) {
        if self.rules.newlines == NewlinePolicy::Refuse {
            self.fail(Fault::BareCr);
        }
        self.emit(b" ", out);
        self.count_text(b" ");
    }

    fn bare_lf(&mut self, out: &mut Vec<u8>) {
        if self.rules.newlines == NewlinePolicy::Refuse {
            self.fail(Fault::BareLf);
        }
        self.emit(b"\r\n", out);
        self.end_line(Place::AfterLf);
    }

    fn emit(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.size += text.len() as u64;
        if self.size > self.rules.size_limit {
            self.fail(Fault::TooLarge);
        }
        if self.fault.is_none() {
            self.eight_bit = self.eight_bit || !text.is_ascii();
            out.extend_from_slice(text);
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
