use std::io::IoSlice;

use proptest::prelude::*;

use super::*;
use crate::wire::{Outgoing, fuzz_frames};

const LIMITS: Limits = Limits {
    body: 256,
    payload: 200_000,
    fds: 2,
};

fn file() -> OwnedFd {
    tempfile::tempfile().expect("temporary file").into()
}

fn bytes_of(outgoing: &mut Outgoing) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !outgoing.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let (used, _) = outgoing.gather(&mut slices);
        let start = bytes.len();
        slices[..used]
            .iter()
            .for_each(|slice| bytes.extend_from_slice(slice));
        let count = bytes.len() - start;
        outgoing.advance(count);
    }
    bytes
}

/// A Hello and then what `fill` queues, as bytes.
fn stream(fill: impl FnOnce(&mut Outgoing)) -> Vec<u8> {
    let mut outgoing = Outgoing::default();
    outgoing.push_hello(&Hello::refusal()).expect("fits");
    fill(&mut outgoing);
    bytes_of(&mut outgoing)
}

fn message(outgoing: &mut Outgoing, id: u32, text: &str, payload: &[u8]) {
    let payload = Bytes::copy_from_slice(payload);
    outgoing
        .push(&LIMITS, id, &text.to_owned(), payload, Vec::new())
        .expect("fits");
}

type Got = (u32, String, Bytes, usize);

/// Decodes `data` in reads of `step` bytes; `fds` arrive with the read that holds byte `at`.
fn decode_all(
    data: &[u8],
    step: usize,
    mut fds: Vec<(usize, Vec<OwnedFd>)>,
) -> Result<Vec<Got>, ProtocolError> {
    let mut decoder = Decoder::new(LIMITS);
    let mut got = Vec::new();
    for (number, mut input) in data.chunks(step).enumerate() {
        let range = number * step..number * step + input.len();
        while let Some(place) = fds.iter().position(|(at, _)| range.contains(at)) {
            decoder.fds().extend(fds.remove(place).1);
        }
        while let Some(incoming) = decoder.next::<String>(&mut input)? {
            if let Incoming::Frame(frame) = incoming {
                got.push((frame.id, frame.message, frame.payload, frame.fds.len()));
            }
        }
    }
    decoder.finish()?;
    Ok(got)
}

