//! From stored bytes to a multi-line response (RFC 1939 §3): line ends, dot-stuffing, the end, and TOP.

/// Whether more of the message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Give the next bytes, or finish.
    More,
    /// TOP has all it asked for: finish.
    Enough,
}

/// Where TOP is in the message (RFC 1939 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// The header and the empty line, then so many lines.
    Header(u32),
    Lines(u32),
}

/// Encodes one message, given in pieces of any size; the output does not depend on the cuts.
///
/// LF becomes CRLF and CRLF stays; a last line without an end gets one; a line that begins with a dot gets
/// a second one. A CR elsewhere is passed on: it is part of the message.
#[derive(Clone, Debug)]
pub struct ContentEncoder {
    wanted: Wanted,
    at_line_start: bool,
    last_was_cr: bool,
    /// So far the line holds nothing, or a CR that may turn out to be its end.
    line_is_empty: bool,
}

impl ContentEncoder {
    /// For RETR.
    #[must_use]
    pub const fn whole() -> Self {
        Self::new(Wanted::All)
    }

    /// For TOP: the header and `lines` lines of the body.
    #[must_use]
    pub const fn top(lines: u32) -> Self {
        Self::new(Wanted::Header(lines))
    }

    const fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            at_line_start: true,
            last_was_cr: false,
            line_is_empty: true,
        }
    }

    /// Appends the encoded form of `input` to `out`.
    pub fn encode(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Progress {
        while self.wanted != Wanted::Lines(0) {
            if input.is_empty() {
                return Progress::More;
            }
            let end = memchr::memchr(b'\n', input);
            let (text, rest) = input.split_at(end.unwrap_or(input.len()));
            self.text(text, out);
            if end.is_some() {
                self.line_end(out);
            }
            input = rest.get(1..).unwrap_or_default();
        }
        Progress::Enough
    }

    /// Ends an unfinished line and the response.
    pub fn finish(self, out: &mut Vec<u8>) {
        let end: &[u8] = if self.at_line_start {
            b".\r\n"
        } else {
            b"\r\n.\r\n"
        };
        out.extend_from_slice(end);
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let (Some(first), Some(last)) = (text.first(), text.last()) else {
            return;
        };
        if self.at_line_start && *first == b'.' {
            out.push(b'.');
        }
        out.extend_from_slice(text);
        self.line_is_empty = self.at_line_start && text == b"\r";
        self.at_line_start = false;
        self.last_was_cr = *last == b'\r';
    }

    fn line_end(&mut self, out: &mut Vec<u8>) {
        let end: &[u8] = if self.last_was_cr { b"\n" } else { b"\r\n" };
        out.extend_from_slice(end);
        self.wanted = match self.wanted {
            Wanted::Header(lines) if self.line_is_empty => Wanted::Lines(lines),
            Wanted::Lines(lines) => Wanted::Lines(lines.saturating_sub(1)),
            wanted => wanted,
        };
        self.at_line_start = true;
        self.last_was_cr = false;
        self.line_is_empty = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(mut encoder: ContentEncoder, chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks {
            if encoder.encode(chunk, &mut out) == Progress::Enough {
                break;
            }
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn lines_end_with_crlf_and_dots_are_doubled() {
        for (stored, sent) in [
            ("", ".\r\n"),
            ("a\n", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".\n", "..\r\n.\r\n"),
            ("..\r\n", "...\r\n.\r\n"),
            ("a\n.b\n", "a\r\n..b\r\n.\r\n"),
            ("a.b\n", "a.b\r\n.\r\n"),
            ("\n\n", "\r\n\r\n.\r\n"),
            ("a\rb\n", "a\rb\r\n.\r\n"),
            ("a\r.b\n", "a\r.b\r\n.\r\n"),
            ("a\r\r\n", "a\r\r\n.\r\n"),
            ("a\r", "a\r\r\n.\r\n"),
        ] {
            let found = encode(ContentEncoder::whole(), &[stored.as_bytes()]);
            assert_eq!(String::from_utf8(found).unwrap(), sent, "{stored:?}");
        }
    }

    #[test]
    fn top_stops_after_its_lines() {
        let message = "H: 1\nH: 2\n\n1\n.2\n\n4";
        for (lines, sent) in [
            (0, "H: 1\r\nH: 2\r\n\r\n.\r\n"),
            (1, "H: 1\r\nH: 2\r\n\r\n1\r\n.\r\n"),
            (3, "H: 1\r\nH: 2\r\n\r\n1\r\n..2\r\n\r\n.\r\n"),
            (4, "H: 1\r\nH: 2\r\n\r\n1\r\n..2\r\n\r\n4\r\n.\r\n"),
            (u32::MAX, "H: 1\r\nH: 2\r\n\r\n1\r\n..2\r\n\r\n4\r\n.\r\n"),
        ] {
            for stored in [message.to_owned(), message.replace('\n', "\r\n")] {
                let found = encode(ContentEncoder::top(lines), &[stored.as_bytes()]);
                assert_eq!(
                    String::from_utf8(found).unwrap(),
                    sent,
                    "{lines} of {stored:?}"
                );
            }
        }
        let header_only = encode(ContentEncoder::top(0), &[b"H: 1\n"]);
        assert_eq!(header_only, b"H: 1\r\n.\r\n");
    }

    /// What a client makes of a multi-line response (RFC 1939 §3).
    fn decode(response: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        for line in response.split_inclusive(|&byte| byte == b'\n') {
            if line == b".\r\n" {
                return content;
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        panic!("no end in {response:?}");
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(
            prop_oneof![
                Just(b'\n'),
                Just(b'\r'),
                Just(b'.'),
                Just(b'a'),
                any::<u8>()
            ],
            0..60,
        )
    }

    proptest! {
        #[test]
        fn a_client_gets_what_was_stored(stored in message()) {
            // With CRLF for every line end, and one at the end.
            let mut wanted = Vec::new();
            for line in stored.split_inclusive(|&byte| byte == b'\n') {
                let text = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line);
                wanted.extend_from_slice(text);
                wanted.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(decode(&encode(ContentEncoder::whole(), &[&stored])), wanted);
        }

        #[test]
        fn cuts_do_not_matter(stored in message(), size in 1usize..7, lines in 0u32..4) {
            let chunks: Vec<&[u8]> = stored.chunks(size).collect();
            for encoder in [ContentEncoder::whole(), ContentEncoder::top(lines)] {
                prop_assert_eq!(encode(encoder.clone(), &chunks), encode(encoder, &[&stored]));
            }
        }

        #[test]
        fn top_is_the_beginning(stored in message(), lines in 0u32..4) {
            let whole = decode(&encode(ContentEncoder::whole(), &[&stored]));
            let top = decode(&encode(ContentEncoder::top(lines), &[&stored]));
            prop_assert!(whole.starts_with(&top));
        }
    }
}
