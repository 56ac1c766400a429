use super::*;
use mail_types::BodyKind;
use proptest::prelude::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn recipient(to: &str, action: Action, status: EnhancedStatus, said: &str) -> ReportRecipient {
    ReportRecipient {
        original: None,
        final_recipient: address(to),
        expanded_from: None,
        action,
        status,
        diagnostic: Some(said.to_owned()),
        remote_mta: None,
        last_attempt: Some(Timestamp::from_seconds(60)),
        will_retry_until: None,
    }
}

fn original(content: &[u8]) -> Original<'_> {
    Original {
        head: content,
        size: content.len() as u64,
        body: BodyKind::SevenBit,
        smtputf8: false,
        return_content: None,
        envelope_id: None,
        arrival: Timestamp::from_seconds(0),
    }
}

fn build(original: Original<'_>, recipients: &[ReportRecipient], to: &str) -> Built {
    Report {
        hostname: &Domain::parse("mx.example.org").unwrap(),
        postmaster: &address("postmaster@example.org"),
        to: &address(to),
        message_id: &MessageId("<1@mx.example.org>".to_owned()),
        date: Timestamp::from_seconds(120),
        offset_seconds: 0,
        original,
        recipients,
        full_return_limit: 1000,
        boundary_seed: 7,
    }
    .build()
}

const NO_USER: EnhancedStatus = EnhancedStatus::new(5, 1, 1);

#[test]
fn a_failure_is_reported_to_people_and_programs() {
    let mut bob = recipient("bob@example.org", Action::Failed, NO_USER, "no such user");
    bob.original = Some(OriginalRecipient {
        address_type: "rfc822".to_owned(),
        address: "Bob@Example.ORG".to_owned(),
    });
    bob.expanded_from = Some(address("team@example.org"));
    let mut message = original(b"Subject: hi\r\n\r\nbody\r\n");
    message.envelope_id = Some("QQ1");
    let built = build(message, &[bob], "alice@example.org");
    assert_eq!((built.body, built.smtputf8), (BodyKind::SevenBit, false));
    let text = String::from_utf8(built.content).unwrap();
    for expected in [
        "\r\nTo: <alice@example.org>\r\n",
        "\r\nAuto-Submitted: auto-replied\r\n",
        "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"=_posthouse_0000000000000007\"\r\n",
        "  <bob@example.org> (reached through <team@example.org>)\r\n    The reason given:\r\n        no such user\r\n",
        "\r\nOriginal-Envelope-Id: QQ1\r\nReporting-MTA: dns; mx.example.org\r\nArrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n",
        "\r\nOriginal-Recipient: rfc822; Bob@Example.ORG\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: x-posthouse; no such user\r\nLast-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n",
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: hi\r\n\r\nbody\r\n\r\n--=_posthouse_0000000000000007--\r\n",
    ] {
        assert!(text.contains(expected), "missing {expected:?} in\n{text}");
    }
}

#[test]
fn the_message_goes_back_whole_only_when_it_may() {
    let content = b"Subject: hi\r\nX: y\r\n\r\nbody\r\n";
    let failed = recipient("bob@example.org", Action::Failed, NO_USER, "no");
    let done = recipient(
        "bob@example.org",
        Action::Delivered,
        EnhancedStatus::new(2, 0, 0),
        "ok",
    );
    let plain = original(content);
    let headers = Original {
        return_content: Some(ReturnContent::Headers),
        ..plain
    };
    let large = Original {
        size: 5000,
        ..plain
    };
    let binary = Original {
        body: BodyKind::BinaryMime,
        ..plain
    };
    let global = Original {
        smtputf8: true,
        ..plain
    };
    let cut = Original {
        head: &content[..16],
        size: 5000,
        ..plain
    };
    for (original, recipient, media_type, ends_with) in [
        (plain, &failed, "message/rfc822", "\r\n\r\nbody\r\n\r\n--="),
        (headers, &failed, "text/rfc822-headers", "X: y\r\n\r\n--="),
        (large, &failed, "text/rfc822-headers", "X: y\r\n\r\n--="),
        (binary, &failed, "text/rfc822-headers", "X: y\r\n\r\n--="),
        (plain, &done, "text/rfc822-headers", "X: y\r\n\r\n--="),
        (global, &failed, "message/global", "\r\n\r\nbody\r\n\r\n--="),
        (
            cut,
            &failed,
            "text/rfc822-headers",
            "Subject: hi\r\n\r\n--=",
        ),
    ] {
        let built = build(original, std::slice::from_ref(recipient), "a@example.org");
        let text = String::from_utf8(built.content).unwrap();
        assert!(
            text.contains(&format!("Content-Type: {media_type}\r\n")),
            "{media_type}\n{text}"
        );
        assert!(text.contains(ends_with), "{ends_with:?}\n{text}");
    }
}

