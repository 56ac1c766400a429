//! What the RFCs ask of a server, section by section: RFC 5321, 1870, 2920, 6152, 6531, 3461, 3030.
//!
//! RFC 2034 is checked with every reply of every test, by the harness.

use harness::{PATIENCE, Site, eventually};

/// Section of the RFC, command, how its reply begins.
type Check = (&'static str, &'static str, &'static str);

/// Plays checks in one session that has said EHLO; each is named by its section when it fails.
fn conform(site: &Site, checks: &[Check]) {
    let mut client = site.smtp_client().unwrap();
    for (section, command, expected) in checks {
        client.send(format!("{command}\r\n")).unwrap();
        let (_, reply) = client
            .reply()
            .unwrap_or_else(|error| panic!("{section}: {command}: {error}"));
        assert!(
            reply.starts_with(expected),
            "{section}: {command}: wanted {expected}, got {reply}"
        );
    }
}

fn patient_site() -> harness::SiteBuilder {
    [("smtpd.error_delay", "0s"), ("smtpd.error_limit", "1000")]
        .into_iter()
        .fold(Site::builder(), |builder, (name, value)| {
            builder.set(name, value).unwrap()
        })
}

#[test]
fn rfc_5321_commands() {
    let site = patient_site().start().unwrap();
    conform(
        &site,
        &[
            ("2.4", "nOoP", "250 2.0.0 "),
            ("2.4", "mail from:<Alice@EXAMPLE.org>", "250 2.1.0 "),
            ("4.1.1.5", "RSET", "250 2.0.0 "),
            ("4.1.1.5", "RSET", "250 2.0.0 "),
            ("4.1.1", "NOOP   ", "250 2.0.0 "),
            ("4.1.1.9", "NOOP whatever", "250 2.0.0 "),
            ("4.1.1.1", "EHLO", "501 5.5.4 "),
            ("4.1.1.1", "EHLO a b", "501 5.5.4 "),
            ("4.1.1.1", "HELO [127.0.0.1", "501 5.5.4 "),
            ("4.1.3", "HELO [IPv6:::1]", "250 mail.posthouse.test"),
            ("4.1.1.1", "EHLO client.example", "250-mail.posthouse.test"),
            ("4.1.1.2", "MAIL", "501 5.5.4 "),
            ("4.1.1.2", "MAIL TO:<a@example.org>", "501 5.5.4 "),
            ("4.1.1.2", "MAIL FROM:a@example.org", "501 5.1.7 "),
            ("4.1.1.2", "MAIL FROM:<a@example.org", "501 5.1.7 "),
            ("4.1.1.2", "MAIL FROM:<a@example.org>SIZE=1", "501 5.1.7 "),
            ("4.1.1.2", "MAIL FROM:<postmaster>", "501 5.1.7 "),
            ("4.1.1.3", "RCPT TO:<bob@posthouse.test>", "503 5.5.1 "),
            ("4.1.1.4", "DATA", "503 5.5.1 "),
            ("4.1.1.4", "DATA now", "501 5.5.4 "),
            ("4.1.1.5", "RSET now", "501 5.5.4 "),
            ("4.1.1.10", "QUIT now", "501 5.5.4 "),
            ("4.1.1.6", "VRFY", "501 5.5.4 "),
            ("4.1.1.7", "EXPN", "501 5.5.4 "),
            ("3.5.3", "VRFY bob", "252 2."),
            ("4.1.1.8", "HELP", "214"),
            ("4.1.1.8", "HELP EHLO", "214 2.0.0 EHLO "),
            ("4.1.1.8", "HELP NOSUCH", "214"),
            ("4.2.4", "ETRN example.org", "502 5.5.1 "),
            ("4.2.4", "STARTTLS", "502 5.5.1 "),
            ("4.2.4", "AUTH PLAIN", "502 5.5.1 "),
            ("4.2.4", "XYZZY", "500 5.5.2 "),
            ("F.6", "SOML FROM:<a@example.org>", "502 5.5.1 "),
            ("F.6", "SAML FROM:<a@example.org>", "502 5.5.1 "),
            ("3.3", "MAIL FROM:<>", "250 2.1.0 "),
            ("4.1.1.1", "EHLO again.example", "250-mail.posthouse.test"),
            ("4.1.4", "RCPT TO:<bob@posthouse.test>", "503 5.5.1 "),
            ("3.3", "MAIL FROM:<>", "250 2.1.0 "),
            ("3.3", "RCPT TO:<>", "501 5.1.3 "),
            ("3.3", "DATA", "503 5.5.1 "),
            ("3.3", "RCPT TO:<nobody@posthouse.test>", "550 5.1.1 "),
            ("3.3", "DATA", "554 5.5.1 "),
            ("4.1.1.10", "QUIT", "221 2.0.0 "),
        ],
    );
}

#[test]
fn rfc_5321_addresses() {
    let site = patient_site().start().unwrap();
    let long_local = format!("RCPT TO:<{}@posthouse.test>", "a".repeat(65));
    let longest_local = format!("RCPT TO:<bob+{}@posthouse.test>", "a".repeat(60));
    let long_domain = format!("RCPT TO:<a@{}.test>", ["abcdefgh"; 29].join("."));
    let mut client = site.smtp_client().unwrap();
    client.command("MAIL FROM:<>", 250).unwrap();
    for (section, path, expected) in [
        ("4.5.3.1.1", longest_local.as_str(), "250 2.1.5 "),
        ("4.5.3.1.1", &long_local, "501 5.1.3 "),
        ("4.5.3.1.2", &long_domain, "501 5.1.3 "),
    ] {
        client.send(format!("{path}\r\n")).unwrap();
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with(expected), "{section}: {path}: {reply}");
    }
    conform(
        &site,
        &[
            (
                "4.1.1.3",
                "MAIL FROM:<@a.example,@b.example:c@example.org>",
                "250 2.1.0 ",
            ),
            (
                "4.1.1.3",
                "RCPT TO:<@a.example,@[127.0.0.1]:bob@posthouse.test>",
                "250 2.1.5 ",
            ),
            (
                "4.1.1.3",
                "RCPT TO:<@a.example,b.example:bob@posthouse.test>",
                "501 5.1.3 ",
            ),
            ("4.1.2", "RCPT TO:<\"bob\"@posthouse.test>", "250 2.1.5 "),
            ("4.1.2", "RCPT TO:<\"b\\ob\"@posthouse.test>", "250 2.1.5 "),
            ("4.1.2", "RCPT TO:<BOB@PostHouse.TEST>", "250 2.1.5 "),
            ("4.1.2", "RCPT TO:<\"b ob\"@posthouse.test>", "550 5.1.1 "),
            ("4.1.2", "RCPT TO:<\"bob@posthouse.test>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<b ob@posthouse.test>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<bob.@posthouse.test>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<.bob@posthouse.test>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<bob@-posthouse.test>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<bob@posthouse..test>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<bob>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<bob@>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<bob@posthouse.test>>", "501 5.1.3 "),
            ("4.1.2", "RCPT TO:<<bob@posthouse.test>", "501 5.1.3 "),
            ("4.1.3", "RCPT TO:<bob@[127.0.0.256]>", "501 5.1.3 "),
            ("4.1.3", "RCPT TO:<bob@[::1]>", "501 5.1.3 "),
            ("4.1.3", "RCPT TO:<bob@[x:y]>", "501 5.1.3 "),
            ("4.5.1", "RCPT TO:<Postmaster>", "250 2.1.5 "),
            ("4.5.1", "RCPT TO:<PostMaster@Posthouse.Test>", "250 2.1.5 "),
            (
                "4.1.1.11",
                "RCPT TO:<bob@posthouse.test> SIZE=5",
                "555 5.5.4 ",
            ),
            ("4.1.1.11", "RCPT TO:<bob@posthouse.test> =5", "555 5.5.4 "),
        ],
    );
}

