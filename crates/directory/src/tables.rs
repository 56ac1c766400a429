//! One immutable snapshot of all tables, and the questions it answers.
//!
//! For an address of a local domain the first of these counts: an alias with the domain, a bare
//! alias, a virtual user, a system user; then the same without the extension; then the domain's
//! catch-all. `postmaster` always ends somewhere while there is a user at all (RFC 5321 §4.5.1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mail_types::{Address, LocalPart, Target};
use routing::{Alias, Aliasing, DomainClass, End, Found, Leaf, Lookup, base_of};

use crate::aliases::{AliasTable, catch_all_key};
use crate::locate::{Owner, UserMailbox};
use crate::source::Sources;
use crate::system::{SystemTable, SystemUser};
use crate::users::{User, UserTable};

/// What a recipient is to us, for the answer to RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Mail for it has somewhere to go.
    Local {
        /// The one mailbox that it goes to, when that has a quota.
        limited: Option<UserMailbox>,
    },
    /// Of a domain that is relayed for.
    Relay,
    /// Of somebody else's domain.
    Remote,
    /// Of our domain, and nobody.
    Unknown,
    /// A user of ours who moved.
    Moved(Address),
    /// A table that matters could never be read.
    Unavailable,
}

/// Where an alias's mail goes, for RCPT.
#[derive(Clone, Debug)]
enum AliasFate {
    /// Somewhere; to this user's mailbox only, if named.
    Somewhere(Option<Address>),
    /// Every end of it fails.
    Nowhere,
}

/// One snapshot. `None` for a table that could never be read.
#[derive(Debug)]
pub struct Tables {
    sources: Arc<Sources>,
    users: Option<Arc<UserTable>>,
    aliases: Option<Arc<AliasTable>>,
    system: Option<Arc<SystemTable>>,
    /// What expanding an alias came to: asked at every RCPT, and the same for the snapshot's life.
    fates: Mutex<HashMap<String, AliasFate>>,
}

impl Tables {
    pub(crate) fn new(
        sources: Arc<Sources>,
        users: Option<Arc<UserTable>>,
        aliases: Option<Arc<AliasTable>>,
        system: Option<Arc<SystemTable>>,
    ) -> Self {
        Self {
            sources,
            users,
            aliases,
            system,
            fates: Mutex::default(),
        }
    }

    /// What the tables were made from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The virtual users, if they could be read.
    #[must_use]
    pub fn users(&self) -> Option<&Arc<UserTable>> {
        self.users.as_ref()
    }

    /// The aliases, if they could be read.
    #[must_use]
    pub fn aliases(&self) -> Option<&Arc<AliasTable>> {
        self.aliases.as_ref()
    }

    /// The system's users, if they could be read.
    #[must_use]
    pub fn system(&self) -> Option<&Arc<SystemTable>> {
        self.system.as_ref()
    }

    /// May mail for this address be accepted?
    #[must_use]
    pub fn resolve(&self, address: &Address) -> Resolution {
        match self.sources.domains.classify(&address.host) {
            DomainClass::Remote => return Resolution::Remote,
            DomainClass::Relay => return Resolution::Relay,
            DomainClass::Local => {}
        }
        let fate = match self.find(address, Aliasing::Follow) {
            Found::Mailbox(user) => AliasFate::Somewhere(Some(user)),
            Found::Moved(new) => return Resolution::Moved(new),
            Found::Unavailable => return Resolution::Unavailable,
            // What comes of postmaster is not what comes of others who share its catch-all.
            Found::Alias(_) | Found::Unknown if is_postmaster(address) => {
                self.fate(address.lookup_key(), address)
            }
            Found::Alias(alias) => self.fate(alias.id, address),
            Found::Unknown | Found::Remote => AliasFate::Nowhere,
        };
        match fate {
            AliasFate::Nowhere => Resolution::Unknown,
            AliasFate::Somewhere(user) => {
                let mailbox = user.and_then(|user| self.mailbox_of(&user));
                let limited = mailbox.filter(|mailbox| mailbox.quota.is_limited());
                Resolution::Local { limited }
            }
        }
    }

