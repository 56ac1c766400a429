//! All texts that a peer gets (RFC 5321 §4.2, RFC 3463).
//!
//! Nothing here takes octets of the peer. Addresses in replies are ours, from the directory, and are printed from
//! their parsed form.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use mail_types::{Address, EnhancedStatus, QueueId};

use crate::command::{CommandError, Verb};
use crate::content::Fault;
use crate::session::{ExpandAnswer, NotStored, VerifyAnswer};
use crate::settings::{OverQuotaReply, Settings, Unwelcome};

/// A whole reply as it goes on the wire, less the last CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply(Cow<'static, str>);

impl Reply {
    const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    fn lines(code: u16, status: EnhancedStatus, lines: &str) -> Self {
        let mut wire = Vec::new();
        mail_types::Reply::new(code, status, lines).write_to(&mut wire);
        let text = String::from_utf8_lossy(&wire);
        Self(text.trim_end().to_owned().into())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// 5xx: the peer did something that it should not repeat.
    pub(crate) fn is_permanent(&self) -> bool {
        self.0.starts_with('5')
    }
}

/// For the log.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split('\r').next().unwrap_or_default())
    }
}

macro_rules! replies {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) const $name: Reply = Reply::fixed($text);)*
        #[cfg(test)]
        const FIXED: &[Reply] = &[$($name),*];
    };
}

