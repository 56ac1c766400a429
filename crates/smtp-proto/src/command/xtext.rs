//! xtext (RFC 3461 §4) and its UTF-8 relatives (RFC 6533 §3).

/// Undoes xtext: `+` and two upper-case hexadecimal digits stand for an octet.
///
/// `None` when it is not xtext, or would put a control or non-ASCII character into the result.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match first {
            b'+' => {
                let (high, low) = (hex(*tail.first()?)?, hex(*tail.get(1)?)?);
                rest = &tail[2..];
                high * 16 + low
            }
            b'=' => return None,
            b'!'..=b'~' => *first,
            _ => return None,
        };
        if !(b' '..=b'~').contains(&byte) {
            return None;
        }
        out.push(char::from(byte));
    }
    Some(out)
}

/// Upper case only, as the grammar has it.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Undoes `utf-8-addr-xtext` and takes `utf-8-addr-unitext`: `\x{HEX}` stands for a character.
pub(super) fn decode_utf8(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let c = match c {
            '\\' => {
                let (digits, tail) = rest.strip_prefix("\\x{")?.split_once('}')?;
                rest = tail;
                unicode(digits)?
            }
            // RFC 6533 §3: QCHAR leaves them to \x{2B} and \x{3D}.
            '+' | '=' => return None,
            c => {
                rest = &rest[c.len_utf8()..];
                c
            }
        };
        if c.is_control() {
            return None;
        }
        out.push(c);
    }
    Some(out)
}

fn unicode(digits: &str) -> Option<char> {
    let all_hex = digits.bytes().all(|digit| hex(digit).is_some());
    if !all_hex || !(2..=6).contains(&digits.len()) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_undone_exactly() {
        for (given, meant) in [
            ("alice@example.org", Some("alice@example.org")),
            ("a+2Bb+3Dc+20d", Some("a+b=c d")),
            ("", Some("")),
            ("a+2b", None),
            ("a+2", None),
            ("a=b", None),
            ("a+0D+0A", None),
            ("a+FF", None),
            ("ä", None),
        ] {
            assert_eq!(decode(given).as_deref(), meant, "{given}");
        }
        for (given, meant) in [
            (
                "j\\x{FC}rgen@m\\x{FC}nchen.example",
                Some("jürgen@münchen.example"),
            ),
            ("jürgen@x", Some("jürgen@x")),
            ("a\\x{2B}b", Some("a+b")),
            ("a+b", None),
            ("\\x{0A}", None),
            ("\\x{FC", None),
            ("\\x{fc}", None),
            ("\\x{D800}", None),
            ("\\y", None),
        ] {
            assert_eq!(decode_utf8(given).as_deref(), meant, "{given}");
        }
    }
}
