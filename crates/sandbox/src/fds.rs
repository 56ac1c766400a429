//! File descriptors as the carriers of authority: passed over Unix sockets, inherited by name, sealed in memory.
//!
//! Invariants: every descriptor made here is close-on-exec; every received descriptor is owned the moment it
//! arrives, so that no error path leaks one; a message carries at most [`MAX_FDS`] descriptors, and one that
//! carried more is an error, never silently shortened.
//!
//! Absent on purpose: any retry or waiting. These are single system calls; readiness belongs to the caller.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The most descriptors that one message may carry.
pub const MAX_FDS: usize = 16;

/// The environment variable that names a child's inherited descriptors (`name:fd,name:fd`).
pub const FDS_VARIABLE: &str = "POSTHOUSE_FDS";

/// The first descriptor number that is not standard input, output or error.
pub const FIRST_FD: RawFd = 3;

/// Room for the ancillary data of one message, aligned for `cmsghdr`.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// `CMSG_SPACE` of [`MAX_FDS`] descriptors; checked against the platform's macro at compile time below.
const CONTROL_LEN: usize = 16 + MAX_FDS * size_of::<RawFd>();

// SAFETY: CMSG_SPACE only computes a length.
const _: () = assert!(
    CONTROL_LEN == unsafe { libc::CMSG_SPACE((MAX_FDS * size_of::<RawFd>()) as u32) } as usize
);

impl Control {
    const fn new() -> Self {
        Self([0; CONTROL_LEN])
    }
}

/// An all-zero message header; the fields in use are filled in by the caller.
fn empty_header() -> libc::msghdr {
    // SAFETY: msghdr is a plain C struct of integers and pointers, for which all-zero is a valid value.
    unsafe { std::mem::zeroed() }
}

/// Sends bytes, and with their first byte the given descriptors, in one `sendmsg(2)`.
///
/// Returns how many bytes were taken; the descriptors went along if that is not zero. With descriptors,
/// at least one byte must be sent. Never raises SIGPIPE.
pub fn send_with_fds(
    socket: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if fds.len() > MAX_FDS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} descriptors in one message, at most {MAX_FDS} are allowed",
                fds.len()
            ),
        ));
    }
    if !fds.is_empty() && buffers.iter().all(|buffer| buffer.is_empty()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "descriptors need at least one byte to travel with",
        ));
    }
    let mut control = Control::new();
    let mut header = empty_header();
    // IoSlice is guaranteed to have the layout of iovec; sendmsg does not write through it.
    header.msg_iov = buffers.as_ptr().cast_mut().cast();
    header.msg_iovlen = buffers.len();
    if !fds.is_empty() {
        put_rights(&mut header, &mut control, fds);
    }
    // SAFETY: header points at live buffers and, if set, at a live control block of the stated length.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes one SCM_RIGHTS block with `fds` (1 to [`MAX_FDS`] of them) and hangs it onto `header`.
fn put_rights(header: &mut libc::msghdr, control: &mut Control, fds: &[BorrowedFd<'_>]) {
    let data_len = size_of_val(fds) as u32;
    header.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE and CMSG_LEN compute lengths; `control` has room for MAX_FDS descriptors and is
    // aligned for cmsghdr, so the first header and its data lie inside it.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(data_len) as usize;
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(data_len) as usize;
        let data = libc::CMSG_DATA(first).cast::<RawFd>();
        for (index, fd) in fds.iter().enumerate() {
            data.add(index).write_unaligned(fd.as_raw_fd());
        }
    }
}

/// Receives bytes into `buffer`, and appends the descriptors that came with them to `fds`, in one `recvmsg(2)`.
///
/// Returns the number of bytes; 0 is the end of the stream. If the sender attached more than [`MAX_FDS`]
/// descriptors the call fails with `InvalidData`, and those that arrived are closed.
pub fn recv_with_fds(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = Control::new();
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut header = empty_header();
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_LEN;
    // SAFETY: header points at one live, writable buffer and at a live, writable control block.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let arrived = take_rights(&header);
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the peer sent more than {MAX_FDS} descriptors in one message"),
        ));
    }
    fds.extend(arrived);
    Ok(received)
}

/// Takes ownership of every descriptor in the ancillary data of a received message.
fn take_rights(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    // SAFETY: header was filled in by recvmsg, so the CMSG walk stays inside the control block; the kernel
    // has just made these descriptors for this process and nobody else knows their numbers.
    unsafe {
        let mut block = libc::CMSG_FIRSTHDR(header);
        while !block.is_null() {
            if (*block).cmsg_level == libc::SOL_SOCKET && (*block).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*block).cmsg_len - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(block).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    taken.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            block = libc::CMSG_NXTHDR(header, block);
        }
    }
    taken
}