    fn fate(&self, id: String, address: &Address) -> AliasFate {
        let fates = || self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fate) = fates().get(&id) {
            return fate.clone();
        }
        let fate = match self.expand(address).as_slice() {
            [leaf] => match &leaf.end {
                End::Target(Target::Mailbox(user)) => AliasFate::Somewhere(Some(user.clone())),
                End::Failed(_) => AliasFate::Nowhere,
                End::Target(_) | End::Deferred(_) => AliasFate::Somewhere(None),
            },
            leaves if all_failed(leaves) => AliasFate::Nowhere,
            _ => AliasFate::Somewhere(None),
        };
        fates().insert(id, fate.clone());
        fate
    }

    /// Whether an address has to be followed through aliases.
    #[must_use]
    pub fn is_alias(&self, address: &Address) -> bool {
        is_postmaster(address) || matches!(self.find(address, Aliasing::Follow), Found::Alias(_))
    }

    /// Follows an address to every place where its mail goes.
    #[must_use]
    pub fn expand(&self, address: &Address) -> Vec<Leaf> {
        let leaves = routing::expand(self, address, self.sources.limits);
        let stranded = is_postmaster(address)
            && self.sources.domains.is_local(&address.host)
            && all_failed(&leaves);
        match stranded
            .then(|| self.postmaster_elsewhere(address))
            .flatten()
        {
            Some(found) => found,
            None => leaves,
        }
    }

    /// Another domain's postmaster, or else the first user: somebody reads the mail that says what
    /// is broken here.
    fn postmaster_elsewhere(&self, address: &Address) -> Option<Vec<Leaf>> {
        for host in self.sources.domains.local() {
            let other = Address::new(address.local_part.clone(), host.clone());
            let leaves = routing::expand(self, &other, self.sources.limits);
            if !all_failed(&leaves) {
                return Some(leaves);
            }
        }
        let first = self.users.as_ref()?.first()?;
        let end = End::Target(Target::Mailbox(first.address.clone()));
        Some(vec![Leaf { end, owner: None }])
    }

    /// The local domains where mail for postmaster goes nowhere by the tables alone.
    pub(crate) fn domains_without_postmaster(&self) -> Vec<String> {
        let Ok(postmaster) = LocalPart::from_unquoted("postmaster") else {
            return Vec::new();
        };
        let hosts = self.sources.domains.local().iter();
        hosts
            .filter(|host| {
                let address = Address::new(postmaster.clone(), (*host).clone());
                all_failed(&routing::expand(self, &address, self.sources.limits))
            })
            .map(ToString::to_string)
            .collect()
    }

    /// The mailbox of a user, by the user's own address. `Err` when the tables cannot say.
    pub fn mailbox(&self, user: &Address) -> Result<Option<UserMailbox>, Unreadable> {
        match self.mailbox_of(user) {
            Some(mailbox) => Ok(Some(mailbox)),
            None if self.users.is_none() || self.system.is_none() => Err(Unreadable),
            None => Ok(None),
        }
    }

    fn mailbox_of(&self, address: &Address) -> Option<UserMailbox> {
        let key = address.lookup_key();
        if let Some(user) = self.users.as_ref().and_then(|users| users.get(&key)) {
            return Some(self.virtual_mailbox(user));
        }
        if !self.sources.domains.is_local(&address.host) {
            return None;
        }
        let user = self.system_user(&key)?;
        self.system_mailbox(user)
    }

    pub(crate) fn virtual_mailbox(&self, user: &User) -> UserMailbox {
        UserMailbox {
            user: user.address.clone(),
            owner: Owner::Virtual,
            format: user.format,
            path: user.path(&self.sources.mail_root),
            quota: user.quota(self.sources.default_quota),
        }
    }

    pub(crate) fn system_mailbox(&self, user: &SystemUser) -> Option<UserMailbox> {
        let (path, format) = self.sources.system.as_ref()?.mailbox.of(user);
        Some(UserMailbox {
            user: self.system_address(user)?,
            owner: Owner::System {
                uid: user.uid,
                gid: user.gid,
            },
            format,
            path,
            quota: crate::Quota::default(),
        })
    }

    /// A system user has one own address, whichever local domain mail came through: in the first domain
    /// where there is no virtual user of that name, who is somebody else.
    fn system_address(&self, user: &SystemUser) -> Option<Address> {
        let name = LocalPart::from_unquoted(&user.name).ok()?;
        let hosts = self.sources.domains.local().iter();
        let mut addresses = hosts.map(|host| Address::new(name.clone(), host.clone()));
        let users = self.users.as_ref()?;
        addresses.find(|address| users.get(&address.lookup_key()).is_none())
    }

    pub(crate) fn system_user(&self, key: &str) -> Option<&SystemUser> {
        self.system.as_ref()?.get(local_part_of(key))
    }

    /// What stands in the tables under exactly this key.
    pub(crate) fn exactly(
        &self,
        key: &str,
        address: &Address,
        aliasing: Aliasing,
    ) -> Option<Found<'_>> {
        if aliasing == Aliasing::Follow {
            let Some(aliases) = &self.aliases else {
                return Some(Found::Unavailable);
            };
            let bare = &key[..key.len() - host_len(key)];
            if let Some(members) = aliases.get(key).or_else(|| aliases.get(bare)) {
                let id = key.to_owned();
                let owner = self.owner(aliases, key, address);
                return Some(Found::Alias(Alias { id, members, owner }));
            }
        }
        let Some(users) = &self.users else {
            return Some(Found::Unavailable);
        };
        if let Some(user) = users.get(key) {
            return Some(match &user.moved {
                Some(new) => Found::Moved(new.clone()),
                None => Found::Mailbox(user.address.clone()),
            });
        }
        if self.system.is_none() {
            return Some(Found::Unavailable);
        }
        let user = self.system_user(key)?;
        self.system_address(user).map(Found::Mailbox)
    }

    /// `owner-name@domain`, when that is an alias or a user.
    fn owner(&self, aliases: &AliasTable, key: &str, address: &Address) -> Option<Address> {
        if key.starts_with("owner-") {
            return None;
        }
        let key = format!("owner-{key}");
        let bare = &key[..key.len() - host_len(&key)];
        let users = self.users.as_ref();
        let exists = aliases.get(&key).is_some()
            || aliases.get(bare).is_some()
            || users.is_some_and(|users| users.get(&key).is_some());
        let name = exists.then(|| LocalPart::from_unquoted(local_part_of(&key)).ok())??;
        Some(Address::new(name, address.host.clone()))
    }

    fn catch_all(&self, address: &Address) -> Option<Found<'_>> {
        let id = catch_all_key(&address.host);
        let members = self.aliases.as_ref()?.get(&id)?;
        Some(Found::Alias(Alias {
            id,
            members,
            owner: None,
        }))
    }

    fn exists(&self, address: &Address) -> bool {
        !matches!(
            self.find_without_catch_all(address, Aliasing::Follow),
            None | Some(Found::Unavailable)
        )
    }

    fn find_without_catch_all(&self, address: &Address, aliasing: Aliasing) -> Option<Found<'_>> {
        let key = address.lookup_key();
        if let Some(found) = self.exactly(&key, address, aliasing) {
            return Some(found);
        }
        let base = base_of(local_part_of(&key), &self.sources.delimiters)?;
        let key = format!("{base}{}", &key[local_part_of(&key).len()..]);
        self.exactly(&key, address, aliasing)
    }
}

