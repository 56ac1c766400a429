//! The frame format, without I/O: [`Outgoing`] turns messages into bytes, [`Decoder`] bytes into messages.
//!
//! Header, little endian: body length u32, payload length u32, id u32, descriptors u8, kind u8,
//! reserved u16 (zero). Then the body, then the payload. The descriptors of a frame are attached to the
//! `sendmsg` that carries its first byte, so they have arrived when its header is complete.

mod decoder;
mod fuzz;
mod outgoing;

pub use decoder::{Decoder, Incoming};
pub use fuzz::fuzz_frames;
pub use outgoing::{Outgoing, SendError};

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Length of the frame header.
pub const HEADER_LEN: usize = 16;
/// No protocol may have larger bodies than this.
pub const MAX_BODY: usize = 16 << 20;
/// The longest protocol name in a Hello.
pub const MAX_NAME: usize = 64;
/// The first field of every Hello: `PhIP`.
pub const MAGIC: u32 = 0x5049_6850;

/// The codec of every body. The limit is a second line behind the frame lengths.
fn codec() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_BODY>()
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of the protocol.
    Message,
    /// The first frame of each end.
    Hello,
    /// The last frame of a server that ends in order.
    Goodbye,
}

/// The parsed head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the encoded message.
    pub body_len: u32,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// Request id, or 0.
    pub id: u32,
    /// How many descriptors came with the first byte.
    pub fds: u8,
    /// What the frame is.
    pub kind: Kind,
}

impl Header {
    /// The header as it goes over the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.id.to_le_bytes());
        bytes[12] = self.fds;
        bytes[13] = match self.kind {
            Kind::Message => 0,
            Kind::Hello => 1,
            Kind::Goodbye => 2,
        };
        bytes
    }

    /// Reads a header and checks it against the limits, before anything is allocated for it.
    pub fn parse(bytes: &[u8; HEADER_LEN], limits: &Limits) -> Result<Self, ProtocolError> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let kind = match bytes[13] {
            0 => Kind::Message,
            1 => Kind::Hello,
            2 => Kind::Goodbye,
            other => return Err(ProtocolError::UnknownKind { kind: other }),
        };
        let header = Self {
            body_len: word(0),
            payload_len: word(4),
            id: word(8),
            fds: bytes[12],
            kind,
        };
        if bytes[14] != 0 || bytes[15] != 0 {
            return Err(ProtocolError::ReservedNotZero);
        }
        let limits = match kind {
            Kind::Message => limits,
            Kind::Hello => &Limits::HELLO,
            Kind::Goodbye => &Limits::NOTHING,
        };
        limits.check(header.body_len, header.payload_len, header.fds)?;
        if kind != Kind::Message && header.id != crate::PUSH {
            return Err(ProtocolError::UnexpectedId { id: header.id });
        }
        Ok(header)
    }
}

/// The largest frame that one end takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the encoded message.
    pub body: usize,
    /// Bytes of the payload.
    pub payload: usize,
    /// Descriptors.
    pub fds: usize,
}

impl Limits {
    /// What a Hello may be.
    pub const HELLO: Self = Self {
        body: 32 + MAX_NAME,
        payload: 0,
        fds: 0,
    };
    /// What a Goodbye may be.
    pub const NOTHING: Self = Self {
        body: 0,
        payload: 0,
        fds: 0,
    };

    /// The limits of a protocol; one that is out of range does not compile.
    #[must_use]
    pub const fn of<P: Protocol>() -> Self {
        const {
            assert!(P::MAX_BODY <= MAX_BODY);
            assert!(P::MAX_PAYLOAD <= u32::MAX as usize);
            assert!(P::MAX_FDS <= sandbox::fds::MAX_FDS);
            assert!(!P::NAME.is_empty() && P::NAME.len() <= MAX_NAME);
        }
        Self {
            body: P::MAX_BODY,
            payload: P::MAX_PAYLOAD,
            fds: P::MAX_FDS,
        }
    }

    fn check(&self, body: u32, payload: u32, fds: u8) -> Result<(), ProtocolError> {
        if body as usize > self.body {
            return Err(ProtocolError::BodyTooLarge {
                len: body,
                limit: self.body,
            });
        }
        if payload as usize > self.payload {
            return Err(ProtocolError::PayloadTooLarge {
                len: payload,
                limit: self.payload,
            });
        }
        if usize::from(fds) > self.fds {
            return Err(ProtocolError::TooManyFds {
                count: usize::from(fds),
                limit: self.fds,
            });
        }
        Ok(())
    }
}

/// The first frame of each end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    magic: u32,
    protocol: String,
    version: u32,
}