replies! {
    OK = "250 2.0.0 Ok";
    SENDER_OK = "250 2.1.0 Ok";
    RECIPIENT_OK = "250 2.1.5 Ok";
    GO_AHEAD = "354 End data with <CR><LF>.<CR><LF>";
    BYE = "221 2.0.0 Bye";

    // The session ends.
    EARLY_TALKER = "554 5.5.0 You spoke before the greeting: this is not SMTP, closing";
    OUT_OF_STEP = "554 5.5.0 Commands were sent without waiting for the reply to the one before: out of step, closing";
    BARE_LF_COMMAND = "521 5.5.2 A command line ends in LF without CR: lines must end in CRLF, closing";
    HTTP = "521 5.5.1 This is a mail server, closing";
    CHUNK_SIZE = "521 5.5.4 Syntax: BDAT size [LAST]; without the size the next command cannot be found, closing";
    TOO_MANY_ERRORS = "421 4.7.0 Too many errors, closing";
    TOO_MUCH_JUNK = "421 4.7.0 Too many commands that do not exist, closing";
    TOO_MUCH_OVERHEAD = "421 4.7.0 Too many commands without a message, closing";
    COMMAND_TIMEOUT = "421 4.4.2 No command in time, closing";
    CONTENT_TIMEOUT = "421 4.4.2 The content did not come in time, closing";
    TOO_SLOW = "421 4.4.2 The content comes too slowly, closing";
    SHUTTING_DOWN = "421 4.3.2 Server is shutting down, try again in a moment";
    FULL = "421 4.3.2 Too many connections in all, try again later";
    CLIENT_FULL = "421 4.7.0 Too many connections from your network, try again later";
    LINE_ENDLESS = "421 4.7.0 The line does not end, closing";

    // Commands.
    LINE_TOO_LONG = "500 5.5.2 Command line too long";
    NUL_COMMAND = "500 5.5.2 A command must not have NUL octets";
    CONTROL_COMMAND = "500 5.5.2 A command must not have control characters; lines end in CRLF only";
    NOT_UTF8 = "500 5.5.2 The command is not valid UTF-8";
    NON_ASCII = "553 5.6.7 An address outside ASCII needs SMTPUTF8";
    NON_ASCII_COMMAND = "500 5.5.2 This command takes ASCII only";
    UNKNOWN_COMMAND = "500 5.5.2 Command not recognized";
    TERMINAL_MESSAGES = "502 5.5.1 Not offered: messages to terminals were dropped from SMTP (RFC 5321 appendix F.6)";
    TURN = "502 5.5.1 Not offered: TURN is insecure and was dropped from SMTP (RFC 5321 appendix F.1)";
    NOT_OFFERED = "502 5.5.1 Not offered here";
    ARGUMENT = "501 5.5.4 This command takes no argument";
    BAD_HELO_NAME = "501 5.5.4 The argument must be your host name or address literal";
    SENDER_SYNTAX = "501 5.1.7 Bad sender address: expected <local-part@domain> or <>";
    RECIPIENT_SYNTAX = "501 5.1.3 Bad recipient address: expected <local-part@domain>";
    UNKNOWN_PARAMETER = "555 5.5.4 Parameter not recognized or not offered";
    REPEATED_PARAMETER = "501 5.5.4 A parameter is given twice";
    NEED_HELLO = "503 5.5.1 Say EHLO or HELO first";
    NEED_MAIL = "503 5.5.1 Say MAIL first";
    NEED_RECIPIENT = "503 5.5.1 Say RCPT first";
    NESTED_MAIL = "503 5.5.1 A transaction has begun already: finish it or say RSET";
    CHUNKS_BEGUN = "503 5.5.1 The content has begun with BDAT: continue with BDAT or say RSET";
    NO_RECIPIENTS = "554 5.5.1 No valid recipients";
    TOO_MANY_MESSAGES = "451 4.5.3 Too many messages in this session: reconnect";
    TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients: send them in another transaction";
    INTERNAL = "451 4.3.0 Internal error";

    // Recipients.
    NO_RELAY = "554 5.7.1 Relay access denied";
    NO_SUCH_USER = "550 5.1.1 No such user here";
    MOVED = "551 5.1.6 User has moved";
    OVER_QUOTA_NOW = "452 4.2.2 Mailbox is full";
    OVER_QUOTA_FOR_GOOD = "552 5.2.2 Mailbox is full";
    DIRECTORY_DOWN = "451 4.3.0 Recipient cannot be checked just now";
    VRFY_OFF = "252 2.0.0 Cannot VRFY user, but will accept message and attempt delivery";
    VRFY_REMOTE = "252 2.1.5 Not a user of this host, but a message may be relayed";
    EXPN_NO_ADDRESS = "252 2.1.5 An alias here, but none of its members is an address";
    EXPN_OFF = "502 5.7.2 EXPN is switched off";

    // Content.
    BARE_LF = "550 5.6.11 The message has a LF without CR (RFC 5321 section 2.3.8)";
    BARE_CR = "550 5.6.11 The message has a CR without LF (RFC 5321 section 2.3.8)";
    NUL_CONTENT = "550 5.6.0 The message has a NUL octet (RFC 5321 section 4.5.2)";
    TOO_LARGE = "552 5.3.4 Message too large";
    LOOP = "554 5.4.6 Too many hops: this looks like a mail loop";
    DISK_FULL = "452 4.3.1 Not enough disk space, try again later";
    STORAGE_FAILED = "451 4.3.0 The message could not be stored, try again later";
    OVERLOADED = "451 4.3.2 The queue is overloaded, try again later";
    QUEUE_DOWN = "451 4.3.0 The queue cannot be reached, try again later";
}

/// The list of extensions (RFC 5321 §4.1.1.1); each is done to the end.
pub(crate) fn ehlo(settings: &Settings) -> String {
    let mut text = format!("250-{}\r\n250-PIPELINING\r\n", settings.hostname);
    let size = settings.content.size_limit;
    // Writing to a String cannot fail.
    let _ = write!(text, "250-SIZE {size}\r\n250-8BITMIME\r\n");
    if settings.smtputf8 {
        text.push_str("250-SMTPUTF8\r\n");
    }
    text.push_str("250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-CHUNKING\r\n");
    // RFC 9422 §4: names in alphabetical order are not asked for, but kind.
    text.push_str("250-LIMITS");
    if let Some(messages) = settings.message_limit {
        let _ = write!(text, " MAILMAX={messages}");
    }
    let _ = write!(
        text,
        " RCPTMAX={}\r\n250 HELP\r\n",
        settings.recipient_limit
    );
    text
}

pub(crate) fn unwelcome(why: Unwelcome) -> Reply {
    match why {
        Unwelcome::Full => FULL,
        Unwelcome::ClientFull => CLIENT_FULL,
        Unwelcome::ShuttingDown => SHUTTING_DOWN,
    }
}

