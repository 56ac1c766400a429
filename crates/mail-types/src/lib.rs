//! The words of mail as types, shared by every program of the suite.
//!
//! Purpose: one definition each of an address, an envelope, a reply, an outcome and an
//! identifier, so that a value that exists has been checked.
//!
//! Invariants: an [`Address`] was parsed by the grammar of RFC 5321 §4.1.2 (with RFC 6531
//! §3.3) and prints to a form that parses to the same value; a [`Reply`] holds no control
//! characters; a [`QueueId`] prints to a form that parses to the same id.
//!
//! Deliberately absent: I/O, clocks, randomness, header parsing (crate `mime`), protocol
//! state (crates `smtp-proto`, `pop3-proto`).

mod address;
mod domain;
mod envelope;
mod id;
mod outcome;
mod reply;
mod time;

pub use address::{Address, AddressError, AddressHost, AddressLiteral, LocalPart};
pub use domain::{Domain, DomainError};
pub use envelope::{
    BodyKind, Envelope, ForwardPath, Notify, OriginalRecipient, Recipient, ReturnContent,
    ReversePath,
};
pub use id::{IdError, MessageId, QueueId, SessionId};
pub use outcome::{Deferral, Delivered, Failure, Outcome, Target};
pub use reply::{EnhancedStatus, Reply, StatusError};
pub use time::Timestamp;