/// Who is at the other end of a Unix socket, as the kernel recorded it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id, for log lines only: it may have been reused since.
    pub pid: i32,
    /// Effective user id at the time of `connect`, `listen` or `socketpair`.
    pub uid: u32,
    /// Effective group id at that time.
    pub gid: u32,
}

/// Asks the kernel who is at the other end of a Unix socket (`SO_PEERCRED`).
pub fn peer_credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let socket = socket.as_fd();
    let found = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(PeerCredentials {
        pid: found.pid(),
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// Puts `content` into an anonymous file that nobody can change, grow or shrink any more.
pub fn sealed_memory(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all_seals()))?;
    Ok(file.into())
}

/// The seals that make a memory file immutable.
fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL
}

/// Reads a whole file made by [`sealed_memory`]; refuses one that its maker could still change.
///
/// Reads by offset: every heir of the descriptor shares one file position.
pub fn read_sealed(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let file = File::from(fd.as_fd().try_clone_to_owned()?);
    let seals = SealFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GET_SEALS)?);
    if !seals.contains(all_seals()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the memory file is not sealed",
        ));
    }
    let length = usize::try_from(file.metadata()?.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the memory file is too long"))?;
    let mut content = vec![0; length];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// The descriptors that the parent process handed down, by name.
#[derive(Debug, Default)]
pub struct Inherited {
    by_name: BTreeMap<String, OwnedFd>,
}

impl Inherited {
    /// Takes what [`FDS_VARIABLE`] names, and closes every other descriptor from 3 upwards.
    ///
    /// Call it first in `main`, before anything else opens a descriptor; it can be called once per process.
    pub fn take() -> io::Result<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(io::Error::other(
                "the inherited descriptors were taken already",
            ));
        }
        let table = std::env::var(FDS_VARIABLE).unwrap_or_default();
        let entries = parse_table(&table)?;
        close_others(&entries)?;
        let mut by_name = BTreeMap::new();
        for (name, number) in entries {
            // SAFETY: only borrowed for one fcntl call, which fails with EBADF if the number is not open.
            let probe = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl(probe, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|error| {
                io::Error::new(
                    io::Error::from(error).kind(),
                    format!("{FDS_VARIABLE} names descriptor {number} as {name:?}: {error}"),
                )
            })?;
            // SAFETY: the number is open (checked above), named once (checked by parse_table), not one of the
            // standard three, and this code runs once per process before anything else could own it.
            by_name.insert(name, unsafe { OwnedFd::from_raw_fd(number) });
        }
        Ok(Self { by_name })
    }

    /// Takes one descriptor out, if it was handed down.
    pub fn remove(&mut self, name: &str) -> Option<OwnedFd> {
        self.by_name.remove(name)
    }

    /// Takes out all descriptors named `prefix.0`, `prefix.1` and so on, in the order of their numbers.
    pub fn remove_series(&mut self, prefix: &str) -> Vec<OwnedFd> {
        (0..)
            .map_while(|index| self.by_name.remove(&format!("{prefix}.{index}")))
            .collect()
    }

    /// The names that have not been taken yet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Parses `name:fd,name:fd`; names and numbers must be unique.
fn parse_table(table: &str) -> io::Result<BTreeMap<String, RawFd>> {
    let bad = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{FDS_VARIABLE}={table:?}: {what}"),
        )
    };
    let mut entries = BTreeMap::new();
    let mut numbers = std::collections::BTreeSet::new();
    for entry in table.split(',').filter(|entry| !entry.is_empty()) {
        let (name, number) = entry
            .split_once(':')
            .ok_or_else(|| bad("expected name:number"))?;
        let number: RawFd = number.parse().map_err(|_| bad("not a descriptor number"))?;
        if number < FIRST_FD || name.is_empty() {
            return Err(bad("a name and a number of 3 or more are needed"));
        }
        if !numbers.insert(number) || entries.insert(name.to_owned(), number).is_some() {
            return Err(bad("a name or a number occurs twice"));
        }
    }
    Ok(entries)
}

/// Closes every descriptor from 3 upwards that the table does not name.
fn close_others(entries: &BTreeMap<String, RawFd>) -> io::Result<()> {
    let mut kept: Vec<u32> = entries
        .values()
        .map(|number| number.unsigned_abs())
        .collect();
    kept.sort_unstable();
    let mut first = FIRST_FD.unsigned_abs();
    for number in kept {
        if number > first {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, u32::MAX)
}

/// `close_range(2)` without flags; kernels before 5.9 do not have it.
fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: called only from Inherited::take, at the start of the process, when no Rust object owns a
    // descriptor above the standard three.
    let result = unsafe { libc::close_range(first, last, 0) };
    if result == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOSYS) => close_one_by_one(first, last),
        error => Err(error),
    }
}

