//! Which domains are ours, which we relay for, and which belong to the rest of the world.

use std::collections::HashMap;

use mail_types::{AddressHost, Domain};

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

/// The domains and address literals of this installation.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    /// In the order of the configuration.
    local: Vec<AddressHost>,
    class: HashMap<AddressHost, DomainClass>,
}

impl Domains {
    /// Takes both lists. What is in both is local.
    #[must_use]
    pub fn new(local: Vec<AddressHost>, relay: Vec<Domain>) -> Self {
        let relay = relay.into_iter().map(AddressHost::Domain);
        let mut class: HashMap<_, _> = relay.map(|host| (host, DomainClass::Relay)).collect();
        class.extend(local.iter().map(|host| (host.clone(), DomainClass::Local)));
        Self { local, class }
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
    /// A literal is local only when it is listed: that it is an address of this host does not make it
    /// ours behind a NAT.
    #[must_use]
    pub fn classify(&self, host: &AddressHost) -> DomainClass {
        self.class.get(host).copied().unwrap_or(DomainClass::Remote)
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
            ["relay.example", "example.org"]
                .map(|name| Domain::parse(name).unwrap())
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
        ] {
            assert_eq!(domains.classify(&host(name)), class, "{name}");
        }
        assert_eq!(domains.local()[0], host("example.org"));
    }
}