pub(crate) fn command_error(error: CommandError) -> Reply {
    match error {
        CommandError::Nul => NUL_COMMAND,
        CommandError::Control => CONTROL_COMMAND,
        CommandError::NotUtf8 => NOT_UTF8,
        CommandError::NonAscii => NON_ASCII,
        CommandError::NonAsciiCommand => NON_ASCII_COMMAND,
        CommandError::Unknown => UNKNOWN_COMMAND,
        CommandError::Http => HTTP,
        CommandError::UnexpectedArgument(_) => ARGUMENT,
        CommandError::Syntax(verb) => Reply(format!("501 5.5.4 Syntax: {}", syntax(verb)).into()),
        CommandError::ReversePath => SENDER_SYNTAX,
        CommandError::ForwardPath => RECIPIENT_SYNTAX,
        CommandError::UnknownParameter => UNKNOWN_PARAMETER,
        CommandError::RepeatedParameter => REPEATED_PARAMETER,
        CommandError::ParameterValue(name) => {
            Reply(format!("501 5.5.4 The value of {name} is malformed or not offered").into())
        }
        CommandError::ChunkSize => CHUNK_SIZE,
    }
}

pub(crate) fn not_offered(verb: Verb) -> Reply {
    match verb {
        Verb::Send | Verb::Soml | Verb::Saml => TERMINAL_MESSAGES,
        Verb::Turn => TURN,
        _ => NOT_OFFERED,
    }
}

fn syntax(verb: Verb) -> &'static str {
    match verb {
        Verb::Helo => "HELO hostname",
        Verb::Ehlo => "EHLO hostname",
        Verb::Mail => {
            "MAIL FROM:<address> [SIZE=n] [BODY=7BIT|8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext]"
        }
        Verb::Rcpt => "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]",
        Verb::Data => "DATA",
        Verb::Bdat => "BDAT size [LAST]",
        Verb::Rset => "RSET",
        Verb::Noop => "NOOP",
        Verb::Quit => "QUIT",
        Verb::Vrfy => "VRFY address [SMTPUTF8]",
        Verb::Expn => "EXPN alias [SMTPUTF8]",
        Verb::Help => "HELP [command]",
        verb => verb.name(),
    }
}

pub(crate) fn help(verb: Option<Verb>) -> Reply {
    let status = EnhancedStatus::new(2, 0, 0);
    match verb {
        Some(verb @ (Verb::Send | Verb::Soml | Verb::Saml | Verb::Turn)) => Reply::lines(
            214,
            status,
            &format!("{verb} was dropped from SMTP and is not offered"),
        ),
        Some(verb) => Reply::lines(214, status, syntax(verb)),
        None => Reply::lines(
            214,
            status,
            "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP\nHELP command tells its syntax",
        ),
    }
}

pub(crate) fn queued(id: QueueId) -> Reply {
    Reply(format!("250 2.0.0 Ok: queued as {id}").into())
}

pub(crate) fn chunk_received(size: u64) -> Reply {
    Reply(format!("250 2.0.0 {size} octets received").into())
}

pub(crate) fn fault(fault: Fault, settings: &Settings) -> Reply {
    match fault {
        Fault::BareLf => BARE_LF,
        Fault::BareCr => BARE_CR,
        Fault::Nul => NUL_CONTENT,
        Fault::LineTooLong => {
            let limit = settings.content.line_limit;
            Reply(format!("554 5.6.0 The message has a line of over {limit} octets").into())
        }
        Fault::TooLarge => TOO_LARGE,
        Fault::TooManyHops => LOOP,
    }
}

pub(crate) fn not_stored(why: NotStored) -> Reply {
    match why {
        NotStored::DiskFull => DISK_FULL,
        NotStored::StorageFailed => STORAGE_FAILED,
        NotStored::Overloaded => OVERLOADED,
        NotStored::Unavailable => QUEUE_DOWN,
    }
}

