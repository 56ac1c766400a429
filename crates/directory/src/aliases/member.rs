//! What one member of an alias means.

use std::path::{Component, Path, PathBuf};

use mail_types::{Address, LocalPart};
use routing::Member;

use super::lexer::has_domain;

/// A member, or the file that has more of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Member(Member),
    Include(PathBuf),
}

/// A member in the aliases file itself.
pub(super) fn parse(item: &str) -> Result<Parsed, String> {
    let text = match unquoted(item) {
        // "quoted local part"@domain
        Some((_, rest)) if rest.starts_with('@') => return address(item).map(Parsed::Member),
        Some((text, "")) => text?,
        Some(_) => return Err(format!("{item:?} goes on after its quotes")),
        None => item.to_owned(),
    };
    if let Some(command) = text.strip_prefix('|') {
        let command = command.trim();
        return match command.is_empty() {
            true => Err("there is no command after |".to_owned()),
            false => Ok(Parsed::Member(Member::Command(command.to_owned()))),
        };
    }
    if let Some(path) = text.strip_prefix(":include:") {
        return plain_path(path.trim()).map(Parsed::Include);
    }
    if text.starts_with('/') {
        return plain_path(&text).map(|path| Parsed::Member(Member::File(path)));
    }
    let quoted = item.starts_with('"');
    recipient(&text, quoted).map(Parsed::Member)
}

/// A member in an included list: recipients only.
pub(super) fn parse_listed(item: &str) -> Result<Member, String> {
    match parse(item)? {
        Parsed::Include(_) => Err("an included file cannot include another".to_owned()),
        Parsed::Member(Member::File(_) | Member::Command(_)) => Err(
            "an included file cannot name files or commands: write them into the aliases file"
                .to_owned(),
        ),
        Parsed::Member(member) => Ok(member),
    }
}

fn recipient(text: &str, quoted: bool) -> Result<Member, String> {
    if let Some(user) = text.strip_prefix('\\') {
        return local_part(user).map(Member::Mailbox);
    }
    if text.starts_with(':') || text.starts_with("error:") {
        return Err(format!(
            "{text:?} is not supported: of the special forms only :include:/path is"
        ));
    }
    if has_domain(text) {
        return address(text);
    }
    if !quoted && text.contains(char::is_whitespace) {
        return Err(format!("{text:?} has two words: is a comma missing?"));
    }
    local_part(text).map(Member::Name)
}

fn address(text: &str) -> Result<Member, String> {
    Address::parse(text)
        .map(Member::Address)
        .map_err(|error| format!("{text:?} is no address: {error}"))
}

fn local_part(text: &str) -> Result<LocalPart, String> {
    LocalPart::from_unquoted(text).map_err(|error| format!("{text:?} is no user name: {error}"))
}

fn plain_path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain && !text.contains('\0') && text.len() > 1 {
        Ok(path.to_owned())
    } else {
        Err(format!("{text:?} is not an absolute path without . and .."))
    }
}

/// The meaning of a text in quotes at the beginning, and what follows it.
pub(super) fn unquoted(text: &str) -> Option<(Result<String, String>, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut meaning = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Ok(meaning), &inner[at + 1..])),
            '\\' => meaning.extend(chars.next().map(|(_, escaped)| escaped)),
            c => meaning.push(c),
        }
    }
    Some((Err("a quote is opened and not closed".to_owned()), ""))
}
