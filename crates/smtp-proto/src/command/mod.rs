//! The grammar of commands (RFC 5321 §4.1.1), exactly, with nothing copied but addresses.
//!
//! Tolerated beyond the grammar, as everybody does: white space at the end of a command (RFC 5321 §4.1.1),
//! and spaces between `FROM:` or `TO:` and the path.

mod parameters;
mod path;
mod verb;
mod xtext;

use mail_types::{Address, ForwardPath, ReversePath};

pub use parameters::{MailParameters, RcptParameters};
pub use verb::Verb;

/// A well-formed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `HELO name`
    Helo(&'a str),
    /// `EHLO name`
    Ehlo(&'a str),
    /// `MAIL FROM:…`
    Mail(Box<MailCommand>),
    /// `RCPT TO:…`
    Rcpt(Box<RcptCommand>),
    /// `DATA`
    Data,
    /// `BDAT n [LAST]`
    Bdat(ChunkHeader),
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY …`
    Vrfy(Query<'a>),
    /// `EXPN …`
    Expn(Query<'a>),
    /// `HELP [command]`
    Help(Option<Verb>),
    /// A command of SMTP that this server does not do.
    NotOffered(Verb),
}

/// MAIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCommand {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// What else was said.
    pub parameters: MailParameters,
}

/// RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptCommand {
    /// Where mail is to go, its source route stripped.
    pub forward_path: ForwardPath,
    /// What else was said.
    pub parameters: RcptParameters,
}

/// BDAT (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Octets that follow the command.
    pub size: u64,
    /// Whether they are the last.
    pub last: bool,
}

/// The argument of VRFY and EXPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// A name or an address, angle brackets removed.
    pub text: &'a str,
    /// `SMTPUTF8` was said (RFC 6531 §3.7.4.2), so the reply may have UTF-8.
    pub smtputf8: bool,
}

/// Why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// A NUL octet.
    Nul,
    /// Another control character: a bare CR, a tab.
    Control,
    /// Octets over 127 that are not UTF-8.
    NotUtf8,
    /// An address outside ASCII, without SMTPUTF8.
    NonAscii,
    /// UTF-8 in a command that never takes any.
    NonAsciiCommand,
    /// The verb is none of SMTP's.
    Unknown,
    /// The verb is one of HTTP's: a browser was talked into speaking to us.
    Http,
    /// An argument where there must be none.
    UnexpectedArgument(Verb),
    /// No argument, or not of the form that HELP tells.
    Syntax(Verb),
    /// The path of MAIL is not one.
    ReversePath,
    /// The path of RCPT is not one.
    ForwardPath,
    /// A parameter that was not offered.
    UnknownParameter,
    /// A parameter that was given twice.
    RepeatedParameter,
    /// A parameter's value is not of its form.
    ParameterValue(&'static str),
    /// The size of a chunk is missing or no number: where the next command begins is not known.
    ChunkSize,
}

/// Parses one line, without its end.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_command(line: &[u8]) -> Result<Command<'_>, CommandError> {
    if memchr::memchr(0, line).is_some() {
        return Err(CommandError::Nul);
    }
    if line.iter().any(u8::is_ascii_control) {
        return Err(CommandError::Control);
    }
    let line = std::str::from_utf8(line).map_err(|_| CommandError::NotUtf8)?;
    let line = line.trim_end_matches(' ');
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let Some(verb) = Verb::parse(verb) else {
        return Err(match Verb::is_http(verb) {
            true => CommandError::Http,
            false => CommandError::Unknown,
        });
    };
    let allows_utf8 = matches!(verb, Verb::Mail | Verb::Rcpt | Verb::Vrfy | Verb::Expn);
    if !allows_utf8 && !argument.is_ascii() {
        return Err(CommandError::NonAsciiCommand);
    }
    with_argument(verb, argument.trim_start_matches(' '))
}

fn with_argument(verb: Verb, argument: &str) -> Result<Command<'_>, CommandError> {
    let none = |command| match argument {
        "" => Ok(command),
        _ => Err(CommandError::UnexpectedArgument(verb)),
    };
    match verb {
        Verb::Helo | Verb::Ehlo if argument.is_empty() || argument.contains(' ') => {
            Err(CommandError::Syntax(verb))
        }
        Verb::Helo => Ok(Command::Helo(argument)),
        Verb::Ehlo => Ok(Command::Ehlo(argument)),
        Verb::Mail => mail(argument).map(Command::Mail),
        Verb::Rcpt => rcpt(argument).map(Command::Rcpt),
        Verb::Data => none(Command::Data),
        Verb::Bdat => chunk(argument).map(Command::Bdat),
        Verb::Rset => none(Command::Rset),
        // RFC 5321 §4.1.1.9: an argument is ignored.
        Verb::Noop => Ok(Command::Noop),
        Verb::Quit => none(Command::Quit),
        Verb::Vrfy => query(verb, argument).map(Command::Vrfy),
        Verb::Expn => query(verb, argument).map(Command::Expn),
        Verb::Help => Ok(Command::Help(Verb::parse(argument))),
        verb => Ok(Command::NotOffered(verb)),
    }
}

fn mail(argument: &str) -> Result<Box<MailCommand>, CommandError> {
    let rest = strip_label(argument, "FROM:").ok_or(CommandError::Syntax(Verb::Mail))?;
    let (path, rest) = path::split(rest).ok_or(CommandError::ReversePath)?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        path => ReversePath::Address(parse_address(path, CommandError::ReversePath)?),
    };
    let parameters = MailParameters::parse(rest)?;
    let utf8 = reverse_path
        .address()
        .is_some_and(Address::is_internationalized);
    if utf8 && !parameters.smtputf8 {
        return Err(CommandError::NonAscii);
    }
    Ok(Box::new(MailCommand {
        reverse_path,
        parameters,
    }))
}

fn rcpt(argument: &str) -> Result<Box<RcptCommand>, CommandError> {
    let rest = strip_label(argument, "TO:").ok_or(CommandError::Syntax(Verb::Rcpt))?;
    let (path, rest) = path::split(rest).ok_or(CommandError::ForwardPath)?;
    let forward_path = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Address(parse_address(path, CommandError::ForwardPath)?)
    };
    Ok(Box::new(RcptCommand {
        forward_path,
        parameters: RcptParameters::parse(rest)?,
    }))
}

fn parse_address(path: &str, error: CommandError) -> Result<Address, CommandError> {
    let mailbox = path::strip_source_route(path).ok_or(error)?;
    Address::parse(mailbox).map_err(|_| error)
}

fn strip_label<'a>(argument: &'a str, label: &str) -> Option<&'a str> {
    let head = argument.get(..label.len())?;
    head.eq_ignore_ascii_case(label)
        .then(|| argument[label.len()..].trim_start_matches(' '))
}

fn chunk(argument: &str) -> Result<ChunkHeader, CommandError> {
    let mut words = argument.split_ascii_whitespace();
    let size = words.next().ok_or(CommandError::ChunkSize)?;
    if !size.bytes().all(|b| b.is_ascii_digit()) {
        return Err(CommandError::ChunkSize);
    }
    let size = size.parse().map_err(|_| CommandError::ChunkSize)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(CommandError::ChunkSize),
    };
    match words.next() {
        None => Ok(ChunkHeader { size, last }),
        Some(_) => Err(CommandError::ChunkSize),
    }
}

fn query(verb: Verb, argument: &str) -> Result<Query<'_>, CommandError> {
    let (text, smtputf8) = match argument.rsplit_once(' ') {
        Some((text, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (text.trim_end(), true),
        _ => (argument, false),
    };
    let inner = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    let text = inner.unwrap_or(text);
    if text.is_empty() {
        return Err(CommandError::Syntax(verb));
    }
    if !text.is_ascii() && !smtputf8 {
        return Err(CommandError::NonAscii);
    }
    Ok(Query { text, smtputf8 })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
