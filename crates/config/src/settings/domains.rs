//! `[domains]`

use std::io;

use mail_types::Domain;

use crate::record::settings;

settings! {
    /// Which domains are ours. Mail for any other domain is taken only from smtpd.mynetworks.
    domains: Domains {
        /// The full name of this host: in the greeting, in Received fields, in message ids and as the sender
        /// of reports. By default the host name of the system.
        hostname: Option<Domain> {
            default: None,
            readers: ["smtpd", "queue-manager", "directory", "local-delivery", "pop3d"],
        }
        /// The domains whose mail ends here, in mailboxes or aliases.
        local: Vec<Domain> {
            default: Vec::new(),
            readers: ["smtpd", "queue-manager", "directory"],
        }
        /// The domains for which mail is taken from anybody and passed on, as a backup or a gateway does.
        /// Sub-domains must be named themselves.
        relay: Vec<Domain> {
            default: Vec::new(),
            readers: ["smtpd", "queue-manager", "directory"],
        }
    }
}

impl Domains {
    /// The name of this host: the setting or the system's. To be asked before the jail closes.
    ///
    /// # Errors
    /// The system has no host name that is a domain name.
    pub fn host_name(&self) -> io::Result<Domain> {
        if let Some(name) = &self.hostname {
            return Ok(name.clone());
        }
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
        Domain::parse(name.trim()).map_err(|error| {
            io::Error::other(format!(
                "the system's host name {:?} is no domain name ({error}); set domains.hostname",
                name.trim()
            ))
        })
    }
}
