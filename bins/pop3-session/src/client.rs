//! The client's connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How much is read at a time: commands are short, and their replies can be long.
const READ: usize = 4 << 10;
/// How many reads a client may have sent that nobody wants any more.
const MAX_UNREAD: usize = 16;

/// Made with the first read: what a client pipelined may be all it says.
pub(crate) type ReadBuffer = Option<Box<[u8; READ]>>;

/// The client, and what is to be written to it.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// What is to be written next.
    pub out: Vec<u8>,
}

impl Client {
    /// Takes the connection over. Login halves use it without blocking, and the session after them does not.
    pub fn new(stream: TcpStream, timeout: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(timeout))?;
        // A read follows a poll, which has found something: this is for a client that resets in between.
        stream.set_read_timeout(Some(timeout))?;
        Ok(Self {
            stream,
            out: Vec::new(),
        })
    }

    /// One read; an empty answer is the end.
    pub fn read<'b>(&mut self, buffer: &'b mut ReadBuffer) -> io::Result<&'b [u8]> {
        let buffer = buffer.get_or_insert_with(|| Box::new([0; READ]));
        loop {
            match self.stream.read(buffer.as_mut_slice()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(&[]),
                count => return Ok(&buffer[..count?]),
            }
        }
    }

    /// Writes everything that is to be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written
    }

    /// Closes so that the last reply arrives: what is closed with input unread resets the connection.
    pub fn close(mut self) {
        let mut rest = [0; READ];
        // Whatever fails here, the connection is over.
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = self.stream.set_nonblocking(true);
        for _ in 0..MAX_UNREAD {
            if !matches!(self.stream.read(&mut rest), Ok(1..)) {
                return;
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
