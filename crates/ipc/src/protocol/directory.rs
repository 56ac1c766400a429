//! Who is who: smtpd, queue-manager, local-delivery and pop3d → directory.
//!
//! Four protocols, one per kind of caller, so that each can ask only what its work needs.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mail_types::Address;
use serde::{Deserialize, Serialize};

use crate::Protocol;

const SMALL_BODY: usize = 16 << 10;

/// smtpd → directory: may this recipient be accepted; VRFY; EXPN.
#[derive(Debug)]
pub enum Recipients {}

impl Protocol for Recipients {
    const NAME: &'static str = "recipients";
    const VERSION: u32 = 1;
    /// EXPN's listing is the largest.
    const MAX_BODY: usize = 1 << 20;
    const MAX_PAYLOAD: usize = 0;
    const MAX_FDS: usize = 0;
    type Request = RecipientsRequest;
    type Reply = RecipientReply;
}

/// smtpd asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecipientsRequest {
    /// RCPT: may this address be accepted?
    Resolve {
        /// As given.
        address: Address,
        /// Octets that the message will have, as far as known; 0 when not.
        size: u64,
    },
    /// VRFY: an address, or a user name that is completed with the local domains.
    Vrfy {
        /// As given, cleaned of control characters.
        query: String,
    },
    /// EXPN: an alias's direct members.
    Expn {
        /// As given, cleaned of control characters.
        query: String,
    },
}

/// directory answers [`RecipientsRequest`] in kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecipientReply {
    /// To `Resolve`.
    Verdict {
        /// What the recipient is to us.
        verdict: RecipientVerdict,
        /// How long the asker may give this answer itself when the same address comes again, whatever
        /// the message's size; zero where size matters or the answer is bad news.
        holds_for: Duration,
    },
    /// To `Vrfy`.
    Vrfy(VrfyReply),
    /// To `Expn`.
    Expn(ExpnReply),
}

/// What a recipient is to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecipientVerdict {
    /// A mailbox or an alias of ours.
    Local,
    /// In `domains.relay`: accepted from anyone.
    RelayDomain,
    /// None of our domains: accepted only from clients that may relay.
    Remote,
    /// One of our domains, but nobody there (550 5.1.1).
    Unknown,
    /// One of our users moved away (551 5.1.6).
    Moved(Address),
    /// The mailbox has no room for this message (452 or 552, 5.2.2).
    OverQuota,
    /// The tables cannot be read just now (451 4.3.0).
    Unavailable,
}

/// To VRFY (RFC 5321 §3.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrfyReply {
    /// A deliverable local address, in full.
    Deliverable(Address),
    /// Several match (553).
    Ambiguous(Vec<Address>),
    /// A moved user.
    Moved(Address),
    /// Not of our domains.
    Remote,
    /// Nobody.
    Unknown,
    /// The tables cannot be read just now.
    Unavailable,
}

/// To EXPN (RFC 5321 §3.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpnReply {
    /// The members, as the alias names them; files, commands and includes left out.
    Members(Vec<Address>),
    /// No alias of this name.
    Unknown,
    /// The tables cannot be read just now.
    Unavailable,
}

/// queue-manager → directory: from an accepted address to where its mail goes.
#[derive(Debug)]
pub enum Expansion {}

impl Protocol for Expansion {
    const NAME: &'static str = "expansion";
    const VERSION: u32 = 1;
    /// `directory.expansion_limit` leaves at most.
    const MAX_BODY: usize = 8 << 20;
    const MAX_PAYLOAD: usize = 0;
    const MAX_FDS: usize = 0;
    type Request = ExpansionRequest;
    type Reply = ExpansionReply;
}

/// queue-manager asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpansionRequest {
    /// The accepted addresses of one message, at most 100.
    pub addresses: Vec<Address>,
}

/// directory answers, one entry per address asked, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpansionReply {
    /// The final targets of each address: each target once; at least one.
    pub leaves: Vec<Vec<ExpansionLeaf>>,
}

/// One end of an expansion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpansionLeaf {
    /// What it is.
    pub end: LeafEnd,
    /// `owner-name` of the alias that led here, when there is one: becomes the reverse-path of what is delivered there.
    pub owner: Option<Address>,
}

/// Where an expansion ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeafEnd {
    /// Mail can go there.
    Target(mail_types::Target),
    /// Nobody, moved, a loop, or over a limit: fails for good.
    Failed(mail_types::Failure),
    /// Tables unreadable just now: deferred.
    Deferred(mail_types::Deferral),
}

/// local-delivery → directory: a user's mailbox.
#[derive(Debug)]
pub enum Mailboxes {}

impl Protocol for Mailboxes {
    const NAME: &'static str = "mailboxes";
    const VERSION: u32 = 1;
    const MAX_BODY: usize = SMALL_BODY;
    const MAX_PAYLOAD: usize = 0;
    const MAX_FDS: usize = 0;
    type Request = MailboxRequest;
    type Reply = MailboxReply;
}

/// local-delivery asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxRequest {
    /// The user's own address, as in [`mail_types::Target::Mailbox`].
    pub user: Address,
}

/// directory answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailboxReply {
    /// Where the mailbox is.
    Mailbox(MailboxSpec),
    /// No such user (any more).
    Unknown,
    /// The tables cannot be read just now.
    Unavailable,
}

/// A mailbox and under whose rights it is touched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MailboxSpec {
    /// The user's own address.
    pub user: Address,
    /// Its owner; never 0 when the suite runs as root.
    pub uid: u32,
    /// Its owner's group.
    pub gid: u32,
    /// How it is stored.
    pub format: MailboxFormat,
    /// Absolute path of the Maildir folder or mbox file.
    pub path: PathBuf,
    /// Octets allowed; 0 is no limit.
    pub quota_bytes: u64,
    /// Messages allowed; 0 is no limit.
    pub quota_messages: u64,
}

/// How a mailbox is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MailboxFormat {
    /// Maildir++.
    Maildir,
    /// mboxrd.
    Mbox,
}

/// pop3d → directory: is this password right?
#[derive(Debug)]
pub enum Logins {}

impl Protocol for Logins {
    const NAME: &'static str = "logins";
    const VERSION: u32 = 1;
    const MAX_BODY: usize = SMALL_BODY;
    const MAX_PAYLOAD: usize = 0;
    const MAX_FDS: usize = 0;
    type Request = LoginRequest;
    type Reply = LoginReply;
}

/// For which service a login is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServiceName {
    /// POP3.
    Pop3,
}

/// pop3d asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// For what.
    pub service: ServiceName,
    /// As the client wrote it: `user@domain`, or a bare name that is completed.
    pub user: String,
    /// As the client wrote it; never logged.
    pub password: String,
    /// The client.
    pub client: IpAddr,
}

/// Leaves the password out.
impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("service", &self.service)
            .field("user", &self.user)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// A confirmed login, to be redeemed once at master: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u128);

/// directory answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginReply {
    /// Right; master was told of the ticket.
    Accepted {
        /// To hand to master with the client's socket.
        ticket: Ticket,
        /// The user's own address, for the log.
        user: Address,
    },
    /// Unknown user or wrong password: which, is not told.
    Refused,
    /// Cannot be checked just now ([SYS/TEMP]).
    Unavailable,
}
