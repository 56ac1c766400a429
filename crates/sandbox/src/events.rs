//! Waiting: signals as readable descriptors, and `poll(2)`, for the programs that run without an async runtime.
//!
//! Invariant: the signals that a [`Signals`] stands for are blocked for the whole process from its making on,
//! so that none is lost between two polls. Make it before the first thread is started.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A signal that a program of ours handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// SIGTERM or SIGINT: stop in order.
    Stop,
    /// SIGHUP: reload.
    Reload,
    /// SIGCHLD: a child has ended.
    ChildEnded,
}

/// The handled signals as a descriptor that is readable while one is pending.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD and makes them readable.
    pub fn new() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGCHLD,
        ] {
            set.add(signal);
        }
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self(fd))
    }

    /// The next pending signal, if there is one; never waits.
    pub fn next(&self) -> io::Result<Option<Event>> {
        while let Some(info) = self.0.read_signal()? {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            match Signal::try_from(number) {
                Ok(Signal::SIGTERM | Signal::SIGINT) => return Ok(Some(Event::Stop)),
                Ok(Signal::SIGHUP) => return Ok(Some(Event::Reload)),
                Ok(Signal::SIGCHLD) => return Ok(Some(Event::ChildEnded)),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Ignores SIGINT and SIGHUP, which a terminal sends to every process of the suite: master alone answers them.
pub fn ignore_terminal_signals() -> io::Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler, so that nothing can run at a wrong moment.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Microseconds on the clock that systemd wants the moment of a reload from (`CLOCK_MONOTONIC`).
pub fn monotonic_microseconds() -> io::Result<i64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What to wait for on a descriptor. The end of a stream and errors count as readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something can be read.
    Readable,
    /// Something can be written, or read.
    ReadableOrWritable,
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// Reading will not block; it may give the end of the stream or an error.
    pub readable: bool,
    /// Writing will not block.
    pub writable: bool,
}

/// Waits until one of the descriptors is ready or the time is over; the answers are in the order of `fds`.
///
/// No time means to wait as long as it takes. A signal ends the wait early with nothing ready.
pub fn poll(
    fds: &[(BorrowedFd<'_>, Interest)],
    timeout: Option<Duration>,
) -> io::Result<Vec<Ready>> {
    let mut entries: Vec<PollFd<'_>> = fds
        .iter()
        .map(|(fd, interest)| {
            let flags = match interest {
                Interest::Readable => PollFlags::POLLIN,
                Interest::ReadableOrWritable => PollFlags::POLLIN | PollFlags::POLLOUT,
            };
            PollFd::new(*fd, flags)
        })
        .collect();
    match nix::poll::poll(&mut entries, to_timeout(timeout)) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let broken = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    Ok(entries
        .iter()
        .map(|entry| {
            let flags = entry.revents().unwrap_or(PollFlags::empty());
            Ready {
                readable: flags.intersects(PollFlags::POLLIN | broken),
                writable: flags.contains(PollFlags::POLLOUT),
            }
        })
        .collect())
}

/// Rounds up to whole milliseconds: a timer that is due in 0.4 ms must not make poll spin.
fn to_timeout(timeout: Option<Duration>) -> PollTimeout {
    match timeout {
        None => PollTimeout::NONE,
        Some(time) => {
            let milliseconds = time.as_nanos().div_ceil(1_000_000);
            i32::try_from(milliseconds)
                .ok()
                .and_then(|number| PollTimeout::try_from(number).ok())
                .unwrap_or(PollTimeout::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn poll_answers_in_order_and_in_time() {
        let (mut left, right) = UnixStream::pair().unwrap();
        let fds = [
            (right.as_fd(), Interest::Readable),
            (left.as_fd(), Interest::Readable),
        ];
        let nothing = poll(&fds, Some(Duration::from_micros(1))).unwrap();
        assert_eq!(nothing, vec![Ready::default(); 2]);
        left.write_all(b"x").unwrap();
        let fds = [
            (right.as_fd(), Interest::ReadableOrWritable),
            (left.as_fd(), Interest::Readable),
        ];
        let ready = poll(&fds, None).unwrap();
        assert_eq!(
            ready[0],
            Ready {
                readable: true,
                writable: true
            }
        );
        assert_eq!(ready[1], Ready::default());
    }

    #[test]
    fn signals_become_readable() {
        let signals = Signals::new().unwrap();
        assert_eq!(signals.next().unwrap(), None);
        nix::sys::signal::raise(Signal::SIGHUP).unwrap();
        let ready = poll(&[(signals.as_fd(), Interest::Readable)], None).unwrap();
        assert!(ready[0].readable);
        assert_eq!(signals.next().unwrap(), Some(Event::Reload));
        nix::sys::signal::raise(Signal::SIGINT).unwrap();
        assert_eq!(signals.next().unwrap(), Some(Event::Stop));
    }

    #[test]
    fn timeouts_are_rounded_up() {
        assert_eq!(
            to_timeout(Some(Duration::from_micros(300))),
            PollTimeout::from(1_u8)
        );
        assert_eq!(to_timeout(Some(Duration::ZERO)), PollTimeout::ZERO);
        assert_eq!(to_timeout(Some(Duration::MAX)), PollTimeout::MAX);
    }
}
