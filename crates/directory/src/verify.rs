//! VRFY and EXPN (RFC 5321 §3.5): what a name or address stands for.

use mail_types::{Address, LocalPart};
use routing::{Aliasing, Found, Lookup, Member};

use crate::tables::{Resolution, Tables, Unreadable};

/// What VRFY finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// One address that mail can be sent to.
    Deliverable(Address),
    /// Several, for a name without domain.
    Ambiguous(Vec<Address>),
    /// A user who moved.
    Moved(Address),
    /// Not of our domains.
    Remote,
    /// Nobody.
    Unknown,
    /// A table that matters could never be read.
    Unavailable,
}

impl Tables {
    /// VRFY: an address, or a name that is looked for in every local domain.
    #[must_use]
    pub fn verify(&self, query: &str) -> Verified {
        if let Some(address) = parse_query(query) {
            return match self.resolve(&address) {
                Resolution::Local { .. } => Verified::Deliverable(address),
                Resolution::Relay | Resolution::Remote => Verified::Remote,
                Resolution::Moved(new) => Verified::Moved(new),
                Resolution::Unknown => Verified::Unknown,
                Resolution::Unavailable => Verified::Unavailable,
            };
        }
        let mut found = self.everywhere(query);
        match (found.len(), found.pop()) {
            (1, Some((address, _))) => self.verify(&address.to_string()),
            (_, None) if self.is_incomplete() => Verified::Unavailable,
            (_, None) => Verified::Unknown,
            (_, Some(last)) => {
                let found = found.into_iter().chain([last]);
                Verified::Ambiguous(found.map(|(address, _)| address).collect())
            }
        }
    }

    /// EXPN: the direct members of an alias that are addresses. `Ok(None)` when there is no such
    /// alias; `Err` when the tables cannot say.
    pub fn members(&self, query: &str) -> Result<Option<Vec<Address>>, Unreadable> {
        let address = match parse_query(query) {
            Some(address) => Some(address),
            None => self
                .everywhere(query)
                .into_iter()
                .next()
                .map(|(address, _)| address),
        };
        let found = address
            .as_ref()
            .map(|address| self.find(address, Aliasing::Follow));
        match (found, address) {
            (Some(Found::Alias(alias)), Some(address)) => {
                let members = alias.members.iter();
                Ok(Some(
                    members
                        .filter_map(|member| self.shown(member, &address))
                        .collect(),
                ))
            }
            (Some(Found::Unavailable), _) => Err(Unreadable),
            (None, _) if self.is_incomplete() => Err(Unreadable),
            _ => Ok(None),
        }
    }

    fn shown(&self, member: &Member, beside: &Address) -> Option<Address> {
        match member {
            Member::Name(name) | Member::Mailbox(name) => Some(self.complete(name, beside)),
            Member::Address(address) => Some(address.clone()),
            Member::File(_) | Member::Command(_) | Member::Unreadable(_) => None,
        }
    }

    fn is_incomplete(&self) -> bool {
        self.users().is_none() || self.aliases().is_none() || self.system().is_none()
    }

    /// What a bare name is in each local domain, each thing once.
    fn everywhere(&self, name: &str) -> Vec<(Address, Found<'_>)> {
        let mut all: Vec<(Address, Found<'_>)> = Vec::new();
        let Ok(name) = LocalPart::from_unquoted(name) else {
            return all;
        };
        for host in self.sources().domains.local() {
            let address = Address::new(name.clone(), host.clone());
            let Some(found) = self.exactly(&address.lookup_key(), &address, Aliasing::Follow)
            else {
                continue;
            };
            if !all.iter().any(|(_, earlier)| is_same(earlier, &found)) {
                all.push((address, found));
            }
        }
        all.retain(|(_, found)| *found != Found::Unavailable);
        all
    }
}

fn is_same(one: &Found<'_>, other: &Found<'_>) -> bool {
    match (one, other) {
        (Found::Alias(one), Found::Alias(other)) => std::ptr::eq(one.members, other.members),
        (one, other) => one == other,
    }
}

/// `address` or `<address>`.
fn parse_query(query: &str) -> Option<Address> {
    let inner = query
        .strip_prefix('<')
        .and_then(|query| query.strip_suffix('>'));
    Address::parse(inner.unwrap_or(query)).ok()
}
