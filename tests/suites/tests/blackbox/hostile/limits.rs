//! Too much, too long, too slow: each limit says its reply, and others are served meanwhile.

use std::time::{Duration, Instant};

use harness::{PATIENCE, SmtpClient, eventually};

use super::{bobs_messages, by_data, envelope, is_closed, say, send_one, site_with, transaction};

#[test]
fn recipients_over_the_limit_wait_for_another_transaction() {
    let site = site_with(&[("smtpd.recipient_limit", "100")]);
    let mut client = site.smtp_client().unwrap();
    client.command("MAIL FROM:<>", 250).unwrap();
    let group: String = (0..103)
        .map(|number| format!("RCPT TO:<bob+{number}@posthouse.test>\r\n"))
        .collect();
    client.send_quietly(group).unwrap();
    for number in 0..103 {
        let (_, reply) = client.reply().unwrap();
        let wanted = if number < 100 {
            "250 2.1.5 "
        } else {
            "452 4.5.3 "
        };
        assert!(reply.starts_with(wanted), "{number}: {reply}");
    }
    assert!(by_data(&mut client, b"Subject: many\r\n\r\nbody").starts_with("250 "));
}

#[test]
fn errors_junk_and_idle_talk_end_a_session() {
    let site = site_with(&[
        ("smtpd.error_delay", "0s"),
        ("smtpd.error_limit", "5"),
        ("smtpd.junk_command_limit", "3"),
        ("smtpd.commands_without_mail_limit", "7"),
        ("smtpd.message_limit", "2"),
    ]);
    for (command, wanted, times) in [
        ("RCPT TO:<>", "501 5.", 5),
        ("FOO", "500 5.5.2 ", 3),
        // EHLO was one already.
        ("NOOP", "250 2.0.0 ", 6),
        ("RSET", "250 2.0.0 ", 6),
        ("VRFY bob", "252 2.", 6),
        ("HELP", "214 2.", 6),
    ] {
        let mut client = site.smtp_client().unwrap();
        for _ in 0..times {
            let reply = say(&mut client, format!("{command}\r\n"));
            assert!(
                reply.replace('-', " ").starts_with(wanted),
                "{command}: {reply}"
            );
        }
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with("421 4.7.0 "), "{command}: {reply}");
        assert!(is_closed(&mut client));
    }
    let mut client = site.smtp_client().unwrap();
    for _ in 0..2 {
        client.command("MAIL FROM:<>", 250).unwrap();
        client.command("RSET", 250).unwrap();
    }
    client.command("MAIL FROM:<>", 451).unwrap();
}

/// RFC 5321 §4.5.3.1.4: 512 octets at least; what is longer is read to its end and refused once.
#[test]
fn long_command_lines_have_one_reply_and_endless_ones_none_at_all() {
    let site = site_with(&[
        ("smtpd.command_length_limit", "512"),
        ("smtpd.error_delay", "0s"),
    ]);
    let mut client = site.smtp_client().unwrap();
    for (length, wanted) in [
        (510, "250 2.0.0 "),
        (511, "500 5.5.2 "),
        (4_000, "500 5.5.2 "),
    ] {
        let line = format!("NOOP {}\r\n", "x".repeat(length - 5));
        let reply = say(&mut client, line);
        assert!(reply.starts_with(wanted), "{length}: {reply}");
    }
    // What looks like a command within it is none.
    let reply = say(&mut client, format!("{}\nQUIT\nQUIT\r\n", "x".repeat(600)));
    assert!(reply.starts_with("500 5.5.2 "), "{reply}");
    client.command("NOOP", 250).unwrap();
    let _ = client.send_quietly("x".repeat(20_000));
    let (_, reply) = client.reply().unwrap();
    assert!(reply.starts_with("421 4.7.0 "), "{reply}");
    assert!(is_closed(&mut client));
}

#[test]
fn when_the_house_is_full_clients_are_told_and_room_comes_back() {
    let site = site_with(&[
        ("smtpd.connection_limit", "4"),
        ("smtpd.connection_limit_per_client", "4"),
        ("smtpd.workers", "1"),
    ]);
    let held = eventually(PATIENCE, || {
        let held: Vec<_> = (0..4)
            .map_while(|_| SmtpClient::greeted(site.smtp()).ok())
            .collect();
        (held.len() == 4).then_some(held)
    });
    for _ in 0..50 {
        let mut client = SmtpClient::connect(site.smtp()).unwrap();
        let (_, reply) = client.reply().unwrap();
        assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    }
    drop(held);
    assert!(eventually(PATIENCE, || SmtpClient::greeted(site.smtp()).ok()).is_some());
}

#[test]
fn a_thousand_idle_connections_do_not_keep_mail_out() {
    let site = site_with(&[]);
    let held: Vec<_> = (0..1_000)
        .map(|_| SmtpClient::connect(site.smtp()).unwrap())
        .collect();
    send_one(&site);
    assert_eq!(bobs_messages(&site).len(), 1);
    drop(held);
    send_one(&site);
}

