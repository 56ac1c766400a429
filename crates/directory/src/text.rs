//! How the users file writes values that would be taken for its own punctuation.

use std::fmt::Write as _;

/// Writes `:`, `%`, white space at either end and control characters as `%XX`.
pub(crate) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let edges = [0, value.len().saturating_sub(1)];
    for (at, c) in value.char_indices() {
        let must = matches!(c, ':' | '%')
            || c.is_control()
            || (edges.contains(&at) && (c == ' ' || c == '#'));
        if must {
            push_escaped(&mut out, c);
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes every byte of a character as `%XX`.
pub(crate) fn push_escaped(out: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a String cannot fail.
        let _ = write!(out, "%{byte:02X}");
    }
}

/// Undoes [`escape`].
pub(crate) fn unescape(value: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits
            .filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok())
            .ok_or("a % is followed by two hexadecimal digits; write %25 for the sign itself")?;
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| "the %XX escapes do not make UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_escapes_say_so() {
        for bad in ["%", "a%2", "%zz", "%+1", "50%off"] {
            assert!(unescape(bad).unwrap_err().contains("%25"), "{bad}");
        }
        assert!(unescape("%FF").unwrap_err().contains("UTF-8"));
        assert_eq!(unescape("a%3Ab%25").unwrap(), "a:b%");
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "\\PC{0,30}|[:% \t\n#a]{0,10}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains([':', '\n', '\t']));
            prop_assert_eq!(unescape(&escaped).unwrap(), text);
        }
    }
}
