//! How full a mailbox is and may be: Maildir++ quotas.

mod maildirsize;

pub use maildirsize::MaildirQuota;

use std::fmt;
use std::ops::{Add, AddAssign};

/// What is in a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Octets as stored.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(more.bytes),
            messages: self.messages.saturating_add(more.messages),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets in {} messages", self.bytes, self.messages)
    }
}

/// What may be in a mailbox; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Octets as stored.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

impl Quota {
    /// No limits.
    pub const NONE: Self = Self {
        bytes: 0,
        messages: 0,
    };

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether a mailbox with `used` in it may take `more`.
    #[must_use]
    pub fn allows(self, used: Usage, more: Usage) -> bool {
        let within =
            |used: u64, more: u64, limit: u64| limit == 0 || used.saturating_add(more) <= limit;
        within(used.bytes, more.bytes, self.bytes)
            && within(used.messages, more.messages, self.messages)
    }
}

/// As the first line of `maildirsize` has it: `1000000S,1000C`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.messages) {
            (0, 0) => f.write_str("no limit"),
            (bytes, 0) => write!(f, "{bytes}S"),
            (0, messages) => write!(f, "{messages}C"),
            (bytes, messages) => write!(f, "{bytes}S,{messages}C"),
        }
    }
}
