//! What the configuration means for this program.

use config::Config;
use config::settings::SystemMailbox as SystemMailboxKind;
use config::types::Account;
use directory::{Sources, SystemMailbox, SystemSource};
use mail_types::AddressHost;
use routing::{Domains, Limits};
use sandbox::ids;

use crate::Error;

/// The tables that the configuration names.
#[must_use]
pub fn sources(config: &Config) -> Sources {
    let directory = &config.directory;
    let local = config
        .domains
        .local
        .iter()
        .cloned()
        .map(AddressHost::Domain);
    let limit = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    Sources {
        users_file: directory.users_file.clone(),
        aliases_file: directory.aliases_file.clone(),
        include_folders: directory.include_folders.clone(),
        domains: Domains::new(local.collect(), config.domains.relay.clone()),
        delimiters: directory.recipient_delimiter.clone(),
        mail_root: directory.mail_root.clone(),
        default_quota: directory.default_quota.bytes(),
        limits: Limits {
            targets: limit(directory.expansion_limit),
            depth: limit(directory.expansion_depth),
        },
        system: directory.system_users.then(|| system_source(config)),
    }
}

fn system_source(config: &Config) -> SystemSource {
    let local_delivery = &config.local_delivery;
    SystemSource {
        passwd: "/etc/passwd".into(),
        shadow: "/etc/shadow".into(),
        first_uid: config.directory.first_uid,
        mailbox: match local_delivery.system_mailbox {
            SystemMailboxKind::Maildir => {
                SystemMailbox::Home((&local_delivery.home_maildir).into())
            }
            SystemMailboxKind::Mbox => SystemMailbox::Spool(local_delivery.mbox_dir.clone()),
        },
    }
}

/// The users that may ask.
#[derive(Clone, Copy, Debug)]
pub struct Callers {
    /// smtpd and the login halves.
    pub net: u32,
    /// queue-manager.
    pub queue: u32,
    /// local-delivery's supervisor: root, unless the whole suite runs as one user.
    pub delivery: u32,
}

impl Callers {
    /// Looks the users up.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn find(config: &Config) -> Result<Self, Error> {
        let own = ids::effective_uid();
        if !ids::is_root() {
            return Ok(Self {
                net: own,
                queue: own,
                delivery: own,
            });
        }
        Ok(Self {
            net: user("users.net", &config.users.net)?.uid,
            queue: user("users.queue", &config.users.queue)?.uid,
            delivery: 0,
        })
    }
}

/// As whom the mailboxes of virtual users are touched.
#[derive(Clone, Copy, Debug)]
pub struct Vmail {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Vmail {
    /// Looks the user up; without root it is whoever runs the suite.
    ///
    /// # Errors
    /// It is not there, or is root.
    pub fn find(config: &Config) -> Result<Self, Error> {
        if !ids::is_root() {
            return Ok(Self {
                uid: ids::effective_uid(),
                gid: ids::effective_gid(),
            });
        }
        let user = user("users.vmail", &config.users.vmail)?;
        // A number without an entry is its own group.
        let gid = user.gid.unwrap_or(user.uid);
        if user.uid == 0 || gid == 0 {
            return Err(Error::VmailIsRoot);
        }
        Ok(Self { uid: user.uid, gid })
    }
}

fn user(setting: &'static str, account: &Account) -> Result<ids::User, Error> {
    ids::user(&account.to_string()).map_err(|source| Error::User { setting, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_follow_the_settings() {
        let text = "[domains]\nlocal = [\"a.example\", \"b.example\"]\nrelay = [\"c.example\"]\n\
                    [directory]\nusers_file = \"\"\ndefault_quota = \"1GiB\"\nsystem_users = true\n\
                    [local_delivery]\nsystem_mailbox = \"mbox\"\n";
        let config = Config::load(text, "t").unwrap();
        let sources = sources(&config);
        assert_eq!(sources.users_file, None);
        assert_eq!(sources.default_quota, 1 << 30);
        assert_eq!(sources.domains.local().len(), 2);
        assert_eq!((sources.limits.targets, sources.limits.depth), (10_000, 50));
        let system = sources.system.unwrap();
        assert_eq!(system.mailbox, SystemMailbox::Spool("/var/mail".into()));
        assert_eq!(system.first_uid, 1000);
    }
}
