//! Networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use toml::de::DeValue;

use super::{Value, from_text, quote};

/// An address range such as `192.0.2.0/24`; a single address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// No bit behind the prefix is set.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// 127.0.0.0/8.
    pub const LOOPBACK_V4: Self = Self {
        address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        prefix: 8,
    };
    /// ::1/128.
    pub const LOOPBACK_V6: Self = Self {
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        prefix: 128,
    };

    /// Is the address in this network? An IPv4 address mapped into IPv6 counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                first_bits(address.to_bits().into(), 32, self.prefix)
                    == u128::from(network.to_bits())
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                first_bits(address.to_bits(), 128, self.prefix) == network.to_bits()
            }
            _ => false,
        }
    }
}

/// The bits of the prefix; those behind it are zero.
fn first_bits(bits: u128, width: u32, prefix: u8) -> u128 {
    let behind = width - u32::from(prefix);
    bits.checked_shr(behind)
        .unwrap_or(0)
        .checked_shl(behind)
        .unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "the address is not valid")?;
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let prefix = match prefix {
            None => width,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or(format!("the prefix length must be 0 to {width}"))?,
        };
        let first = first_bits(bits, width.into(), prefix);
        if first != bits {
            let first = match address {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(first as u32)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first)),
            };
            return Err(format!(
                "bits behind the prefix are set; did you mean \"{first}/{prefix}\"?"
            ));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Value for Network {
    fn kind() -> String {
        "network in CIDR notation".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        from_text(
            value,
            "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
            str::parse,
        )
    }

    fn render(&self) -> String {
        quote(&self.to_string())
    }
}
