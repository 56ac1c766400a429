//! The right to send to other people's domains.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The proof that a client may relay: without one, mail for other domains is refused.
///
/// The only ways to get one are the constructors here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPermit(());

impl RelayPermit {
    /// For a client within one of the trusted networks.
    #[must_use]
    pub fn by_network(client: IpAddr, trusted: &[Network]) -> Option<Self> {
        trusted
            .iter()
            .any(|network| network.contains(client))
            .then_some(Self(()))
    }
}

/// A range of addresses: `192.0.2.0/24`, `[2001:db8::]/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    length: u8,
    is_v6: bool,
}

impl Network {
    /// Whether `address` lies in it; an IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v6) = to_bits(address);
        self.is_v6 == is_v6 && prefix(bits, self.length) == self.base
    }
}

/// The network a client is counted under: itself for IPv4, its /64 for IPv6.
#[must_use]
pub fn client_key(address: IpAddr) -> u128 {
    match to_bits(address) {
        (bits, true) => prefix(bits, 64),
        (bits, false) => u128::from(Ipv6Addr::from(0xffff_0000_0000)) | (bits >> 96),
    }
}

/// Left-aligned, so that prefixes of both families are masked alike.
fn to_bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, false),
        IpAddr::V6(ip) => (u128::from(ip), true),
    }
}

fn prefix(bits: u128, length: u8) -> u128 {
    match length {
        0 => 0,
        length => bits & (u128::MAX << (128 - u32::from(length.min(128)))),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = address
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(address);
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| NetworkError::Length)?,
            None => most,
        };
        if length > most {
            return Err(NetworkError::Length);
        }
        let bits = match address {
            IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
            IpAddr::V6(ip) => u128::from(ip),
        };
        if prefix(bits, length) != bits {
            return Err(NetworkError::HostBits);
        }
        Ok(Self {
            base: bits,
            length,
            is_v6: address.is_ipv6(),
        })
    }
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// No IP address before the slash.
    Address,
    /// The prefix length is no number or too large.
    Length,
    /// Bits behind the prefix are set.
    HostBits,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "not an IP address or network such as 192.0.2.0/24 or 2001:db8::/32",
            Self::Length => {
                "the length behind the slash must be 0 to 32 for IPv4, 0 to 128 for IPv6"
            }
            Self::HostBits => "bits behind the network's length must be zero",
        })
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, address, inside) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::1", "::1", true),
            ("[2001:db8::]/32", "2001:db8:1::5", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", false),
        ] {
            let network: Network = network.parse().unwrap();
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network.contains(address), inside, "{network:?} {address}");
            assert_eq!(
                RelayPermit::by_network(address, &[network]).is_some(),
                inside
            );
        }
        assert_eq!(RelayPermit::by_network("::1".parse().unwrap(), &[]), None);
    }

    #[test]
    fn bad_networks_say_why() {
        for (text, why) in [
            ("", NetworkError::Address),
            ("localhost", NetworkError::Address),
            ("10.0.0.0/33", NetworkError::Length),
            ("10.0.0.0/", NetworkError::Length),
            ("10.0.0.1/8", NetworkError::HostBits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(why), "{text}");
        }
    }

    #[test]
    fn clients_are_counted_by_address_or_64() {
        let key = |text: &str| client_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
