//! The login half of POP3: takes connections, and gives those whose login is right to a session half.
//!
//! Reads bytes from strangers, so it can do nothing else: it opens no file and never sees mail. Whether a password
//! is right it asks the directory, which answers with a ticket; master starts the session for whoever shows that,
//! and gets the client's socket with it.
//!
//! Invariants: an unknown user and a wrong password get the same reply after the same time; connections are bounded
//! in all and per client, and each has so long to log in; an idle connection costs a task of a few hundred octets and
//! no buffer; what the client sent behind PASS reaches its session, and nothing is read twice.
//!
//! Deliberately absent: mail, sessions, password hashes, TLS (yet).

mod connection;
mod log;
mod login_delay;
mod server;
mod sessions;
mod settings;

use daemon::{Error, Service};
use ipc::Client;
use ipc::protocol::Logins;

use server::Server;
use sessions::Sessions;
use settings::Settings;

/// Serves until master asks for the end.
///
/// # Errors
/// The service cannot start: it was not handed what it needs, the host has no name, or the jail does not close.
pub fn run(mut service: Service) -> Result<(), Error> {
    let listeners = service.listeners("pop3");
    let settings = Settings::of(service.config()).map_err(|source| Error::Io {
        doing: "find out the host's name",
        source,
    })?;
    let directory = service.socket("directory");
    service.jail(&[])?;
    service.run(async |mut life| {
        let logins = Client::<Logins>::new(directory);
        let sessions = Sessions::new(life.master());
        let server = Server::new(settings, logins, sessions);
        server
            .listen(listeners, &life.drain())
            .map_err(|source| Error::Io {
                doing: "use a listening socket",
                source,
            })?;
        life.ready()?;
        let shared = server.shared();
        let ended = server.ended(life.drain());
        tokio::pin!(ended);
        loop {
            tokio::select! {
                message = life.message() => shared.sessions.answered(&message),
                () = &mut ended => return Ok(()),
            }
        }
    })
}
