use super::*;
use proptest::prelude::*;

/// So many messages; message n has n + 100 octets.
struct Messages(u32);

impl Listing for Messages {
    fn count(&self) -> u32 {
        self.0
    }
    fn octets(&self, index: u32) -> u64 {
        u64::from(index) + 101
    }
    fn unique_id(&self, index: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("id-{index}").as_bytes());
    }
}

fn options() -> SessionOptions {
    SessionOptions {
        capabilities: Capabilities::default(),
        max_errors: 3,
    }
}

/// Everything that happened: what was sent and, in braces, what was asked of the driver.
fn talk(messages: u32, chunks: &[&[u8]]) -> String {
    let listing = Messages(messages);
    let mut session = Session::new(options(), &listing, b"");
    let (mut all, mut out) = (String::new(), Vec::new());
    let mut chunks = chunks.iter();
    loop {
        let step = session.step(&listing, &mut out);
        assert!(out.len() < OUTPUT_MARK + 200);
        all.push_str(std::str::from_utf8(&out).unwrap());
        out.clear();
        match step {
            SessionStep::Write => {}
            SessionStep::Read => match chunks.next() {
                Some(chunk) => session.receive(chunk),
                None => return all,
            },
            SessionStep::Deliver { index: 1, .. } => {
                session.unavailable(Unavailable::Gone, &mut out);
            }
            SessionStep::Deliver { index, body_lines } => {
                session.begin(listing.octets(index), &mut out);
                out.extend_from_slice(format!("{{{index} {body_lines:?}}}").as_bytes());
            }
            SessionStep::Update => {
                all.push_str(&format!("{{{:?}}}", session.deleted().collect::<Vec<_>>()));
                session.updated(true, &mut out);
            }
            SessionStep::Close(end) => return format!("{all}{{{end:?}}}"),
        }
    }
}

#[test]
fn dialogs() {
    for (input, wanted) in [
        ("STAT\r\nNOOP\r\n", "+OK 3 306\r\n+OK\r\n"),
        (
            "LIST\r\n",
            "+OK Listing follows.\r\n1 101\r\n2 102\r\n3 103\r\n.\r\n",
        ),
        (
            "UIDL\r\n",
            "+OK Listing follows.\r\n1 id-0\r\n2 id-1\r\n3 id-2\r\n.\r\n",
        ),
        ("LIST 2\r\nUIDL 3\r\n", "+OK 2 102\r\n+OK 3 id-2\r\n"),
        (
            "LIST 0\r\nRETR 4\r\n",
            "-ERR No such message.\r\n-ERR No such message.\r\n",
        ),
        ("DELE 4294967295\r\n", "-ERR No such message.\r\n"),
        ("RETR 1\r\nNOOP\r\n", "+OK 101 octets\r\n{0 None}+OK\r\n"),
        ("TOP 3 7\r\n", "+OK Top of message follows.\r\n{2 Some(7)}"),
        (
            "RETR 2\r\n",
            "-ERR Message was removed by another program.\r\n",
        ),
        (
            "DELE 2\r\nSTAT\r\nLIST\r\nLIST 2\r\nRETR 2\r\nDELE 2\r\nRSET\r\nSTAT\r\n",
            "+OK Marked to be deleted.\r\n+OK 2 204\r\n+OK Listing follows.\r\n1 101\r\n3 103\r\n.\r\n\
             -ERR Message is marked as deleted.\r\n-ERR Message is marked as deleted.\r\n\
             -ERR Message is marked as deleted.\r\n+OK 3 messages (306 octets)\r\n+OK 3 306\r\n",
        ),
        (
            "DELE 1\r\nDELE 3\r\nQUIT\r\nSTAT\r\n",
            "+OK Marked to be deleted.\r\n+OK Marked to be deleted.\r\n{[0, 2]}+OK Bye.\r\n{Quit}",
        ),
        (
            "USER a\r\nLAST\r\nDELE x\r\n",
            "-ERR You are logged in already.\r\n-ERR Unknown command.\r\n\
             -ERR Too many errors, closing the connection.\r\n{Errors}",
        ),
        (
            "LAST\r\nLAST\r\nNOOP\r\nLAST\r\nLAST\r\n",
            "-ERR Unknown command.\r\n-ERR Unknown command.\r\n+OK\r\n-ERR Unknown command.\r\n\
             -ERR Unknown command.\r\n",
        ),
    ] {
        assert_eq!(talk(3, &[input.as_bytes()]), wanted, "{input:?}");
    }
}

#[test]
fn an_empty_maildrop_has_empty_listings() {
    assert_eq!(
        talk(0, &[b"STAT\r\nLIST\r\n"]),
        "+OK 0 0\r\n+OK Listing follows.\r\n.\r\n"
    );
}

#[test]
fn long_listings_come_in_pieces_and_complete() {
    let listed = talk(100_000, &[b"LIST\r\nUIDL\r\n"]);
    assert_eq!(listed.lines().count(), 2 * 100_002);
    assert!(listed.ends_with("\r\n100000 id-99999\r\n.\r\n"));
}

#[test]
fn an_incomplete_update_is_told() {
    let listing = Messages(70);
    let mut session = Session::new(options(), &listing, b"DELE 1\nDELE 65\nDELE 70\nQUIT\n");
    let mut out = Vec::new();
    assert_eq!(session.step(&listing, &mut out), SessionStep::Update);
    assert_eq!(session.deleted().collect::<Vec<_>>(), [0, 64, 69]);
    out.clear();
    session.updated(false, &mut out);
    assert_eq!(
        out,
        b"-ERR [SYS/TEMP] Some deleted messages were not removed.\r\n"
    );
    assert_eq!(
        session.step(&listing, &mut out),
        SessionStep::Close(SessionEnd::Quit)
    );
}

proptest! {
    #[test]
    fn pipelining_does_not_change_the_replies(
        commands in proptest::collection::vec(
            prop_oneof![
                "(STAT|LIST|UIDL|RSET|NOOP|CAPA|QUIT|LAST|USER a)",
                "(LIST|UIDL|RETR|DELE) [0-9]",
                "TOP [0-9] [0-9]",
            ],
            0..20,
        ),
        size in 1usize..40,
    ) {
        let input: String = commands.iter().map(|command| format!("{command}\r\n")).collect();
        let one_by_one: Vec<&[u8]> = input.split_inclusive('\n').map(str::as_bytes).collect();
        let whole = talk(5, &[input.as_bytes()]);
        prop_assert_eq!(&talk(5, &one_by_one), &whole);
        prop_assert_eq!(&talk(5, &input.as_bytes().chunks(size).collect::<Vec<_>>()), &whole);
    }
}
