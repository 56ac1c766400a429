//! Accepting connections, and the orderly end.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use config::types::Network;
use daemon::{NoPlace, Places};
use smtp_proto::{RelayGround, RelayPermit, Session, Unwelcome};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::backends::Backends;
use crate::clock::Calendar;
use crate::connection::Connection;
use crate::log;
use crate::settings::Settings;
use crate::throttle::Throttle;

/// After a failure to accept, such as no free descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Of a crowd at the door, the log names at most one in this time.
const TURNED_AWAY_INTERVAL: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_millis(500);

/// What all sessions have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) backends: Arc<Backends>,
    pub(crate) calendar: Calendar,
    shutdown: watch::Receiver<bool>,
    clients: Arc<Places>,
    turned_away: Throttle,
}

impl Shared {
    /// Waits until the end is near.
    pub(crate) async fn ending(&self) {
        let mut shutdown = self.shutdown.clone();
        // An error says that the one who would tell is gone, and so is what this serves for.
        let _ = shutdown.wait_for(|ending| *ending).await;
    }
}

/// Serves SMTP on `listeners` until `shutdown` is ready and the last session has ended.
///
/// # Errors
/// A listener cannot be used. Whatever goes wrong with a client ends its session only.
pub async fn serve(
    listeners: Vec<StdListener>,
    settings: Settings,
    backends: Backends,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (tell, told) = watch::channel(false);
    let shared = Arc::new(Shared {
        calendar: Calendar::new(settings.time_zone.clone()),
        clients: Places::new(
            settings.connection_limit,
            settings.connection_limit_per_client,
        ),
        backends: Arc::new(backends),
        settings,
        turned_away: Throttle::new(TURNED_AWAY_INTERVAL),
        shutdown: told,
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let listener = prepare(listener)?;
        accepting.spawn(accept(listener, Arc::clone(&shared)));
    }
    let heartbeat = tokio::spawn(beat(Arc::clone(&shared)));
    shutdown.await;
    tell.send_replace(true);
    while accepting.join_next().await.is_some() {}
    shared.clients.nobody().await;
    heartbeat.abort();
    Ok(())
}

/// Keeps a timer near while there are sessions.
///
/// For each new timer that is nearer than all others, tokio wakes its event loop by a system call, even from within.
/// The deadlines of sessions and of calls are all farther away than this one, so none of them costs that call.
async fn beat(shared: Arc<Shared>) {
    loop {
        shared.clients.somebody().await;
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Sessions inherit TCP_NODELAY from their listener: whole groups of replies leave in one write each.
fn prepare(listener: StdListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let socket = StdStream::from(OwnedFd::from(listener.try_clone()?));
    socket.set_nodelay(true)?;
    TcpListener::from_std(listener)
}

/// Accepts until the end is near.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut drained = std::pin::pin!(shared.ending());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut drained => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                if let Some(connection) = admit(stream, client, &shared) {
                    tokio::spawn(connection.run());
                }
            }
            Err(error) if is_about_the_peer(&error) => {}
            Err(error) => {
                log::accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// accept(2) reports errors of the connection that was to be accepted, too.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

fn unwelcome(full: NoPlace) -> Unwelcome {
    match full {
        NoPlace::InAll => Unwelcome::Full,
        NoPlace::OfClient => Unwelcome::ClientFull,
    }
}

fn admit(stream: TcpStream, client: SocketAddr, shared: &Arc<Shared>) -> Option<Connection> {
    let address = client.ip().to_canonical();
    let trusted = is_trusted(&shared.settings.mynetworks, client);
    match shared.clients.take(address, trusted.is_some()) {
        Ok(place) => {
            let session = Session::new(Arc::clone(&shared.settings.server), trusted);
            Some(Connection::new(
                stream,
                address,
                session,
                place,
                Arc::clone(shared),
            ))
        }
        Err(full) => {
            let why = unwelcome(full);
            if let Some(unlogged) = shared.turned_away.pass(std::time::Instant::now()) {
                log::turned_away(address, why, unlogged);
            }
            turn_away(stream, why, shared);
            None
        }
    }
}

fn is_trusted(networks: &[Network], client: SocketAddr) -> Option<RelayPermit> {
    networks
        .iter()
        .any(|network| network.contains(client.ip()))
        .then(|| RelayPermit::because(RelayGround::TrustedNetwork))
}

/// One write into an empty socket buffer, without a task: a crowd at the door costs next to nothing.
fn turn_away(stream: TcpStream, why: Unwelcome, shared: &Shared) {
    let mut reply = Vec::new();
    shared.settings.server.turn_away(why, &mut reply);
    if let Ok(mut stream) = stream.into_std() {
        // A client that is gone already is turned away as well.
        let _ = stream.write(&reply);
    }
}