/// RFC 5321 §4.5.1: postmaster of every domain that is served, and by whatever way; also where no address of it is in the aliases.
#[test]
fn postmaster_is_always_accepted() {
    let site = patient_site()
        .set("domains.local", "[\"posthouse.test\", \"second.test\"]")
        .and_then(|site| site.set("smtpd.mynetworks", "[]"))
        .and_then(harness::SiteBuilder::start)
        .unwrap();
    let mut client = site.smtp_client().unwrap();
    client.command("MAIL FROM:<>", 250).unwrap();
    for to in [
        "postmaster",
        "POSTMASTER@posthouse.test",
        "postmaster@second.test",
    ] {
        client.command(&format!("RCPT TO:<{to}>"), 250).unwrap();
        client.command("DATA", 354).unwrap();
        client.send("Subject: to postmaster\r\n\r\n.\r\n").unwrap();
        client.expect(250).unwrap();
        client.command("MAIL FROM:<>", 250).unwrap();
    }
    site.fetch(site.alice(), 3).unwrap();
}

#[test]
fn rfc_1870_6152_6531_3461_parameters() {
    let site = patient_site().start().unwrap();
    conform(
        &site,
        &[
            ("1870 6", "MAIL FROM:<> SIZE=0", "250 2.1.0 "),
            ("1870 6", "RSET", "250 "),
            ("1870 6.1", "MAIL FROM:<> SIZE=52428801", "552 5.3.4 "),
            ("1870 3", "MAIL FROM:<> SIZE", "501 5.5.4 "),
            ("1870 3", "MAIL FROM:<> SIZE=1 SIZE=1", "501 5.5.4 "),
            ("6152 2", "MAIL FROM:<> BODY=7BIT", "250 2.1.0 "),
            ("6152 2", "RSET", "250 "),
            ("6152 2", "MAIL FROM:<> body=8bitmime", "250 2.1.0 "),
            ("6152 2", "RSET", "250 "),
            ("6152 2", "MAIL FROM:<> BODY=9BIT", "501 5.5.4 "),
            ("3030 3", "MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4 "),
            ("6531 3.4", "MAIL FROM:<> SMTPUTF8=yes", "501 5.5.4 "),
            ("6531 3.5", "MAIL FROM:<jürgen@example.org>", "553 5.6.7 "),
            ("6531 3.5", "MAIL FROM:<a@münchen.example>", "553 5.6.7 "),
            (
                "6531 3.4",
                "MAIL FROM:<jürgen@münchen.example> SMTPUTF8",
                "250 2.1.0 ",
            ),
            ("6531 3.4", "RCPT TO:<bøb@posthouse.test>", "550 5.1.1 "),
            ("6531 3.4", "RSET", "250 "),
            ("6531 3.4", "MAIL FROM:<>", "250 2.1.0 "),
            ("6531 3.5", "RCPT TO:<bøb@posthouse.test>", "553 5.6.7 "),
            ("6531 3.7.4.2", "VRFY bøb", "553 5.6.7 "),
            ("6531 3.7.4.2", "VRFY bøb SMTPUTF8", "252 2."),
            ("6531 3.7.1", "EHLO münchen.example", "500 5.5.2 "),
            (
                "3461 4.1",
                "RCPT TO:<bob@posthouse.test> NOTIFY=SUCCESS,DELAY",
                "250 2.1.5 ",
            ),
            (
                "3461 4.1",
                "RCPT TO:<bob@posthouse.test> NOTIFY=NEVER,DELAY",
                "501 5.5.4 ",
            ),
            (
                "3461 4.2",
                "RCPT TO:<bob@posthouse.test> ORCPT=rfc822;a+2Bb@c",
                "250 2.1.5 ",
            ),
            (
                "3461 4.2",
                "RCPT TO:<bob@posthouse.test> ORCPT=rfc822;a+2b@c",
                "501 5.5.4 ",
            ),
            (
                "3461 4.2",
                "RCPT TO:<bob@posthouse.test> ORCPT=a@c",
                "501 5.5.4 ",
            ),
            ("3461 4.3", "RSET", "250 "),
            (
                "3461 4.3",
                "MAIL FROM:<> RET=FULL ENVID=a+20b",
                "250 2.1.0 ",
            ),
            ("3461 4.3", "RSET", "250 "),
            ("3461 4.3", "MAIL FROM:<> RET=SOME", "501 5.5.4 "),
            ("3461 4.4", "MAIL FROM:<> ENVID=a+0D", "501 5.5.4 "),
            ("3461 4.4", "MAIL FROM:<> ENVID=a=b", "501 5.5.4 "),
            ("3461 4.4", "MAIL FROM:<> RET=FULL RET=FULL", "501 5.5.4 "),
        ],
    );
    let mut client = site.smtp_client().unwrap();
    client
        .send(b"MAIL FROM:<a\xff@example.org> SMTPUTF8\r\n")
        .unwrap();
    assert!(client.expect(500).unwrap().starts_with("500 5.5.2 "));
    client.send(b"NO\0OP\r\n").unwrap();
    assert!(client.expect(500).unwrap().starts_with("500 5.5.2 "));
    client.send(b"NOOP\rNOOP\r\n").unwrap();
    assert!(client.expect(500).unwrap().starts_with("500 5.5.2 "));
    client.send(b"NOOP\nNOOP\r\n").unwrap();
    assert!(client.expect(521).unwrap().starts_with("521 5.5.2 "));
}

