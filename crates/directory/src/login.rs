//! Checking a password: what is looked up at once, and what takes its time.

use std::path::PathBuf;

use mail_types::Address;

use crate::file::Problem;
use crate::hash::{PasswordHash, VerifyError};
use crate::locate::UserMailbox;
use crate::system::Shadow;
use crate::tables::Tables;

/// A password check that is ready to be run, on a thread that may be busy for a while.
///
/// An unknown user has one too: it takes as long, and fails.
#[derive(Clone, Debug)]
pub struct LoginCheck {
    hash: HashSource,
    mailbox: Option<UserMailbox>,
}

#[derive(Clone, Debug)]
enum HashSource {
    Known(PasswordHash),
    /// Of a system user, or of nobody, for the time it takes.
    Shadow {
        file: PathBuf,
        name: Option<String>,
    },
}

/// Why a check came to no result.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// `/etc/shadow`.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Shadow(Vec<Problem>),
    /// The hash.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl Tables {
    /// Prepares the check of a password of `name`: an address, or a name that is completed with
    /// the first local domain that has it. `None` when the users cannot be read.
    #[must_use]
    pub fn login(&self, name: &str) -> Option<LoginCheck> {
        let users = self.users()?;
        let system = self.system()?;
        if let Some(user) = self.login_keys(name).iter().find_map(|key| users.get(key)) {
            let known = user.hash.scheme() != crate::Scheme::Locked;
            let hash = if known {
                user.hash.clone()
            } else {
                self.hash_for_unknown()
            };
            return Some(LoginCheck {
                hash: HashSource::Known(hash),
                mailbox: known.then(|| self.virtual_mailbox(user)),
            });
        }
        let system_name = match Address::parse(name) {
            Ok(address) if self.sources().domains.is_local(&address.host) => {
                address.local_part.as_str().to_lowercase()
            }
            Ok(_) => String::new(),
            Err(_) => name.to_lowercase(),
        };
        let source = self.sources().system.as_ref();
        if let (Some(user), Some(source)) = (system.get(&system_name), source) {
            return Some(LoginCheck {
                hash: HashSource::Shadow {
                    file: source.shadow.clone(),
                    name: Some(user.name.clone()),
                },
                mailbox: self.system_mailbox(user),
            });
        }
        let hash = match (users.hash_for_unknown(), source) {
            (None, Some(source)) => HashSource::Shadow {
                file: source.shadow.clone(),
                name: None,
            },
            _ => HashSource::Known(self.hash_for_unknown()),
        };
        Some(LoginCheck {
            hash,
            mailbox: None,
        })
    }

    fn login_keys(&self, name: &str) -> Vec<String> {
        if let Ok(address) = Address::parse(name) {
            return vec![address.lookup_key()];
        }
        let hosts = self.sources().domains.local().iter();
        let domains = hosts.filter_map(|host| host.domain());
        domains
            .filter_map(|domain| Address::at(name, domain).ok())
            .map(|address| address.lookup_key())
            .collect()
    }

    fn hash_for_unknown(&self) -> PasswordHash {
        let users = self.users();
        let most_common = users.and_then(|users| users.hash_for_unknown().cloned());
        most_common.unwrap_or_else(PasswordHash::nobody)
    }
}

impl LoginCheck {
    /// Whether there is such a user, for the log; a peer is never told.
    #[must_use]
    pub fn is_for_user(&self) -> bool {
        self.mailbox.is_some()
    }

    /// Runs the check: the user's mailbox when the password is right.
    ///
    /// `today` is in days since 1970, for accounts that end.
    ///
    /// # Errors
    /// When it could not be found out.
    pub fn run(self, password: &[u8], today: i64) -> Result<Option<UserMailbox>, LoginError> {
        let (hash, mailbox) = match self.hash {
            HashSource::Known(hash) => (hash, self.mailbox),
            HashSource::Shadow { file, name } => {
                let shadow = Shadow::load(&file).map_err(LoginError::Shadow)?;
                let own = name.and_then(|name| shadow.hash(&name, today));
                match own {
                    Some(hash) => (hash, self.mailbox),
                    None => (shadow.any_hash().unwrap_or_else(PasswordHash::nobody), None),
                }
            }
        };
        let right = hash.verify(password)?;
        Ok(mailbox.filter(|_| right))
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
