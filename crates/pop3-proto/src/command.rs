//! From bytes to commands (RFC 1939 §3, RFC 2449 §4).
//!
//! A line ends with LF; a CR before it belongs to the line end. RFC 1939 wants CRLF, but clients that send a
//! bare LF exist, and unlike in SMTP nothing can be smuggled by it: a command carries no foreign content.

use std::fmt;

/// The most octets of a command with its line end (RFC 2449 §4).
pub const MAX_LINE: usize = 255;

/// What the client wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Capa,
    User(Vec<u8>),
    Pass(Password),
    Quit,
    Noop,
    Stat,
    Rset,
    List(Option<u32>),
    Uidl(Option<u32>),
    Retr(u32),
    Dele(u32),
    Top { message: u32, lines: u32 },
}

/// Why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadCommand {
    Unknown,
    TooLong,
    NoArgumentAllowed,
    ArgumentMissing,
    MessageNumber,
    LineCount,
}

/// A password as the client sent it; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// The octets; perhaps not UTF-8.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// What has arrived and is not yet a command.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// The rest of an over-long line is on its way and goes unread.
    skipping: bool,
}

impl Input {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..self.start);
        }
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// What has not been taken as commands.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The next command, once its line is complete. Without one, an idle client's buffer takes no memory.
    pub(crate) fn next(&mut self) -> Option<Result<Command, BadCommand>> {
        loop {
            let rest = &self.bytes[self.start..];
            let end = memchr::memchr(b'\n', rest);
            let too_long = end.map_or(rest.len() >= MAX_LINE, |end| end >= MAX_LINE);
            let skipped = std::mem::replace(&mut self.skipping, false);
            if skipped || too_long {
                self.skipping = end.is_none();
                self.start += end.map_or(rest.len(), |end| end + 1);
                if !skipped {
                    return Some(Err(BadCommand::TooLong));
                }
                if self.skipping {
                    return self.nothing();
                }
                continue;
            }
            let Some(end) = end else {
                return self.nothing();
            };
            let line = &rest[..end];
            let command = parse(line.strip_suffix(b"\r").unwrap_or(line));
            self.start += end + 1;
            return Some(command);
        }
    }

    fn nothing<T>(&mut self) -> Option<T> {
        if self.start == self.bytes.len() {
            self.bytes = Vec::new();
            self.start = 0;
        }
        None
    }
}

fn parse(line: &[u8]) -> Result<Command, BadCommand> {
    let space = memchr::memchr(b' ', line);
    let keyword = &line[..space.unwrap_or(line.len())];
    let argument = space.map(|at| &line[at + 1..]);
    match keyword.to_ascii_uppercase().as_slice() {
        b"CAPA" => alone(argument, Command::Capa),
        b"QUIT" => alone(argument, Command::Quit),
        b"NOOP" => alone(argument, Command::Noop),
        b"STAT" => alone(argument, Command::Stat),
        b"RSET" => alone(argument, Command::Rset),
        b"USER" => present(argument).map(|name| Command::User(name.to_vec())),
        // All after the first space is the password, further spaces too (RFC 1939 §7, PASS).
        b"PASS" => present(argument).map(|password| Command::Pass(Password(password.to_vec()))),
        b"LIST" => optional_number(argument).map(Command::List),
        b"UIDL" => optional_number(argument).map(Command::Uidl),
        b"RETR" => one_number(argument).map(Command::Retr),
        b"DELE" => one_number(argument).map(Command::Dele),
        b"TOP" => top(argument),
        _ => Err(BadCommand::Unknown),
    }
}

fn alone(argument: Option<&[u8]>, command: Command) -> Result<Command, BadCommand> {
    match words(argument).next() {
        None => Ok(command),
        Some(_) => Err(BadCommand::NoArgumentAllowed),
    }
}

fn present(argument: Option<&[u8]>) -> Result<&[u8], BadCommand> {
    argument
        .filter(|argument| !argument.is_empty())
        .ok_or(BadCommand::ArgumentMissing)
}

fn optional_number(argument: Option<&[u8]>) -> Result<Option<u32>, BadCommand> {
    match words(argument).next() {
        None => Ok(None),
        Some(_) => one_number(argument).map(Some),
    }
}

fn one_number(argument: Option<&[u8]>) -> Result<u32, BadCommand> {
    let mut words = words(argument);
    let message = words.next().ok_or(BadCommand::ArgumentMissing)?;
    if words.next().is_some() {
        return Err(BadCommand::MessageNumber);
    }
    number(message).ok_or(BadCommand::MessageNumber)
}

fn top(argument: Option<&[u8]>) -> Result<Command, BadCommand> {
    let mut words = words(argument);
    let (Some(message), Some(lines)) = (words.next(), words.next()) else {
        return Err(BadCommand::ArgumentMissing);
    };
    if words.next().is_some() {
        return Err(BadCommand::LineCount);
    }
    Ok(Command::Top {
        message: number(message).ok_or(BadCommand::MessageNumber)?,
        lines: number(lines).ok_or(BadCommand::LineCount)?,
    })
}

