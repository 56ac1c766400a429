//! What a peer says stays what it says: in replies, in headers, in the log, and in reports.

use harness::Site;

use super::{ALICE, bobs_messages, by_data, drained, envelope, say, send_one, site_with};

/// What would be a field, a second log line or a reply of its own, if it got through.
const INJECTIONS: &[&str] = &[
    "evil\r\nX-Injected: yes",
    "evil\nX-Injected: yes",
    "evil\rX-Injected: yes",
    "evil\tX-Injected",
    "evil\0X-Injected",
    "evil\u{1b}[31mX-Injected",
    "evil\u{7f}X-Injected",
    "evil (X-Injected)",
    "evil;X-Injected",
    "evil\"X-Injected",
    "evil<X-Injected>",
    "evil=X-Injected",
    "[X-Injected]",
    "[127.0.0.1]X-Injected",
    "\u{2028}X-Injected",
    "\u{9b}X-Injected",
    "X-Injected\u{ad}\u{202e}",
];

/// Sends one line per injection in each place of a dialog; whatever happens, no octet of it comes back, no header or log
/// line is broken by it.
#[test]
fn nothing_a_peer_says_breaks_out_of_replies_headers_or_log() {
    let site = site_with(&[
        ("smtpd.error_delay", "0s"),
        ("smtpd.error_limit", "1000"),
        ("smtpd.junk_command_limit", "1000"),
        ("smtpd.strict_pipelining", "false"),
        ("smtpd.vrfy", "full"),
        ("smtpd.expn", "true"),
    ]);
    for injection in INJECTIONS {
        for line in [
            format!("HELO {injection}"),
            format!("EHLO {injection}"),
            format!("MAIL FROM:<{injection}@example.org>"),
            format!("MAIL FROM:<\"{injection}\"@example.org>"),
            format!("MAIL FROM:<a@{injection}> SMTPUTF8"),
            format!("MAIL FROM:<a@example.org> ENVID={injection}"),
            format!("RCPT TO:<\"{injection}\"@posthouse.test>"),
            format!("RCPT TO:<bob@posthouse.test> ORCPT=rfc822;{injection}"),
            format!("VRFY {injection}"),
            format!("EXPN {injection}"),
            format!("HELP {injection}"),
            format!("{injection} {injection}"),
        ] {
            in_its_own_session(&site, &line);
        }
    }
    for message in bobs_messages(&site) {
        let text = String::from_utf8_lossy(&message).into_owned();
        assert!(!text.contains("\r\nX-Injected"), "{text}");
    }
    for line in site.log().lines() {
        assert!(!line.chars().any(|c| c.is_control()), "{line:?}");
        assert!(!line.starts_with("X-Injected"), "{line:?}");
    }
}

/// Says `line` where its command belongs, then sends a message as if nothing had been.
fn in_its_own_session(site: &Site, line: &str) {
    let mut client = site.smtp_client().unwrap();
    if line.starts_with("RCPT") {
        client
            .command(&format!("MAIL FROM:<{ALICE}>"), 250)
            .unwrap();
    }
    client.send(format!("{line}\r\n")).unwrap();
    // Two lines, one reply each, or the end: the reply to NOOP is the last in any case.
    client.send("NOOP\r\n").unwrap();
    while let Ok((code, text)) = client.reply() {
        assert!(!text.contains("X-Injected"), "{line:?}: {text:?}");
        if text == "250 2.0.0 Ok" || code == 521 {
            break;
        }
    }
    if client.send("RSET\r\n").is_ok() && client.expect(250).is_ok() {
        envelope(&mut client);
        let reply = by_data(&mut client, b"Subject: forgery\r\n\r\nbody");
        assert!(reply.starts_with("250 2.0.0 "), "{line:?}: {reply}");
    }
}

