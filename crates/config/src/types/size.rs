//! Sizes in bytes.

use std::fmt;

use toml::de::DeValue;

use super::{Value, expected, integer, quote};

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A size in bytes; `"50MiB"` in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KiB.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many GiB.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In bytes, for lengths in memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in UNITS {
            if self.0 != 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        f.write_str("0B")
    }
}

const WHAT: &str = "a size such as \"64KiB\" (units B, KiB, MiB, GiB, TiB)";

impl Value for Size {
    fn kind() -> String {
        "size in B, KiB, MiB, GiB or TiB".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        if let Some(bytes) = integer(value) {
            return Ok(Self(bytes));
        }
        let DeValue::String(text) = value else {
            return expected(WHAT, value);
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let bytes = number
            .parse::<u64>()
            .ok()
            .zip(factor)
            .and_then(|(number, (_, factor))| number.checked_mul(*factor));
        bytes.map(Self).map_or_else(|| expected(WHAT, value), Ok)
    }

    fn render(&self) -> String {
        quote(&self.to_string())
    }
}
