use super::*;

fn options() -> LoginOptions {
    LoginOptions {
        capabilities: Capabilities::default(),
        max_errors: 5,
        max_failures: 2,
    }
}

/// Feeds `input` and answers every question with `answer`; returns the replies without the greeting, and the end.
fn talk(input: &str, answer: LoginAnswer) -> (String, Option<LoginEnd>) {
    let (mut greeting, mut out) = (Vec::new(), Vec::new());
    let mut login = Login::new("mx.example", &mut greeting);
    assert_eq!(greeting, b"+OK mx.example POP3 server ready.\r\n");
    login.receive(input.as_bytes());
    let end = loop {
        match login.step(&options(), &mut out) {
            LoginStep::Read => break None,
            LoginStep::Ask(_) => login.answer(answer, &options(), &mut out),
            LoginStep::Wait => panic!("asked and answered"),
            LoginStep::Close(end) => break Some(end),
        }
    };
    (String::from_utf8(out).unwrap(), end)
}

#[test]
fn dialogs() {
    let refused = "-ERR [AUTH] Authentication failed.\r\n";
    for (input, replies, end) in [
        (
            "USER a\r\nQUIT\r\n",
            "+OK Send PASS.\r\n+OK Bye.\r\n".to_owned(),
            Some(LoginEnd::Quit),
        ),
        ("NOOP\r\nSTAT\r\n", "-ERR Log in first.\r\n".repeat(2), None),
        ("PASS x\r\n", "-ERR Send USER first.\r\n".to_owned(), None),
        (
            "USER a\r\nPASS x\r\nPASS x\r\n",
            format!("+OK Send PASS.\r\n{refused}-ERR Send USER first.\r\n"),
            None,
        ),
        (
            "USER a\nPASS x\nUSER b\nPASS y\nQUIT\n",
            format!("+OK Send PASS.\r\n{refused}").repeat(2),
            Some(LoginEnd::Failures),
        ),
        (
            "A\r\nB\r\nC\r\nD\r\nE\r\nQUIT\r\n",
            "-ERR Unknown command.\r\n".repeat(4)
                + "-ERR Too many errors, closing the connection.\r\n",
            Some(LoginEnd::Errors),
        ),
    ] {
        assert_eq!(
            talk(input, LoginAnswer::Refused),
            (replies, end),
            "{input:?}"
        );
    }
}

#[test]
fn capabilities_are_those_of_rfc_2449() {
    let (listing, _) = talk("CAPA\r\n", LoginAnswer::Refused);
    assert_eq!(
        listing,
        "+OK Capabilities follow.\r\nTOP\r\nUSER\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n\
         EXPIRE NEVER\r\nIMPLEMENTATION Posthouse\r\n.\r\n"
    );
    let mut out = Vec::new();
    reply::capabilities(&mut out, &Capabilities { login_delay: 60 });
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("\r\nLOGIN-DELAY 60\r\n")
    );
}

#[test]
fn other_answers_have_their_own_codes() {
    for (answer, code) in [
        (LoginAnswer::Unavailable, "-ERR [SYS/TEMP] "),
        (LoginAnswer::TooSoon, "-ERR [LOGIN-DELAY] "),
    ] {
        let (replies, end) = talk("USER a\r\nPASS x\r\n", answer);
        assert!(
            replies.lines().nth(1).unwrap().starts_with(code),
            "{replies}"
        );
        assert_eq!(end, None);
    }
}

#[test]
fn a_question_stops_the_reading_and_keeps_what_follows() {
    let mut out = Vec::new();
    let mut login = Login::new("h", &mut out);
    out.clear();
    login.receive(b"USER alice@example.org\r\nPASS a b \r\nSTAT\r\nRE");
    let LoginStep::Ask(question) = login.step(&options(), &mut out) else {
        panic!("no question");
    };
    assert_eq!(question.user, b"alice@example.org");
    assert_eq!(question.password.into_bytes(), b"a b ");
    assert_eq!(login.step(&options(), &mut out), LoginStep::Wait);
    assert_eq!(out, b"+OK Send PASS.\r\n");
    assert_eq!(login.pipelined(), b"STAT\r\nRE");
}
