//! Entries for fuzzers: any input, no panic, and the bounds hold.

use crate::{
    ContentEncoder, Listing, Login, LoginAnswer, LoginOptions, LoginStep, OUTPUT_MARK, Progress,
    Session, SessionOptions, SessionStep, Unavailable,
};

/// The first byte gives the size of the pieces in which the others arrive.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = data.split_first().unwrap_or((&0, data));
    rest.chunks(usize::from(*size) + 1)
}

/// A client that has not logged in and says anything.
pub fn fuzz_login(data: &[u8]) {
    let options = LoginOptions {
        capabilities: crate::Capabilities::default(),
        max_errors: 8,
        max_failures: 8,
    };
    let mut out = Vec::new();
    let mut login = Login::new("host", &mut out);
    for piece in pieces(data) {
        login.receive(piece);
        loop {
            out.clear();
            match login.step(&options, &mut out) {
                LoginStep::Read => break,
                LoginStep::Close(_) => return,
                LoginStep::Ask(_) => login.answer(LoginAnswer::Refused, &options, &mut out),
                LoginStep::Wait => unreachable!("every question was answered"),
            }
        }
        assert!(
            login.pipelined().len() < crate::MAX_LINE,
            "input is taken or bounded"
        );
    }
}

struct Ten;

impl Listing for Ten {
    fn count(&self) -> u32 {
        10
    }
    fn octets(&self, index: u32) -> u64 {
        u64::from(index)
    }
    fn unique_id(&self, index: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(index.to_string().as_bytes());
    }
}

/// A client that has logged in and says anything.
pub fn fuzz_session(data: &[u8]) {
    let options = SessionOptions {
        capabilities: crate::Capabilities::default(),
        max_errors: 8,
    };
    let mut session = Session::new(options, &Ten, b"");
    let mut out = Vec::new();
    for piece in pieces(data) {
        session.receive(piece);
        loop {
            let step = session.step(&Ten, &mut out);
            assert!(out.len() < OUTPUT_MARK + 1024, "output is bounded");
            out.clear();
            match step {
                SessionStep::Read => break,
                SessionStep::Write => {}
                SessionStep::Deliver { index, .. } if index % 2 == 0 => session.begin(1, &mut out),
                SessionStep::Deliver { .. } => session.unavailable(Unavailable::Gone, &mut out),
                SessionStep::Update => {
                    assert!(
                        session.deleted().all(|index| index < 10),
                        "only what exists is deleted"
                    );
                    session.updated(true, &mut out);
                }
                SessionStep::Close(_) => return,
            }
        }
    }
}

/// A stored message of any bytes: the response must end where its end is, and nowhere before.
pub fn fuzz_content(data: &[u8]) {
    for mut encoder in [ContentEncoder::whole(), ContentEncoder::top(2)] {
        let mut out = Vec::new();
        for piece in pieces(data) {
            if encoder.encode(piece, &mut out) == Progress::Enough {
                break;
            }
        }
        encoder.finish(&mut out);
        let ends = memchr::memmem::find_iter(&out, b"\r\n.\r\n").count()
            + usize::from(out.starts_with(b".\r\n"));
        assert!(ends == 1 && out.ends_with(b".\r\n"), "one end, at the end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn anything_goes(
            bytes: Vec<u8>,
            text in "\\PC{0,3}((USER|PASS|TOP|DELE|RETR|QUIT|LIST) ?[0-9]{0,3} ?[0-9]?\r?\n){0,9}",
        ) {
            for data in [bytes.as_slice(), text.as_bytes()] {
                fuzz_login(data);
                fuzz_session(data);
                fuzz_content(data);
            }
        }
    }
}