/// RFC 2920 §3.1: what may follow what in one group; the replies come in order. What may not ends the session.
#[test]
fn rfc_2920_groups() {
    let mail = "MAIL FROM:<>\r\nRCPT TO:<bob@posthouse.test>\r\n";
    let [strict_site, lax_site] = ["true", "false"].map(|strict| {
        let site = patient_site().set("smtpd.strict_pipelining", strict);
        site.and_then(harness::SiteBuilder::start).unwrap()
    });
    for (strict, group, codes) in [
        (
            true,
            format!("{mail}RCPT TO:<no@posthouse.test>\r\nDATA\r\n"),
            vec![250, 250, 550, 354],
        ),
        (
            true,
            format!("RSET\r\n{mail}RSET\r\nHELP\r\nNOOP\r\n"),
            vec![250, 250, 250, 250, 214, 250],
        ),
        (
            true,
            format!("{mail}FOO\r\nQUIT\r\n"),
            vec![250, 250, 500, 221],
        ),
        (true, "NOOP\r\nNOOP\r\n".to_owned(), vec![554]),
        (true, "VRFY bob\r\nNOOP\r\n".to_owned(), vec![554]),
        (true, "EXPN bob\r\nNOOP\r\n".to_owned(), vec![554]),
        (
            false,
            "NOOP\r\nVRFY bob\r\nNOOP\r\n".to_owned(),
            vec![250, 252, 250],
        ),
        (false, format!("EHLO x\r\n{mail}"), vec![554]),
        (false, format!("HELO x\r\n{mail}"), vec![554]),
        (false, format!("{mail}DATA\r\n.\r\n"), vec![250, 250, 554]),
    ] {
        let site = if strict { &strict_site } else { &lax_site };
        let mut client = site.smtp_client().unwrap();
        client.send(&group).unwrap();
        let came: Vec<_> = codes.iter().map(|_| client.reply().unwrap().0).collect();
        assert_eq!(came, codes, "{group}");
        if codes.last() == Some(&554) {
            assert!(client.reply().is_err(), "{group}: the session goes on");
        }
    }
}

