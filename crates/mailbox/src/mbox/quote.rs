//! `From ` quoting, on text that is cut anywhere.

/// What a line must begin with, after any `>`, to be quoted.
const FROM: &[u8] = b"From ";

/// Quotes lines that a reader would take for the start of a message.
///
/// The added `>` goes in front of `From ` instead of to the line's start: among `>` alone the place makes
/// no difference, and no more than five octets ever have to be held back.
#[derive(Clone, Copy, Debug)]
pub struct Quoter {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Since the line's start there were only `>`, then so many octets of `From `, held back.
    Matching(usize),
    /// The rest of the line is not looked at.
    Within,
}

impl Default for Quoter {
    fn default() -> Self {
        Self {
            state: State::Matching(0),
        }
    }
}

impl Quoter {
    /// Appends `text`, quoted, to `out`; lines end in LF.
    pub fn push(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while !text.is_empty() {
            text = match self.state {
                State::Within => self.copy_line(text, out),
                State::Matching(matched) => self.compare(matched, text, out),
            };
        }
    }

    fn copy_line<'t>(&mut self, text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
        let end = match memchr::memchr(b'\n', text) {
            Some(at) => {
                self.state = State::Matching(0);
                at + 1
            }
            None => text.len(),
        };
        out.extend_from_slice(&text[..end]);
        &text[end..]
    }

    /// Looks at one octet.
    fn compare<'t>(&mut self, matched: usize, text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
        if matched == 0 && text[0] == b'>' {
            out.push(b'>');
            return &text[1..];
        }
        if text[0] != FROM[matched] {
            out.extend_from_slice(&FROM[..matched]);
            self.state = State::Within;
            return text;
        }
        if matched + 1 == FROM.len() {
            out.push(b'>');
            out.extend_from_slice(FROM);
            self.state = State::Within;
        } else {
            self.state = State::Matching(matched + 1);
        }
        &text[1..]
    }

    /// Appends what was held back; the text is over.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let State::Matching(matched) = self.state {
            out.extend_from_slice(&FROM[..matched]);
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(text: &[u8], cut: usize) -> Vec<u8> {
        let (mut quoter, mut out) = (Quoter::default(), Vec::new());
        for piece in text.chunks(cut) {
            quoter.push(piece, &mut out);
        }
        quoter.finish(&mut out);
        out
    }

    /// As a reader undoes it: one `>` less where it stands before more `>` and `From `.
    fn unquoted(text: &[u8]) -> Vec<u8> {
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let undo = |line: &'_ [u8]| {
            let rest = &line[line.iter().take_while(|&&byte| byte == b'>').count()..];
            let skip = usize::from(line.starts_with(b">") && rest.starts_with(FROM));
            line[skip..].to_vec()
        };
        lines.flat_map(undo).collect()
    }

    #[test]
    fn only_what_looks_like_a_start_is_quoted() {
        let cases: [(&str, &str); 8] = [
            ("From me\n", ">From me\n"),
            (">From me\n", ">>From me\n"),
            (">>>From \n", ">>>>From \n"),
            ("Fro\nFrom\nFrom:\n", "Fro\nFrom\nFrom:\n"),
            (" From me\n", " From me\n"),
            ("a\nFrom b\nc", "a\n>From b\nc"),
            ("FFrom x\n", "FFrom x\n"),
            (">\n> From x\nFro", ">\n> From x\nFro"),
        ];
        for (text, expected) in cases {
            for cut in 1..=text.len() {
                let found = quoted(text.as_bytes(), cut);
                assert_eq!(String::from_utf8(found).unwrap(), expected, "by {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone_exactly(text in "([>]{0,3}(From |Fro|x)?[a-z]{0,3}\n?){0,8}", cut in 1usize..9) {
            let stored = quoted(text.as_bytes(), cut);
            prop_assert_eq!(unquoted(&stored), text.as_bytes());
            let starts = stored.split(|&byte| byte == b'\n').filter(|line| line.starts_with(FROM));
            prop_assert_eq!(starts.count(), 0);
        }
    }
}
