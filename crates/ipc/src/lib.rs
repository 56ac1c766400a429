//! Typed frames between the processes over Unix sockets.
//!
//! A frame is a 16-byte header, a `bincode` body (one value of a closed enum) and a payload of raw
//! bytes that never passes through a serializer; open files travel with it by SCM_RIGHTS. Both ends
//! say a Hello first (protocol and version). A server that ends in order says Goodbye after its last
//! reply: whatever it has not answered by then was not begun.
//!
//! Invariants:
//! - No input can make a decoder panic, allocate more than arrived plus a constant, or accept a frame
//!   over the limits of its [`Protocol`]. The first fault ends the channel with a [`ProtocolError`].
//! - A call is answered once, or its caller learns which of two things happened: it was surely not
//!   begun (sent again without the caller noticing), or its outcome is unknown ([`CallError::Lost`]).
//! - Every queue in here has a bound: outstanding calls, unanswered requests, bytes not yet written.
//!
//! Deliberately absent: knowledge of what the messages mean (the servers have it), encryption and
//! authentication beyond peer credentials (both ends are on one machine, under one master), and unsafe
//! code (descriptor passing is `sandbox::fds`).

mod blocking;
mod client;
mod connection;
mod error;
mod listener;
pub mod protocol;
mod shared;
mod socket;
#[cfg(test)]
mod test_support;
pub mod wire;

pub use blocking::{BlockingClient, BlockingConnection, PollConnection, Status};
pub use client::{Caller, Client, ClientOptions, connect};
pub use connection::{Connection, Receiver, Sender};
pub use error::{CallError, ConnectError, ReceiveError};
pub use listener::{Greeted, Listener, NewConnection, Peer};
pub use wire::{Limits, ProtocolError, SendError, fuzz_frames};

use std::os::fd::OwnedFd;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// One protocol between two programs: who may say what, and how large.
///
/// `Request` travels from the client (the end that connected, or the child on its control socket),
/// `Reply` from the server, both as answers and as pushes. The types must not be recursive and must not
/// contain lists of empty values: the decoder's time and stack would then not be bounded by its input.
pub trait Protocol: Send + Sync + 'static {
    /// The name in the Hello; at most [`wire::MAX_NAME`] bytes.
    const NAME: &'static str;
    /// Raised with every change to the messages; both ends must have the same.
    const VERSION: u32;
    /// The largest encoded message in bytes; at most [`wire::MAX_BODY`].
    const MAX_BODY: usize;
    /// The largest payload in bytes.
    const MAX_PAYLOAD: usize;
    /// The most descriptors with one frame; at most [`sandbox::fds::MAX_FDS`].
    const MAX_FDS: usize;
    /// What the client says.
    type Request: Serialize + DeserializeOwned + Send + 'static;
    /// What the server says.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// One message with what travels beside it.
#[derive(Debug)]
pub struct Frame<M> {
    /// Chosen by the caller and repeated in the reply; 0 is a push, which has no reply.
    pub id: u32,
    /// The typed message.
    pub message: M,
    /// Raw bytes, such as message content.
    pub payload: Bytes,
    /// Open files, in the order in which they were sent.
    pub fds: Vec<OwnedFd>,
}

/// The id of a frame that nobody asked for and nobody answers.
pub const PUSH: u32 = 0;
