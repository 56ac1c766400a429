//! Commands, their order, their replies and their limits.

use mail_types::BodyKind;

use super::*;

#[test]
fn ehlo_lists_what_is_done() {
    let mut driver = Driver::new(settings(), false);
    let text = driver.say("EHLO client.example\r\n");
    let wanted = "250-mail.example\r\n250-PIPELINING\r\n250-SIZE 500\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
        250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-CHUNKING\r\n250-LIMITS MAILMAX=5 RCPTMAX=3\r\n250 HELP\r\n";
    assert_eq!(text, wanted);
    assert_eq!(driver.say("HELO client\r\n"), "250 mail.example\r\n");
}

#[test]
fn a_message_is_queued() {
    let mut driver = Driver::greeted();
    driver.dialog(
        "> MAIL FROM:<a@b.example> SIZE=20 BODY=8BITMIME RET=HDRS ENVID=x
         250 2.1.0 Ok
         > RCPT TO:<alice@home.example> NOTIFY=NEVER
         250 2.1.5 Ok
         > RCPT TO:<@x.example:alice@home.example>
         250 2.1.5 Ok
         > RCPT TO:<postmaster>
         250 2.1.5 Ok
         > DATA
         354 End data
         > Subject: x\\r\\n\\r\\n..dot\\r\\n.
         250 2.0.0 Ok: queued as 1
         > QUIT
         221 2.0.0 Bye",
    );
    assert!(driver.closed);
    let (envelope, content) = driver.stored.pop().unwrap();
    assert_eq!(content, "Subject: x\r\n\r\n.dot\r\n");
    assert_eq!(envelope.reverse_path.to_string(), "<a@b.example>");
    let to: Vec<_> = envelope
        .recipients
        .iter()
        .map(|r| r.address.to_string())
        .collect();
    assert_eq!(to, ["alice@home.example", "postmaster@home.example"]);
    assert_eq!(
        envelope.recipients[0].notify,
        Some(mail_types::Notify::NEVER)
    );
    assert_eq!(envelope.body, mail_types::BodyKind::EightBitMime);
}

#[test]
fn content_with_8_bits_is_called_so() {
    for (parameter, content, body) in [
        ("", "x", BodyKind::SevenBit),
        ("", "ä", BodyKind::EightBitMime),
        (" BODY=7BIT", "ä", BodyKind::EightBitMime),
        (" BODY=8BITMIME", "x", BodyKind::EightBitMime),
    ] {
        let mut driver = Driver::greeted();
        driver.say(format!(
            "MAIL FROM:<>{parameter}\r\nRCPT TO:<alice@home.example>\r\nDATA\r\n"
        ));
        driver.say(format!("{content}\r\n.\r\n"));
        assert_eq!(driver.stored[0].0.body, body, "{parameter} {content}");
    }
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut driver = Driver::new(settings(), false);
    driver.dialog(
        "> MAIL FROM:<a@b.example>
         503 5.5.1 Say EHLO
         > EHLO x
         250-
         250-
         250-
         250-
         250-
         250-
         250-
         250-
         250-
         250 HELP
         > RCPT TO:<alice@home.example>
         503 5.5.1 Say MAIL
         > DATA
         503 5.5.1 Say MAIL
         > MAIL FROM:<>
         250 2.1.0
         > DATA
         503 5.5.1 Say RCPT",
    );
    let mut driver = Driver::greeted();
    driver.dialog(
        "> MAIL FROM:<>
         250 2.1.0
         > MAIL FROM:<>
         503 5.5.1 A transaction
         > RCPT TO:<nobody@home.example>
         550 5.1.1
         > DATA
         554 5.5.1 No valid
         > RSET
         250 2.0.0
         > MAIL FROM:<>
         250 2.1.0",
    );
}

