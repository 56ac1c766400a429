//! The header of a message, scanned in place (RFC 5322 §2.1, §2.2).
//!
//! Made for what arrives, not for what should arrive: white space before a colon is taken (RFC 5322
//! §4.5), bytes above 127 are taken anywhere in a value, and the first line that can be neither field
//! nor continuation ends the header, as Postfix and sendmail have it. A line ends with LF; a CR
//! before it belongs to the line end.

use std::borrow::Cow;

use memchr::memchr;

/// The header of a message, borrowed from the content's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    bytes: &'a [u8],
    complete: bool,
    body: usize,
}

impl<'a> Header<'a> {
    /// Finds the header in `head`, the beginning of a message or all of it.
    #[must_use]
    pub fn of(head: &'a [u8]) -> Self {
        let mut at = 0;
        while let Some(line) = Line::at(head, at) {
            if line.text.is_empty() && line.ended {
                return Self {
                    bytes: &head[..at],
                    complete: true,
                    body: line.end,
                };
            }
            let continues = at > 0 && matches!(line.text.first(), Some(b' ' | b'\t'));
            if !continues && split_name(line.text).is_none() {
                // The last line may be cut off before its colon: then more is to come.
                return Self {
                    bytes: &head[..at],
                    complete: line.ended,
                    body: at,
                };
            }
            at = line.end;
        }
        Self {
            bytes: head,
            complete: false,
            body: head.len(),
        }
    }

    /// The header's lines, without the empty line that ends it.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the end of the header was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Where the body begins, counted from the start of the message.
    #[must_use]
    pub fn body_offset(&self) -> usize {
        self.body
    }

    /// The fields in order.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields {
            bytes: self.bytes,
            at: 0,
        }
    }

    /// The fields of a name, in any case, in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = Field<'a>> + use<'a, 'n> {
        self.fields().filter(move |field| field.is(name))
    }

    /// The first field of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Field<'a>> {
        self.all(name).next()
    }

    /// How many fields have this name: with `Received`, the hops so far (RFC 5321 §6.3).
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    name: &'a str,
    value: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The name as it was written, without the colon.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whether this is the field called `name`, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Name, colon, value and line ends as they stand in the message.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The value on one line, without white space around it (RFC 5322 §2.2.3).
    #[must_use]
    pub fn value(&self) -> Cow<'a, [u8]> {
        let value = self.value.trim_ascii();
        if memchr(b'\n', value).is_none() {
            return Cow::Borrowed(value);
        }
        let mut unfolded = Vec::with_capacity(value.len());
        let mut at = 0;
        while let Some(line) = Line::at(value, at) {
            unfolded.extend_from_slice(line.text);
            at = line.end;
        }
        Cow::Owned(unfolded)
    }

    /// As [`Self::value`], with what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        match self.value() {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => Cow::Owned(String::from_utf8_lossy(&value).into_owned()),
        }
    }
}

/// The fields of a header, in order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.at;
        let first = Line::at(self.bytes, start)?;
        let (name, colon) = split_name(first.text)?;
        let mut end = first.end;
        while let Some(line) = Line::at(self.bytes, end) {
            if !matches!(line.text.first(), Some(b' ' | b'\t')) {
                break;
            }
            end = line.end;
        }
        self.at = end;
        let raw = &self.bytes[start..end];
        Some(Field {
            name,
            value: &raw[colon + 1..],
            raw,
        })
    }
}

/// One line and where the next begins.
struct Line<'a> {
    text: &'a [u8],
    end: usize,
    ended: bool,
}

impl<'a> Line<'a> {
    /// The line that begins at `at`; `None` at the end of `bytes`.
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let (text, length, ended) = match memchr(b'\n', rest) {
            Some(lf) => (&rest[..lf], lf + 1, true),
            None => (rest, rest.len(), false),
        };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Some(Self {
            text,
            end: at + length,
            ended,
        })
    }
}

/// The field name on a line and where its colon is (RFC 5322 §3.6.8: printable ASCII but the colon).
fn split_name(line: &[u8]) -> Option<(&str, usize)> {
    let colon = memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, colon))
}

/// Entry of the fuzz target: scans `data` as a message and checks what must hold of any.
pub fn fuzz_header(data: &[u8]) {
    let header = Header::of(data);
    let body = header.body_offset();
    assert!(header.as_bytes().len() <= body && body <= data.len());
    let mut length = 0;
    for field in header.fields() {
        assert!(!field.name().is_empty());
        assert!(memchr(b'\n', &field.value()).is_none());
        length += field.raw().len();
    }
    assert_eq!(length, header.as_bytes().len(), "the fields are the header");
    // More of the same message never changes what was found complete.
    if header.is_complete() {
        let longer = [data, b"X: y\r\n\r\n"].concat();
        assert_eq!(Header::of(&longer).as_bytes(), header.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(head: &[u8]) -> Vec<(String, String)> {
        Header::of(head)
            .fields()
            .map(|field| (field.name().to_owned(), field.text().into_owned()))
            .collect()
    }

    #[test]
    fn headers_end_where_they_end() {
        for (message, length, complete, body) in [
            (&b"A: 1\r\nB: 2\r\n\r\nbody: x\r\n"[..], 12, true, 14),
            (b"A: 1\r\n folded\r\n\r\n", 15, true, 17),
            (b"\r\nno header\r\n", 0, true, 2),
            (b"no header\r\n", 0, true, 0),
            (b"A: 1\r\nnot a field\r\nB: 2\r\n", 6, true, 6),
            (b"A: 1\r\n", 6, false, 6),
            (b"A: 1\r\nSubj", 6, false, 6),
            (b"A: 1\r\n\r", 6, false, 6),
            (b"A: 1\nB: 2\n\nbody", 10, true, 11),
            (b" starts folded\r\nA: 1\r\n", 0, true, 0),
            (b"", 0, false, 0),
        ] {
            let header = Header::of(message);
            assert_eq!(
                (
                    header.as_bytes().len(),
                    header.is_complete(),
                    header.body_offset()
                ),
                (length, complete, body),
                "{:?}",
                String::from_utf8_lossy(message)
            );
        }
    }

    #[test]
    fn fields_are_unfolded_and_found() {
        let head =
            b"Received: a\r\n\tb\r\nSubject :  x: y \r\nRECEIVED:c\r\nEmpty:\r\nBin: \xff\r\n\r\n";
        let expected = [
            ("Received", "a\tb"),
            ("Subject", "x: y"),
            ("RECEIVED", "c"),
            ("Empty", ""),
            ("Bin", "\u{fffd}"),
        ];
        assert_eq!(
            shown(head),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let header = Header::of(head);
        assert_eq!(header.count("received"), 2);
        assert_eq!(
            header.find("subject").unwrap().raw(),
            b"Subject :  x: y \r\n"
        );
        assert!(header.find("To").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_scan(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_header(&data);
        }

        #[test]
        fn anything_like_a_header_scans(text in "([ \tA:b\r\n]{0,6}(\r\n|\n)?){0,12}") {
            fuzz_header(text.as_bytes());
        }
    }
}