/// The same by the list of open descriptors.
fn close_one_by_one(first: u32, last: u32) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        open.extend(number.filter(|number| (first..=last).contains(number)));
    }
    for number in open {
        // SAFETY: as in close_range. The descriptor of the list itself is closed already, which is no harm.
        unsafe { libc::close(number.cast_signed()) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_and_descriptors_travel_together() {
        let (left, right) = UnixStream::pair().unwrap();
        let file = sealed_memory("test", b"inside").unwrap();
        let sent = send_with_fds(
            left.as_fd(),
            &[IoSlice::new(b"he"), IoSlice::new(b"llo")],
            &[file.as_fd()],
        )
        .unwrap();
        assert_eq!(sent, 5);
        let (mut buffer, mut fds) = ([0; 16], Vec::new());
        assert_eq!(
            recv_with_fds(right.as_fd(), &mut buffer, &mut fds).unwrap(),
            5
        );
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(fds.len(), 1);
        assert_eq!(read_sealed(&fds[0]).unwrap(), b"inside");
        let flags = FdFlag::from_bits_truncate(fcntl(&fds[0], FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        drop(left);
        assert_eq!(
            recv_with_fds(right.as_fd(), &mut buffer, &mut fds).unwrap(),
            0
        );
    }

    #[test]
    fn limits_on_descriptors_hold_both_ways() {
        let (left, right) = UnixStream::pair().unwrap();
        let fd = left.as_fd();
        let full = vec![fd; MAX_FDS];
        assert_eq!(send_with_fds(fd, &[IoSlice::new(b"x")], &full).unwrap(), 1);
        let mut fds = Vec::new();
        assert_eq!(
            recv_with_fds(right.as_fd(), &mut [0; 4], &mut fds).unwrap(),
            1
        );
        assert_eq!(fds.len(), MAX_FDS);
        let over = vec![fd; MAX_FDS + 1];
        let error = send_with_fds(fd, &[IoSlice::new(b"x")], &over).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = send_with_fds(fd, &[IoSlice::new(b"")], &[fd]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_message_with_too_many_descriptors_is_refused_and_leaks_none() {
        let (left, right) = UnixStream::pair().unwrap();
        let number = left.as_raw_fd();
        let too_many = vec![number; MAX_FDS + 3];
        nix::sys::socket::sendmsg::<()>(
            number,
            &[IoSlice::new(b"x")],
            &[nix::sys::socket::ControlMessage::ScmRights(&too_many)],
            nix::sys::socket::MsgFlags::empty(),
            None,
        )
        .unwrap();
        let mut fds = Vec::new();
        let error = recv_with_fds(right.as_fd(), &mut [0; 4], &mut fds).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(fds.is_empty());
        // If copies of `left` had leaked, dropping it would not end the stream.
        drop(left);
        assert_eq!((&right).read(&mut [0; 4]).unwrap(), 0);
    }

    #[test]
    fn sealed_memory_cannot_change_and_unsealed_memory_is_refused() {
        let fd = sealed_memory("test", b"fixed").unwrap();
        let file = File::from(fd.try_clone().unwrap());
        assert!(file.write_at(b"X", 0).is_err());
        assert!(file.set_len(1).is_err());
        assert_eq!(read_sealed(&fd).unwrap(), b"fixed");
        assert_eq!(
            read_sealed(&fd).unwrap(),
            b"fixed",
            "a second read starts at the beginning"
        );
        let open =
            memfd_create("open", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert!(read_sealed(&open).is_err());
    }

    #[test]
    fn tables_of_inherited_descriptors() {
        let good = parse_table("config:3,listen.smtp.0:5,ipc:4").unwrap();
        assert_eq!(good["config"], 3);
        assert_eq!(good["listen.smtp.0"], 5);
        assert!(parse_table("").unwrap().is_empty());
        for bad in [
            "config", "config:", "config:x", "config:2", ":3", "a:3,a:4", "a:3,b:3", "a:-1",
        ] {
            assert!(parse_table(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_close_range_the_open_ones_are_closed_one_by_one() {
        let high = |number: i32| {
            let (end, _) = UnixStream::pair().unwrap();
            // SAFETY: the number is above any that this test process has open.
            assert_eq!(unsafe { libc::dup2(end.as_raw_fd(), number) }, number);
        };
        high(80);
        high(90);
        close_one_by_one(81, 99).unwrap();
        // SAFETY: these only ask for a flag.
        let is_open = |number| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
        assert!(is_open(80) && !is_open(90));
    }

    #[test]
    fn own_credentials_on_a_pair() {
        let (left, _right) = UnixStream::pair().unwrap();
        let peer = peer_credentials(&left).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
    }
}
