//! Replies (RFC 5321 §4.2) and enhanced status codes (RFC 3463, RFC 2034).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An enhanced status code such as 5.1.1 (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedStatus {
    /// 2 success, 4 for now, 5 for good.
    pub class: u8,
    /// What it is about, 0 to 999.
    pub subject: u16,
    /// Which case, 0 to 999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// `class.subject.detail`.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl FromStr for EnhancedStatus {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut number = || {
            let part = parts.next().filter(|part| (1..=3).contains(&part.len()));
            part.filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|part| part.parse::<u16>().ok())
                .ok_or(StatusError)
        };
        let (class, subject, detail) = (number()?, number()?, number()?);
        match (parts.next(), class) {
            (None, 2 | 4 | 5) => Ok(Self::new(
                u8::try_from(class).map_err(|_| StatusError)?,
                subject,
                detail,
            )),
            _ => Err(StatusError),
        }
    }
}

/// A text that is not an enhanced status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusError;

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an enhanced status code of the form class.subject.detail")
    }
}

impl std::error::Error for StatusError {}

/// One SMTP reply: a code, an enhanced status where the code takes one, and at least one line.
///
/// Lines never hold control characters: what a peer said cannot end a reply early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Stands on every line of a 2xx, 4xx or 5xx reply but the greeting's and HELO's (RFC 2034 §4).
    pub status: Option<EnhancedStatus>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply with an enhanced status; `text` may have several lines, parted by LF.
    #[must_use]
    pub fn new(code: u16, status: EnhancedStatus, text: &str) -> Self {
        Self {
            code,
            status: Some(status),
            lines: clean_lines(text),
        }
    }

    /// A reply without an enhanced status: greeting, HELO, EHLO and 3xx (RFC 2034 §4).
    #[must_use]
    pub fn plain(code: u16, text: &str) -> Self {
        Self {
            code,
            status: None,
            lines: clean_lines(text),
        }
    }

    /// The lines of text, without code, status and line end.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the reply says "later perhaps" (4xx).
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether the reply says "never" (5xx).
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the reply as it goes on the wire, every line ending in CRLF (RFC 5321 §4.2.1).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        for (at, line) in self.lines.iter().enumerate() {
            let separator = if at + 1 == self.lines.len() { ' ' } else { '-' };
            // Writing to a Vec cannot fail.
            let _ = match self.status {
                Some(status) => write!(out, "{}{separator}{status} {line}\r\n", self.code),
                None => write!(out, "{}{separator}{line}\r\n", self.code),
            };
        }
    }
}

/// One line, as the log shows it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.lines.join(" / "))
    }
}

fn clean_lines(text: &str) -> Vec<String> {
    text.split('\n')
        .map(|line| {
            line.chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_go_out_line_by_line() {
        let cases = [
            (Reply::plain(220, "host ESMTP"), "220 host ESMTP\r\n"),
            (
                Reply::new(250, EnhancedStatus::new(2, 0, 0), "Ok"),
                "250 2.0.0 Ok\r\n",
            ),
            (
                Reply::new(550, EnhancedStatus::new(5, 1, 1), "one\ntwo"),
                "550-5.1.1 one\r\n550 5.1.1 two\r\n",
            ),
            (Reply::plain(250, "a\r\nQUIT"), "250-a?\r\n250 QUIT\r\n"),
        ];
        for (reply, wire) in cases {
            let mut out = Vec::new();
            reply.write_to(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wire);
        }
    }

    #[test]
    fn statuses_parse_exactly() {
        for text in ["2.0.0", "4.3.1", "5.999.999"] {
            assert_eq!(text.parse::<EnhancedStatus>().unwrap().to_string(), text);
        }
        for text in [
            "", "5.1", "3.1.1", "5.1.1.1", "5.1.1000", "5.+1.1", "5..1", " 5.1.1",
        ] {
            assert_eq!(text.parse::<EnhancedStatus>(), Err(StatusError), "{text}");
        }
    }
}
