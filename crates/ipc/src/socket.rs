//! The system calls of a channel.

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandbox::fds::{recv_with_fds, send_with_fds};

use crate::wire::Outgoing;

/// How much one read takes.
pub(crate) const READ_SIZE: usize = 64 << 10;
/// A peer that has left this much unread gets nothing more done until it reads.
pub(crate) const HIGH_WATER: usize = 1 << 20;
/// The most chunks in one write.
const WRITE_SLICES: usize = 64;

/// Writes until nothing is left; `WouldBlock` when the socket takes no more.
pub(crate) fn flush(outgoing: &mut Outgoing, socket: BorrowedFd<'_>) -> io::Result<()> {
    while !outgoing.is_empty() {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let (used, fds) = outgoing.gather(&mut slices);
        match send_with_fds(socket, &slices[..used], &fds) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => outgoing.advance(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One read; 0 is the end of the stream, which a reset by a peer that closed with unread data also is.
pub(crate) fn read(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    loop {
        match recv_with_fds(socket, buffer, fds) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
            other => return other,
        }
    }
}

/// Locks; a panic elsewhere does not make the data unusable, as no invariant spans a panic here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
