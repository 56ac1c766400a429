//! Mail addresses as SMTP writes them (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::{Domain, DomainError};

/// The most octets a local-part may have (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;
/// The most octets an address may have: a path of 256 less its brackets (RFC 5321 §4.5.3.1.3).
const MAX_ADDRESS: usize = 254;

/// The part before the `@`, with quoting undone.
///
/// `"a.b"@x` and `a.b@x` are the same local-part (RFC 5321 §4.1.2); printing quotes it
/// again only where needed. Letter case is kept (RFC 5321 §2.4), comparison is exact;
/// tables fold case through [`Address::lookup_key`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Takes the meaning of a local-part, without quotes.
    ///
    /// # Errors
    /// When it is empty, too long, or has a control character.
    pub fn from_unquoted(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::EmptyLocalPart);
        }
        if text.len() > MAX_LOCAL_PART {
            return Err(AddressError::LocalPartTooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::LocalPartCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The meaning of the local-part: no quotes, no backslashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_dot_string(&self) -> bool {
        self.0
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_dot_string() {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// `atext` of RFC 5322 §3.2.3, with UTF8-non-ascii added (RFC 6531 §3.3).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// An address literal (RFC 5321 §4.1.3): `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
///
/// General-address-literals (`[tag:data]`) are refused: no tag but `IPv6` was ever registered.
pub type AddressLiteral = IpAddr;

/// What stands after the `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressHost {
    /// A domain name.
    Domain(Domain),
    /// An IP address in brackets.
    Literal(AddressLiteral),
}

impl AddressHost {
    /// Parses a domain or an address literal with its brackets.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some(inner) = text.strip_prefix('[') else {
            return Ok(Self::Domain(Domain::parse(text)?));
        };
        let inner = inner.strip_suffix(']').ok_or(AddressError::Literal)?;
        let tag = inner
            .get(..5)
            .filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
        let literal = match tag {
            Some(_) => inner[5..].parse::<Ipv6Addr>().map(IpAddr::V6),
            None => inner.parse::<Ipv4Addr>().map(IpAddr::V4),
        };
        literal
            .map(Self::Literal)
            .map_err(|_| AddressError::Literal)
    }

    /// The domain, unless this is a literal.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Literal(_) => None,
        }
    }
}

impl fmt::Display for AddressHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

/// `local-part@domain` or `local-part@[literal]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// Before the `@`.
    pub local_part: LocalPart,
    /// After the `@`.
    pub host: AddressHost,
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.local_part.hash(state);
        self.host.hash(state);
    }
}

impl Address {
    /// Parses exactly one address, with nothing before or after it.
    ///
    /// # Errors
    /// Says which rule of RFC 5321 §4.1.2 the text breaks.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        let (local_part, rest) = parse_local_part(text)?;
        let host = rest.strip_prefix('@').ok_or(AddressError::NoAt)?;
        Ok(Self {
            local_part,
            host: AddressHost::parse(host)?,
        })
    }

    /// An address of checked parts.
    #[must_use]
    pub fn new(local_part: LocalPart, host: AddressHost) -> Self {
        Self { local_part, host }
    }

    /// `local_part@domain` with the given meaning of the local-part.
    ///
    /// # Errors
    /// When the local-part is not one.
    pub fn at(local_part: &str, domain: &Domain) -> Result<Self, AddressError> {
        let local_part = LocalPart::from_unquoted(local_part)?;
        Ok(Self {
            local_part,
            host: AddressHost::Domain(domain.clone()),
        })
    }

    /// The domain, unless the address ends in a literal.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.host.domain()
    }

    /// The form that tables are searched with: lower case, A-labels.
    #[must_use]
    pub fn lookup_key(&self) -> String {
        let local_part = self.local_part.as_str().to_lowercase();
        match &self.host {
            AddressHost::Domain(domain) => format!("{local_part}@{}", domain.as_ascii()),
            AddressHost::Literal(_) => format!("{local_part}@{}", self.host),
        }
    }

    /// Whether printing the address needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_internationalized(&self) -> bool {
        !self.local_part.as_str().is_ascii()
            || self.domain().is_some_and(Domain::is_internationalized)
    }
}

/// Splits a local-part off the front of `text`; the rest begins at the `@`.
fn parse_local_part(text: &str) -> Result<(LocalPart, &str), AddressError> {
    if let Some(quoted) = text.strip_prefix('"') {
        return parse_quoted(quoted);
    }
    let end = text.find('@').ok_or(AddressError::NoAt)?;
    let (local_part, rest) = text.split_at(end);
    let local_part = LocalPart::from_unquoted(local_part)?;
    if local_part.as_str().split('.').any(str::is_empty) {
        return Err(AddressError::Dot);
    }
    if !local_part.is_dot_string() {
        return Err(AddressError::LocalPartCharacter);
    }
    Ok((local_part, rest))
}

