//! An SMTP client that can also misbehave.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::{DialogError, Transcript, Wire};
use crate::wait::PATIENCE;

/// One SMTP connection.
#[derive(Debug)]
pub struct SmtpClient {
    wire: Wire,
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
        self.wire.send(bytes.as_ref())
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
        loop {
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
                None | Some(b' ') => return Ok((code, text)),
                Some(_) => return Err(not_a_reply()),
            }
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
        self.wire.send(format!("{line}\r\n").as_bytes())?;
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
