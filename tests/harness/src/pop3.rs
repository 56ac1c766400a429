//! A POP3 client.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::{DialogError, Transcript, Wire};
use crate::wait::PATIENCE;

/// One POP3 connection.
#[derive(Debug)]
pub struct Pop3Client {
    wire: Wire,
}

impl Pop3Client {
    /// Connects and takes the greeting.
    ///
    /// # Errors
    /// When there is no `+OK`.
    pub fn connect(to: SocketAddr) -> Result<Self, DialogError> {
        Self::connect_patiently(to, PATIENCE)
    }

    /// As [`Pop3Client::connect`], with a limit on every wait.
    ///
    /// # Errors
    /// When there is no `+OK`.
    pub fn connect_patiently(to: SocketAddr, patience: Duration) -> Result<Self, DialogError> {
        let mut client = Self {
            wire: Wire::connect(to, patience)?,
        };
        client.ok()?;
        Ok(client)
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn login(to: SocketAddr, user: &str, password: &str) -> Result<Self, DialogError> {
        let mut client = Self::connect(to)?;
        client.command(&format!("USER {user}"))?;
        client.command(&format!("PASS {password}"))?;
        Ok(client)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// One status line, whatever it says, without its line end.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn status(&mut self) -> Result<String, DialogError> {
        let line = self.wire.line()?;
        self.wire.transcript.note('S', &line);
        Ok(String::from_utf8_lossy(&line)
            .trim_end_matches("\r\n")
            .to_owned())
    }

    /// One status line that must be `+OK`; returns what follows.
    ///
    /// # Errors
    /// When it is not.
    pub fn ok(&mut self) -> Result<String, DialogError> {
        let line = self.status()?;
        match line.strip_prefix("+OK") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(DialogError::Unexpected {
                wanted: "+OK".into(),
                got: line,
            }),
        }
    }

    /// Sends a command that must be answered `+OK`.
    ///
    /// # Errors
    /// When it is not.
    pub fn command(&mut self, line: &str) -> Result<String, DialogError> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        self.ok()
    }

    /// Sends a command that must be answered `-ERR`; returns what follows.
    ///
    /// # Errors
    /// When it is not.
    pub fn refused(&mut self, line: &str) -> Result<String, DialogError> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        let line = self.status()?;
        match line.strip_prefix("-ERR") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(DialogError::Unexpected {
                wanted: "-ERR".into(),
                got: line,
            }),
        }
    }

    /// Sends a command with a multi-line answer; returns its bytes with dot-stuffing undone (RFC 1939 §3).
    ///
    /// # Errors
    /// When it is refused.
    pub fn multiline(&mut self, line: &str) -> Result<Vec<u8>, DialogError> {
        self.command(line)?;
        let mut content = Vec::new();
        loop {
            let line = self.wire.line()?;
            if line == b".\r\n" {
                return Ok(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// How many messages, and octets in all.
    ///
    /// # Errors
    /// When STAT is refused or not understood.
    pub fn stat(&mut self) -> Result<(usize, u64), DialogError> {
        let answer = self.command("STAT")?;
        let mut words = answer.split(' ');
        let numbers = (|| Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?)))();
        numbers.ok_or(DialogError::Unexpected {
            wanted: "+OK n octets".into(),
            got: answer,
        })
    }

    /// One message.
    ///
    /// # Errors
    /// When it is refused.
    pub fn retrieve(&mut self, number: usize) -> Result<Vec<u8>, DialogError> {
        self.multiline(&format!("RETR {number}"))
    }

    /// Says QUIT, which carries out the deletes.
    ///
    /// # Errors
    /// When it is refused.
    pub fn quit(mut self) -> Result<Transcript, DialogError> {
        self.command("QUIT")?;
        Ok(self.wire.transcript)
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.wire.stream()
    }

    /// What was said; message content is left out.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.wire.transcript
    }
}
