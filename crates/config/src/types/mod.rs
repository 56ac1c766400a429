//! The types of settings: how each is written in the file.

mod duration;
mod list;
mod network;
mod size;
mod user;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;

use mail_types::Domain;
use toml::de::DeValue;

pub use network::Network;
pub use size::Size;
pub use user::Account;
pub(crate) use words::words;

/// A type that a setting can have.
pub trait Value: Sized {
    /// The type in words, with its unit.
    fn kind() -> String;
    /// Reads it from the file; the error says what is expected.
    fn parse(value: &DeValue<'_>) -> Result<Self, String>;
    /// As it stands in the file.
    fn render(&self) -> String;
}

/// "expected X, found Y".
pub(crate) fn expected<T>(what: &str, found: &DeValue<'_>) -> Result<T, String> {
    let found = match found {
        DeValue::String(text) => format!("the string {}", quote(text)),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Err(format!("expected {what}, found {found}"))
}

/// A TOML string.
pub(crate) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The number, if the value is one that fits.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

impl Value for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Boolean(value) => Ok(*value),
            other => expected("true or false", other),
        }
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    fn kind() -> String {
        "number".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        let number = integer(value).and_then(|number| Self::try_from(number).ok());
        number.map_or_else(|| expected("a whole number", value), Ok)
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// Reads a string and makes a value of it.
fn from_text<T, E: std::fmt::Display>(
    value: &DeValue<'_>,
    what: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, String> {
    let DeValue::String(text) = value else {
        return expected(what, value);
    };
    parse(text).map_err(|error| format!("{} is not {what}: {error}", quote(text)))
}

impl Value for String {
    fn kind() -> String {
        "text".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        from_text(value, "text without control characters", |text| {
            if text.chars().any(char::is_control) {
                return Err("it has some");
            }
            Ok(text.to_owned())
        })
    }

    fn render(&self) -> String {
        quote(self)
    }
}

impl Value for PathBuf {
    fn kind() -> String {
        "absolute path".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        from_text(value, "an absolute path", |text| {
            if !text.starts_with('/') {
                return Err("it does not start with /");
            }
            if text.chars().any(char::is_control) {
                return Err("it has control characters");
            }
            Ok(Self::from(text))
        })
    }

    fn render(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

impl Value for Domain {
    fn kind() -> String {
        "domain name".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        from_text(value, "a domain name", Self::parse)
    }

    fn render(&self) -> String {
        quote(&self.to_string())
    }
}

impl Value for SocketAddr {
    fn kind() -> String {
        "address and port".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        from_text(
            value,
            "an address and port such as \"127.0.0.1:25\" or \"[::1]:25\"",
            str::parse,
        )
    }

    fn render(&self) -> String {
        quote(&self.to_string())
    }
}

/// `""` in the file is `None`.
impl<T: Value> Value for Option<T> {
    fn kind() -> String {
        format!("{}, or \"\" for none", T::kind())
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) if text.is_empty() => Ok(None),
            other => T::parse(other).map(Some),
        }
    }

    fn render(&self) -> String {
        self.as_ref().map_or_else(|| quote(""), T::render)
    }
}

#[cfg(test)]
mod tests;
