//! Receives mail over SMTP: joins the common life of a service ([`daemon`]) with the SMTP driver ([`smtp_server`]).
//!
//! Reads bytes from strangers, so it can do nothing else: no file, no outgoing connection, no other program. Whether
//! a recipient exists it asks the directory; a message is accepted when queue-manager says that it is on disk.

use daemon::{Error, Service};
use smtp_server::{Backends, Settings};

/// Serves until master asks for the end.
///
/// # Errors
/// The service cannot start: nothing was handed down, the host has no name, or the jail does not close.
pub fn run(mut service: Service) -> Result<(), Error> {
    let listeners = service.listeners("smtp");
    let settings = Settings::for_smtpd(service.config()).map_err(|source| Error::Io {
        doing: "find out the host's name",
        source,
    })?;
    let backends = Backends::new(
        service.socket("directory"),
        service.socket("queue"),
        settings.times.lookup,
    );
    service.jail(&[])?;
    service.run(async |life| {
        let drain = life.drain();
        let serving = smtp_server::serve(listeners, settings, backends, drain.requested());
        life.ready()?;
        serving.await.map_err(|source| Error::Io {
            doing: "use a listening socket",
            source,
        })
    })
}
