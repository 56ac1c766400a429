//! The serving end: accept, read the greeting, let the server decide, give a typed channel.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::Protocol;
use crate::connection::{Connection, RawConnection};
use crate::error::ReceiveError;
use crate::wire::{Hello, Limits};

/// Who is at the other end, from the kernel (SO_PEERCRED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id, for the log.
    pub pid: Option<i32>,
}

/// A bound Unix socket that serves one or more protocols.
///
/// Who may speak which of them is the server's to decide, before it accepts:
///
/// ```no_run
/// use ipc::protocol::Intake;
/// use ipc::{Listener, Protocol};
///
/// async fn serve(listener: Listener, smtpd_uid: u32) -> std::io::Result<()> {
///     loop {
///         let new = listener.accept().await?;
///         tokio::spawn(async move {
///             let Ok(greeted) = new.greeting().await else { return };
///             match greeted.protocol() {
///                 Intake::NAME if greeted.peer().uid == smtpd_uid => {
///                     let Ok(mut connection) = greeted.accept::<Intake>().await else { return };
///                     while let Ok(Some(frame)) = connection.receiver.receive().await {
///                         // … connection.sender.send(frame.id, &reply)
///                     }
///                 }
///                 _ => greeted.refuse(),
///             }
///         });
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    places: Arc<Semaphore>,
}

impl Listener {
    /// Takes over a bound, listening socket; at most `max_connections` channels exist at a time, more wait.
    pub fn new(listening: OwnedFd, max_connections: usize) -> io::Result<Self> {
        let listener = StdUnixListener::from(listening);
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            places: Arc::new(Semaphore::new(max_connections)),
        })
    }

    /// The next peer; its greeting is read by [`NewConnection::greeting`] in a task of its own. Cancel safe.
    pub async fn accept(&self) -> io::Result<NewConnection> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        let peer = peer_of(&stream)?;
        Ok(NewConnection {
            raw: RawConnection::new(stream, Limits::NOTHING, Some(place)),
            peer,
        })
    }
}

fn peer_of(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    Ok(Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid(),
    })
}

/// An accepted channel whose peer has not greeted yet.
#[derive(Debug)]
pub struct NewConnection {
    raw: RawConnection,
    peer: Peer,
}

impl NewConnection {
    /// Reads the peer's greeting.
    pub async fn greeting(mut self) -> Result<Greeted, ReceiveError> {
        let hello = self.raw.receive_hello().await?;
        Ok(Greeted {
            raw: self.raw,
            peer: self.peer,
            hello,
        })
    }

    /// Who is there.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

/// A channel whose peer has named its protocol: the server matches on [`Self::protocol`] and calls
/// [`Self::accept`] or [`Self::refuse`].
#[derive(Debug)]
pub struct Greeted {
    raw: RawConnection,
    peer: Peer,
    hello: Hello,
}

impl Greeted {
    /// The protocol that the peer wants, unchecked.
    #[must_use]
    pub fn protocol(&self) -> &str {
        self.hello.protocol()
    }

    /// Who is there.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Answers the greeting and opens the channel, if name and version are those of `P`.
    pub async fn accept<P: Protocol>(
        self,
    ) -> Result<Connection<P::Reply, P::Request>, ReceiveError> {
        // The answer goes out in any case: it tells a peer of another version what is wrong.
        self.raw.send_hello(&Hello::of::<P>());
        let checked = self.hello.check::<P>();
        let connection = self.raw.typed(Limits::of::<P>(), true);
        if let Err(fault) = checked {
            connection.sender.written().await;
            return Err(fault.into());
        }
        Ok(connection)
    }

    /// Tells the peer that its protocol is not served here, or not to its user.
    pub fn refuse(self) {
        self.raw.send_hello(&Hello::refusal());
    }
}