/// `Quoted-string` of RFC 5321 §4.1.2, after its opening quote.
fn parse_quoted(text: &str) -> Result<(LocalPart, &str), AddressError> {
    let mut meaning = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((LocalPart::from_unquoted(&meaning)?, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ' '..='~')) => meaning.push(escaped),
                _ => return Err(AddressError::Quote),
            },
            c if c.is_control() => return Err(AddressError::LocalPartCharacter),
            c => meaning.push(c),
        }
    }
    Err(AddressError::Quote)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.host)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// There is no `@` after the local-part.
    NoAt,
    /// Nothing stands before the `@`.
    EmptyLocalPart,
    /// The local-part has over 64 octets.
    LocalPartTooLong,
    /// The address has over 254 octets.
    TooLong,
    /// A dot at an end of the local-part, or two in a row.
    Dot,
    /// A character that the local-part may not have, or only in quotes.
    LocalPartCharacter,
    /// A quoted local-part that does not end, or a backslash before nothing printable.
    Quote,
    /// Brackets without an IPv4 address or `IPv6:` and an address.
    Literal,
    /// The domain is not one.
    Domain(DomainError),
}

impl From<DomainError> for AddressError {
    fn from(error: DomainError) -> Self {
        Self::Domain(error)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAt => "there is no @ after the local-part",
            Self::EmptyLocalPart => "the local-part is empty",
            Self::LocalPartTooLong => "the local-part has over 64 octets",
            Self::TooLong => "the address has over 254 octets",
            Self::Dot => "the local-part has a dot at an end or two in a row",
            Self::LocalPartCharacter => "the local-part has a character that is not allowed there",
            Self::Quote => "the quoted local-part is not well formed",
            Self::Literal => "the address literal is neither [IPv4] nor [IPv6:address]",
            Self::Domain(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_print_as_they_mean() {
        for (given, shown) in [
            ("alice@Example.ORG", "alice@example.org"),
            ("\"alice\"@example.org", "alice@example.org"),
            ("\"a b\"@example.org", "\"a b\"@example.org"),
            ("\"a\\\"b\\c\"@example.org", "\"a\\\"bc\"@example.org"),
            ("\"@\"@example.org", "\"@\"@example.org"),
            ("a@[192.0.2.1]", "a@[192.0.2.1]"),
            ("a@[ipv6:2001:DB8::1]", "a@[IPv6:2001:db8::1]"),
            ("jürgen@münchen.example", "jürgen@münchen.example"),
            ("a+b/c=d@example", "a+b/c=d@example"),
        ] {
            assert_eq!(Address::parse(given).unwrap().to_string(), shown, "{given}");
        }
    }

    #[test]
    fn bad_addresses_say_why() {
        for (given, why) in [
            ("", AddressError::NoAt),
            ("alice", AddressError::NoAt),
            ("@example.org", AddressError::EmptyLocalPart),
            ("\"\"@example.org", AddressError::EmptyLocalPart),
            (".a@example.org", AddressError::Dot),
            ("a.@example.org", AddressError::Dot),
            ("a..b@example.org", AddressError::Dot),
            ("a b@example.org", AddressError::LocalPartCharacter),
            ("a\rb@example.org", AddressError::LocalPartCharacter),
            ("\"a\nb\"@example.org", AddressError::LocalPartCharacter),
            ("\"ab@example.org", AddressError::Quote),
            ("\"ab\"c@example.org", AddressError::NoAt),
            ("a@[192.0.2.300]", AddressError::Literal),
            ("a@[2001:db8::1]", AddressError::Literal),
            ("a@[192.0.2.1", AddressError::Literal),
            ("a@b@c", AddressError::Domain(DomainError::Character)),
            ("a@", AddressError::Domain(DomainError::Empty)),
        ] {
            assert_eq!(Address::parse(given), Err(why), "{given:?}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        assert_eq!(Address::parse(&long), Err(AddressError::LocalPartTooLong));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_not_without_panic(text in "\\PC{0,300}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
            }
        }

        #[test]
        fn any_local_part_survives_printing(local in "[ -~äß€]{1,20}", domain in "[a-z]{1,9}\\.[a-z]{2,5}") {
            let address = Address::at(&local, &Domain::parse(&domain).unwrap()).unwrap();
            prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
        }
    }
}
