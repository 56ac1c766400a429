//! Identifiers: of a queued message, of a session, of a message's header.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits and consonants: no vowels, so that no id spells a word, and none that look alike.
const ALPHABET: &[u8; 32] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ_";
/// 13 digits of 5 bits hold 64 bits; ids of our time need 11.
const MAX_DIGITS: usize = 13;

/// Our name for a queued message: microseconds since 1970 at its acceptance, made unique.
///
/// Ids grow with time and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId(pub u64);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base32(self.0, f)
    }
}

impl FromStr for QueueId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_base32(text).map(Self)
    }
}

/// One connection's name in the log, unique within a boot of the machine for all practical purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base32(self.0, f)
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_base32(text).map(Self)
    }
}

/// The `Message-ID` header's value, with its angle brackets (RFC 5322 §3.6.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageId(pub String);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn write_base32(mut value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [b'0'; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    loop {
        at -= 1;
        digits[at] = ALPHABET[usize::try_from(value & 31).unwrap_or_default()];
        value >>= 5;
        if value == 0 {
            break;
        }
    }
    f.pad(std::str::from_utf8(&digits[at..]).unwrap_or_default())
}

fn read_base32(text: &str) -> Result<u64, IdError> {
    if text.is_empty() || text.len() > MAX_DIGITS {
        return Err(IdError);
    }
    text.bytes().try_fold(0u64, |value, byte| {
        let byte = byte.to_ascii_uppercase();
        let digit = ALPHABET
            .iter()
            .position(|&known| known == byte)
            .ok_or(IdError)?;
        let digit = u64::try_from(digit).map_err(|_| IdError)?;
        value
            .checked_mul(32)
            .and_then(|value| value.checked_add(digit))
            .ok_or(IdError)
    })
}

/// A text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an id: expected up to 13 digits and consonants, as the queue listing shows them",
        )
    }
}

impl std::error::Error for IdError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_read_as_they_print(value: u64) {
            let id = QueueId(value);
            prop_assert_eq!(id.to_string().parse::<QueueId>(), Ok(id));
            prop_assert_eq!(id.to_string().to_lowercase().parse::<QueueId>(), Ok(id));
        }
    }

    #[test]
    fn not_every_text_is_an_id() {
        for text in ["", "A", "0123456789BCDF", "1 2", "ZZZZZZZZZZZZZ"] {
            assert_eq!(text.parse::<QueueId>(), Err(IdError), "{text}");
        }
    }
}