/// RFC 5321 §4.4, RFC 3848: what Received and Return-Path say, and that a header from outside does not take their place.
#[test]
fn trace_fields_are_ours() {
    let site = site_with(&[]);
    let mut client = harness::SmtpClient::connect(site.smtp()).unwrap();
    client.expect(220).unwrap();
    client.command("HELO old_client.example", 250).unwrap();
    client
        .command("MAIL FROM:<\"a\\\"b> \\\\c\"@example.org>", 250)
        .unwrap();
    client.command("RCPT TO:<bob@posthouse.test>", 250).unwrap();
    client
        .command("RCPT TO:<alice@posthouse.test>", 250)
        .unwrap();
    let forged = b"Return-Path: <forged@example.org>\r\nDelivered-To: someone@example.org\r\nSubject: x\r\n\r\nbody";
    assert!(by_data(&mut client, forged).starts_with("250 "));
    let text = String::from_utf8(site.fetch(site.bob(), 1).unwrap().remove(0)).unwrap();
    assert!(
        text.starts_with("Return-Path: <\"a\\\"b> \\\\c\"@example.org>\r\n"),
        "{text}"
    );
    assert!(
        text.contains("Received: from old_client.example (unknown [127.0.0.1])\r\n\tby mail.posthouse.test (Posthouse) with SMTP id "),
        "{text}"
    );
    // RFC 5321 §7.6: several recipients, so none is told.
    assert!(!text.contains("for <"), "{text}");
}

/// RFC 5321 §4.5.5, §6.1: no report about a report, whatever its addresses.
#[test]
fn reports_never_loop() {
    let site = Site::builder()
        .alias("broken: \"|/bin/sh -c 'exit 67'\"")
        .start()
        .unwrap();
    for from in ["", "nobody-there@posthouse.test", "broken@posthouse.test"] {
        let mut client = site.smtp_client().unwrap();
        client.command(&format!("MAIL FROM:<{from}>"), 250).unwrap();
        client
            .command("RCPT TO:<broken@posthouse.test>", 250)
            .unwrap();
        assert!(by_data(&mut client, b"Subject: x\r\n\r\nbody").starts_with("250 "));
        drained(&site);
    }
    // alice is postmaster, and is told only when `queue.notify_postmaster` says so.
    assert!(site.fetch(site.alice(), 0).unwrap().is_empty());
    send_one(&site);
    assert_eq!(bobs_messages(&site).len(), 1);
}

/// RFC 3461 §4.1, §5.2, §6: who is told what.
#[test]
fn reports_are_sent_as_they_were_asked_for() {
    let site = Site::builder()
        .alias("broken: \"|/bin/sh -c 'exit 67'\"")
        .start()
        .unwrap();
    for (to, notify, reports) in [
        ("broken", "NEVER", 0),
        ("broken", "SUCCESS", 0),
        ("broken", "SUCCESS,FAILURE", 1),
        ("broken", "DELAY,FAILURE", 2),
        ("bob", "FAILURE", 2),
        ("bob", "SUCCESS", 3),
    ] {
        let mut client = site.smtp_client().unwrap();
        let mail = format!("MAIL FROM:<{ALICE}> RET=HDRS ENVID=QQ+2B314+3D");
        client.command(&mail, 250).unwrap();
        let rcpt = format!(
            "RCPT TO:<{to}@posthouse.test> NOTIFY={notify} ORCPT=rfc822;first+2Bchoice@example.org"
        );
        client.command(&rcpt, 250).unwrap();
        assert!(by_data(&mut client, b"Subject: x\r\n\r\nsecret-body").starts_with("250 "));
        drained(&site);
        let got = site.fetch(site.alice(), 0).unwrap();
        assert_eq!(got.len(), reports, "{to} {notify}");
        if let Some(report) = got.last() {
            let text = String::from_utf8_lossy(report);
            for part in [
                "Original-Envelope-Id: QQ+314=\r\n",
                "Original-Recipient: rfc822;first+choice@example.org\r\n",
                "text/rfc822-headers",
            ] {
                assert!(
                    text.replace("rfc822; ", "rfc822;").contains(part),
                    "{part} is missing in\n{text}"
                );
            }
            assert!(!text.contains("secret-body"), "{text}");
        }
    }
    // RFC 3461 §4.1: NEVER stands alone.
    let mut client = super::transaction(&site);
    for bad in [
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=",
        "NOTIFY=SOMETIMES",
        "NOTIFY",
        "ORCPT=x",
        "ORCPT=rfc822;a+0Ab",
        "SIZE=1",
    ] {
        let reply = say(
            &mut client,
            format!("RCPT TO:<alice@posthouse.test> {bad}\r\n"),
        );
        assert!(
            reply.starts_with("501 5.5.4 ") || reply.starts_with("555 5.5.4 "),
            "{bad}: {reply}"
        );
    }
}
