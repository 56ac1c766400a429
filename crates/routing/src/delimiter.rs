//! The extension of a local-part: `alice+lists` is `alice` with the extension `lists`.

/// The local-part without its extension, if it has one: what stands before the first of the
/// `delimiters`.
///
/// Nothing is split off that would leave an empty name. Where `-` is a delimiter the customary
/// names stay whole: `mailer-daemon`, `owner-list` and `list-request`.
#[must_use]
pub fn base_of<'a>(local_part: &'a str, delimiters: &str) -> Option<&'a str> {
    let at = local_part.find(|c| delimiters.contains(c))?;
    let lower = local_part.to_lowercase();
    let whole = local_part[at..].starts_with('-')
        && (lower == "mailer-daemon" || lower.starts_with("owner-") || lower.ends_with("-request"));
    (at > 0 && !whole).then(|| &local_part[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_what_follows_the_first_delimiter() {
        for (local_part, delimiters, base) in [
            ("alice", "+", None),
            ("alice+x", "+", Some("alice")),
            ("alice+x+y", "+", Some("alice")),
            ("alice+", "+", Some("alice")),
            ("+x", "+", None),
            ("alice+x", "", None),
            ("alice-x+y", "+-", Some("alice")),
            ("jürgen+ü", "+", Some("jürgen")),
            ("owner-list", "-", None),
            ("list-Request", "-", None),
            ("owner-list+x", "+", Some("owner-list")),
            ("MAILER-DAEMON", "-", None),
        ] {
            assert_eq!(base_of(local_part, delimiters), base, "{local_part}");
        }
    }
}
