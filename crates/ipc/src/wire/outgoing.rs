//! Frames waiting to be written.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use serde::Serialize;

use super::{HEADER_LEN, Header, Hello, Kind, Limits, codec};

/// Payloads up to this size are copied behind their header; larger ones are written from where they are.
const COPY_UP_TO: usize = 8 << 10;
/// A buffer that has grown beyond this is not filled further and not kept for reuse.
const BUFFER_TARGET: usize = 64 << 10;

/// Our own message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The peer would refuse it.
    #[error("a {what} of {len} is over the limit of {limit} of the channel")]
    TooLarge {
        /// Message, payload or descriptors.
        what: &'static str,
        /// Its size.
        len: usize,
        /// The protocol's limit.
        limit: usize,
    },
    /// A type that the codec does not take.
    #[error("a message cannot be encoded: {reason}")]
    Unencodable {
        /// From the codec.
        reason: String,
    },
    /// The channel has ended.
    #[error("the channel is closed")]
    Closed,
}

/// Encoded frames in the order of sending, gathered into as few writes as possible.
///
/// A chunk with descriptors always starts a write, and only one such chunk goes into a write: that is how
/// the receiving kernel keeps them with their frame.
#[derive(Debug, Default)]
pub struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are already written.
    written: usize,
    /// Bytes not yet written.
    queued: usize,
    /// An empty buffer kept for the next chunk.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Chunk {
    data: Data,
    fds: Vec<OwnedFd>,
}

#[derive(Debug)]
enum Data {
    Buffer(Vec<u8>),
    Payload(Bytes),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::Payload(payload) => payload,
        }
    }
}

impl Outgoing {
    /// Queues one message.
    pub fn push<M: Serialize>(
        &mut self,
        limits: &Limits,
        id: u32,
        message: &M,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<(), SendError> {
        check("payload", payload.len(), limits.payload)?;
        check("number of descriptors", fds.len(), limits.fds)?;
        self.push_frame(Kind::Message, limits.body, id, message, payload, fds)
    }

    /// Queues the greeting.
    pub fn push_hello(&mut self, hello: &Hello) -> Result<(), SendError> {
        self.push_frame(
            Kind::Hello,
            Limits::HELLO.body,
            0,
            hello,
            Bytes::new(),
            Vec::new(),
        )
    }

    /// Queues the farewell.
    pub fn push_goodbye(&mut self) -> Result<(), SendError> {
        self.push_frame(Kind::Goodbye, 0, 0, &(), Bytes::new(), Vec::new())
    }

    fn push_frame<M: Serialize>(
        &mut self,
        kind: Kind,
        body_limit: usize,
        id: u32,
        message: &M,
        payload: Bytes,
        fds: Vec<OwnedFd>,
    ) -> Result<(), SendError> {
        let mut header = Header {
            body_len: 0,
            payload_len: payload.len() as u32,
            id,
            fds: fds.len() as u8,
            kind,
        };
        let (mut buffer, mut chunk_fds) = self.open_buffer(!fds.is_empty());
        let start = buffer.len();
        buffer.extend_from_slice(&[0; HEADER_LEN]);
        if let Err(error) = encode_body(&mut buffer, message, body_limit) {
            buffer.truncate(start);
            if buffer.is_empty() {
                self.spare = buffer;
            } else {
                self.close_buffer(buffer, chunk_fds);
            }
            return Err(error);
        }
        header.body_len = (buffer.len() - start - HEADER_LEN) as u32;
        buffer[start..start + HEADER_LEN].copy_from_slice(&header.to_bytes());
        let copied = payload.len() <= COPY_UP_TO;
        if copied {
            buffer.extend_from_slice(&payload);
        }
        self.queued += buffer.len() - start;
        chunk_fds.extend(fds);
        self.close_buffer(buffer, chunk_fds);
        if !copied {
            self.queued += payload.len();
            self.chunks.push_back(Chunk {
                data: Data::Payload(payload),
                fds: Vec::new(),
            });
        }
        Ok(())
    }

    /// Takes out the buffer to append to: the last chunk if it is open, else a new one.
    fn open_buffer(&mut self, with_fds: bool) -> (Vec<u8>, Vec<OwnedFd>) {
        let open = |last: &mut Chunk| {
            !with_fds && matches!(&last.data, Data::Buffer(buffer) if buffer.len() < BUFFER_TARGET)
        };
        match self.chunks.pop_back_if(open) {
            Some(Chunk {
                data: Data::Buffer(buffer),
                fds,
            }) => (buffer, fds),
            _ => (std::mem::take(&mut self.spare), Vec::new()),
        }
    }

    fn close_buffer(&mut self, buffer: Vec<u8>, fds: Vec<OwnedFd>) {
        self.chunks.push_back(Chunk {
            data: Data::Buffer(buffer),
            fds,
        });
    }

    /// Fills `slices` with what the next write should carry.
    ///
    /// Returns how many slices are used, and the descriptors that must go with them.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> (usize, Vec<BorrowedFd<'a>>) {
        let mut fds = Vec::new();
        let mut used = 0;
        for (index, chunk) in self.chunks.iter().enumerate() {
            if used == slices.len() || (index > 0 && !chunk.fds.is_empty()) {
                break;
            }
            let skip = if index == 0 { self.written } else { 0 };
            if index == 0 {
                fds.extend(chunk.fds.iter().map(AsFd::as_fd));
            }
            slices[used] = IoSlice::new(&chunk.data.bytes()[skip..]);
            used += 1;
        }
        (used, fds)
    }

