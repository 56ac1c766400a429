//! A line-based connection that writes down what both sides said.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What both sides said, line by line: `C: ` ours, `S: ` the server's.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Vec<String>);

impl Transcript {
    pub(crate) fn note(&mut self, who: char, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines() {
            self.0.push(format!("{who}: {line}"));
        }
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A dialog that did not go as it should.
#[derive(Debug)]
pub enum DialogError {
    /// The connection failed or ended.
    Connection(io::Error),
    /// The server said something else than expected.
    Unexpected {
        /// What was wanted.
        wanted: String,
        /// What came.
        got: String,
    },
}

impl fmt::Display for DialogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "the connection failed: {error}"),
            Self::Unexpected { wanted, got } => {
                write!(f, "expected {wanted}, the server said: {got}")
            }
        }
    }
}

impl std::error::Error for DialogError {}

impl From<io::Error> for DialogError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// The connection under a client.
#[derive(Debug)]
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
    pub(crate) transcript: Transcript,
}

impl Wire {
    pub(crate) fn connect(to: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::new(stream),
            transcript: Transcript::default(),
        })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends bytes as they are, and notes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transcript.note('C', bytes);
        self.send_quietly(bytes)
    }

    /// Sends bytes as they are, without a note: message content.
    pub(crate) fn send_quietly(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// One line with its line end; an ended connection is an error.
    pub(crate) fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        Ok(line)
    }

    /// Everything until the server closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        io::Read::read_to_end(&mut self.reader, &mut rest)?;
        Ok(rest)
    }
}
