//! A message's bytes on their way into a mailbox: CRLF becomes LF, block by block.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crate::maildir::Sizes;
use crate::mbox::Quoter;

/// How much is read and written at a time.
const BLOCK: usize = 128 << 10;

/// Where content comes from; lines end in CRLF.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// The first `size` octets of a file, which is read at offsets of our own: several deliveries share it.
    File {
        /// Open for reading.
        file: &'a File,
        /// Octets in it.
        size: u64,
    },
}

impl Content<'_> {
    /// Octets, lines ending in CRLF.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the octets to `take`, a block at a time.
    ///
    /// # Errors
    /// When the file cannot be read or is shorter than said, or `take` fails.
    pub fn for_each_block(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (file, size) = match self {
            Self::Bytes(bytes) => return take(bytes),
            Self::File { file, size } => (file, *size),
        };
        let mut block = vec![0; BLOCK];
        let mut at = 0;
        while at < size {
            let wanted = usize::try_from(size - at).map_or(BLOCK, |left| left.min(BLOCK));
            match file.read_at(&mut block[..wanted], at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    take(&block[..count])?;
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes a message to a pipe or file as it would be stored: lines ending in LF, nothing quoted.
///
/// # Errors
/// When the content cannot be read or `out` takes no more.
pub fn copy_lines(out: &File, prefix: &[u8], content: Content<'_>) -> io::Result<Sizes> {
    let expected = content.len() + prefix.len() as u64;
    let mut writer = LineWriter::new(out, LineStyle::Plain, expected);
    writer.push(prefix)?;
    content.for_each_block(|block| writer.push(block))?;
    writer.finish()
}

/// How lines are stored.
pub(crate) enum LineStyle {
    /// As they are, ending in LF.
    Plain,
    /// Ending in LF, with `From ` quoted.
    MboxRd(Quoter),
}

/// Writes a message to a file with LF line ends, counting.
pub(crate) struct LineWriter<'f> {
    file: &'f File,
    style: LineStyle,
    out: Vec<u8>,
    held_cr: bool,
    sizes: Sizes,
    last: Option<u8>,
}

impl<'f> LineWriter<'f> {
    pub(crate) fn new(file: &'f File, style: LineStyle, expected: u64) -> Self {
        let room = usize::try_from(expected).map_or(BLOCK, |size| size.min(BLOCK));
        Self {
            file,
            style,
            out: Vec::with_capacity(room),
            held_cr: false,
            sizes: Sizes::default(),
            last: None,
        }
    }

    /// Puts text in front as it is, to leave with the first block.
    pub(crate) fn head(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// Takes octets with CRLF line ends, cut anywhere.
    pub(crate) fn push(&mut self, mut input: &[u8]) -> io::Result<()> {
        if self.held_cr && !input.is_empty() {
            self.held_cr = false;
            if input[0] != b'\n' {
                self.emit(b"\r")?;
            }
        }
        while let Some(at) = memchr::memchr(b'\r', input) {
            match input.get(at + 1) {
                Some(b'\n') => self.emit(&input[..at])?,
                Some(_) => self.emit(&input[..=at])?,
                None => {
                    self.held_cr = true;
                    return self.emit(&input[..at]);
                }
            }
            input = &input[at + 1..];
        }
        self.emit(input)
    }

    fn emit(&mut self, text: &[u8]) -> io::Result<()> {
        let mut text = text;
        while !text.is_empty() {
            if self.out.len() >= BLOCK {
                self.flush()?;
            }
            // Bounds the buffer however large a block the caller gives.
            let (now, later) = text.split_at(text.len().min(BLOCK));
            match &mut self.style {
                LineStyle::Plain => self.out.extend_from_slice(now),
                LineStyle::MboxRd(quoter) => quoter.push(now, &mut self.out),
            }
            text = later;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.out)?;
        self.sizes.stored += self.out.len() as u64;
        self.sizes.wire += (self.out.len() + memchr::memchr_iter(b'\n', &self.out).count()) as u64;
        self.last = self.out.last().copied().or(self.last);
        self.out.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<Sizes> {
        if std::mem::take(&mut self.held_cr) {
            self.emit(b"\r")?;
        }
        if let LineStyle::MboxRd(quoter) = &mut self.style {
            quoter.finish(&mut self.out);
            // A message ends in a line end, and a blank line parts it from the next.
            let last = self.out.last().copied().or(self.last);
            let end: &[u8] = if last == Some(b'\n') { b"\n" } else { b"\n\n" };
            self.out.extend_from_slice(end);
        }
        self.flush()?;
        Ok(self.sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn stored(input: &[u8], cut: usize) -> (Vec<u8>, Sizes) {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = LineWriter::new(&file, LineStyle::Plain, 0);
        for piece in input.chunks(cut) {
            writer.push(piece).unwrap();
        }
        let sizes = writer.finish().unwrap();
        let mut found = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut found).unwrap();
        (found, sizes)
    }

    #[test]
    fn lines_end_in_lf_wherever_the_input_is_cut() {
        let cases: [(&[u8], &[u8], u64); 7] = [
            (b"", b"", 0),
            (b"a\r\nb\r\n", b"a\nb\n", 6),
            (b"\r\n\r\n", b"\n\n", 4),
            (b"no end", b"no end", 6),
            (b"a\rb\r\n", b"a\rb\n", 5),
            (b"end\r", b"end\r", 4),
            (b"bare\nlf\r\n", b"bare\nlf\n", 10),
        ];
        for (input, expected, wire) in cases {
            for cut in 1..=input.len().max(1) {
                let (found, sizes) = stored(input, cut);
                assert_eq!(found, expected, "{input:?} by {cut}");
                assert_eq!((sizes.stored, sizes.wire), (expected.len() as u64, wire));
            }
        }
    }

    #[test]
    fn large_content_passes_through_blocks_unchanged() {
        let line = [b'x'; 998];
        let mut input = Vec::new();
        while input.len() < 3 * BLOCK {
            input.extend_from_slice(&line);
            input.extend_from_slice(b"\r\n");
        }
        let expected: Vec<u8> = input
            .iter()
            .copied()
            .filter(|&byte| byte != b'\r')
            .collect();
        for cut in [input.len(), BLOCK - 1, 4096] {
            let (found, sizes) = stored(&input, cut);
            assert!(found == expected, "differs when cut by {cut}");
            assert_eq!(sizes.wire, input.len() as u64);
        }
    }

    #[test]
    fn a_short_file_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"12345").unwrap();
        let content = Content::File {
            file: &file,
            size: 6,
        };
        let error = content.for_each_block(|_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut found = Vec::new();
        Content::File {
            file: &file,
            size: 4,
        }
        .for_each_block(|block| {
            found.extend_from_slice(block);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, b"1234");
    }
}