/// RFC 6531 §3.2, §4.3: addresses beyond ASCII, in local-part and domain, to the mailbox and its header.
#[test]
fn rfc_6531_addresses_reach_their_mailbox() {
    let site = patient_site()
        .set("domains.local", "[\"posthouse.test\", \"münchen.test\"]")
        .unwrap()
        .user("jürgen@münchen.test", "geheim", &[])
        .start()
        .unwrap();
    let mut client = site.smtp_client().unwrap();
    let tos = [
        ("jürgen@münchen.test", "SMTPUTF8"),
        ("JÜRGEN@MÜNCHEN.test", "SMTPUTF8"),
        ("jürgen@xn--mnchen-3ya.test", "SMTPUTF8"),
        ("\"jürgen\"@münchen.test", "SMTPUTF8 BODY=8BITMIME"),
    ];
    for (to, parameters) in tos {
        client
            .command(
                &format!("MAIL FROM:<größe@straße.example> {parameters}"),
                250,
            )
            .unwrap();
        client.command(&format!("RCPT TO:<{to}>"), 250).unwrap();
        client.command("DATA", 354).unwrap();
        client.send("Subject: Grüße\r\n\r\n.\r\n").unwrap();
        client.expect(250).unwrap();
    }
    let jürgen = &site.accounts()[2];
    let messages = site.fetch(jürgen, tos.len()).unwrap();
    let first = String::from_utf8(messages[0].clone()).unwrap();
    for part in [
        "Return-Path: <größe@straße.example>",
        " with UTF8SMTP id ",
        "Subject: Grüße",
    ] {
        assert!(first.contains(part), "{part} is missing in {first}");
    }
}