#[test]
fn non_ascii_is_written_as_the_sender_can_take_it() {
    let bob = recipient(
        "jürgen+x@example.org",
        Action::Failed,
        NO_USER,
        "kein Ürgen",
    );
    let ascii = build(
        original(b"A: b\r\n\r\n"),
        std::slice::from_ref(&bob),
        "a@example.org",
    );
    let text = String::from_utf8(ascii.content).unwrap();
    assert!(
        text.contains("Final-Recipient: utf-8; j\\x{FC}rgen\\x{2B}x@example.org\r\n"),
        "{text}"
    );
    assert!(text.contains("Diagnostic-Code: x-posthouse; kein ?rgen\r\n"));
    assert!(text.contains("charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"));
    assert_eq!(
        (ascii.body, ascii.smtputf8),
        (BodyKind::EightBitMime, false)
    );

    let message = Original {
        smtputf8: true,
        ..original("Subject: Grüße\r\n\r\n".as_bytes())
    };
    let global = build(message, &[bob], "älice@example.org");
    assert!(global.smtputf8);
    let text = String::from_utf8(global.content).unwrap();
    for expected in [
        "To: <älice@example.org>\r\n",
        "Content-Type: message/global-delivery-status\r\n",
        "Final-Recipient: utf-8; jürgen+x@example.org\r\n",
        "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n",
    ] {
        assert!(text.contains(expected), "missing {expected:?} in\n{text}");
    }
}

#[test]
fn a_boundary_never_occurs_in_what_it_parts() {
    let content = b"A: b\r\n\r\n--=_posthouse_0000000000000007--\r\n=_posthouse_0000000000000008";
    let failed = recipient("bob@example.org", Action::Failed, NO_USER, "no");
    let built = build(original(content), &[failed], "a@example.org");
    let text = String::from_utf8(built.content).unwrap();
    assert!(text.contains("boundary=\"=_posthouse_0000000000000009\""));
}

#[test]
fn what_a_peer_said_cannot_forge_a_field_or_a_part() {
    let said = "550 no\r\nAction: delivered\r\n\r\n--=_posthouse_0000000000000007\r\n";
    let mut bob = recipient("bob@example.org", Action::Failed, NO_USER, said);
    bob.remote_mta = Some(Domain::parse("mx.example.net").unwrap());
    let built = build(original(b"A: b\r\n\r\n"), &[bob], "a@example.org");
    let text = String::from_utf8(built.content).unwrap();
    assert_eq!(text.matches("\r\nAction: ").count(), 1);
    assert!(text.contains("Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 no"));
    assert!(text.contains("boundary=\"=_posthouse_0000000000000008\""));
    assert!(text.contains("mx.example.net said:\r\n        550 no\r\n"));
}

#[test]
fn every_kind_of_report_reads_well() {
    let status = EnhancedStatus::new(4, 4, 7);
    for (action, subject, says) in [
        (
            Action::Expired,
            "could not be delivered",
            "tried until the time",
        ),
        (Action::Delayed, "is delayed", "need not send it again"),
        (
            Action::Delivered,
            "was delivered",
            "As you asked to be told",
        ),
        (Action::Relayed, "was delivered", "will not report"),
    ] {
        let one = [recipient("bob@example.org", action, status, "busy")];
        let built = build(original(b"A: b\r\n\r\n"), &one, "a@example.org");
        let text = String::from_utf8(built.content).unwrap();
        assert!(
            text.contains(&format!("Subject: Your message {subject}\r\n")),
            "{text}"
        );
        assert!(text.contains(says), "{text}");
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    }
}

proptest! {
    #[test]
    fn any_report_has_three_parts_and_one_header(
        content in proptest::collection::vec(any::<u8>(), 0..300),
        said in any::<String>(),
        envelope_id in any::<String>(),
        size in 0u64..2000,
        smtputf8: bool,
    ) {
        let failed = recipient("bob@example.org", Action::Failed, NO_USER, &said);
        let message = Original {
            size,
            smtputf8,
            envelope_id: Some(&envelope_id),
            ..original(&content)
        };
        let built = build(message, &[failed], "alice@example.org").content;
        let header = Header::of(&built);
        prop_assert!(header.is_complete());
        prop_assert_eq!(header.fields().count(), 8);
        let value = header.find("Content-Type").unwrap().text().into_owned();
        let boundary = value.split('"').nth(1).unwrap().to_owned();
        let finder = memmem::Finder::new(boundary.as_bytes());
        // In the header, before each part, at the end.
        prop_assert_eq!(finder.find_iter(&built).count(), 5);
        let fields = built.split(|&b| b == b'\n').filter(|line| line.starts_with(b"Action:"));
        prop_assert!(fields.count() >= 1);
    }
}
