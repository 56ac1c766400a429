//! Accepting connections, and ending in order.

use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use daemon::{Drain, NoPlace, Places};
use ipc::Client;
use ipc::protocol::Logins;
use mail_types::{SessionId, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::log;
use crate::login_delay::LoginDelay;
use crate::sessions::Sessions;
use crate::settings::Settings;

/// After an error that the next connection would meet, too, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// What all connections share.
pub(crate) struct Shared {
    pub settings: Settings,
    pub logins: Client<Logins>,
    pub sessions: Sessions,
    pub login_delay: LoginDelay,
    places: Arc<Places>,
    last_session: AtomicU64,
}

/// The listening sockets' tasks and the connections'.
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// Every task has a copy.
    alive: mpsc::Sender<()>,
    /// Ends when the last copy is dropped.
    ended: mpsc::Receiver<()>,
}

impl Server {
    pub fn new(settings: Settings, logins: Client<Logins>, sessions: Sessions) -> Self {
        let (alive, ended) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            places: Places::new(settings.connections, settings.connections_per_client),
            login_delay: LoginDelay::new(settings.login_delay),
            last_session: AtomicU64::new(0),
            settings,
            logins,
            sessions,
        });
        Self {
            shared,
            alive,
            ended,
        }
    }

    /// Starts to accept on the sockets, until the drain.
    pub fn listen(&self, listeners: Vec<StdListener>, drain: &Drain) -> io::Result<()> {
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let (shared, alive) = (Arc::clone(&self.shared), self.alive.clone());
            tokio::spawn(accept(listener, shared, alive, drain.clone()));
        }
        Ok(())
    }

    /// What the connections share.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Waits for the drain, and then until the last connection has ended.
    pub async fn ended(self, drain: Drain) {
        let Self {
            alive, mut ended, ..
        } = self;
        drain.requested().await;
        drop(alive);
        // Nothing is ever sent: this is the end of the last copy.
        let _ = ended.recv().await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, alive: mpsc::Sender<()>, drain: Drain) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.requested() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                shared.admit(stream, address.ip().to_canonical(), &alive, &drain);
            }
            Err(error) => {
                log::accept_failed(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Shared {
    /// Gives a connection its task, or turns it away.
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        client: IpAddr,
        alive: &mpsc::Sender<()>,
        drain: &Drain,
    ) {
        let place = match self.places.take(client, false) {
            Ok(place) => place,
            Err(full) => {
                let reason = match full {
                    NoPlace::InAll => "pop3.connection_limit is reached",
                    NoPlace::OfClient => "pop3.connection_limit_per_client is reached",
                };
                log::turned_away(client, reason);
                let mut out = Vec::new();
                pop3_proto::too_many_connections(&mut out);
                // Nobody waits for a client that is not to be here.
                let _ = stream.try_write(&out);
                return;
            }
        };
        let connection = Connection::new(
            stream,
            client,
            self.session_id(),
            Arc::clone(self),
            drain.clone(),
        );
        let alive = alive.clone();
        tokio::spawn(async move {
            connection.serve().await;
            drop((place, alive));
        });
    }

    /// The microsecond of the connection, or the next one that is free.
    fn session_id(&self) -> SessionId {
        let now = u64::try_from(Timestamp::from(SystemTime::now()).0).unwrap_or_default();
        let last = self
            .last_session
            .update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                now.max(last + 1)
            });
        SessionId(now.max(last + 1))
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
