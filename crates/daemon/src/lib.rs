//! The common life of a service: load → open → jail → serve → drain.
//!
//! ```no_run
//! # fn serve(_: daemon::Life) -> impl Future<Output = Result<(), daemon::Error>> { async { Ok(()) } }
//! fn main() -> std::process::ExitCode {
//!     daemon::main(daemon::Role::Smtpd, |mut service| {
//!         let listeners = service.listeners("smtp");
//!         service.jail(&[])?;
//!         service.run(async |life| {
//!             life.ready()?;
//!             // Serve `listeners` until …
//!             life.drain().requested().await;
//!             Ok::<(), daemon::Error>(())
//!         })
//!     })
//! }
//! ```
//!
//! Invariants: the configuration is the one that master checked, from a sealed descriptor; nothing is served
//! before the jail is on; the jail is put on while there is one thread. What each program may do is in one
//! table, [`jail::spec`].
//!
//! Absent on purpose: reading the configuration by path, becoming a daemon, writing pid files (master has them).

mod error;
pub mod jail;
mod life;
mod log;
mod places;
mod service;
mod session;

pub use error::Error;
pub use jail::Role;
pub use life::{Drain, Life, drain_channel};
pub use log::log_options;
pub use places::{NoPlace, Place, Places};
pub use service::{Service, main};
pub use session::{Assignment, SessionLife, Wake};
