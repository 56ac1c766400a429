//! The listening sockets: all bound here, kept open as long as master lives, copies handed to the children.
//!
//! Invariant: a change of addresses is all or nothing. New ones are bound before old ones are closed, and those
//! in both sets are not touched, so that no client ever meets a closed port of ours.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use sandbox::listen;

/// A TCP address that something listens on: what, and where.
pub type Address = (&'static str, SocketAddr);

/// All listening sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    tcp: BTreeMap<Address, OwnedFd>,
    unix: BTreeMap<&'static str, OwnedFd>,
}

/// What a change of addresses did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Bound now; with the port that the system chose if 0 was asked for.
    pub opened: Vec<Address>,
    /// Closed now.
    pub closed: Vec<Address>,
}

impl Sockets {
    /// Binds what is wanted and not open, then closes what is open and not wanted. On an error nothing changes.
    pub fn listen_on(&mut self, wanted: &[Address]) -> io::Result<Change> {
        let mut change = Change::default();
        let mut opened = BTreeMap::new();
        for (what, address) in wanted {
            if self.tcp.contains_key(&(*what, *address)) || opened.contains_key(&(*what, *address))
            {
                continue;
            }
            let listener = listen::tcp(*address)?;
            change.opened.push((what, listener.local_addr()?));
            opened.insert((*what, *address), OwnedFd::from(listener));
        }
        self.tcp.retain(|key, _| {
            let keep = wanted.contains(key);
            if !keep {
                change.closed.push(*key);
            }
            keep
        });
        self.tcp.append(&mut opened);
        Ok(change)
    }

    /// Binds the Unix socket `name` in `folder`, for `group` if files can be given away.
    pub fn listen_local(
        &mut self,
        name: &'static str,
        folder: &Path,
        owner: Option<(u32, u32)>,
    ) -> io::Result<()> {
        let socket = listen::unix(&folder.join(format!("{name}.sock")), 0o660, owner)?;
        self.unix.insert(name, socket);
        Ok(())
    }

    /// Copies of all sockets on which `what` is served, in the order of their addresses.
    pub fn tcp(&self, what: &str) -> io::Result<Vec<OwnedFd>> {
        let of_it = self.tcp.iter().filter(|((served, _), _)| *served == what);
        of_it.map(|(_, socket)| listen::duplicate(socket)).collect()
    }

    /// A copy of the Unix socket `name`.
    pub fn local(&self, name: &str) -> io::Result<OwnedFd> {
        let socket = self.unix.get(name).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("the socket {name} is not bound"),
            )
        })?;
        listen::duplicate(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// A free address; loopback addresses other than .1 are used by nobody else.
    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.7:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[test]
    fn changes_are_all_or_nothing() {
        let (a, b, taken) = (free(), free(), TcpListener::bind("127.0.0.7:0").unwrap());
        let taken_address = taken.local_addr().unwrap();
        let mut sockets = Sockets::default();
        let change = sockets.listen_on(&[("smtp", a), ("pop3", b)]).unwrap();
        assert_eq!(change.opened, [("smtp", a), ("pop3", b)]);
        let waiting = TcpStream::connect(a).unwrap();

        let c = free();
        assert!(
            sockets
                .listen_on(&[("smtp", c), ("pop3", taken_address)])
                .is_err()
        );
        TcpStream::connect(b).unwrap();
        assert!(
            TcpStream::connect(c).is_err(),
            "the half that could be bound is closed again"
        );

        let change = sockets.listen_on(&[("smtp", a), ("smtp", c)]).unwrap();
        assert_eq!(
            change,
            Change {
                opened: vec![("smtp", c)],
                closed: vec![("pop3", b)]
            }
        );
        assert!(TcpStream::connect(b).is_err());
        let copies = sockets.tcp("smtp").unwrap();
        assert_eq!(copies.len(), 2);
        assert!(sockets.tcp("pop3").unwrap().is_empty());
        drop(waiting);
    }

    #[test]
    fn local_sockets_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut sockets = Sockets::default();
        sockets.listen_local("queue", folder.path(), None).unwrap();
        let copy = sockets.local("queue").unwrap();
        drop(sockets);
        std::os::unix::net::UnixStream::connect(folder.path().join("queue.sock")).unwrap();
        drop(copy);
        assert!(Sockets::default().local("queue").is_err());
    }
}