#[test]
fn recipients_are_judged() {
    let dialog = "> MAIL FROM:<a@b.example>
         250 2.1.0
         > RCPT TO:<alice@home.example>
         250 2.1.5
         > RCPT TO:<x@relay.example>
         250 2.1.5
         > RCPT TO:<moved@home.example>
         551 5.1.6 User has moved; please try <new@there.example>
         > RCPT TO:<full@home.example>
         452 4.2.2
         > RCPT TO:<broken@home.example>
         451 4.3.0
         > RCPT TO:<jürgen@home.example>
         553 5.6.7
         > RCPT TO:<x@elsewhere.example>
         ";
    Driver::greeted().dialog(&format!("{dialog}554 5.7.1 Relay access denied"));
    let mut trusted = Driver::new(settings(), true);
    trusted.say("EHLO x\r\n");
    trusted.dialog(&format!(
        "{dialog}250 2.1.5
         > RCPT TO:<fourth@home.example>
         452 4.5.3 Too many recipients"
    ));
    assert_eq!(
        trusted.reports,
        [
            "<moved@home.example>: 551 5.1.6 User has moved; please try <new@there.example>",
            "<full@home.example>: 452 4.2.2 Mailbox is full",
            "<broken@home.example>: 451 4.3.0 Recipient cannot be checked just now",
            "<jürgen@home.example>: 553 5.6.7 An address outside ASCII needs SMTPUTF8",
            "Recipient(None): 452 4.5.3 Too many recipients: send them in another transaction",
        ]
    );
}

#[test]
fn other_commands_have_their_replies() {
    let mut driver = Driver::greeted();
    driver.dialog(
        "> VRFY alice
         250 2.1.5 <alice@home.example>
         > VRFY a
         553-5.1.4
         553-5.1.4 <a@x.example>
         553 5.1.4 <a@y.example>
         > VRFY jürgen SMTPUTF8
         250 2.1.5 <jürgen@home.example>
         > VRFY x@y.example
         252 2.1.5
         > EXPN list
         250-2.1.5 <a@x.example>
         250 2.1.5 <b@x.example>
         > HELP MAIL
         214 2.0.0 MAIL FROM:
         > TURN
         502 5.5.1 Not offered: TURN
         > SOML FROM:<a@b>
         502 5.5.1 Not offered: messages to terminals",
    );
    let mut quiet = settings();
    (quiet.verify, quiet.expand) = (false, false);
    Driver::new(quiet, false).dialog(
        "> VRFY alice
         252 2.0.0
         > EXPN list
         502 5.7.2
         > AUTH PLAIN AAAA
         502 5.5.1
         > STARTTLS
         502 5.5.1
         > HELP
         214-2.0.0
         214 2.0.0",
    );
}

#[test]
fn limits_have_their_replies() {
    let message = "> MAIL FROM:<>
         250 2.1.0
         > RCPT TO:<alice@home.example>
         250 2.1.5
         > DATA
         354
         ";
    Driver::greeted().dialog("> MAIL FROM:<> SIZE=501\n552 5.3.4");
    let mut driver = Driver::greeted();
    for (content, reply) in [
        (format!("{}\\r\\n", "y".repeat(70)).repeat(8), "552 5.3.4"),
        ("x".repeat(201), "554 5.6.0"),
        ("Received: x\\r\\n".repeat(3), "554 5.4.6"),
        ("a\rb".to_owned(), "550 5.6.11"),
        ("a\\nb".to_owned(), "550 5.6.11"),
    ] {
        driver.session.counters = Counters::default();
        driver.dialog(&format!(
            "{message}> {}\\r\\n.\n{reply}",
            content.trim_end_matches("\\r\\n")
        ));
    }
    assert!(driver.stored.is_empty() && driver.content.is_empty());
    assert_eq!(driver.reports.len(), 5);
    // The reply to an over-long line comes at its end, and the session goes on.
    let mut driver = Driver::greeted();
    assert_eq!(driver.say("NOOP ".to_owned() + &"x".repeat(300)), "");
    assert_eq!(
        driver.say("x\r\nNOOP\r\n"),
        "500 5.5.2 Command line too long\r\n250 2.0.0 Ok\r\n"
    );
    // One that never ends is cut off.
    assert_eq!(driver.say("x".repeat(250)), "");
    assert!(
        driver
            .say("x".repeat(8000))
            .starts_with("421 4.7.0 The line")
    );
    assert!(driver.closed);
}

#[test]
fn sessions_have_a_number_of_messages() {
    let mut driver = Driver::greeted();
    for _ in 0..5 {
        driver.dialog("> MAIL FROM:<>\n250 2.1.0\n> RSET\n250");
    }
    driver.dialog("> MAIL FROM:<>\n451 4.5.3");
}

