//! Undoing mboxrd's quoting on text that is cut anywhere.

const FROM: &[u8] = b"From ";

/// Takes one `>` from every line that is `From ` after one or more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unquoter {
    state: State,
    /// Among `>` alone it makes no difference which one is taken: the first is held back.
    holds_quote: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Since the line's start there were only `>`, then so many octets of `From `, held back.
    Matching(usize),
    /// The rest of the line is not looked at.
    Within,
}

impl Default for Unquoter {
    fn default() -> Self {
        Self {
            state: State::Matching(0),
            holds_quote: false,
        }
    }
}

impl Unquoter {
    /// Appends `text`, unquoted, to `out`.
    pub fn push(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while let Some((&first, rest)) = text.split_first() {
            match self.state {
                State::Within => text = self.copy_line(text, out),
                State::Matching(0) if first == b'>' => {
                    if std::mem::replace(&mut self.holds_quote, true) {
                        out.push(b'>');
                    }
                    text = rest;
                }
                State::Matching(matched) if first == FROM[matched] => {
                    text = rest;
                    self.matched(matched + 1, out);
                }
                State::Matching(_) => self.release(out),
            }
        }
    }

    /// Appends what was held back; the text is over.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(out);
        *self = Self::default();
    }

    fn copy_line<'t>(&mut self, text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
        let end = memchr::memchr(b'\n', text).map(|at| at + 1);
        let (line, rest) = text.split_at(end.unwrap_or(text.len()));
        out.extend_from_slice(line);
        if end.is_some() {
            *self = Self::default();
        }
        rest
    }

    fn matched(&mut self, matched: usize, out: &mut Vec<u8>) {
        if matched < FROM.len() {
            self.state = State::Matching(matched);
            return;
        }
        self.holds_quote = false;
        out.extend_from_slice(FROM);
        self.state = State::Within;
    }

    /// It was no quoted line.
    fn release(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.holds_quote) {
            out.push(b'>');
        }
        if let State::Matching(matched) = self.state {
            out.extend_from_slice(&FROM[..matched]);
        }
        self.state = State::Within;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mbox::Quoter;
    use proptest::prelude::*;

    fn unquoted(text: &[u8], cut: usize) -> Vec<u8> {
        let (mut unquoter, mut out) = (Unquoter::default(), Vec::new());
        for piece in text.chunks(cut) {
            unquoter.push(piece, &mut out);
        }
        unquoter.finish(&mut out);
        out
    }

    #[test]
    fn only_quoted_lines_change() {
        let cases: [(&str, &str); 7] = [
            (">From me\n", "From me\n"),
            (">>>From me\n>From", ">>From me\n>From"),
            ("From me\n", "From me\n"),
            (">Fro\n>\n>>\n>From:\n", ">Fro\n>\n>>\n>From:\n"),
            ("> >From x\na>From x\n", "> >From x\na>From x\n"),
            (">From \n>From \n\n", "From \nFrom \n\n"),
            (">", ">"),
        ];
        for (stored, wanted) in cases {
            for cut in 1..=stored.len() {
                let found = unquoted(stored.as_bytes(), cut);
                assert_eq!(
                    String::from_utf8(found).unwrap(),
                    wanted,
                    "{stored:?} by {cut}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_quoted_comes_back(text in "([>]{0,3}(From |Fro|x)?[a-z]{0,3}\n?){0,8}", cut in 1usize..9) {
            let (mut quoter, mut stored) = (Quoter::default(), Vec::new());
            quoter.push(text.as_bytes(), &mut stored);
            quoter.finish(&mut stored);
            prop_assert_eq!(unquoted(&stored, cut), text.as_bytes());
        }
    }
}
