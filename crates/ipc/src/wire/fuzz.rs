//! The entry for a fuzz target and for the replay of its corpus.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Decoder, Incoming, Limits, Outgoing};
use crate::{Protocol, protocol};

/// A message with every shape that the protocols use.
#[derive(Debug, Serialize, Deserialize)]
enum Sample {
    Unit,
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Option<(u32, String)>>),
}

/// Feeds arbitrary bytes, in reads of changing length, to a decoder of sample messages and to one of each
/// end of each protocol; returns how many frames came out.
///
/// The first byte chooses the read length. A fault ends a run, as it ends a channel.
#[must_use]
pub fn fuzz_frames(data: &[u8]) -> usize {
    let sample = Limits {
        body: 4096,
        payload: 65_536,
        fds: 2,
    };
    feed(data, sample, |message: &Sample| {
        consume(message);
    }) + both_ends::<protocol::Intake>(data)
        + both_ends::<protocol::Delivery>(data)
        + both_ends::<protocol::QueueControl>(data)
        + both_ends::<protocol::Recipients>(data)
        + both_ends::<protocol::Expansion>(data)
        + both_ends::<protocol::Mailboxes>(data)
        + both_ends::<protocol::Logins>(data)
        + both_ends::<protocol::MailboxUsage>(data)
        + both_ends::<protocol::Supervise>(data)
}

/// What a server and what a client of `P` make of the bytes; a message that was decoded is encoded again.
fn both_ends<P: Protocol>(data: &[u8]) -> usize {
    feed(data, Limits::of::<P>(), encode::<P::Request>)
        + feed(data, Limits::of::<P>(), encode::<P::Reply>)
}

fn encode<M: Serialize>(message: &M) {
    // A message may become longer than it came, as the decoder takes numbers in more than one form.
    let _ = Outgoing::default().push(&Limits::NOTHING, 1, message, Bytes::new(), Vec::new());
}

fn feed<M: DeserializeOwned>(data: &[u8], limits: Limits, take: impl Fn(&M)) -> usize {
    let Some((&step, mut data)) = data.split_first() else {
        return 0;
    };
    let mut decoder = Decoder::new(limits);
    let mut frames = 0;
    while !data.is_empty() {
        let (mut input, rest) = data.split_at((usize::from(step) + 1).min(data.len()));
        data = rest;
        loop {
            match decoder.next::<M>(&mut input) {
                Ok(Some(Incoming::Frame(frame))) => {
                    frames += 1;
                    take(&frame.message);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

/// Touches everything that was decoded.
fn consume(sample: &Sample) -> usize {
    match sample {
        Sample::Unit => 0,
        Sample::Number(number) => *number as usize,
        Sample::Text(text) => text.len(),
        Sample::Bytes(bytes) => bytes.len(),
        Sample::List(list) => list.iter().flatten().map(|(_, text)| text.len()).sum(),
    }
}
