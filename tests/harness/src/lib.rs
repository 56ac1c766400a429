//! Starts the real programs in a folder of their own and talks to them as a client would.
//!
//! Used by the black-box suites and by `cargo xtask try`, so that what a newcomer sees first
//! is what the tests prove. Everything waits for a condition with a deadline; nothing sleeps
//! for luck. Traffic goes to loopback only.

mod builder;
mod client;
mod pop3;
mod processes;
mod programs;
mod site;
mod smtp;
mod wait;

pub use builder::{MADE_HERE, SiteBuilder};
pub use client::{DialogError, Transcript};
pub use pop3::Pop3Client;
pub use programs::{program, programs_folder};
pub use site::{Account, Site, SiteError};
pub use smtp::SmtpClient;
pub use wait::{PATIENCE, eventually};
