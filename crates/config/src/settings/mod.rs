//! The sections, one file each; [`Config`] has them all.
//!
//! To add a setting, add it to its section: the rest follows, but the manual page must be made anew
//! (`posthouse config man`).

mod directory;
mod domains;
mod local_delivery;
mod log;
mod master;
mod paths;
mod pop3;
mod queue;
mod schedule;
mod smtpd;
mod users;

pub use directory::Directory;
pub use domains::Domains;
pub use local_delivery::{LocalDelivery, MailboxFull, SystemMailbox};
pub use log::{Log, LogFormat, LogLevel, LogTo};
pub use master::Master;
pub use paths::Paths;
pub use pop3::Pop3;
pub use queue::Queue;
pub use schedule::Schedule;
pub use smtpd::{BareNewlines, NulOctets, Smtpd, Vrfy};
pub use users::Users;

use crate::record::Section;

/// Declares [`Config`] and how its sections are found.
macro_rules! config {
    ($count:literal: $($(#[doc = $doc:literal])+ $section:ident: $struct:ident,)+) => {
        /// The whole configuration.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $section: $struct,)+
        }

        impl Config {
            pub(crate) fn all(&self) -> [&dyn Section; $count] {
                [$(&self.$section,)+]
            }

            pub(crate) fn section(&mut self, name: &str) -> Option<&mut dyn Section> {
                match name {
                    $(stringify!($section) => Some(&mut self.$section),)+
                    _ => None,
                }
            }
        }
    };
}

config! { 11:
    /// Folders.
    paths: Paths,
    /// Users that the programs run as.
    users: Users,
    /// The log.
    log: Log,
    /// Which mail is ours.
    domains: Domains,
    /// Receiving mail by SMTP.
    smtpd: Smtpd,
    /// The queue.
    queue: Queue,
    /// When deliveries are tried.
    schedule: Schedule,
    /// Users, aliases, mailboxes.
    directory: Directory,
    /// Writing into mailboxes.
    local_delivery: LocalDelivery,
    /// Reading mail by POP3.
    pop3: Pop3,
    /// The supervisor.
    master: Master,
}

#[cfg(test)]
mod tests;