pub(crate) fn over_quota(reply: OverQuotaReply) -> Reply {
    match reply {
        OverQuotaReply::Temporary => OVER_QUOTA_NOW,
        OverQuotaReply::Permanent => OVER_QUOTA_FOR_GOOD,
    }
}

/// RFC 5321 §3.4; without SMTPUTF8 a reply is ASCII (RFC 6531 §3.7.4.3), so another new address is not told.
pub(crate) fn moved(to: &Address, smtputf8: bool) -> Reply {
    if to.is_internationalized() && !smtputf8 {
        return MOVED;
    }
    Reply(format!("551 5.1.6 User has moved; please try <{to}>").into())
}

pub(crate) fn verified(answer: &VerifyAnswer, smtputf8: bool) -> Reply {
    match answer {
        VerifyAnswer::Deliverable(address) => list(250, 2, std::slice::from_ref(address), smtputf8),
        VerifyAnswer::Ambiguous(addresses) => list(553, 5, addresses, smtputf8),
        VerifyAnswer::Moved(to) => moved(to, smtputf8),
        VerifyAnswer::Remote => VRFY_REMOTE,
        VerifyAnswer::Unknown => NO_SUCH_USER,
        VerifyAnswer::Unavailable => DIRECTORY_DOWN,
    }
}

pub(crate) fn expanded(answer: &ExpandAnswer, smtputf8: bool) -> Reply {
    match answer {
        ExpandAnswer::Members(members) if members.is_empty() => EXPN_NO_ADDRESS,
        ExpandAnswer::Members(members) => list(250, 2, members, smtputf8),
        ExpandAnswer::Unknown => NO_SUCH_USER,
        ExpandAnswer::Unavailable => DIRECTORY_DOWN,
    }
}

/// RFC 6531 §3.7.4.3: what needs SMTPUTF8 cannot be told without; if nothing else is left, 252 says so.
fn list(code: u16, class: u8, addresses: &[Address], smtputf8: bool) -> Reply {
    let mut text = String::new();
    for address in addresses {
        if smtputf8 || !address.is_internationalized() {
            let separator = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{separator}<{address}>");
        }
    }
    match (text.is_empty(), class) {
        (false, 2) => Reply::lines(code, EnhancedStatus::new(2, 1, 5), &text),
        (false, _) => {
            let text = format!("Several match; say which:\n{text}");
            Reply::lines(code, EnhancedStatus::new(5, 1, 4), &text)
        }
        (true, _) => Reply::fixed("252 2.6.8 The answer needs SMTPUTF8 to be shown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_has_a_code_and_an_enhanced_code_of_its_class() {
        for reply in FIXED {
            let text = reply.to_string();
            let (code, rest) = text.split_once(' ').unwrap();
            assert!(text.is_ascii() && text.len() < 510, "{text}");
            assert_eq!(code.len(), 3, "{text}");
            if code.starts_with('3') {
                continue;
            }
            let status: EnhancedStatus = rest.split_once(' ').unwrap().0.parse().unwrap();
            assert_eq!(status.class, code.as_bytes()[0] - b'0', "{text}");
        }
    }

    #[test]
    fn lists_are_right_on_every_line() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        let both = vec![address("a@x.example"), address("ä@x.example")];
        for (reply, wire) in [
            (
                list(250, 2, &both, true),
                "250-2.1.5 <a@x.example>\r\n250 2.1.5 <ä@x.example>",
            ),
            (list(250, 2, &both, false), "250 2.1.5 <a@x.example>"),
            (
                list(250, 2, &both[1..], false),
                "252 2.6.8 The answer needs SMTPUTF8 to be shown",
            ),
            (
                list(553, 5, &both[..1], false),
                "553-5.1.4 Several match; say which:\r\n553 5.1.4 <a@x.example>",
            ),
            (
                moved(&both[0], false),
                "551 5.1.6 User has moved; please try <a@x.example>",
            ),
            (moved(&both[1], false), "551 5.1.6 User has moved"),
        ] {
            assert_eq!(reply.0, wire);
        }
        for verb in Verb::ALL {
            assert!(help(Some(*verb)).0.starts_with("214 2.0.0 "));
        }
    }
}
