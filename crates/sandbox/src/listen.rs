//! Listening sockets: TCP and Unix, made before privileges are dropped.
//!
//! Invariants: a v6 listener takes v6 only, so that `0.0.0.0` and `[::]` can both be bound and a client's
//! address family is never in doubt; a Unix socket has its final owner and mode before anyone can connect.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr,
    bind, listen, setsockopt, socket, sockopt,
};

/// The length of the accept queue; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds a TCP address and listens.
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    bind_tcp(address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // A restart must not wait for the old connections' TIME-WAIT to pass.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    match address {
        SocketAddr::V4(address) => bind_to(&fd, &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
            bind_to(&fd, &SockaddrIn6::from(address))?;
        }
    }
    listen(&fd, backlog()?)?;
    Ok(TcpListener::from(fd))
}

fn bind_to(fd: &OwnedFd, address: &dyn SockaddrLike) -> io::Result<()> {
    Ok(bind(fd.as_raw_fd(), address)?)
}

fn backlog() -> io::Result<Backlog> {
    Ok(Backlog::new(BACKLOG)?)
}

/// Binds a Unix socket at `path` and listens; an old socket there is replaced.
///
/// `owner` (uid, gid) and `mode` are set before the socket listens, so that nobody connects too early.
pub fn unix(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    bind_unix(path, mode, owner).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {}: {error}", path.display()),
        )
    })
}

fn bind_unix(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is not a socket is in the way; remove it",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let fd = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    bind_to(&fd, &UnixAddr::new(path)?)?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    listen(&fd, backlog()?)?;
    Ok(fd)
}

/// A copy of a descriptor, close-on-exec like the first.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    let copy = nix::fcntl::fcntl(
        fd,
        nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(crate::fds::FIRST_FD),
    )?;
    // SAFETY: fcntl has just made this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn both_families_on_one_port() {
        let v4 = tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = v4.local_addr().unwrap().port();
        assert!(
            tcp(v4.local_addr().unwrap()).is_err(),
            "the address is taken"
        );
        let any = tcp("0.0.0.0:0".parse().unwrap()).unwrap();
        let same = any.local_addr().unwrap().port();
        // Machines without IPv6 are allowed to fail here, but not by "address in use".
        if let Err(error) = tcp(format!("[::]:{same}").parse().unwrap()) {
            assert_ne!(
                error.kind(),
                io::ErrorKind::AddrInUse,
                "port {same}, {port}"
            );
        }
    }

    #[test]
    fn unix_sockets_get_their_mode_and_replace_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(unix(&path, 0o600, None).unwrap());
        let socket = unix(&path, 0o660, None).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        UnixStream::connect(&path).unwrap();
        let copy = duplicate(&socket).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
        drop(copy);
        let file = folder.path().join("b.sock");
        fs::write(&file, "keep me").unwrap();
        assert!(
            unix(&file, 0o600, None)
                .unwrap_err()
                .to_string()
                .contains("not a socket")
        );
        assert_eq!(fs::read(&file).unwrap(), b"keep me");
    }
}
