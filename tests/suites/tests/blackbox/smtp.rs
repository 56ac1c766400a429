//! SMTP dialogs with the real smtpd: replies, limits, and where a message ends.

mod conformance;

use harness::{PATIENCE, Site, SmtpClient, eventually};

/// A command and how its reply begins.
type Step = (&'static str, &'static str);

fn play(site: &Site, dialog: &[Step]) {
    let mut client = SmtpClient::connect(site.smtp()).unwrap();
    client.expect(220).unwrap();
    for (command, expected) in dialog {
        client.send(format!("{command}\r\n")).unwrap();
        let (_, reply) = client
            .reply()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(
            reply.starts_with(expected),
            "{command}: wanted {expected}, got {reply}"
        );
    }
}

#[test]
fn commands_and_their_replies() {
    let site = Site::builder().alias("team: alice, bob").start().unwrap();
    play(
        &site,
        &[
            ("NOOP", "250 2.0.0 "),
            ("MAIL FROM:<a@example.org>", "503 5.5.1 "),
            ("HELO client.example", "250 mail.posthouse.test"),
            ("EHLO [127.0.0.1]", "250-mail.posthouse.test"),
            ("RCPT TO:<bob@posthouse.test>", "503 5.5.1 "),
            ("DATA", "503 5.5.1 "),
            (
                "MAIL FROM:<a@example.org> SIZE=100 BODY=8BITMIME",
                "250 2.1.0 ",
            ),
            ("MAIL FROM:<a@example.org>", "503 5.5.1 "),
            ("DATA", "5"),
            ("RCPT TO:<bob@posthouse.test>", "250 2.1.5 "),
            ("RCPT TO:<@relay.example:bob@posthouse.test>", "250 2.1.5 "),
            ("RCPT TO:<nobody-there@posthouse.test>", "550 5.1.1 "),
            ("RCPT TO:<Postmaster>", "250 2.1.5 "),
            ("RCPT TO:<team@posthouse.test>", "250 2.1.5 "),
            ("RCPT TO:<someone@elsewhere.example>", "250 2.1.5 "),
            ("RSET", "250 2.0.0 "),
            ("MAIL FROM:<>", "250 2.1.0 "),
            ("RSET", "250 2.0.0 "),
            ("VRFY bob", "252 2."),
            ("EXPN team", "5"),
            ("HELP", "214"),
            ("HELP MAIL", "214"),
            ("SEND FROM:<a@example.org>", "502 5.5.1 "),
            ("TURN", "502 5.5.1 "),
            ("NONSENSE", "500 5.5."),
            ("MAIL FROM:<a@example.org> NOSUCH=1", "555 5.5.4 "),
            ("MAIL FROM:<a@example.org> SIZE=999999999999", "552 5.3.4 "),
            ("MAIL FROM:a b@example.org", "501 5."),
            ("QUIT", "221 2.0.0 "),
        ],
    );
}

#[test]
fn ehlo_offers_what_is_honoured() {
    let site = Site::running().unwrap();
    let mut client = SmtpClient::connect(site.smtp()).unwrap();
    client.expect(220).unwrap();
    let offer = client.command("EHLO client.example", 250).unwrap();
    for keyword in [
        "PIPELINING",
        "SIZE 52428800",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "CHUNKING",
        "LIMITS ",
        "HELP",
    ] {
        let found = offer
            .lines()
            .any(|line| line.get(4..).is_some_and(|line| line.starts_with(keyword)));
        assert!(found, "{keyword} is missing in {offer}");
    }
    for absent in ["STARTTLS", "AUTH", "ETRN"] {
        assert!(!offer.contains(absent), "{absent} is offered: {offer}");
    }
}

#[test]
fn no_open_relay() {
    let site = Site::builder()
        .set("smtpd.mynetworks", "[]")
        .unwrap()
        .set("domains.relay", "[\"relayed.example\"]")
        .unwrap()
        .start()
        .unwrap();
    play(
        &site,
        &[
            ("EHLO client.example", "250"),
            ("MAIL FROM:<alice@posthouse.test>", "250"),
            ("RCPT TO:<someone@elsewhere.example>", "554 5.7.1 "),
            (
                "RCPT TO:<@posthouse.test:someone@elsewhere.example>",
                "554 5.7.1 ",
            ),
            (
                "RCPT TO:<\"someone@elsewhere.example\"@posthouse.test>",
                "550 5.1.1 ",
            ),
            (
                "RCPT TO:<someone%elsewhere.example@posthouse.test>",
                "550 5.1.1 ",
            ),
            ("RCPT TO:<someone@[127.0.0.1]>", "55"),
            ("RCPT TO:<someone@relayed.example>", "250 2.1.5 "),
            ("RCPT TO:<bob@posthouse.test>", "250 2.1.5 "),
        ],
    );
}

/// Only CRLF.CRLF ends a message: each of these may neither end it nor split it in two.
const FALSE_ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
];

