//! The text of `dovecot-uidlist`, versions 1 and 3.
//!
//! ```text
//! 3 V1795260592 N4 Gc0192f23b080016bab66000083ecc375
//! 1 :1700000001.M1P1.host,S=25,W=29
//! 2 W26 P1700000002.M2P1.host :1700000002.M2P1.host
//! ```
//! The header has the uid validity, the next uid and perhaps more; a record has a uid, extensions (a letter and
//! a value) and a file name, whose flags after `:` may be out of date. Version 1 has neither letters nor
//! extensions. Dovecot appends records, so that the next uid may be behind the last record.
//! See <https://doc.dovecot.org/latest/core/config/mailbox/formats/maildir.html>.

use std::io::{self, BufRead, Write};

/// A line longer than this is no record of anybody's.
const MAX_LINE: u64 = 4096;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// With a uid, identifies a message for ever; not 0.
    pub validity: u32,
    /// What the next new message gets.
    pub next_uid: u32,
    /// Further fields, with a space before each, passed on as they are.
    pub others: Vec<u8>,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub uid: u32,
    /// `W`: octets with CRLF line ends.
    pub wire: Option<u64>,
    /// `P`: the unique-id that POP3 clients know it by.
    pub unique_id: Option<&'a [u8]>,
    /// Further extensions, separated by spaces, passed on as they are.
    pub others: &'a [u8],
    /// The file name up to its flags.
    pub base: &'a [u8],
}

/// Why a list is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadList {
    /// Its first line is not that of a list, or of a version that we do not know.
    Header,
}

/// Reads a list line by line.
#[derive(Debug)]
pub(super) struct Reader<R> {
    input: R,
    version: u32,
    line: Vec<u8>,
    others: Vec<u8>,
    last_uid: u32,
    /// Lines that are not records were met and passed over.
    pub damaged: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> io::Result<Result<(Header, Self), BadList>> {
        let mut line = Vec::new();
        read_line(&mut input, &mut line)?;
        let Some((version, header)) = parse_header(&line) else {
            return Ok(Err(BadList::Header));
        };
        let reader = Self {
            input,
            version,
            line,
            others: Vec::new(),
            last_uid: 0,
            damaged: false,
        };
        Ok(Ok((header, reader)))
    }

    /// The next record; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        loop {
            if !read_line(&mut self.input, &mut self.line)? {
                return Ok(None);
            }
            // Found first and parsed again, as the borrow checker cannot see that a loop ends here.
            let uid = parse_uid(&self.line).map(|(uid, _)| uid);
            let in_order = uid.is_some_and(|uid| uid > self.last_uid && uid < u32::MAX);
            if in_order && is_record(&self.line, self.version) {
                self.last_uid = uid.unwrap_or_default();
                break;
            }
            self.damaged = true;
        }
        self.others.clear();
        Ok(parse_record(&self.line, self.version, &mut self.others))
    }
}

/// Reads a line without its LF; an over-long one is cut, which makes it no record.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    use io::Read;
    line.clear();
    input.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(true);
    }
    let any = !line.is_empty();
    if any {
        // Cut off, by us or by the end of a file that a crash cut: not to be trusted.
        line.clear();
    }
    Ok(any)
}

fn parse_header(line: &[u8]) -> Option<(u32, Header)> {
    let mut fields = line.split(|&byte| byte == b' ');
    let version = decimal(fields.next()?)?;
    let (mut validity, mut next_uid, mut others) = (None, None, Vec::new());
    match version {
        1 => {
            validity = decimal(fields.next()?);
            next_uid = decimal(fields.next()?);
        }
        3 => {
            for field in fields {
                match field.split_first() {
                    Some((b'V', value)) => validity = decimal(value),
                    Some((b'N', value)) => next_uid = decimal(value),
                    Some(_) => {
                        others.push(b' ');
                        others.extend_from_slice(field);
                    }
                    None => {}
                }
            }
        }
        _ => return None,
    }
    let header = Header {
        validity: validity.filter(|&validity| validity != 0)?,
        next_uid: next_uid.filter(|&next_uid| next_uid != 0)?,
        others,
    };
    Some((version, header))
}

fn is_record(line: &[u8], version: u32) -> bool {
    parse_record(line, version, &mut Vec::new()).is_some()
}