/// Every wait has its end, and a drip of octets does not put it off.
#[test]
fn waits_end_and_a_drip_does_not_lengthen_them() {
    let site = site_with(&[
        ("smtpd.idle_timeout", "2s"),
        ("smtpd.command_timeout", "1s"),
        ("smtpd.data_timeout", "1s"),
        ("smtpd.command_length_limit", "512"),
    ]);
    let mut long_line = vec![b'x'; 600];
    long_line[0] = b'N';
    let cases: [(&str, bool, Vec<u8>, bool, &str); 7] = [
        (
            "silence",
            false,
            b"".to_vec(),
            false,
            "421 4.4.2 No command",
        ),
        (
            "silence in a transaction",
            true,
            b"".to_vec(),
            false,
            "421 4.4.2 No command",
        ),
        (
            "half a command",
            false,
            b"NO".to_vec(),
            false,
            "421 4.4.2 No command",
        ),
        (
            "a command drop by drop",
            false,
            b"NOOP ".to_vec(),
            true,
            "421 4.4.2 No command",
        ),
        (
            "a long line drop by drop",
            false,
            long_line,
            true,
            "421 4.4.2 No command",
        ),
        (
            "no content",
            true,
            b"DATA\r\n".to_vec(),
            false,
            "421 4.4.2 The content",
        ),
        (
            "half a chunk",
            true,
            b"BDAT 10\r\nabc".to_vec(),
            false,
            "421 4.4.2 The content",
        ),
    ];
    std::thread::scope(|scope| {
        for (what, in_transaction, input, drips, wanted) in cases {
            let site = &site;
            scope.spawn(move || {
                let mut client = match in_transaction {
                    true => transaction(site),
                    false => site.smtp_client().unwrap(),
                };
                let began = Instant::now();
                client.send_quietly(&input).unwrap();
                if input.starts_with(b"DATA") {
                    client.expect(354).unwrap();
                }
                let reply = answer_to_a_drip(&mut client, drips);
                assert!(reply.starts_with(wanted), "{what}: {reply}");
                assert!(
                    began.elapsed() < Duration::from_secs(8),
                    "{what}: {:?}",
                    began.elapsed()
                );
            });
        }
    });
    assert!(bobs_messages(&site).is_empty());
}

/// Sends an octet now and then until a reply comes.
fn answer_to_a_drip(client: &mut SmtpClient, drips: bool) -> String {
    if !drips {
        return client.reply().unwrap().1;
    }
    let mut probe = [0; 1];
    client.stream().set_nonblocking(true).unwrap();
    let answered = eventually(Duration::from_secs(8), || {
        // Refused once the server has closed.
        let _ = client.send_quietly(b"x");
        std::thread::sleep(Duration::from_millis(300));
        let peeked = client.stream().peek(&mut probe);
        (!matches!(&peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock))
            .then_some(())
    });
    client.stream().set_nonblocking(false).unwrap();
    answered.expect("the drip is waited for");
    client.reply().unwrap().1
}

/// A client that goes away leaves nothing: no message, no spool file, no place taken.
#[test]
fn clients_that_go_away_leave_nothing_behind() {
    let site = site_with(&[]);
    let large = b"0123456789012345678901234567890123456789\r\n".repeat(5_000);
    for input in [
        b"DATA\r\n".to_vec(),
        [b"BDAT 1000000\r\n".as_slice(), &large].concat(),
        b"BDAT 10\r\nabc".to_vec(),
        b"BDAT 0\r\n".to_vec(),
        b"RCPT TO:<alice@posthouse.test>\r\n".to_vec(),
    ] {
        let mut client = transaction(&site);
        client.send_quietly(&input).unwrap();
        if input.starts_with(b"DATA") {
            client.expect(354).unwrap();
            client.send_quietly(&large).unwrap();
        }
    }
    let spool = site.dir().join("queue/spool");
    let empty = eventually(PATIENCE, || {
        (std::fs::read_dir(&spool).unwrap().count() == 0).then_some(())
    });
    assert!(empty.is_some(), "{}", site.log());
    assert!(bobs_messages(&site).is_empty());
}

/// RFC 5321 §4.1.1.10: a client that is gone before the 250 had its message accepted all the same, or not at all.
#[test]
fn a_client_that_goes_away_after_the_end_of_data_has_sent_its_message_once() {
    let site = site_with(&[]);
    for _ in 0..20 {
        let mut client = transaction(&site);
        client.command("DATA", 354).unwrap();
        client.send(b"Subject: gone\r\n\r\nbody\r\n.\r\n").unwrap();
    }
    let all = site.fetch(site.bob(), 20).unwrap();
    assert_eq!(all.len(), 20);
    let mut client = site.smtp_client().unwrap();
    envelope(&mut client);
}
