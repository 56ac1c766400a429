//! Domain names, ASCII and internationalised (RFC 1035 §2.3.4, RFC 5890, UTS 46).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most octets a domain name may have in its ASCII form (RFC 1035 §2.3.4, RFC 5321 §4.5.3.1.2).
const MAX_DOMAIN: usize = 253;
/// The most octets a label may have (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A domain name in its canonical forms.
///
/// Equality, order and hash use the lower-case A-label form, so `MÜNCHEN.example` equals
/// `xn--mnchen-3ya.example`. The name has at least one label and no final dot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain {
    /// Lower-case A-labels.
    ascii: Box<str>,
    /// Normalised U-labels, only when they differ from `ascii` and the name was given so.
    unicode: Option<Box<str>>,
}

impl Domain {
    /// Parses a domain name as mail knows it: letters, digits and inner hyphens per label
    /// (underscore is tolerated, as in DNS), or U-labels that IDNA allows.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, DomainError> {
        if name.is_empty() {
            return Err(DomainError::Empty);
        }
        if name.is_ascii() {
            let ascii = name.to_ascii_lowercase();
            check_ascii(&ascii)?;
            return Ok(Self {
                ascii: ascii.into(),
                unicode: None,
            });
        }
        let ascii = idna::domain_to_ascii_strict(name).map_err(|_| DomainError::Idna)?;
        check_ascii(&ascii)?;
        let (unicode, outcome) = idna::domain_to_unicode(&ascii);
        outcome.map_err(|_| DomainError::Idna)?;
        let unicode = (unicode != ascii).then(|| unicode.into_boxed_str());
        Ok(Self {
            ascii: ascii.into(),
            unicode,
        })
    }

    /// The lower-case A-label form, as DNS and tables use it.
    #[must_use]
    pub fn as_ascii(&self) -> &str {
        &self.ascii
    }

    /// Whether the name was given with U-labels, so that printing it needs SMTPUTF8.
    #[must_use]
    pub fn is_internationalized(&self) -> bool {
        self.unicode.is_some()
    }

    /// Whether `self` is `parent` or lies below it.
    #[must_use]
    pub fn is_within(&self, parent: &Domain) -> bool {
        self.ascii
            .strip_suffix(parent.as_ascii())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

fn check_ascii(name: &str) -> Result<(), DomainError> {
    if name.len() > MAX_DOMAIN {
        return Err(DomainError::TooLong);
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(DomainError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(DomainError::TooLong);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(DomainError::Hyphen);
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(DomainError::Character);
        }
    }
    Ok(())
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.ascii == other.ascii
    }
}

impl Eq for Domain {}

impl PartialOrd for Domain {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Domain {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ascii.cmp(&other.ascii)
    }
}

impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ascii.hash(state);
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.unicode.as_deref().unwrap_or(&self.ascii))
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.to_string()
    }
}

/// Why a domain name is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainError {
    /// Nothing was given.
    Empty,
    /// Two dots in a row, or a dot at either end.
    EmptyLabel,
    /// A label has over 63 octets, or the name over 253.
    TooLong,
    /// A label begins or ends with a hyphen.
    Hyphen,
    /// A character outside letters, digits, hyphen and underscore.
    Character,
    /// IDNA (UTS 46) does not allow this name.
    Idna,
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the domain is empty",
            Self::EmptyLabel => "the domain has an empty label",
            Self::TooLong => "the domain or one of its labels is too long",
            Self::Hyphen => "a label of the domain begins or ends with a hyphen",
            Self::Character => "the domain has a character that is not allowed",
            Self::Idna => "the domain is not a valid internationalised name",
        })
    }
}

impl std::error::Error for DomainError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonical() {
        for (given, ascii, shown) in [
            ("Example.ORG", "example.org", "example.org"),
            (
                "MÜNCHEN.example",
                "xn--mnchen-3ya.example",
                "münchen.example",
            ),
            (
                "xn--mnchen-3ya.example",
                "xn--mnchen-3ya.example",
                "xn--mnchen-3ya.example",
            ),
            ("a_b.example", "a_b.example", "a_b.example"),
        ] {
            let domain = Domain::parse(given).unwrap();
            assert_eq!(
                (domain.as_ascii(), domain.to_string().as_str()),
                (ascii, shown),
                "{given}"
            );
        }
    }

    #[test]
    fn bad_names_say_why() {
        for (given, why) in [
            ("", DomainError::Empty),
            (".example", DomainError::EmptyLabel),
            ("example.", DomainError::EmptyLabel),
            ("a..b", DomainError::EmptyLabel),
            ("-a.example", DomainError::Hyphen),
            ("a-.example", DomainError::Hyphen),
            ("a b", DomainError::Character),
            ("a\0b", DomainError::Character),
        ] {
            assert_eq!(Domain::parse(given), Err(why), "{given:?}");
        }
        assert_eq!(Domain::parse(&"a".repeat(64)), Err(DomainError::TooLong));
        assert_eq!(
            Domain::parse(&["abcdefgh"; 29].join(".")),
            Err(DomainError::TooLong)
        );
    }

    #[test]
    fn within_is_by_label() {
        let of = |name| Domain::parse(name).unwrap();
        assert!(of("a.example.org").is_within(&of("example.org")));
        assert!(of("example.org").is_within(&of("example.org")));
        assert!(!of("badexample.org").is_within(&of("example.org")));
    }
}