    /// Takes note that `count` bytes, and with the first of them their descriptors, were written.
    pub fn advance(&mut self, count: usize) {
        self.queued = self.queued.saturating_sub(count);
        self.written += count;
        while let Some(first) = self.chunks.front_mut() {
            let len = first.data.bytes().len();
            if count > 0 {
                first.fds.clear();
            }
            if self.written < len {
                break;
            }
            self.written -= len;
            if let Some(done) = self.chunks.pop_front() {
                self.keep(done.data);
            }
            if self.written == 0 {
                break;
            }
        }
    }

    fn keep(&mut self, data: Data) {
        if let Data::Buffer(mut buffer) = data
            && buffer.capacity() <= 2 * BUFFER_TARGET
        {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// Is everything written?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes not yet written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Drops everything that is not yet written.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn check(what: &'static str, len: usize, limit: usize) -> Result<(), SendError> {
    if len > limit {
        return Err(SendError::TooLarge { what, len, limit });
    }
    Ok(())
}

fn encode_body<M: Serialize>(
    buffer: &mut Vec<u8>,
    message: &M,
    limit: usize,
) -> Result<(), SendError> {
    let start = buffer.len();
    bincode::serde::encode_into_std_write(message, buffer, codec()).map_err(|error| {
        SendError::Unencodable {
            reason: error.to_string(),
        }
    })?;
    check("message", buffer.len() - start, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        body: 64,
        payload: 1 << 20,
        fds: 2,
    };

    fn file() -> OwnedFd {
        tempfile::tempfile().expect("temporary file").into()
    }

    /// What each write would carry: bytes and descriptors.
    fn writes(outgoing: &mut Outgoing, at_most: usize) -> Vec<(usize, usize)> {
        let mut writes = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let (used, fds) = outgoing.gather(&mut slices);
            let fds = fds.len();
            let len = slices[..used].iter().map(|s| s.len()).sum::<usize>();
            let len = len.min(at_most);
            outgoing.advance(len);
            writes.push((len, fds));
        }
        assert_eq!(outgoing.queued(), 0);
        writes
    }

    #[test]
    fn small_frames_share_one_write() {
        let mut outgoing = Outgoing::default();
        for id in 1..=10 {
            let payload = Bytes::from_static(b"0123456789");
            outgoing
                .push(&LIMITS, id, &7u8, payload, Vec::new())
                .expect("fits");
        }
        assert_eq!(outgoing.queued(), 270);
        assert_eq!(writes(&mut outgoing, usize::MAX), [(270, 0)]);
    }

    #[test]
    fn a_large_payload_is_not_copied_and_shares_the_write() {
        let mut outgoing = Outgoing::default();
        let payload = Bytes::from(vec![b'x'; 100_000]);
        let address = payload.as_ptr();
        outgoing
            .push(&LIMITS, 1, &7u8, payload, Vec::new())
            .expect("fits");
        outgoing
            .push(&LIMITS, 2, &7u8, Bytes::new(), Vec::new())
            .expect("fits");
        let mut slices = [IoSlice::new(&[]); 8];
        let (used, _) = outgoing.gather(&mut slices);
        assert_eq!((used, slices[1].as_ptr()), (3, address));
        assert_eq!(writes(&mut outgoing, 60_000), [(60_000, 0), (40_034, 0)]);
    }

    #[test]
    fn descriptors_start_a_write_and_go_once() {
        let mut outgoing = Outgoing::default();
        outgoing
            .push(&LIMITS, 1, &7u8, Bytes::new(), Vec::new())
            .expect("fits");
        outgoing
            .push(&LIMITS, 2, &7u8, Bytes::new(), vec![file()])
            .expect("fits");
        outgoing
            .push(&LIMITS, 3, &7u8, Bytes::new(), Vec::new())
            .expect("fits");
        outgoing
            .push(&LIMITS, 4, &7u8, Bytes::new(), vec![file(), file()])
            .expect("fits");
        assert_eq!(
            writes(&mut outgoing, usize::MAX),
            [(17, 0), (34, 1), (17, 2)]
        );
        outgoing
            .push(&LIMITS, 2, &7u8, Bytes::new(), vec![file()])
            .expect("fits");
        assert_eq!(writes(&mut outgoing, 10), [(10, 1), (7, 0)]);
    }

    #[test]
    fn our_own_oversize_messages_are_refused_and_leave_nothing_behind() {
        let mut outgoing = Outgoing::default();
        let big = vec![1u8; 65];
        let result = outgoing.push(&LIMITS, 1, &big, Bytes::new(), Vec::new());
        assert!(matches!(
            result,
            Err(SendError::TooLarge {
                what: "message",
                ..
            })
        ));
        let payload = Bytes::from(vec![0; (1 << 20) + 1]);
        let result = outgoing.push(&LIMITS, 1, &7u8, payload, Vec::new());
        assert!(matches!(
            result,
            Err(SendError::TooLarge {
                what: "payload",
                ..
            })
        ));
        let fds = vec![file(), file(), file()];
        let result = outgoing.push(&LIMITS, 1, &7u8, Bytes::new(), fds);
        assert!(matches!(result, Err(SendError::TooLarge { .. })));
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.queued(), 0);
    }
}
