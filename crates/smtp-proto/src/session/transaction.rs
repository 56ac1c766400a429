//! What a session remembers between commands.

use std::fmt;

use mail_types::{Address, AddressHost, BodyKind, Envelope, Recipient, ReversePath};

use super::Session;
use crate::command::MailCommand;
use crate::content::{ContentDecoder, Fault};
use crate::replies::{self, Reply};
use crate::session::NotStored;
use crate::settings::Settings;

/// The most octets of a host name (RFC 5321 §4.5.3.1.2).
const MAX_NAME: usize = 255;

/// The name a client gave in HELO or EHLO: printable, but otherwise anybody's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeloName(Box<str>);

impl HeloName {
    /// A name out of letters, digits, dots, hyphens and underscores, or an address literal.
    ///
    /// Many honest clients have no proper domain name, so its labels are not looked at closer; that it cannot end a
    /// trace header or a log field is what matters.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let formed = match text.strip_prefix('[') {
            Some(_) => AddressHost::parse(text).is_ok(),
            None => text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':')),
        };
        (formed && text.len() <= MAX_NAME).then(|| Self(text.into()))
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug)]
pub(super) struct Hello {
    pub(super) name: HeloName,
    /// EHLO.
    pub(super) extended: bool,
}

/// The `with` keyword of a trace header (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HELO
    Smtp,
    /// EHLO
    Esmtp,
    /// EHLO and SMTPUTF8
    Utf8Smtp,
}

impl Protocol {
    /// The keyword.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Utf8Smtp => "UTF8SMTP",
        }
    }
}

/// What a trace header says about the open transaction (RFC 5321 §4.4).
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// From whom, by its own word.
    pub helo: &'a HeloName,
    /// With what.
    pub protocol: Protocol,
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// For whom: told only when there is one recipient, so that nobody learns of the others.
    pub sole_recipient: Option<&'a Address>,
    /// The number of the transaction within the session, from 1.
    pub number: u32,
    /// Octets declared by SIZE; 0 when not.
    pub declared_size: u64,
    /// Recipients accepted.
    pub recipients: usize,
}

/// From MAIL to the reply to the content.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) mail: MailCommand,
    pub(super) recipients: Vec<Recipient>,
    /// Recipients that were refused for themselves.
    pub(super) refused: u32,
    /// Recipients over the limit.
    pub(super) overflow: u32,
    /// Set when content has begun.
    pub(super) content: Option<ContentDecoder>,
    /// The driver was told to drop what it had of the content.
    pub(super) dropped: bool,
    /// The driver could not keep the content.
    pub(super) not_stored: Option<NotStored>,
}

impl Transaction {
    pub(super) fn new(mail: MailCommand) -> Self {
        Self {
            mail,
            recipients: Vec::new(),
            refused: 0,
            overflow: 0,
            content: None,
            dropped: false,
            not_stored: None,
        }
    }

    /// The reply to content that will not be stored.
    pub(super) fn refusal(&self, settings: &Settings) -> Option<Reply> {
        let fault = self.content.as_ref().and_then(ContentDecoder::fault);
        match (fault, self.not_stored) {
            (Some(fault), _) => Some(replies::fault(fault, settings)),
            (None, Some(why)) => Some(replies::not_stored(why)),
            (None, None) => None,
        }
    }

    /// The fault of the content, when it is known by now.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.content.as_ref().and_then(ContentDecoder::fault)
    }

    /// Content that the driver cannot keep is not gathered for it either.
    pub(super) fn drop_if_lost(&self, content: &mut Vec<u8>) {
        if self.not_stored.is_some() {
            content.clear();
        }
    }

    /// The envelope, each recipient once.
    pub(super) fn into_envelope(self) -> Envelope {
        let parameters = self.mail.parameters;
        // What a client calls 7BIT and is not must not be taken for it further on.
        let eight_bit = self.content.is_some_and(|content| content.is_eight_bit());
        let body = match parameters.body.unwrap_or_default() {
            BodyKind::SevenBit if eight_bit => BodyKind::EightBitMime,
            body => body,
        };
        Envelope {
            reverse_path: self.mail.reverse_path,
            recipients: without_repeats(self.recipients),
            body,
            smtputf8: parameters.smtputf8,
            return_content: parameters.return_content,
            envelope_id: parameters.envelope_id,
        }
    }
}

/// Keeps the first of each address, in order: a repeated RCPT is accepted, but is one delivery.
fn without_repeats(recipients: Vec<Recipient>) -> Vec<Recipient> {
    if recipients.len() < 2 {
        return recipients;
    }
    let mut order: Vec<usize> = (0..recipients.len()).collect();
    // Stable: of equal addresses the earliest stays first.
    order.sort_by(|&a, &b| recipients[a].address.cmp(&recipients[b].address));
    let mut repeated = vec![false; recipients.len()];
    for pair in order.windows(2) {
        repeated[pair[1]] = recipients[pair[0]].address == recipients[pair[1]].address;
    }
    let mut repeated = repeated.into_iter();
    recipients
        .into_iter()
        .filter(|_| !repeated.next().unwrap_or_default())
        .collect()
}

impl Session {
    /// What the trace header of the open transaction is made of; `None` without HELO or transaction.
    #[must_use]
    pub fn trace(&self) -> Option<Trace<'_>> {
        let (hello, transaction) = (self.hello.as_ref()?, self.transaction.as_ref()?);
        let protocol = match (hello.extended, transaction.mail.parameters.smtputf8) {
            (_, true) => Protocol::Utf8Smtp,
            (true, false) => Protocol::Esmtp,
            (false, false) => Protocol::Smtp,
        };
        let sole_recipient = match transaction.recipients.as_slice() {
            [recipient] => Some(&recipient.address),
            _ => None,
        };
        Some(Trace {
            helo: &hello.name,
            protocol,
            reverse_path: &transaction.mail.reverse_path,
            sole_recipient,
            number: self.counters.transactions,
            declared_size: transaction.mail.parameters.size.unwrap_or(0),
            recipients: transaction.recipients.len(),
        })
    }

    /// The name the client gave, once it did.
    #[must_use]
    pub fn helo(&self) -> Option<&HeloName> {
        self.hello.as_ref().map(|hello| &hello.name)
    }
}
