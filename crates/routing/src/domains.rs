//! Which domains are ours, which we relay for, and which belong to the rest of the world.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use mail_types::{AddressError, AddressHost, Domain};

/// What the part after the `@` is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainClass {
    /// Its users are ours.
    Local,
    /// We take its mail from anyone and pass it on.
    Relay,
    /// Neither: only for clients that may relay.
    Remote,
}

/// An entry of `domains.relay`: `example.org` is that name alone, `.example.org` all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayPattern {
    /// This name.
    Exactly(Domain),
    /// Every name below this one, and not the name itself.
    Below(Domain),
}

impl FromStr for RelayPattern {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('.') {
            Some(parent) => Self::Below(Domain::parse(parent)?),
            None => Self::Exactly(Domain::parse(text)?),
        })
    }
}

impl fmt::Display for RelayPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(domain) => domain.fmt(f),
            Self::Below(domain) => write!(f, ".{domain}"),
        }
    }
}

/// The domains and address literals of this installation.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    /// In the order of the configuration.
    local: Vec<AddressHost>,
    class: HashMap<AddressHost, DomainClass>,
    relay_below: HashSet<Domain>,
}

impl Domains {
    /// Takes both lists. What is in both is local.
    #[must_use]
    pub fn new(local: Vec<AddressHost>, relay: Vec<RelayPattern>) -> Self {
        let mut class = HashMap::new();
        let mut relay_below = HashSet::new();
        for pattern in relay {
            match pattern {
                RelayPattern::Exactly(domain) => {
                    class.insert(AddressHost::Domain(domain), DomainClass::Relay);
                }
                RelayPattern::Below(domain) => {
                    relay_below.insert(domain);
                }
            }
        }
        class.extend(local.iter().map(|host| (host.clone(), DomainClass::Local)));
        Self {
            local,
            class,
            relay_below,
        }
    }

    /// The local domains and literals in the order of the configuration; the first is the
    /// primary one.
    #[must_use]
    pub fn local(&self) -> &[AddressHost] {
        &self.local
    }

    /// Whether its users are ours.
    #[must_use]
    pub fn is_local(&self, host: &AddressHost) -> bool {
        self.classify(host) == DomainClass::Local
    }

    /// What a domain or address literal is to us.
    ///
    /// A literal is local only when it is listed, as `[192.0.2.1]`: that it is an address of
    /// this host does not make it ours behind a NAT.
    #[must_use]
    pub fn classify(&self, host: &AddressHost) -> DomainClass {
        if let Some(&class) = self.class.get(host) {
            return class;
        }
        match host {
            AddressHost::Domain(domain) if self.is_below_relayed(domain) => DomainClass::Relay,
            _ => DomainClass::Remote,
        }
    }

    fn is_below_relayed(&self, domain: &Domain) -> bool {
        if self.relay_below.is_empty() {
            return false;
        }
        self.relay_below
            .iter()
            .any(|parent| domain != parent && domain.is_within(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> AddressHost {
        AddressHost::parse(text).unwrap()
    }

    #[test]
    fn hosts_are_classified_by_the_lists() {
        let domains = Domains::new(
            vec![
                host("example.org"),
                host("münchen.example"),
                host("[192.0.2.1]"),
            ],
            ["relay.example", ".below.example", "example.org"]
                .map(|pattern| pattern.parse().unwrap())
                .to_vec(),
        );
        for (name, class) in [
            ("Example.ORG", DomainClass::Local),
            ("sub.example.org", DomainClass::Remote),
            ("xn--mnchen-3ya.example", DomainClass::Local),
            ("[192.0.2.1]", DomainClass::Local),
            ("[192.0.2.2]", DomainClass::Remote),
            ("relay.example", DomainClass::Relay),
            ("a.relay.example", DomainClass::Remote),
            ("below.example", DomainClass::Remote),
            ("a.b.below.example", DomainClass::Relay),
            ("notbelow.example", DomainClass::Remote),
        ] {
            assert_eq!(domains.classify(&host(name)), class, "{name}");
        }
        assert_eq!(domains.local()[0], host("example.org"));
    }
}
