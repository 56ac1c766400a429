//! The entry for a fuzz target and for the replay of its corpus.

use serde::{Deserialize, Serialize};

use super::{Decoder, Incoming, Limits};

/// A message with every shape that the protocols use.
#[derive(Debug, Serialize, Deserialize)]
enum Sample {
    Unit,
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Option<(u32, String)>>),
}

/// Feeds arbitrary bytes to a decoder, in reads of changing length; returns how many frames came out.
///
/// The first byte chooses the read length. A fault ends the run, as it ends a channel.
#[must_use]
pub fn fuzz_frames(data: &[u8]) -> usize {
    let Some((&step, mut data)) = data.split_first() else {
        return 0;
    };
    let mut decoder = Decoder::new(Limits {
        body: 4096,
        payload: 65_536,
        fds: 2,
    });
    let mut frames = 0;
    while !data.is_empty() {
        let (mut input, rest) = data.split_at((usize::from(step) + 1).min(data.len()));
        data = rest;
        loop {
            match decoder.next::<Sample>(&mut input) {
                Ok(Some(Incoming::Frame(frame))) => {
                    frames += 1;
                    consume(&frame.message);
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
