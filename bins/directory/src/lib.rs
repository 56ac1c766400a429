//! Answers who is a user, what is an alias, and whether a password is right.
//!
//! Purpose: serves the tables of crate `directory` to smtpd, queue-manager, local-delivery and the login
//! halves, each by a protocol of its own that only its user may speak. It alone can read a password hash.
//!
//! Invariants: an answer that needs no other process and no hashing is given on the event loop from one
//! snapshot, without a task; password checks and questions to local-delivery are bounded in number, and over
//! the bound the answer is "later"; a ticket is made only for a right password, and master knows of it
//! before the client does; no password is logged.
//!
//! Deliberately absent: the network, deciding what a full mailbox means for the reply (smtpd), and starting
//! sessions (master).

pub mod expansion;
pub mod logins;
pub mod mailboxes;
pub mod quota;
pub mod recipients;
pub mod refresh;
pub mod serve;
pub mod settings;
pub mod state;

use std::process::ExitCode;

use ::directory::Source;
use config::Config;
use daemon::{Role, Service};

use crate::serve::Serving;
use crate::settings::{Callers, Vmail};
use crate::state::State;

/// Blocks of this size are the memory of one password check.
const LARGE_BLOCK: u32 = 1 << 20;

/// Why the service ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The common life of a service.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// A user of the settings.
    #[error("cannot find the user of {setting}: {source}")]
    User {
        /// Which setting names it.
        setting: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The user of all virtual mailboxes is root.
    #[error("users.vmail is root, as whom no mailbox is ever touched: name another user")]
    VmailIsRoot,
    /// The listening socket.
    #[error("cannot serve: {0}")]
    Serve(#[source] std::io::Error),
    /// The thread that reads the tables.
    #[error("the thread that reads the tables has ended: {0}")]
    Refresh(#[from] tokio::task::JoinError),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    daemon::main(Role::Directory, run)
}

fn run(mut service: Service) -> Result<(), Error> {
    let config: Config = (**service.config()).clone();
    // A password check takes some 20 MiB for some 20 ms. If the allocator does not know the setting, memory
    // stays at its peak, which login_concurrency bounds.
    sandbox::memory::return_freed_blocks(LARGE_BLOCK);
    // The system's tables of users are out of reach behind the jail.
    let callers = Callers::find(&config)?;
    let vmail = Vmail::find(&config)?;
    let listening = service.take("ipc")?;
    let delivery = service.socket("delivery");
    service.jail(&[])?;
    let (source, events) = Source::load(settings::sources(&config));
    refresh::log(&events);
    let serving = Serving {
        listening,
        callers,
        source,
        check_interval: config.directory.check_interval,
    };
    service.run(async |life| {
        let state = State::new(&config, &serving.source, vmail, delivery, life.master());
        serve::serve(serving, state, life.drain(), || Ok(life.ready()?)).await
    })
}
