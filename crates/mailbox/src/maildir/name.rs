//! Names of messages in a Maildir: unique when made, readable when found.
//!
//! `1700000000.M123456P4711Q1.host,S=1234,W=1260:2,RS`: time and what makes it unique, then sizes as
//! Dovecot and Courier write them (`S` as stored, `W` with CRLF line ends), then flags after `:2,`.
//! See <https://cr.yp.to/proto/maildir.html> and the Maildir++ document of Courier.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How large a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Octets in the file, lines ending in LF.
    pub stored: u64,
    /// Octets with every line ending in CRLF, as POP3 counts (RFC 1939 §11).
    pub wire: u64,
}

/// A name in `new` or `cur`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageName<'a> {
    /// All before `:`: what Dovecot's uid list and our unique-ids know the message by.
    pub base: &'a str,
    /// `S=`, when the name has it.
    pub stored: Option<u64>,
    /// `W=`, when the name has it.
    pub wire: Option<u64>,
    /// The letters after `:2,`.
    pub flags: &'a str,
}

impl<'a> MessageName<'a> {
    /// Takes a file name apart. Names of other makers have fewer parts, never none.
    #[must_use]
    pub fn parse(name: &'a str) -> Self {
        let (base, info) = name.split_once(':').unwrap_or((name, ""));
        let mut parsed = Self {
            base,
            stored: None,
            wire: None,
            flags: info.strip_prefix("2,").unwrap_or(""),
        };
        for field in base.split(',').skip(1) {
            match field.split_once('=') {
                Some(("S", size)) => parsed.stored = decimal(size),
                Some(("W", size)) => parsed.wire = decimal(size),
                _ => {}
            }
        }
        parsed
    }

    /// Whether the file is a message at all: a name that begins with a dot is not.
    #[must_use]
    pub fn is_message(name: &str) -> bool {
        !name.is_empty() && !name.starts_with('.')
    }
}

fn decimal(digits: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    digits
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Makes names that no other process on any host makes: time, process, a count in it, and the host.
#[derive(Debug)]
pub struct NameMaker {
    host: String,
    process: u32,
    made: AtomicU64,
}

impl NameMaker {
    /// For this process on `host` (its name may have any characters; `/`, `:` and `,` are replaced).
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            host: clean_host(host),
            process: std::process::id(),
            made: AtomicU64::new(0),
        }
    }

    /// A name for `tmp`, where sizes are not known yet.
    pub fn unique(&self) -> String {
        self.unique_at(SystemTime::now())
    }

    fn unique_at(&self, now: SystemTime) -> String {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let count = self.made.fetch_add(1, Ordering::Relaxed);
        format!(
            "{}.M{:06}P{}Q{count}.{}",
            now.as_secs(),
            now.subsec_micros(),
            self.process,
            self.host
        )
    }
}

/// The name that a message has in `new`: its unique name and its sizes.
#[must_use]
pub fn with_sizes(unique: &str, sizes: Sizes) -> String {
    let mut name = String::with_capacity(unique.len() + 32);
    name.push_str(unique);
    // Writing to a String cannot fail.
    let _ = write!(name, ",S={},W={}", sizes.stored, sizes.wire);
    name
}

/// The characters that have a meaning in a name are written as octal, as the Maildir page says.
fn clean_host(host: &str) -> String {
    let mut clean = String::new();
    for c in host.chars().take(64) {
        match c {
            '/' => clean.push_str("\\057"),
            ':' => clean.push_str("\\072"),
            // No rule gives this one; ours ends the unique part for readers of sizes.
            ',' => clean.push_str("\\054"),
            c if c.is_control() => clean.push('?'),
            c => clean.push(c),
        }
    }
    if clean.is_empty() {
        clean.push_str("localhost");
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let cases = [
            (
                "1.M2P3Q4.host,S=10,W=12:2,FS",
                ("1.M2P3Q4.host,S=10,W=12", Some(10), Some(12), "FS"),
            ),
            (
                "1.M2P3Q4.host,S=10,W=12",
                ("1.M2P3Q4.host,S=10,W=12", Some(10), Some(12), ""),
            ),
            ("1.2.host:2,", ("1.2.host", None, None, "")),
            ("1.2.host:1,x", ("1.2.host", None, None, "")),
            ("1.2.host,W=9", ("1.2.host,W=9", None, Some(9), "")),
            ("1,S=+5,W=x,S", ("1,S=+5,W=x,S", None, None, "")),
            (
                "1,S=99999999999999999999999",
                ("1,S=99999999999999999999999", None, None, ""),
            ),
        ];
        for (name, (base, stored, wire, flags)) in cases {
            let expected = MessageName {
                base,
                stored,
                wire,
                flags,
            };
            assert_eq!(MessageName::parse(name), expected, "{name}");
        }
        assert!(MessageName::is_message("1.x"));
        assert!(!MessageName::is_message(".nfs0001"));
    }

    #[test]
    fn made_names_differ_and_read_back() {
        let maker = NameMaker::new("a/b:c,d");
        let now = UNIX_EPOCH + Duration::new(1_700_000_000, 5_000);
        let (first, second) = (maker.unique_at(now), maker.unique_at(now));
        assert_ne!(first, second);
        assert!(first.starts_with("1700000000.M000005P"), "{first}");
        assert!(first.ends_with("Q0.a\\057b\\072c\\054d"), "{first}");
        let name = with_sizes(&first, Sizes { stored: 7, wire: 9 });
        let parsed = MessageName::parse(&name);
        assert_eq!((parsed.stored, parsed.wire), (Some(7), Some(9)));
        assert_eq!(parsed.base, name);
    }
}