fn words(argument: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    argument
        .unwrap_or_default()
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty())
}

/// Digits only; what is beyond `u32` is beyond every message and every line, and stays so.
fn number(word: &[u8]) -> Option<u32> {
    word.iter().try_fold(0u32, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(chunks: &[&[u8]]) -> Vec<Result<Command, BadCommand>> {
        let mut input = Input::default();
        let mut found = Vec::new();
        for chunk in chunks {
            input.push(chunk);
            found.extend(std::iter::from_fn(|| input.next()));
        }
        found
    }

    #[test]
    fn commands_are_read() {
        let pass = |text: &str| Ok(Command::Pass(Password(text.into())));
        let cases: Vec<(&str, Result<Command, BadCommand>)> = vec![
            ("CAPA", Ok(Command::Capa)),
            ("quit", Ok(Command::Quit)),
            ("Noop ", Ok(Command::Noop)),
            ("STAT", Ok(Command::Stat)),
            ("RSET", Ok(Command::Rset)),
            ("USER a b@c", Ok(Command::User("a b@c".into()))),
            ("PASS  two  spaces ", pass(" two  spaces ")),
            ("PASS x", pass("x")),
            ("LIST", Ok(Command::List(None))),
            ("LIST ", Ok(Command::List(None))),
            ("LIST 7", Ok(Command::List(Some(7)))),
            ("UIDL  12", Ok(Command::Uidl(Some(12)))),
            ("RETR 1", Ok(Command::Retr(1))),
            ("DELE 99999999999999999999", Ok(Command::Dele(u32::MAX))),
            (
                "TOP 3 0",
                Ok(Command::Top {
                    message: 3,
                    lines: 0,
                }),
            ),
            ("STAT 1", Err(BadCommand::NoArgumentAllowed)),
            ("USER", Err(BadCommand::ArgumentMissing)),
            ("USER ", Err(BadCommand::ArgumentMissing)),
            ("PASS", Err(BadCommand::ArgumentMissing)),
            ("RETR", Err(BadCommand::ArgumentMissing)),
            ("RETR x", Err(BadCommand::MessageNumber)),
            ("RETR -1", Err(BadCommand::MessageNumber)),
            ("RETR 1 2", Err(BadCommand::MessageNumber)),
            ("LIST 1 2", Err(BadCommand::MessageNumber)),
            ("TOP 1", Err(BadCommand::ArgumentMissing)),
            ("TOP 1 x", Err(BadCommand::LineCount)),
            ("TOP 1 2 3", Err(BadCommand::LineCount)),
            ("LAST", Err(BadCommand::Unknown)),
            ("APOP a b", Err(BadCommand::Unknown)),
            ("", Err(BadCommand::Unknown)),
            (" STAT", Err(BadCommand::Unknown)),
            ("STAT\t", Err(BadCommand::Unknown)),
        ];
        for (line, wanted) in cases {
            let found = all(&[format!("{line}\r\n").as_bytes()]);
            assert_eq!(found, [wanted], "{line:?}");
        }
    }

    #[test]
    fn lines_end_with_lf_and_perhaps_cr() {
        assert_eq!(
            all(&[b"STAT\nRETR 1\r", b"\nNO", b"OP\n", b"QU"]),
            [Ok(Command::Stat), Ok(Command::Retr(1)), Ok(Command::Noop)]
        );
    }

    #[test]
    fn the_longest_line_has_255_octets() {
        // RFC 2449 §4: 255 with CRLF.
        let longest = format!("USER {}\r\n", "x".repeat(MAX_LINE - 7));
        assert!(matches!(
            all(&[longest.as_bytes()])[..],
            [Ok(Command::User(_))]
        ));
        let longer = format!("USER {}\r\nSTAT\r\n", "x".repeat(MAX_LINE - 6));
        let wanted = [Err(BadCommand::TooLong), Ok(Command::Stat)];
        assert_eq!(all(&[longer.as_bytes()]), wanted);
        let endless = vec![b'x'; 100_000];
        assert_eq!(all(&[&endless, &endless, b"\r\nSTAT\r\n"]), wanted);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            format!("{:?}", Password(b"secret".to_vec())),
            "Password(hidden)"
        );
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            text in "(STAT|RETR [0-9]{1,3}|USER [a-z ]{0,5}|x{240,270}|PASS .{0,9}|\r|)(\r\n|\n)",
            times in 1usize..4,
            cuts in proptest::collection::vec(0usize..1000, 0..8),
        ) {
            let bytes = text.repeat(times).into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(all(&chunks), all(&[&bytes]));
        }
    }
}
