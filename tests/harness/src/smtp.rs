//! An SMTP client that can also misbehave; every reply it takes is held to the grammar of replies.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::{DialogError, Transcript, Wire};
use crate::wait::PATIENCE;

/// One SMTP connection.
#[derive(Debug)]
pub struct SmtpClient {
    wire: Wire,
    /// What the next reply may be, for the rules it is held to.
    due: Due,
}

/// To what the next reply belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Greeting,
    Hello,
    Other,
}

impl SmtpClient {
    /// Connects without waiting for the greeting.
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::connect_patiently(to, PATIENCE)
    }

    /// As [`SmtpClient::connect`], with a limit on every wait.
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub fn connect_patiently(to: SocketAddr, patience: Duration) -> io::Result<Self> {
        Ok(Self {
            wire: Wire::connect(to, patience)?,
            due: Due::Greeting,
        })
    }

    /// Connects, takes the greeting and says EHLO.
    ///
    /// # Errors
    /// When the server does not answer 220 and 250.
    pub fn greeted(to: SocketAddr) -> Result<Self, DialogError> {
        let mut client = Self::connect(to)?;
        client.expect(220)?;
        client.command("EHLO client.example", 250)?;
        Ok(client)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        let verb = bytes.get(..4).unwrap_or_default().to_ascii_uppercase();
        if self.due == Due::Other && (verb == b"EHLO" || verb == b"HELO") {
            self.due = Due::Hello;
        }
        self.wire.send(bytes)
    }

    /// Sends bytes as they are, leaving them out of the transcript.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_quietly(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send_quietly(bytes.as_ref())
    }

    /// Takes one reply, all its lines: the code and the lines with LF between them.
    ///
    /// # Errors
    /// When the connection fails, or what came is not a reply (RFC 5321 §4.2).
    pub fn reply(&mut self) -> Result<(u16, String), DialogError> {
        let mut text = String::new();
        let code = loop {
            let line = self.wire.line()?;
            self.wire.transcript.note('S', &line);
            let shown = String::from_utf8_lossy(&line).into_owned();
            let not_a_reply = || DialogError::Unexpected {
                wanted: "a reply line".into(),
                got: shown.clone(),
            };
            let body = shown.strip_suffix("\r\n").ok_or_else(not_a_reply)?;
            let code = body
                .get(..3)
                .and_then(|code| code.parse().ok())
                .ok_or_else(not_a_reply)?;
            text.push_str(body);
            match body.as_bytes().get(3) {
                Some(b'-') => text.push('\n'),
                None | Some(b' ') => break code,
                Some(_) => return Err(not_a_reply()),
            }
        };
        let due = std::mem::replace(&mut self.due, Due::Other);
        match fault(&text, due) {
            None => Ok((code, text)),
            Some(wanted) => Err(DialogError::Unexpected {
                wanted: wanted.into(),
                got: text,
            }),
        }
    }

    /// Takes one reply and insists on its code.
    ///
    /// # Errors
    /// When another code comes.
    pub fn expect(&mut self, code: u16) -> Result<String, DialogError> {
        let (got, text) = self.reply()?;
        if got == code {
            return Ok(text);
        }
        Err(DialogError::Unexpected {
            wanted: code.to_string(),
            got: text,
        })
    }

    /// Sends a command line and insists on its reply's code.
    ///
    /// # Errors
    /// When another code comes.
    pub fn command(&mut self, line: &str, code: u16) -> Result<String, DialogError> {
        self.send(format!("{line}\r\n"))?;
        self.expect(code)
    }

    /// One whole transaction; `content` has CRLF line ends and no dot-stuffing yet.
    /// Returns the reply to the end of data.
    ///
    /// # Errors
    /// When any step is refused.
    pub fn deliver(
        &mut self,
        from: &str,
        to: &[&str],
        content: &[u8],
    ) -> Result<String, DialogError> {
        self.command(&format!("MAIL FROM:<{from}>"), 250)?;
        for recipient in to {
            self.command(&format!("RCPT TO:<{recipient}>"), 250)?;
        }
        self.command("DATA", 354)?;
        self.send_quietly(dot_stuffed(content))?;
        self.send(b".\r\n")?;
        self.expect(250)
    }

    /// Everything until the server closes.
    ///
    /// # Errors
    /// When the connection fails otherwise.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.wire.rest()
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.wire.stream()
    }

    /// What was said.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.wire.transcript
    }
}

/// Content as it goes between 354 and the final dot (RFC 5321 §4.5.2); a missing last CRLF is added.
fn dot_stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// What a reply breaks of RFC 5321 §4.2 and §4.5.3.1.5, and of RFC 2034 §4: an enhanced code of the reply's class on every
/// line of 2xx, 4xx and 5xx, but for the greeting and the welcome to HELO and EHLO.
fn fault(reply: &str, due: Due) -> Option<&'static str> {
    let code = reply.get(..3).unwrap_or_default();
    let exempt = match due {
        Due::Greeting => code == "220",
        Due::Hello => code == "250",
        Due::Other => false,
    };
    for line in reply.split('\n') {
        let Some((at, text)) = line.split_at_checked(3) else {
            return Some("a code on every line");
        };
        if at != code {
            return Some("the same code on every line");
        }
        if line.len() > 510 || line.chars().any(char::is_control) {
            return Some("reply lines of at most 512 octets without control characters");
        }
        let class = code.as_bytes()[0];
        if !(b'2'..=b'5').contains(&class) {
            return Some("a code from 200 to 599");
        }
        let words = text.get(1..).unwrap_or_default();
        if !exempt && class != b'3' && !has_status(words, char::from(class)) {
            return Some("an enhanced status code of the reply's class");
        }
    }
    None
}

fn has_status(text: &str, class: char) -> bool {
    let Some((status, words)) = text.split_once(' ') else {
        return false;
    };
    let parts: Vec<_> = status.split('.').collect();
    let numbers = parts
        .iter()
        .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()));
    parts.len() == 3 && numbers && status.starts_with(class) && !words.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faulty_replies_are_noticed() {
        for (reply, due, good) in [
            ("220 mail.example ESMTP", Due::Greeting, true),
            ("421 too many", Due::Greeting, false),
            ("421 4.7.0 too many", Due::Greeting, true),
            ("250-mail.example\n250 HELP", Due::Hello, true),
            ("250 Ok", Due::Other, false),
            ("250 2.0.0 Ok", Due::Other, true),
            ("250-2.0.0 a\n250 b", Due::Other, false),
            ("250-2.0.0 a\n251 2.0.0 b", Due::Other, false),
            ("550 4.1.1 Unknown", Due::Other, false),
            ("550 5.1.1 \u{7}", Due::Other, false),
            ("354 Go ahead", Due::Other, true),
        ] {
            assert_eq!(fault(reply, due).is_none(), good, "{reply}");
        }
    }
}
