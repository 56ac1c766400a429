//! Spans of time.

use std::time::Duration;

use toml::de::DeValue;

use super::{Value, expected, quote};

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1000),
    ("ms", 1),
];

const WHAT: &str = "a time such as \"30s\" or \"1h 30min\" (units ms, s, min, h, d)";

impl Value for Duration {
    fn kind() -> String {
        "time in ms, s, min, h or d".to_owned()
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::String(text) = value else {
            return expected(WHAT, value);
        };
        milliseconds(text)
            .map(Self::from_millis)
            .map_or_else(|| expected(WHAT, value), Ok)
    }

    fn render(&self) -> String {
        let all = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let exact = UNITS
            .iter()
            .find(|(_, unit)| all != 0 && all.is_multiple_of(*unit));
        match exact {
            Some((name, unit)) => quote(&format!("{}{name}", all / unit)),
            None => quote("0s"),
        }
    }
}

/// One or more numbers with units, from the largest unit to the smallest.
fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut units = UNITS.iter();
    let mut total = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit());
        let (unit, after) = split(after.trim_start(), |byte| byte.is_ascii_alphabetic());
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        total = total.checked_add(part)?;
        rest = after.trim_start();
    }
    Some(total)
}

fn split(text: &str, matches: impl Fn(&u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(matches).count())
}