fn smuggle(site: &Site, false_end: &[u8]) -> String {
    let mut client = site.smtp_client().unwrap();
    client
        .command("MAIL FROM:<alice@posthouse.test>", 250)
        .unwrap();
    client.command("RCPT TO:<bob@posthouse.test>", 250).unwrap();
    client.command("DATA", 354).unwrap();
    let mut content = b"Subject: outer\r\n\r\nbody".to_vec();
    content.extend_from_slice(false_end);
    content.extend_from_slice(
        b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@posthouse.test>\r\nDATA\r\nSubject: smuggled\r\n\r\n\r\n.\r\n",
    );
    client.send(&content).unwrap();
    let (_, reply) = client.reply().unwrap();
    // Exactly one reply came for all of that: the session is at its start again.
    client.command("NOOP", 250).unwrap();
    reply
}

#[test]
fn bare_line_ends_are_refused_and_never_end_a_message() {
    let site = Site::running().unwrap();
    for false_end in FALSE_ENDS {
        let reply = smuggle(&site, false_end);
        assert!(reply.starts_with("55"), "{false_end:?}: {reply}");
    }
    let reply = smuggle(&site, b"\n.\n");
    assert!(reply.starts_with("550 5.6.11 "), "{reply}");
}

#[test]
fn bare_line_ends_are_normalized_by_setting_and_never_end_a_message() {
    let site = Site::builder()
        .set("smtpd.bare_newlines", "normalize")
        .unwrap()
        .start()
        .unwrap();
    let reply = smuggle(&site, b"\n.\n");
    assert!(reply.starts_with("250 "), "{reply}");
    let messages = site.fetch(site.bob(), 1).unwrap();
    let message = String::from_utf8(messages[0].clone()).unwrap();
    assert!(
        message.contains("\r\nSubject: smuggled\r\n"),
        "all of it is one message: {message}"
    );
    assert!(
        !message.replace("\r\n", "").contains(['\r', '\n']),
        "{message:?}"
    );
}

#[test]
fn chunks_and_data_are_the_same_message() {
    let site = Site::running().unwrap();
    let letter = "Subject: chunks\r\n\r\n.dot\r\n..\r\nend\r\n";
    let mut client = site.smtp_client().unwrap();
    client
        .command("MAIL FROM:<alice@posthouse.test>", 250)
        .unwrap();
    client.command("RCPT TO:<bob@posthouse.test>", 250).unwrap();
    let (first, second) = letter.split_at(25);
    client
        .send(format!("BDAT {}\r\n{first}", first.len()))
        .unwrap();
    client.expect(250).unwrap();
    client
        .send(format!("BDAT {}\r\n{second}BDAT 0 LAST\r\n", second.len()))
        .unwrap();
    client.expect(250).unwrap();
    client.expect(250).unwrap();
    let messages = site.fetch(site.bob(), 1).unwrap();
    assert!(
        messages[0].ends_with(letter.as_bytes()),
        "{}",
        String::from_utf8_lossy(&messages[0])
    );
}

#[test]
fn talking_before_the_greeting_is_refused() {
    let site = Site::running().unwrap();
    // The greeting may be on its way before our first byte arrives: only a talker that is early is refused.
    let refused = eventually(PATIENCE, || {
        let mut client = SmtpClient::connect(site.smtp()).ok()?;
        client
            .send(b"EHLO early.example\r\nMAIL FROM:<>\r\nRCPT TO:<bob@posthouse.test>\r\nDATA\r\n")
            .ok()?;
        let (code, _) = client.reply().ok()?;
        (code != 220).then_some(code)
    });
    assert!(
        refused.is_some_and(|code| code == 554 || code == 521),
        "{refused:?}"
    );
}

#[test]
fn too_many_connections_from_one_client_are_told_to_come_later() {
    let site = Site::builder()
        .set("smtpd.connection_limit_per_client", "3")
        .unwrap()
        // Clients that may relay are not counted.
        .set("smtpd.mynetworks", "[]")
        .unwrap()
        .set("smtpd.workers", "1")
        .unwrap()
        .start()
        .unwrap();
    // The harness's own first look may still count for a moment.
    let held = eventually(PATIENCE, || {
        let held: Vec<_> = (0..3)
            .map_while(|_| SmtpClient::greeted(site.smtp()).ok())
            .collect();
        (held.len() == 3).then_some(held)
    });
    assert!(held.is_some());
    let mut fourth = SmtpClient::connect(site.smtp()).unwrap();
    let (code, reply) = fourth.reply().unwrap();
    assert_eq!(code, 421, "{reply}");
    assert!(reply.starts_with("421 4.7.0 "), "{reply}");
    drop(held);
    let again = eventually(PATIENCE, || SmtpClient::greeted(site.smtp()).ok());
    assert!(again.is_some());
}

#[test]
fn mail_that_goes_in_circles_is_refused() {
    let site = Site::running().unwrap();
    let mut client = site.smtp_client().unwrap();
    client
        .command("MAIL FROM:<alice@posthouse.test>", 250)
        .unwrap();
    client.command("RCPT TO:<bob@posthouse.test>", 250).unwrap();
    client.command("DATA", 354).unwrap();
    let mut content = "Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n".repeat(51);
    content.push_str("Subject: circle\r\n\r\n.\r\n");
    client.send_quietly(content).unwrap();
    let (_, reply) = client.reply().unwrap();
    assert!(reply.starts_with("554 5.4.6 "), "{reply}");
}
