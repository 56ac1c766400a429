//! Users and groups of the system, by name or number.

use std::fmt;

use toml::de::DeValue;

use super::{Value, expected, from_text, integer, quote};

/// A user or group: a name that is looked up in the system, or a number that needs no entry there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// To be looked up.
    Name(String),
    /// Used as it is.
    Id(u32),
}

impl Account {
    /// A name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// The number that means "no change" to the kernel and must never be an id.
const NO_ID: u32 = u32::MAX;

impl Value for Account {
    fn kind() -> String {
        "name or number".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        let what = "a user or group name or number";
        if value.is_integer() {
            let id = integer(value).and_then(|id| u32::try_from(id).ok());
            return match id.filter(|id| *id != NO_ID) {
                Some(id) => Ok(Self::Id(id)),
                None => expected(what, value),
            };
        }
        from_text(value, what, |text| {
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
                let id = text.parse().ok().filter(|id| *id != NO_ID);
                return id.map(Self::Id).ok_or("the number is too large");
            }
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-$@".contains(c);
            if text.is_empty() || text.len() > 255 || !text.chars().all(fits) {
                return Err("only letters, digits and . _ - $ @ can be in a name");
            }
            Ok(Self::Name(text.to_owned()))
        })
    }

    fn render(&self) -> String {
        match self {
            Self::Name(name) => quote(name),
            Self::Id(id) => id.to_string(),
        }
    }
}
