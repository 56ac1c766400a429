//! A message's octets, a block at a time, as they were delivered.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::mbox::Guard;
use super::unquote::Unquoter;

/// How much is read at a time.
pub(super) const BLOCK: usize = 64 << 10;

/// An open message.
#[derive(Debug)]
pub struct MessageReader<'m> {
    file: Source<'m>,
    at: u64,
    end: u64,
    octets: u64,
    block: Vec<u8>,
}

#[derive(Debug)]
enum Source<'m> {
    /// A file of its own.
    Whole(File),
    /// A part of an mbox, with its quoting and with the check that it is still the same part.
    Part(Guard<'m>, Unquoter),
}

impl<'m> MessageReader<'m> {
    pub(super) fn whole(file: File, stored: u64, octets: u64) -> Self {
        Self::new(Source::Whole(file), 0, stored, octets)
    }

    pub(super) fn part(guard: Guard<'m>, place: Range<u64>, octets: u64) -> Self {
        let source = Source::Part(guard, Unquoter::default());
        Self::new(source, place.start, place.end, octets)
    }

    fn new(file: Source<'m>, at: u64, end: u64, octets: u64) -> Self {
        Self {
            file,
            at,
            end,
            octets,
            block: Vec::new(),
        }
    }

    /// Its size with CRLF line ends, as the maildrop lists it.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Puts the next block into `out`, which is emptied first; `false` at the end. Lines end as they are stored.
    ///
    /// # Errors
    /// When the message cannot be read on, or has been changed meanwhile.
    pub fn next_block(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        while out.is_empty() && self.at < self.end {
            let wanted = usize::try_from(self.end - self.at).map_or(BLOCK, |left| left.min(BLOCK));
            match &mut self.file {
                Source::Whole(file) => {
                    out.resize(wanted, 0);
                    let count = read(file, out, self.at)?;
                    out.truncate(count);
                    self.at += count as u64;
                }
                Source::Part(guard, unquoter) => {
                    self.block.resize(wanted, 0);
                    let count = guard.read(&mut self.block, self.at)?;
                    unquoter.push(&self.block[..count], out);
                    self.at += count as u64;
                    if self.at == self.end {
                        unquoter.finish(out);
                    }
                }
            }
        }
        Ok(!out.is_empty())
    }
}

/// One read of at least an octet: a file that has become shorter is an error.
pub(super) fn read(file: &File, block: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(block, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Counts octets as they are sent: every LF without a CR before it becomes two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WireCount {
    octets: u64,
    last_was_cr: bool,
}

impl WireCount {
    pub fn add(&mut self, text: &[u8]) {
        for at in memchr::memchr_iter(b'\n', text) {
            let after_cr = match at.checked_sub(1) {
                Some(before) => text[before] == b'\r',
                None => self.last_was_cr,
            };
            self.octets += u64::from(!after_cr);
        }
        self.octets += text.len() as u64;
        if let Some(&last) = text.last() {
            self.last_was_cr = last == b'\r';
        }
    }

    pub fn octets(self) -> u64 {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn octets_are_those_of_crlf(text in "([a\r]{0,3}\n?){0,9}", cut in 1usize..5) {
            let mut count = WireCount::default();
            for piece in text.as_bytes().chunks(cut) {
                count.add(piece);
            }
            let sent = text.replace("\r\n", "\n").replace('\n', "\r\n");
            prop_assert_eq!(count.octets(), sent.len() as u64);
        }
    }
}
