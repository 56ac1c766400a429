//! Bytes and descriptors in, frames out.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{HEADER_LEN, Header, Hello, Kind, Limits, MAGIC, ProtocolError, codec};
use crate::Frame;

/// How much is set aside for a payload before its bytes arrive.
const FIRST_RESERVE: usize = 64 << 10;

/// What a peer said.
#[derive(Debug)]
pub enum Incoming<M> {
    /// Its greeting; always the first, and never again.
    Hello(Hello),
    /// A message.
    Frame(Frame<M>),
    /// Its farewell; nothing follows.
    Goodbye,
}

/// An incremental decoder of one direction of a channel.
///
/// It holds nothing but a frame that is split over several reads. After an error the channel must be
/// closed; the decoder gives the same error again.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    /// Descriptors that arrived and are not yet given to a frame.
    fds: Vec<OwnedFd>,
    greeted: bool,
    fault: Option<ProtocolError>,
}

#[derive(Debug)]
enum State {
    Header { bytes: [u8; HEADER_LEN], len: usize },
    Rest(Partial),
    Over,
}

/// A frame whose header is complete.
#[derive(Debug)]
struct Partial {
    header: Header,
    fds: Vec<OwnedFd>,
    body: Vec<u8>,
    payload: Vec<u8>,
}

const START: State = State::Header {
    bytes: [0; HEADER_LEN],
    len: 0,
};

impl Decoder {
    /// A decoder for a fresh channel.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: START,
            fds: Vec::new(),
            greeted: false,
            fault: None,
        }
    }

    /// Changes the limits: a server learns the protocol only from the Hello.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Where received descriptors are to be put, together with the bytes of the same read.
    pub fn fds(&mut self) -> &mut Vec<OwnedFd> {
        &mut self.fds
    }

    /// Takes bytes off the front of `input` until a frame is complete; `None` if more input is needed.
    ///
    /// Call it until it returns `None` before the next read.
    pub fn next<M: DeserializeOwned>(
        &mut self,
        input: &mut &[u8],
    ) -> Result<Option<Incoming<M>>, ProtocolError> {
        self.check()?;
        let result = self.advance(input);
        if let Err(fault) = &result {
            self.fault = Some(fault.clone());
            self.fds.clear();
        }
        result
    }

    /// Has the peer kept to the rules so far?
    pub fn check(&self) -> Result<(), ProtocolError> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// To be asked at the end of the stream: did it end between two frames?
    pub fn finish(&self) -> Result<(), ProtocolError> {
        self.check()?;
        match &self.state {
            State::Header { len: 0, .. } | State::Over => Ok(()),
            _ => Err(ProtocolError::Truncated),
        }
    }

    fn advance<M: DeserializeOwned>(
        &mut self,
        input: &mut &[u8],
    ) -> Result<Option<Incoming<M>>, ProtocolError> {
        match std::mem::replace(&mut self.state, START) {
            State::Header { bytes, len } => self.header(input, bytes, len),
            State::Rest(partial) => self.rest(input, partial),
            State::Over => {
                self.state = State::Over;
                if input.is_empty() && self.fds.is_empty() {
                    Ok(None)
                } else {
                    Err(ProtocolError::AfterGoodbye)
                }
            }
        }
    }

    fn header<M: DeserializeOwned>(
        &mut self,
        input: &mut &[u8],
        mut bytes: [u8; HEADER_LEN],
        mut len: usize,
    ) -> Result<Option<Incoming<M>>, ProtocolError> {
        let part = take(input, HEADER_LEN - len);
        bytes[len..len + part.len()].copy_from_slice(part);
        len += part.len();
        if len < HEADER_LEN {
            self.state = State::Header { bytes, len };
            // Descriptors come with a first byte, so without one there must be none.
            let allowed = if len == 0 { 0 } else { self.limits.fds };
            return self.only_fds(allowed);
        }
        let header = Header::parse(&bytes, &self.limits)?;
        match (header.kind, self.greeted) {
            (Kind::Hello, true) => return Err(ProtocolError::SecondHello),
            (Kind::Message | Kind::Goodbye, false) => return Err(ProtocolError::NoHello),
            _ => {}
        }
        let fds = self.claim_fds(usize::from(header.fds))?;
        let body_len = header.body_len as usize;
        if input.len() >= body_len + header.payload_len as usize {
            let body = take(input, body_len);
            let payload = take(input, header.payload_len as usize);
            return self.complete(header, body, Bytes::copy_from_slice(payload), fds);
        }
        let partial = Partial {
            header,
            fds,
            body: Vec::new(),
            payload: Vec::new(),
        };
        self.rest(input, partial)
    }

    fn rest<M: DeserializeOwned>(
        &mut self,
        input: &mut &[u8],
        mut partial: Partial,
    ) -> Result<Option<Incoming<M>>, ProtocolError> {
        let whole = fill(&mut partial.body, partial.header.body_len as usize, input)
            && fill(
                &mut partial.payload,
                partial.header.payload_len as usize,
                input,
            );
        if whole {
            let payload = Bytes::from(partial.payload);
            return self.complete(partial.header, &partial.body, payload, partial.fds);
        }
        self.state = State::Rest(partial);
        self.only_fds(0)
    }

    fn complete<M: DeserializeOwned>(
        &mut self,
        header: Header,
        body: &[u8],
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Incoming<M>>, ProtocolError> {
        Ok(Some(match header.kind {
            Kind::Hello => {
                let hello: Hello = decode(body)?;
                if hello.magic != MAGIC {
                    return Err(ProtocolError::WrongMagic { magic: hello.magic });
                }
                self.greeted = true;
                Incoming::Hello(hello)
            }
            Kind::Goodbye => {
                self.state = State::Over;
                Incoming::Goodbye
            }
            Kind::Message => Incoming::Frame(Frame {
                id: header.id,
                message: decode(body)?,
                payload,
                fds,
            }),
        }))
    }

    fn claim_fds(&mut self, announced: usize) -> Result<Vec<OwnedFd>, ProtocolError> {
        if self.fds.len() < announced {
            return Err(ProtocolError::MissingFds {
                announced,
                received: self.fds.len(),
            });
        }
        Ok(self.fds.drain(..announced).collect())
    }

    /// All input is used up: at most `allowed` descriptors may wait for the next header.
    fn only_fds<T>(&self, allowed: usize) -> Result<Option<T>, ProtocolError> {
        if self.fds.len() > allowed {
            return Err(ProtocolError::UnexpectedFds {
                count: self.fds.len(),
            });
        }
        Ok(None)
    }
}

/// Takes up to `count` bytes off the front of `input`.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    front
}

/// Fills `buffer` up to `len` bytes from `input`; true when it is full. Memory grows only with what arrived.
fn fill(buffer: &mut Vec<u8>, len: usize, input: &mut &[u8]) -> bool {
    let part = take(input, len - buffer.len());
    if buffer.capacity() - buffer.len() < part.len() {
        let wanted = (2 * (buffer.len() + part.len()))
            .max(FIRST_RESERVE)
            .min(len);
        buffer.reserve_exact(wanted - buffer.len());
    }
    buffer.extend_from_slice(part);
    buffer.len() == len
}

/// Decodes one body, which must hold exactly one value.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    let (value, used) = bincode::serde::decode_from_slice(body, codec()).map_err(|error| {
        ProtocolError::Undecodable {
            reason: error.to_string(),
        }
    })?;
    match body.len() - used {
        0 => Ok(value),
        len => Err(ProtocolError::TrailingBytes { len }),
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
