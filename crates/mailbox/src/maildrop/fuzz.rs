//! Entries for fuzzers: any file is survived, and what is made of it is consistent.

use super::mbox_scan::{Message, Scanner};
use super::reader::WireCount;
use super::uid_list::{Header, Reader, write_header, write_record};
use super::unquote::Unquoter;

/// A `dovecot-uidlist` of any octets: what is understood of it is written so that it is understood alike.
pub fn fuzz_uid_list(data: &[u8]) {
    let Some((header, written)) = rewrite(data) else {
        return;
    };
    assert!(header.validity > 0 && header.next_uid > 0, "{header:?}");
    assert_eq!(rewrite(&written), Some((header, written.clone())));
}

fn rewrite(data: &[u8]) -> Option<(Header, Vec<u8>)> {
    let (header, mut reader) = Reader::new(data).ok()?.ok()?;
    let mut out = Vec::new();
    write_header(&mut out, &header).ok()?;
    while let Ok(Some(record)) = reader.next() {
        write_record(&mut out, &record).ok()?;
    }
    Some((header, out))
}

/// An mbox of any octets: however it is cut, the same messages are in it, one after another, and have the size that
/// reading them gives.
pub fn fuzz_mbox(data: &[u8]) {
    let found = scan(data, data.len().max(1));
    assert_eq!(found, scan(data, 7));
    let mut at = 0;
    for message in found.unwrap_or_default() {
        assert!(at <= message.start, "in order");
        assert!(
            message.start < message.content && message.content <= message.end,
            "{message:?}"
        );
        at = message.end;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let (mut unquoter, mut content) = (Unquoter::default(), Vec::new());
        unquoter.push(
            &data[place(message.content)..place(message.end)],
            &mut content,
        );
        unquoter.finish(&mut content);
        let mut count = WireCount::default();
        count.add(&content);
        assert_eq!(count.octets(), message.octets);
    }
    assert!(at <= data.len() as u64, "inside the file");
}

fn scan(data: &[u8], piece: usize) -> Option<Vec<Message>> {
    let mut scanner = Scanner::default();
    for piece in data.chunks(piece) {
        scanner.push(piece).ok()?;
    }
    scanner.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn anything_goes(
            bytes: Vec<u8>,
            list in "3 V[0-9]{1,3} N[0-9]( G[a-z]{0,2})?\n([0-9]{0,2} ([WPGO]?[0-9a-z]{0,3} ){0,3}:?[a-z:]{0,3}\n){0,5}",
            mbox in "From a Sat Nov 1\n((From a Sun Jan 1|>{0,2}From x|H: y|Status: z| a|\r)?\n){0,9}",
        ) {
            for data in [bytes.as_slice(), list.as_bytes(), mbox.as_bytes()] {
                fuzz_uid_list(data);
                fuzz_mbox(data);
            }
        }
    }
}
