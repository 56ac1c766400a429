//! Where commands and content begin and end: pipelining, line ends, chunks.

use proptest::prelude::*;

use super::*;

#[test]
fn a_pipelined_group_is_answered_in_order() {
    let mut driver = Driver::greeted();
    let group =
        "MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\nRCPT TO:<nobody@home.example>\r\nDATA\r\n";
    let replies = driver.say(group);
    let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "550", "354"]);
    let replies = driver.say("x\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\nignored");
    let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "221"]);
    assert!(driver.closed);
}

#[test]
fn input_behind_a_last_command_ends_the_session() {
    let transaction = "MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\n";
    for (before, group) in [
        ("", "EHLO x\r\nNOOP\r\n"),
        ("", "HELO x\r\nMAIL FROM:<>\r\n"),
        ("", "NOOP\r\nNOOP\r\n"),
        ("", "VRFY alice\r\nNOOP\r\n"),
        (
            "HELO x\r\n",
            "MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\n",
        ),
        (transaction, "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"),
    ] {
        let mut driver = Driver::greeted();
        driver.say(before);
        let replies = driver.say(group);
        assert!(replies.starts_with("554 5.5.0 "), "{group:?}: {replies}");
        assert!(driver.closed && driver.stored.is_empty(), "{group:?}");
    }
    let mut tolerant = settings();
    tolerant.strict_pipelining = false;
    let mut driver = Driver::new(tolerant, false);
    assert_eq!(
        driver.say("NOOP\r\nRSET\r\n"),
        "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n"
    );
    assert!(driver.say("EHLO x\r\nNOOP\r\n").starts_with("554 5.5.0 "));
}

#[test]
fn early_talkers_get_no_session() {
    let mut session = Session::new(Arc::new(Server::new(settings())), None);
    let (mut replies, mut content) = (Vec::new(), Vec::new());
    session.greet(true, &mut replies);
    assert!(replies.starts_with(b"554 5.5.0 "));
    let mut input: &[u8] = b"MAIL FROM:<>\r\n";
    let step = session.advance(&mut input, &mut content, &mut replies);
    assert!(matches!(step, Step::Report(_)), "{step:?}");
    let step = session.advance(&mut input, &mut content, &mut replies);
    assert!(matches!(step, Step::Close), "{step:?}");
}

#[test]
fn commands_end_in_crlf_only() {
    for input in [
        "NOOP\n",
        "NOOP\nNOOP\r\n",
        "\n",
        "MAIL FROM:<>\nRCPT TO:<alice@home.example>\r\n",
    ] {
        let mut driver = Driver::greeted();
        assert!(driver.say(input).starts_with("521 5.5.2 "), "{input:?}");
        assert!(driver.closed && driver.session.transaction.is_none());
    }
    let mut driver = Driver::greeted();
    assert_eq!(driver.say("NOOP\r"), "");
    assert!(
        driver
            .say("NOOP\r\n")
            .starts_with("500 5.5.2 A command must not have control")
    );
    assert!(
        driver
            .say("NO\0OP\r\n")
            .starts_with("500 5.5.2 A command must not have NUL")
    );
    assert!(
        driver
            .say(b"NOOP \xff\r\n")
            .starts_with("500 5.5.2 The command is not valid UTF-8")
    );
    let mut normalize = settings();
    normalize.content.newlines = NewlinePolicy::Normalize;
    assert_eq!(
        Driver::new(normalize, false).say("NOOP\n"),
        "250 2.0.0 Ok\r\n"
    );
}

#[test]
fn chunks_make_a_message() {
    let mut driver = Driver::greeted();
    let replies = driver.say(
        "MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\nBDAT 5\r\na\r\n.\rBDAT 3\r\n\nb\rBDAT 1 LAST\r\n\n",
    );
    let codes: Vec<_> = replies.lines().map(|line| &line[..9]).collect();
    assert_eq!(
        codes,
        [
            "250 2.1.0",
            "250 2.1.5",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0"
        ]
    );
    assert_eq!(driver.stored.pop().unwrap().1, "a\r\n.\r\nb\r\n");
    let replies =
        driver.say("MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\nBDAT 1\r\nxBDAT 0 LAST\r\n");
    assert!(replies.ends_with("queued as 1\r\n"), "{replies}");
    assert_eq!(driver.stored.pop().unwrap().1, "x\r\n");
    driver.dialog(
        "> MAIL FROM:<>
         250 2.1.0
         > RCPT TO:<alice@home.example>
         250 2.1.5
         > BDAT 4\\r\\nab
         250 2.0.0 4 octets
         > DATA
         503 5.5.1
         > RCPT TO:<alice@home.example>
         503 5.5.1
         > RSET
         250 2.0.0
         > NOOP
         250 2.0.0",
    );
    assert!(driver.content.is_empty());
}

