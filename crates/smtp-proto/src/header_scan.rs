//! Counts trace fields as content streams by (RFC 5321 §6.3: simple counting finds mail loops).

const NAME: &[u8] = b"received";

/// Looks at the start of every header line; free once the header is over.
#[derive(Clone, Debug)]
pub(crate) struct HeaderScan {
    hops: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many octets of the name matched at the start of a line.
    Matching(usize),
    /// The name matched, and only white space since.
    Named,
    /// The rest of a line that is decided.
    Line,
    /// Behind the empty line.
    Body,
}

impl HeaderScan {
    pub(crate) const fn new() -> Self {
        Self {
            hops: 0,
            place: Place::Matching(0),
        }
    }

    /// Received fields so far.
    pub(crate) const fn hops(&self) -> u32 {
        self.hops
    }

    /// Text of a line, without its end; a line may come in several pieces.
    pub(crate) fn text(&mut self, text: &[u8]) {
        for &byte in text {
            self.place = match self.place {
                Place::Matching(at) if byte.eq_ignore_ascii_case(&NAME[at]) => {
                    if at + 1 == NAME.len() {
                        Place::Named
                    } else {
                        Place::Matching(at + 1)
                    }
                }
                // RFC 5322 §4.5 (obsolete): white space before the colon.
                Place::Named if byte == b' ' || byte == b'\t' => Place::Named,
                Place::Named if byte == b':' => {
                    self.hops = self.hops.saturating_add(1);
                    Place::Line
                }
                Place::Matching(_) | Place::Named | Place::Line => Place::Line,
                Place::Body => Place::Body,
            };
            if matches!(self.place, Place::Line | Place::Body) {
                return;
            }
        }
    }

    /// The end of a line.
    pub(crate) fn end_of_line(&mut self) {
        self.place = match self.place {
            Place::Matching(0) | Place::Body => Place::Body,
            _ => Place::Matching(0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_fields_of_the_header_are_counted() {
        for (content, hops) in [
            ("", 0),
            (
                "Received: a\nRECEIVED:b\nreceived : c\n\nReceived: body\n",
                3,
            ),
            (
                "Subject: Received:\n Received: folded\nReceived-SPF: x\n",
                0,
            ),
            ("Receive: x\nReceivedX: y\nReceived\n", 0),
        ] {
            for cut in 1..8 {
                let mut scan = HeaderScan::new();
                for line in content.split_inclusive('\n') {
                    for piece in line.trim_end_matches('\n').as_bytes().chunks(cut) {
                        scan.text(piece);
                    }
                    scan.end_of_line();
                }
                assert_eq!(scan.hops(), hops, "{content:?} cut {cut}");
            }
        }
    }
}