impl Lookup for Tables {
    fn find(&self, address: &Address, aliasing: Aliasing) -> Found<'_> {
        if !self.sources.domains.is_local(&address.host) {
            return Found::Remote;
        }
        let found = self.find_without_catch_all(address, aliasing);
        let catch_all = || match aliasing {
            Aliasing::Follow => self.catch_all(address),
            Aliasing::Skip => None,
        };
        found.or_else(catch_all).unwrap_or(Found::Unknown)
    }

    /// In the domain that the mail came through, if the name is somebody there; else in the first
    /// local domain where it is.
    fn complete(&self, name: &LocalPart, beside: &Address) -> Address {
        let here = Address::new(name.clone(), beside.host.clone());
        if self.exists(&here) {
            return here;
        }
        let hosts = self.sources.domains.local().iter();
        let mut elsewhere = hosts.map(|host| Address::new(name.clone(), host.clone()));
        elsewhere
            .find(|address| self.exists(address))
            .unwrap_or(here)
    }
}

/// A table that would have to say could never be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tables of users and aliases cannot be read")]
pub struct Unreadable;

fn all_failed(leaves: &[Leaf]) -> bool {
    leaves.iter().all(|leaf| matches!(leaf.end, End::Failed(_)))
}

fn is_postmaster(address: &Address) -> bool {
    address
        .local_part
        .as_str()
        .eq_ignore_ascii_case("postmaster")
}

/// The length of what follows the last `@` of a lookup key; hosts have none.
fn host_len(key: &str) -> usize {
    key.rfind('@').map_or(0, |at| key.len() - at - 1)
}

fn local_part_of(key: &str) -> &str {
    key.rfind('@').map_or(key, |at| &key[..at])
}

#[cfg(test)]
#[path = "tables_tests.rs"]
pub(crate) mod tests;