impl Hello {
    /// The Hello of a protocol.
    #[must_use]
    pub fn of<P: Protocol>() -> Self {
        Self {
            magic: MAGIC,
            protocol: P::NAME.to_owned(),
            version: P::VERSION,
        }
    }

    /// A server's answer to an end that it will not serve.
    #[must_use]
    pub fn refusal() -> Self {
        Self {
            magic: MAGIC,
            protocol: String::new(),
            version: 0,
        }
    }

    /// The protocol that the peer named, unchecked.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Is this the Hello of protocol `P` as this program knows it?
    pub fn check<P: Protocol>(&self) -> Result<(), ProtocolError> {
        if self.protocol.is_empty() {
            return Err(ProtocolError::Refused { ours: P::NAME });
        }
        if self.protocol != P::NAME {
            return Err(ProtocolError::WrongProtocol {
                ours: P::NAME,
                theirs: self.protocol.escape_debug().to_string(),
            });
        }
        if self.version != P::VERSION {
            return Err(ProtocolError::WrongVersion {
                protocol: P::NAME,
                ours: P::VERSION,
                theirs: self.version,
            });
        }
        Ok(())
    }
}

/// The peer broke the frame format or its protocol. The channel is closed; nothing is guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// End of stream inside a frame.
    #[error("the peer closed the channel in the middle of a frame")]
    Truncated,
    /// The Hello does not start with the magic number.
    #[error("the peer does not speak this frame format (wrong magic number {magic:#010x})")]
    WrongMagic {
        /// What stood there.
        magic: u32,
    },
    /// A frame kind that does not exist.
    #[error("unknown frame kind {kind}")]
    UnknownKind {
        /// What stood there.
        kind: u8,
    },
    /// The reserved header field is in use.
    #[error("the reserved field of a frame header is not zero")]
    ReservedNotZero,
    /// A Hello or Goodbye with an id.
    #[error("a greeting or farewell carries the request id {id}")]
    UnexpectedId {
        /// The id.
        id: u32,
    },
    /// The encoded message is over the limit.
    #[error("a message of {len} bytes is over the limit of {limit}")]
    BodyTooLarge {
        /// Announced length.
        len: u32,
        /// The protocol's limit.
        limit: usize,
    },
    /// The payload is over the limit.
    #[error("a payload of {len} bytes is over the limit of {limit}")]
    PayloadTooLarge {
        /// Announced length.
        len: u32,
        /// The protocol's limit.
        limit: usize,
    },
    /// More descriptors than the protocol allows.
    #[error("{count} descriptors with one frame are over the limit of {limit}")]
    TooManyFds {
        /// Announced or received.
        count: usize,
        /// The protocol's limit.
        limit: usize,
    },
    /// The header announced descriptors that did not come.
    #[error("a frame announced {announced} descriptors and brought {received}")]
    MissingFds {
        /// In the header.
        announced: usize,
        /// On the socket.
        received: usize,
    },
    /// Descriptors came that no header announced.
    #[error("{count} descriptors came that no frame announced")]
    UnexpectedFds {
        /// How many.
        count: usize,
    },
    /// The body is no message of the protocol.
    #[error("a message cannot be decoded: {reason}")]
    Undecodable {
        /// From the decoder; contains no message text.
        reason: String,
    },
    /// The body is longer than its message.
    #[error("{len} bytes follow a message inside its frame")]
    TrailingBytes {
        /// How many.
        len: usize,
    },
    /// The first frame was no Hello.
    #[error("the peer did not greet first")]
    NoHello,
    /// A second Hello.
    #[error("the peer greeted twice")]
    SecondHello,
    /// Data after a Goodbye.
    #[error("the peer sent data after its farewell")]
    AfterGoodbye,
    /// The server named no protocol: it does not serve ours, or not to this user.
    #[error("the peer does not serve protocol {ours} to this user")]
    Refused {
        /// What we asked for.
        ours: &'static str,
    },
    /// Two different protocols meet.
    #[error("the peer speaks protocol \"{theirs}\" where {ours} is expected")]
    WrongProtocol {
        /// Expected here.
        ours: &'static str,
        /// From its Hello, escaped.
        theirs: String,
    },
    /// Programs of two releases meet.
    #[error(
        "the peer speaks version {theirs} of protocol {protocol}, this program version {ours}: \
         restart the suite so that all programs are of one release"
    )]
    WrongVersion {
        /// The protocol.
        protocol: &'static str,
        /// Expected here.
        ours: u32,
        /// From its Hello.
        theirs: u32,
    },
    /// A request with id 0, or a push on a channel that has none.
    #[error("the peer pushed a message on a channel that has no pushes")]
    UnexpectedPush,
    /// A farewell from the end that has nothing to say farewell to.
    #[error("a client said farewell")]
    UnexpectedGoodbye,
}
