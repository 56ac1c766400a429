//! Writing of header fields (RFC 5322 §2.1.1, §2.2.3).

/// Lines are folded to at most this, where there is a place to fold (RFC 5322 §2.1.1 SHOULD).
const SOFT_LIMIT: usize = 78;
/// No line is ever longer than this (RFC 5322 §2.1.1 MUST).
const HARD_LIMIT: usize = 998;

/// Appends `name: value` and CRLF, folded.
///
/// Control characters in the value become spaces, so a value cannot end its field, whatever it is made
/// of. A word that does not fit a line of 998 octets is broken. UTF-8 goes out as it is (RFC 6532).
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    let clean: String = value
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    // The value follows the colon after one space; each piece is a word with the spaces before it.
    let text = format!(" {}", clean.trim());
    let mut rest = text.trim_end();
    let mut first = true;
    while !rest.is_empty() {
        let (piece, after) = split_piece(rest);
        rest = after;
        if !first && column + piece.len() > SOFT_LIMIT {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        first = false;
        column = write_piece(out, piece, column);
    }
    out.extend_from_slice(b"\r\n");
}

/// The first word with its leading spaces, and the rest.
fn split_piece(text: &str) -> (&str, &str) {
    let word = text.len() - text.trim_start_matches(' ').len();
    let end = text[word..]
        .find(' ')
        .map_or(text.len(), |length| word + length);
    text.split_at(end)
}

/// Writes a piece, broken where the line would become longer than any line may be.
fn write_piece(out: &mut Vec<u8>, piece: &str, mut column: usize) -> usize {
    let mut room = HARD_LIMIT.saturating_sub(column);
    let mut rest = piece;
    while rest.len() > room {
        let cut = rest.floor_char_boundary(room);
        let (line, after) = rest.split_at(cut);
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n ");
        (rest, room, column) = (after.trim_start_matches(' '), HARD_LIMIT - 1, 1);
    }
    out.extend_from_slice(rest.as_bytes());
    column + rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;
    use proptest::prelude::*;

    fn written(name: &str, value: &str) -> String {
        let mut out = Vec::new();
        write_field(&mut out, name, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_folded_and_closed() {
        let long = "word ".repeat(30);
        let folded = written("Subject", &long);
        assert!(
            folded.lines().all(|line| line.len() <= SOFT_LIMIT),
            "{folded}"
        );
        for (value, line) in [
            ("plain", "X: plain\r\n"),
            ("", "X:\r\n"),
            ("  ", "X:\r\n"),
            (
                "a\r\nBcc: all@example.org",
                "X: a  Bcc: all@example.org\r\n",
            ),
            ("a\u{85}b\0c", "X: a b c\r\n"),
            ("\"a  b\"@example.org", "X: \"a  b\"@example.org\r\n"),
            ("jürgen", "X: jürgen\r\n"),
        ] {
            assert_eq!(written("X", value), line);
        }
    }

    proptest! {
        #[test]
        fn no_value_escapes_its_field(value in any::<String>(), word in "[a-zä]{0,3000}") {
            let value = format!("{value}{word}");
            let mut out = Vec::new();
            write_field(&mut out, "X-Test", &value);
            for line in out.split(|&b| b == b'\n') {
                prop_assert!(line.len() <= HARD_LIMIT + 1);
            }
            out.extend_from_slice(b"\r\n");
            let header = Header::of(&out);
            prop_assert!(header.is_complete());
            prop_assert_eq!(header.fields().count(), 1);
            prop_assert_eq!(header.body_offset(), out.len());
        }
    }
}
