//! What MAIL and RCPT said (RFC 5321 §2.3.1), with the parameters of RFC 3461, 6152 and 6531.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::Address;

/// Where reports about a message go: an address, or nowhere (`<>`, RFC 5321 §4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: a report itself; nothing is ever sent back for it.
    Null,
    /// The address that is told.
    Address(Address),
}

impl ReversePath {
    /// The address, unless null.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

/// Prints with its angle brackets.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// What RCPT named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain, in any case (RFC 5321 §4.1.1.3).
    Postmaster,
    /// An address.
    Address(Address),
}

/// How the content's octets are to be taken (RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyKind {
    /// `BODY=7BIT` or nothing said.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME`.
    BinaryMime,
}

/// How much of the message a report returns (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnContent {
    /// `RET=FULL`.
    Full,
    /// `RET=HDRS`.
    Headers,
}

/// When the sender wants a report about a recipient (RFC 3461 §4.1).
///
/// `NOTIFY=NEVER` is all three false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// `SUCCESS`
    pub success: bool,
    /// `FAILURE`
    pub failure: bool,
    /// `DELAY`
    pub delay: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Self = Self {
        success: false,
        failure: false,
        delay: false,
    };
    /// What holds when NOTIFY was not said (RFC 3461 §4.1): failures, and delays at our choice.
    pub const DEFAULT: Self = Self {
        success: false,
        failure: true,
        delay: true,
    };
}

impl Default for Notify {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `ORCPT` (RFC 3461 §4.2): the recipient as its sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8`, or another registered type.
    pub address_type: String,
    /// The address with xtext undone.
    pub address: String,
}

/// One accepted RCPT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Where the mail is to go.
    pub address: Address,
    /// When to report; `None` when NOTIFY was not said.
    pub notify: Option<Notify>,
    /// ORCPT, when said.
    pub original: Option<OriginalRecipient>,
}

impl Recipient {
    /// A recipient without DSN parameters.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            notify: None,
            original: None,
        }
    }
}

/// Sender, recipients and how the content is to be treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in order of acceptance; at least one.
    pub recipients: Vec<Recipient>,
    /// `BODY=`.
    pub body: BodyKind,
    /// `SMTPUTF8` was said (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `RET=`, when said.
    pub return_content: Option<ReturnContent>,
    /// `ENVID=` with xtext undone, when said (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
}

impl Envelope {
    /// An envelope without parameters.
    #[must_use]
    pub fn new(reverse_path: ReversePath, recipients: Vec<Recipient>) -> Self {
        Self {
            reverse_path,
            recipients,
            body: BodyKind::default(),
            smtputf8: false,
            return_content: None,
            envelope_id: None,
        }
    }
}