/// RFC 6533 §4, §6: a report for a sender and about a recipient beyond ASCII.
#[test]
fn rfc_6533_reports_have_their_addresses_as_they_are() {
    let site = patient_site()
        .user("jürgen", "geheim", &[])
        .alias("kaputt-ü: \"|/bin/sh -c 'exit 67'\"")
        .start()
        .unwrap();
    let mut client = site.smtp_client().unwrap();
    client
        .command("MAIL FROM:<jürgen@posthouse.test> SMTPUTF8", 250)
        .unwrap();
    client
        .command(
            "RCPT TO:<kaputt-ü@posthouse.test> ORCPT=utf-8;kaputt-\\x{FC}@posthouse.test",
            250,
        )
        .unwrap();
    client.command("DATA", 354).unwrap();
    client.send("Subject: Grüße\r\n\r\n.\r\n").unwrap();
    client.expect(250).unwrap();
    let messages = site.fetch(&site.accounts()[2], 1).unwrap();
    let report = String::from_utf8(messages[0].clone()).unwrap();
    for part in [
        "Return-Path: <>\r\n",
        "To: <jürgen@posthouse.test>\r\n",
        "Content-Type: message/global-delivery-status",
        "Original-Recipient: utf-8; kaputt-ü@posthouse.test\r\n",
        "Final-Recipient: utf-8; kaputt-ü@posthouse.test\r\n",
    ] {
        assert!(report.contains(part), "{part} is missing in\n{report}");
    }
}

#[test]
fn rfc_5321_3_5_verifying_and_expanding() {
    let site = patient_site()
        .alias("team: alice, bob, elsewhere@example.org")
        .alias("nil: /dev/null")
        .user("carol", "x", &["--moved", "carol@elsewhere.example"])
        .set("smtpd.vrfy", "full")
        .and_then(|site| site.set("smtpd.expn", "true"))
        .and_then(harness::SiteBuilder::start)
        .unwrap();
    conform(
        &site,
        &[
            ("3.5.1", "VRFY bob", "250 2.1.5 <bob@posthouse.test>"),
            (
                "3.5.1",
                "VRFY <bob@POSTHOUSE.test>",
                "250 2.1.5 <bob@posthouse.test>",
            ),
            (
                "3.5.1",
                "VRFY carol",
                "551 5.1.6 User has moved; please try <carol@elsewhere.example>",
            ),
            ("3.5.3", "VRFY nobody", "550 5.1.1 "),
            ("3.5.3", "VRFY someone@elsewhere.example", "252 2.1.5 "),
            ("3.5.2", "VRFY postmaster", "250 2.1.5 <"),
            (
                "3.5.1",
                "EXPN team",
                "250-2.1.5 <alice@posthouse.test>\n250-2.1.5 <bob@posthouse.test>\n250 2.1.5 <elsewhere@example.org>",
            ),
            ("3.5.1", "EXPN team@posthouse.test", "250-2.1.5 <alice@"),
            ("3.5.3", "EXPN nobody", "550 5.1.1 "),
            ("3.5.1", "EXPN nil", "252 2.1.5 "),
            ("3.4", "MAIL FROM:<>", "250 "),
            (
                "3.4",
                "RCPT TO:<carol@posthouse.test>",
                "551 5.1.6 User has moved; please try <carol@elsewhere.example>",
            ),
        ],
    );
}

/// RFC 5321 §4.2.5, RFC 3463 §3.3: full is said at RCPT, before the content comes, as the setting has it.
#[test]
fn a_mailbox_over_quota_is_told_at_rcpt() {
    for (setting, filled, wanted) in [
        ("defer", false, "452 4.2.2 "),
        ("bounce", true, "552 5.2.2 "),
    ] {
        let site = patient_site()
            .set("local_delivery.mailbox_full", setting)
            .unwrap()
            .user("carol", "x", &["--quota", "2KiB"])
            .start()
            .unwrap();
        let carol = &site.accounts()[2];
        if filled {
            let mut client = site.smtp_client().unwrap();
            let letter = b"0123456789\r\n".repeat(120);
            client.deliver("", &[&carol.address], &letter).unwrap();
            site.fetch(carol, 1).unwrap();
        }
        let size = if filled { 1_000 } else { 3_000 };
        // The directory remembers for some seconds how full a mailbox was.
        let told = eventually(PATIENCE, || {
            let mut client = site.smtp_client().ok()?;
            client
                .command(&format!("MAIL FROM:<> SIZE={size}"), 250)
                .ok()?;
            client
                .send(format!("RCPT TO:<{}>\r\n", carol.address))
                .ok()?;
            let (code, reply) = client.reply().ok()?;
            (code != 250).then_some(reply)
        });
        let told = told.unwrap_or_default();
        assert!(told.starts_with(wanted), "{setting}: {told}");
    }
}
