//! What all channels of the service share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use config::Config;
use directory::{MailboxFormat, Owner, Source, Tables, UserMailbox};
use ipc::Sender;
use ipc::protocol::{ChildMessage, MailboxFormat as WireFormat, MailboxSpec};

use crate::logins::LoginGate;
use crate::quota::QuotaCheck;
use crate::settings::Vmail;

/// Shared by all channels.
#[derive(Debug)]
pub struct State {
    tables: Mutex<Arc<Tables>>,
    vmail: Vmail,
    /// How full mailboxes are.
    pub quota: QuotaCheck,
    /// Who may check a password now.
    pub logins: Arc<LoginGate>,
    /// The channel to master; none in tests.
    pub master: Option<Sender<ChildMessage>>,
}

impl State {
    /// The state at the start.
    #[must_use]
    pub fn new(
        config: &Config,
        source: &Source,
        vmail: Vmail,
        delivery_socket: PathBuf,
        master: Option<Sender<ChildMessage>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tables: Mutex::new(source.current()),
            vmail,
            quota: QuotaCheck::new(delivery_socket),
            logins: Arc::new(LoginGate::new(
                config.directory.login_concurrency,
                config.directory.login_waiting,
            )),
            master,
        })
    }

    /// The tables as they are now.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts newer tables in force; gives the old ones back.
    pub fn replace_tables(&self, tables: Arc<Tables>) -> Arc<Tables> {
        let mut current = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, tables)
    }

    /// A mailbox as the protocols name it.
    #[must_use]
    pub fn spec(&self, mailbox: UserMailbox) -> MailboxSpec {
        let (uid, gid) = match mailbox.owner {
            Owner::Virtual => (self.vmail.uid, self.vmail.gid),
            Owner::System { uid, gid } => (uid, gid),
        };
        MailboxSpec {
            user: mailbox.user,
            uid,
            gid,
            format: match mailbox.format {
                MailboxFormat::Maildir => WireFormat::Maildir,
                MailboxFormat::Mbox => WireFormat::Mbox,
            },
            path: mailbox.path,
            quota_bytes: mailbox.quota.bytes,
            quota_messages: mailbox.quota.messages,
        }
    }
}