fn parse_record<'a>(line: &'a [u8], version: u32, others: &'a mut Vec<u8>) -> Option<Record<'a>> {
    let (uid, mut rest) = parse_uid(line)?;
    let (mut wire, mut unique_id) = (None, None);
    if version == 3 {
        while rest.first() != Some(&b':') {
            let end = memchr::memchr(b' ', rest)?;
            let field = &rest[..end];
            match field.split_first() {
                Some((b'W', value)) => wire = decimal(value),
                Some((b'P', value)) => unique_id = Some(value).filter(|value| is_unique_id(value)),
                Some((letter, _)) if letter.is_ascii_alphabetic() => {
                    if !others.is_empty() {
                        others.push(b' ');
                    }
                    others.extend_from_slice(field);
                }
                _ => {}
            }
            rest = &rest[end + 1..];
        }
        rest = &rest[1..];
    }
    let base = &rest[..memchr::memchr(b':', rest).unwrap_or(rest.len())];
    let usable = !base.is_empty() && !base.contains(&b'/');
    usable.then_some(Record {
        uid,
        wire,
        unique_id,
        others,
        base,
    })
}

fn parse_uid(line: &[u8]) -> Option<(u32, &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    let uid = decimal(&line[..space]).filter(|&uid| uid != 0)?;
    Some((uid, &line[space + 1..]))
}

/// What RFC 1939 §7 allows: 1 to 70 characters from `!` to `~`.
pub(super) fn is_unique_id(text: &[u8]) -> bool {
    (1..=70).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Writes the first line of version 3.
pub(super) fn write_header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    write!(out, "3 V{} N{}", header.validity, header.next_uid)?;
    out.write_all(&header.others)?;
    out.write_all(b"\n")
}

/// Writes one record of version 3.
pub(super) fn write_record(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    write!(out, "{} ", record.uid)?;
    if let Some(wire) = record.wire {
        write!(out, "W{wire} ")?;
    }
    if let Some(unique_id) = record.unique_id {
        out.write_all(b"P")?;
        out.write_all(unique_id)?;
        out.write_all(b" ")?;
    }
    if !record.others.is_empty() {
        out.write_all(record.others)?;
        out.write_all(b" ")?;
    }
    out.write_all(b":")?;
    out.write_all(record.base)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Dovecot 2.3.19 wrote it, then with one record appended by it and one with more extensions.
    const DOVECOT: &str = "3 V1795260592 N4 Gc0192f23b080016bab66000083ecc375\n\
        1 :1700000001.M1P1.host,S=25,W=29\n\
        2 W26 :1700000002.M2P1.host\n\
        3 W24 O7 Pold-id :1700000003.M3P1.host:2,S\n\
        9 G12ab :1700000009.M3P1.host\n";

    fn read(text: &[u8]) -> Option<(Header, Vec<String>, bool)> {
        let (header, mut reader) = Reader::new(text).unwrap().ok()?;
        let mut records = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            let mut line = Vec::new();
            write_record(&mut line, &record).unwrap();
            records.push(String::from_utf8_lossy(&line).into_owned());
        }
        Some((header, records, reader.damaged))
    }

    #[test]
    fn a_list_of_dovecot_is_read_and_written_alike() {
        let (header, records, damaged) = read(DOVECOT.as_bytes()).unwrap();
        assert!(!damaged);
        assert_eq!((header.validity, header.next_uid), (1_795_260_592, 4));
        let mut written = Vec::new();
        write_header(&mut written, &header).unwrap();
        written.extend(records.concat().into_bytes());
        // The order of extensions and flags are all that changes.
        let wanted = DOVECOT
            .replace("O7 Pold-id", "Pold-id O7")
            .replace(":2,S", "");
        assert_eq!(String::from_utf8(written).unwrap(), wanted);
    }

    #[test]
    fn version_1_is_read() {
        let (header, records, _) = read(b"1 1000 8\n3 a.b.c:2,S\n7 d.e.f\n").unwrap();
        assert_eq!((header.validity, header.next_uid), (1000, 8));
        assert_eq!(records, ["3 :a.b.c\n", "7 :d.e.f\n"]);
    }

    #[test]
    fn headers_that_are_none() {
        for text in [
            "",
            "\n",
            "2 V1 N1\n",
            "3 V0 N1\n",
            "3 N1\n",
            "3 V1\n",
            "x\n",
            "1 5\n",
            "3 V1 N1",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn damage_costs_the_damaged_lines_only() {
        let text = "3 V5 N9\n1 :a\nrubbish\n2 W5\n2 :b/c\n4 :d\n3 :late\n0 :x\n4294967295 :y\n\
                    5 W99999999999999999999 Pa\x01b 8bad :e\n6 :cut off";
        let (_, records, damaged) = read(text.as_bytes()).unwrap();
        assert!(damaged);
        assert_eq!(records, ["1 :a\n", "4 :d\n", "5 :e\n"]);
        let long = format!("3 V5 N9\n1 :{}\n2 :b\n", "x".repeat(9999));
        assert_eq!(read(long.as_bytes()).unwrap().1, ["2 :b\n"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, text in "3 V[0-9]{1,3} N[0-9]\n([0-9]{0,2} [WP]?[0-9a-z]{0,3} ?:?[a-z]{0,3}\n){0,5}") {
            read(&bytes);
            read(text.as_bytes());
        }
    }
}
