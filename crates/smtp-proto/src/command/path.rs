//! Paths in angle brackets (RFC 5321 §4.1.2).

use mail_types::AddressHost;

/// Splits `<path>` off the front: what is in the brackets, and the parameters behind them.
///
/// A `>` within a quoted local-part does not end the path.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let end = closing_bracket(inner)?;
    let (path, rest) = inner.split_at(end);
    let rest = &rest[1..];
    match rest.strip_prefix(' ') {
        Some(parameters) => Some((path, parameters)),
        None if rest.is_empty() => Some((path, rest)),
        None => None,
    }
}

fn closing_bracket(inner: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Drops a source route, `@a,@b:`, which must be accepted and should be ignored (RFC 5321 §4.1.1.3, appendix C).
pub(super) fn strip_source_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    // The last hop may be an IPv6 literal, whose colons stand in brackets.
    let mut in_brackets = false;
    let end = path.bytes().position(|byte| {
        match byte {
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            _ => {}
        }
        byte == b':' && !in_brackets
    })?;
    let (route, mailbox) = path.split_at(end);
    for hop in route.split(',') {
        AddressHost::parse(hop.strip_prefix('@')?).ok()?;
    }
    Some(&mailbox[1..])
}