#[test]
fn refused_chunks_are_consumed() {
    // No transaction; then one whose content is refused, with two more chunks on the way.
    let mut driver = Driver::greeted();
    let replies = driver.say("BDAT 6 LAST\r\nNOOP\r\nRSET\r\n");
    assert_eq!(replies, "503 5.5.1 Say MAIL first\r\n250 2.0.0 Ok\r\n");
    driver.say("MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\n");
    let replies = driver.say("BDAT 3\r\na\nbBDAT 4\r\nQUITBDAT 2 LAST\r\n\r\nRSET\r\n");
    let codes: Vec<_> = replies.lines().map(|line| &line[..9]).collect();
    assert_eq!(codes, ["550 5.6.1", "503 5.5.1", "503 5.5.1", "250 2.0.0"]);
    // One that is too large for its transaction is refused, but read.
    driver.say("MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\n");
    assert_eq!(driver.say("BDAT 501\r\n"), "");
    assert_eq!(driver.say("x".repeat(500)), "");
    assert_eq!(
        driver.say("xNOOP\r\n"),
        "552 5.3.4 Message too large\r\n250 2.0.0 Ok\r\n"
    );
    // Empty chunks cost the client nothing, so there is an end to them.
    driver.say("MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\n");
    driver.session.counters = Counters::default();
    let replies = driver.say("BDAT 0\r\n".repeat(20));
    assert!(replies.ends_with("421 4.7.0 Too many commands without a message, closing\r\n"));
    assert!(driver.closed);
    let mut driver = Driver::greeted();
    // Without a size nobody knows where the next command begins.
    assert!(driver.say("BDAT x\r\n").starts_with("521 5.5.4"));
    assert!(driver.closed && driver.stored.is_empty());
}

/// Groups that end where a client must wait, so that how they are cut must not matter.
fn group() -> impl Strategy<Value = Vec<u8>> {
    let command = prop::sample::select(vec![
        "MAIL FROM:<a@b.example>\r\n",
        "MAIL FROM:<> SIZE=5\r\n",
        "RCPT TO:<alice@home.example>\r\n",
        "RCPT TO:<nobody@home.example>\r\n",
        "RSET\r\n",
        "FOO\r\n",
        "BDAT 3\r\nx\r\n",
        "BDAT 4 LAST\r\nQU\r\n",
        "BDAT 2\r\nx\n",
        "a\rb\r\n",
    ]);
    let last = prop::sample::select(vec![
        "DATA\r\n",
        "NOOP\r\n",
        "x\r\n.\r\n",
        "..\r\n\r\n.\r\n",
        "x\n.\n\r\n.\r\n",
    ]);
    (prop::collection::vec(command, 0..6), last)
        .prop_map(|(commands, last)| (commands.concat() + last).into_bytes())
}

proptest! {
    #[test]
    fn cutting_the_input_changes_nothing(
        groups in prop::collection::vec(group(), 1..6), pieces in prop::collection::vec(1usize..30, 1..6),
    ) {
        let (mut whole, mut cut) = (Driver::greeted(), Driver::greeted());
        for group in groups {
            let expected = whole.say(&group);
            let (mut replies, mut rest, mut turn) = (String::new(), group.as_slice(), 0);
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(pieces[turn % pieces.len()].min(rest.len()));
                (rest, turn) = (tail, turn + 1);
                replies += &cut.say(piece);
            }
            prop_assert_eq!(replies, expected);
            prop_assert_eq!(&cut.stored, &whole.stored);
            prop_assert_eq!(cut.closed, whole.closed);
        }
    }

    #[test]
    fn any_input_is_answered_without_panic(data in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::fuzz_session(&data);
        crate::fuzz_content(&data);
    }

    #[test]
    fn replies_are_clean(line in "[ -~äß\r\n\0]{0,60}") {
        let mut driver = Driver::greeted();
        let replies = driver.say(format!("{line}\r\n"));
        for reply in replies.split_terminator("\r\n") {
            prop_assert!(reply.chars().all(|c| !c.is_control()), "{:?}", reply);
            prop_assert!(matches!(reply.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]));
        }
        prop_assert!(replies.is_empty() || replies.ends_with("\r\n"));
    }
}

/// So that a driver can tell what is slow, or over every limit, whoever sends it.
#[test]
fn what_the_session_waits_for_and_how_much_came_is_known() {
    let mut driver = Driver::new(settings(), true);
    driver.say("EHLO client.example\r\n");
    driver.say("x".repeat(300));
    assert_eq!(driver.session.waiting(), Waiting::LineEnd);
    driver.say("\r\n");
    assert_eq!(driver.session.waiting(), Waiting::Idle);
    driver.say("BDAT 18446744073709551615 LAST\r\n12345");
    assert_eq!(driver.session.waiting(), Waiting::Content);
    assert_eq!(driver.session.content_size(), 5);
}