#[test]
fn frames_survive_every_split() {
    let payload = vec![b'p'; 100_000];
    let data = stream(|outgoing| {
        message(outgoing, 1, "one", b"");
        message(outgoing, 2, "", b"small");
        message(outgoing, 3, "large", &payload);
        message(outgoing, 4, "after", b"");
        outgoing.push_goodbye().expect("fits");
    });
    for step in [1, 2, 3, 7, 15, 16, 17, 64, 4096, 65_536, data.len()] {
        let got = decode_all(&data, step, Vec::new()).expect("well formed");
        let expected: [(u32, &str, &[u8]); 4] = [
            (1, "one", b""),
            (2, "", b"small"),
            (3, "large", &payload),
            (4, "after", b""),
        ];
        assert_eq!(got.len(), expected.len(), "step {step}");
        for (got, expected) in got.iter().zip(expected) {
            assert_eq!((got.0, got.1.as_str(), &got.2[..]), expected, "step {step}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let data = stream(|outgoing| message(outgoing, 1, "text", b"payload"));
    let hello = stream(|_| {}).len();
    for len in 1..data.len() {
        let result = decode_all(&data[..len], 5, Vec::new());
        if len == hello {
            assert!(result.is_ok());
        } else {
            assert_eq!(result, Err(ProtocolError::Truncated), "{len} bytes");
        }
    }
}

/// A header of our making behind a Hello.
fn with_header(change: impl FnOnce(&mut [u8; HEADER_LEN])) -> Vec<u8> {
    let mut data = stream(|_| {});
    let header = Header {
        body_len: 3,
        payload_len: 0,
        id: 1,
        fds: 0,
        kind: Kind::Message,
    };
    let mut bytes = header.to_bytes();
    change(&mut bytes);
    data.extend_from_slice(&bytes);
    data.extend_from_slice(b"\x02ok");
    data
}

#[test]
fn bad_headers_are_refused_before_anything_is_allocated() {
    assert!(decode_all(&with_header(|_| {}), 1000, Vec::new()).is_ok());
    let cases: [(usize, u8, ProtocolError); 8] = [
        (
            1,
            1,
            ProtocolError::BodyTooLarge {
                len: 259,
                limit: 256,
            },
        ),
        (
            3,
            0x80,
            ProtocolError::BodyTooLarge {
                len: 0x8000_0003,
                limit: 256,
            },
        ),
        (
            6,
            4,
            ProtocolError::PayloadTooLarge {
                len: 262_144,
                limit: 200_000,
            },
        ),
        (12, 3, ProtocolError::TooManyFds { count: 3, limit: 2 }),
        (
            12,
            1,
            ProtocolError::MissingFds {
                announced: 1,
                received: 0,
            },
        ),
        (13, 9, ProtocolError::UnknownKind { kind: 9 }),
        (14, 1, ProtocolError::ReservedNotZero),
        (15, 1, ProtocolError::ReservedNotZero),
    ];
    for (at, value, fault) in cases {
        for step in [1, 1000] {
            let data = with_header(|header| header[at] = value);
            let result = decode_all(&data, step, Vec::new());
            assert_eq!(result, Err(fault.clone()), "byte {at} = {value}");
        }
    }
}

#[test]
fn bad_bodies_are_refused() {
    let mut trailing = stream(|outgoing| message(outgoing, 1, "ab", b""));
    let at = trailing.len() - 3;
    trailing[at] = 1;
    assert_eq!(
        decode_all(&trailing, 1000, Vec::new()),
        Err(ProtocolError::TrailingBytes { len: 1 })
    );
    let mut short = stream(|outgoing| message(outgoing, 1, "ab", b""));
    let at = short.len() - 3;
    short[at] = 3;
    assert!(matches!(
        decode_all(&short, 1000, Vec::new()),
        Err(ProtocolError::Undecodable { .. })
    ));
    // A list that claims 2^63 elements must not be believed.
    let mut decoder = Decoder::new(LIMITS);
    let mut data = stream(|_| {});
    data.extend(
        Header {
            body_len: 9,
            payload_len: 0,
            id: 1,
            fds: 0,
            kind: Kind::Message,
        }
        .to_bytes(),
    );
    data.extend_from_slice(&[253, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    let mut input = &data[..];
    assert!(matches!(
        decoder.next::<Vec<u64>>(&mut input),
        Ok(Some(Incoming::Hello(_)))
    ));
    assert!(matches!(
        decoder.next::<Vec<u64>>(&mut input),
        Err(ProtocolError::Undecodable { .. })
    ));
}

#[test]
fn the_order_of_frames_is_enforced() {
    let hello = stream(|_| {});
    let text = stream(|outgoing| message(outgoing, 1, "x", b""));
    let goodbye = stream(|outgoing| outgoing.push_goodbye().expect("fits"));
    let after = |first: &[u8], second: &[u8]| [first, second].concat();
    let cases = [
        (text[hello.len()..].to_vec(), ProtocolError::NoHello),
        (goodbye[hello.len()..].to_vec(), ProtocolError::NoHello),
        (after(&hello, &hello), ProtocolError::SecondHello),
        (
            after(&goodbye, &text[hello.len()..]),
            ProtocolError::AfterGoodbye,
        ),
        (after(&goodbye, b"x"), ProtocolError::AfterGoodbye),
    ];
    for (data, fault) in cases {
        for step in [1, 1000] {
            assert_eq!(decode_all(&data, step, Vec::new()), Err(fault.clone()));
        }
    }
}

#[test]
fn a_wrong_magic_number_is_told() {
    let mut data = stream(|_| {});
    // Varint marker for four bytes, then the number.
    assert_eq!(data[HEADER_LEN], 252);
    data[HEADER_LEN + 1] ^= 1;
    assert!(matches!(
        decode_all(&data, 1000, Vec::new()),
        Err(ProtocolError::WrongMagic { .. })
    ));
}

#[test]
fn descriptors_stay_with_their_frames() {
    let mut outgoing = Outgoing::default();
    outgoing.push_hello(&Hello::refusal()).expect("fits");
    message(&mut outgoing, 1, "none", b"");
    let start_of_two = outgoing.queued();
    let text = "x".to_owned();
    let two = vec![file(), file()];
    outgoing
        .push(&LIMITS, 2, &text, Bytes::new(), two)
        .expect("fits");
    let start_of_one = outgoing.queued();
    outgoing
        .push(&LIMITS, 3, &text, Bytes::new(), vec![file()])
        .expect("fits");
    let data = bytes_of(&mut outgoing);
    for step in [1, 3, 16, 1000] {
        let fds = vec![
            (start_of_two, vec![file(), file()]),
            (start_of_one, vec![file()]),
        ];
        let got = decode_all(&data, step, fds).expect("well formed");
        let counts: Vec<_> = got.iter().map(|(id, _, _, fds)| (*id, *fds)).collect();
        assert_eq!(counts, [(1, 0), (2, 2), (3, 1)], "step {step}");
    }
}

#[test]
fn descriptors_that_no_frame_announced_are_refused() {
    let data = stream(|outgoing| message(outgoing, 1, "text", b"payload"));
    let hello = stream(|_| {}).len();
    for at in [0, hello, hello + 3, hello + HEADER_LEN, data.len() - 1] {
        for step in [1, 1000] {
            let result = decode_all(&data, step, vec![(at, vec![file()])]);
            assert_eq!(
                result,
                Err(ProtocolError::UnexpectedFds { count: 1 }),
                "{at}/{step}"
            );
        }
    }
}

#[test]
fn a_fault_is_final() {
    let mut decoder = Decoder::new(LIMITS);
    let data = with_header(|header| header[14] = 1);
    let mut input = &data[..];
    assert!(decoder.next::<String>(&mut input).is_ok());
    assert_eq!(
        decoder.next::<String>(&mut input).err(),
        Some(ProtocolError::ReservedNotZero)
    );
    let good = stream(|_| {});
    assert_eq!(
        decoder.next::<String>(&mut &good[..]).err(),
        Some(ProtocolError::ReservedNotZero)
    );
    assert_eq!(decoder.finish(), Err(ProtocolError::ReservedNotZero));
}

#[test]
fn memory_grows_only_with_what_arrived() {
    let mut buffer = Vec::new();
    assert!(!fill(&mut buffer, 1 << 30, &mut &[0; 100][..]));
    assert!(buffer.capacity() <= FIRST_RESERVE);
    assert!(!fill(&mut buffer, 1 << 30, &mut &vec![0; 200_000][..]));
    assert!(buffer.capacity() <= 2 * 200_100);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = fuzz_frames(&data);
    }

    #[test]
    fn random_bodies_never_panic(
        step in any::<u8>(),
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..4),
    ) {
        let mut data = vec![step];
        data.extend(stream(|_| {}));
        for body in bodies {
            let header = Header {
                body_len: body.len() as u32,
                payload_len: 0,
                id: 1,
                fds: 0,
                kind: Kind::Message,
            };
            data.extend(header.to_bytes());
            data.extend(body);
        }
        let _ = fuzz_frames(&data);
    }

    #[test]
    fn random_changes_never_panic(
        step in any::<u8>(),
        changes in proptest::collection::vec((0usize..400, any::<u8>()), 0..6),
    ) {
        let mut data = vec![step];
        data.extend(stream(|outgoing| {
            for id in 0..5 {
                message(outgoing, id, "some text", b"some payload");
            }
            outgoing.push_goodbye().expect("fits");
        }));
        for (at, value) in changes {
            if let Some(byte) = data.get_mut(at) {
                *byte = value;
            }
        }
        let _ = fuzz_frames(&data);
        let _ = decode_all(&data[1..], usize::from(step) + 1, Vec::new());
    }

    #[test]
    fn what_is_sent_is_received(
        texts in proptest::collection::vec(("[a-z]{0,100}", 0usize..70_000), 0..8),
        step in 1usize..70_000,
    ) {
        let data = stream(|outgoing| {
            for (id, (text, len)) in texts.iter().enumerate() {
                message(outgoing, id as u32, text, &vec![b'x'; *len]);
            }
        });
        let got = decode_all(&data, step, Vec::new()).expect("well formed");
        prop_assert_eq!(got.len(), texts.len());
        for ((_, text, payload, _), (expected, len)) in got.iter().zip(&texts) {
            prop_assert_eq!(text, expected);
            prop_assert_eq!(payload.len(), *len);
        }
    }
}