#[test]
fn errors_are_counted() {
    let mut driver = Driver::greeted();
    for count in 1..6 {
        assert!(driver.say("DATA\r\n").starts_with("503 5.5.1 "));
        assert_eq!(driver.session.take_delay(), count > 3);
    }
    let last = driver.say("DATA\r\n");
    assert!(
        last.ends_with("421 4.7.0 Too many errors, closing\r\n"),
        "{last}"
    );
    assert!(driver.closed);
    let mut driver = Driver::greeted();
    for _ in 0..4 {
        assert!(driver.say("FOO\r\n").starts_with("500 5.5.2 "));
    }
    assert!(
        driver
            .say("FOO\r\n")
            .contains("421 4.7.0 Too many commands that do not exist")
    );
    // EHLO was the first.
    let mut driver = Driver::greeted();
    for _ in 0..10 {
        assert_eq!(driver.say("NOOP\r\n"), "250 2.0.0 Ok\r\n");
    }
    assert!(
        driver
            .say("NOOP\r\n")
            .contains("421 4.7.0 Too many commands without a message")
    );
    // A browser is sent away at once.
    assert!(
        Driver::greeted()
            .say("GET / HTTP/1.1\r\n")
            .starts_with("521 5.5.1")
    );
}

#[test]
fn what_is_not_stored_is_not_accepted() {
    for (why, reply) in [
        (NotStored::DiskFull, "452 4.3.1"),
        (NotStored::StorageFailed, "451 4.3.0"),
        (NotStored::Overloaded, "451 4.3.2"),
        (NotStored::Unavailable, "451 4.3.0"),
    ] {
        let mut driver = Driver::greeted();
        driver.outcome = Err(why);
        driver.say("MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\nDATA\r\n");
        assert!(driver.say("x\r\n.\r\n").starts_with(reply));
        // Lost half way: the rest is read, nothing is stored, and the reply comes at the end.
        driver.say("MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\nDATA\r\n");
        driver.say("x\r\n");
        driver.session.content_lost(why);
        driver.content.clear();
        assert!(driver.say("y\r\n.\r\n").starts_with(reply));
        assert_eq!(driver.stored.len(), 1);
    }
}

#[test]
fn the_server_ends_sessions() {
    let ending = |say: &str, why| {
        let mut driver = Driver::greeted();
        driver.say(say);
        let idle = !driver.session.in_transaction();
        driver.session.end(why, &mut driver.replies);
        let text = driver.say("NOOP\r\n");
        assert!(driver.closed);
        (idle, text)
    };
    let content = "MAIL FROM:<>\r\nRCPT TO:<alice@home.example>\r\nDATA\r\n";
    for (say, why, idle, reply) in [
        ("", Ending::TimedOut, true, "421 4.4.2 No command"),
        (
            "MAIL FROM:<>\r\n",
            Ending::TimedOut,
            false,
            "421 4.4.2 No command",
        ),
        (
            content,
            Ending::TimedOut,
            false,
            "421 4.4.2 The content did not",
        ),
        (
            content,
            Ending::TooSlow,
            false,
            "421 4.4.2 The content comes too slowly",
        ),
        ("", Ending::ShuttingDown, true, "421 4.3.2"),
    ] {
        let (was_idle, text) = ending(say, why);
        assert_eq!(was_idle, idle, "{say:?}");
        assert!(text.starts_with(reply), "{text}");
    }
}

#[test]
fn traces_tell_the_recipient_only_when_there_is_one() {
    let mut driver = Driver::greeted();
    driver.say("MAIL FROM:<> SMTPUTF8 SIZE=9\r\nRCPT TO:<alice@home.example>\r\n");
    let trace = driver.session.trace().unwrap();
    assert_eq!(trace.protocol.name(), "UTF8SMTP");
    assert_eq!((trace.number, trace.declared_size), (1, 9));
    assert_eq!(
        trace.sole_recipient.unwrap().to_string(),
        "alice@home.example"
    );
    driver.say("RCPT TO:<bob@home.example>\r\n");
    assert!(driver.session.trace().unwrap().sole_recipient.is_none());
    driver.say("HELO x\r\n");
    assert!(driver.session.trace().is_none());
    driver.say("MAIL FROM:<>\r\n");
    assert_eq!(driver.session.trace().unwrap().protocol.name(), "SMTP");
}
