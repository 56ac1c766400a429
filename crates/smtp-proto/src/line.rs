//! Command lines: they end in CRLF and in nothing else (RFC 5321 §2.3.8).

use memchr::memchr;

use crate::content::NewlinePolicy;

/// What the front of the input is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The line has not ended yet.
    Unfinished,
    /// A line, without its end.
    Whole {
        /// The line.
        text: &'a [u8],
        /// Octets to consume.
        used: usize,
    },
    /// A line ends in a LF without CR: nobody can say what the peer meant to be one command.
    BareLf,
    /// No end within the limit.
    TooLong,
}

/// Splits one line of at most `limit` octets, CRLF included, off the front.
///
/// Decides by octet positions only, so that it does not matter how the input was cut.
pub(crate) fn split(input: &[u8], limit: usize, newlines: NewlinePolicy) -> Line<'_> {
    let window = &input[..input.len().min(limit)];
    match memchr(b'\n', window) {
        Some(at) if at > 0 && window[at - 1] == b'\r' => Line::Whole {
            text: &window[..at - 1],
            used: at + 1,
        },
        Some(at) if newlines == NewlinePolicy::Normalize => Line::Whole {
            text: &window[..at],
            used: at + 1,
        },
        Some(_) => Line::BareLf,
        None if input.len() >= limit => Line::TooLong,
        None => Line::Unfinished,
    }
}

/// How far to skip to be behind the end of an over-long line; `last` is the octet before `input`.
pub(crate) fn skip(input: &[u8], mut last: u8) -> Skipped {
    let mut at = 0;
    while let Some(found) = memchr(b'\n', &input[at..]) {
        let lf = at + found;
        let before = if lf == 0 { last } else { input[lf - 1] };
        at = lf + 1;
        if before == b'\r' {
            return Skipped::End(at);
        }
    }
    last = input.last().copied().unwrap_or(last);
    Skipped::Unfinished { last }
}

/// What [`skip`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// The line ended; octets to consume.
    End(usize),
    /// It goes on; all is to be consumed.
    Unfinished {
        /// To be given to the next call.
        last: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use NewlinePolicy::{Normalize, Refuse};

    #[test]
    fn lines_end_in_crlf_only() {
        let whole = |text, used| Line::Whole { text, used };
        let cases: [(&[u8], NewlinePolicy, Line<'_>); 11] = [
            (b"", Refuse, Line::Unfinished),
            (b"NOOP", Refuse, Line::Unfinished),
            (b"NOOP\r", Refuse, Line::Unfinished),
            (b"NOOP\r\n", Refuse, whole(b"NOOP", 6)),
            (b"\r\n", Refuse, whole(b"", 2)),
            (b"a\rb\r\nc", Refuse, whole(b"a\rb", 5)),
            (b"NOOP\n", Refuse, Line::BareLf),
            (b"\n", Refuse, Line::BareLf),
            (b"NOOP\n", Normalize, whole(b"NOOP", 5)),
            (b"12345678\r\n", Refuse, whole(b"12345678", 10)),
            (b"123456789\r\n", Refuse, Line::TooLong),
        ];
        for (input, newlines, expected) in cases {
            assert_eq!(split(input, 10, newlines), expected, "{input:?}");
        }
    }

    #[test]
    fn skipping_stops_behind_crlf() {
        assert_eq!(skip(b"ab\ncd\r\nNOOP", b'x'), Skipped::End(7));
        assert_eq!(skip(b"\nNOOP", b'\r'), Skipped::End(1));
        assert_eq!(skip(b"\nNOOP", b'x'), Skipped::Unfinished { last: b'P' });
        assert_eq!(skip(b"ab\r", b'x'), Skipped::Unfinished { last: b'\r' });
        assert_eq!(skip(b"", b'\r'), Skipped::Unfinished { last: b'\r' });
    }
}
