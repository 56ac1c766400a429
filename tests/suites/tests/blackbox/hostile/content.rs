//! Where a message ends, and what may be in it.

use harness::SmtpClient;

use super::{bobs_messages, by_data, envelope, is_closed, say, site_with, transaction};

/// What some server somewhere took for the end of data, between two lines.
const FALSE_ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\n\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
    b"\r\n..\r\n",
];

/// A second message that follows a false end.
const SMUGGLED: &[u8] =
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<alice@posthouse.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nboo";

fn with_false_end(end: &[u8]) -> Vec<u8> {
    [b"Subject: outer\r\n\r\nbody".as_slice(), end, SMUGGLED].concat()
}

fn is_clean(end: &[u8]) -> bool {
    let text = String::from_utf8(end.to_vec()).unwrap();
    !text.replace("\r\n", "").contains(['\r', '\n'])
}

/// One chunk, or the same octets one by one around the false end, all in one go; the last reply.
fn by_chunks(client: &mut SmtpClient, content: &[u8], cuts: usize) -> String {
    let at = content.iter().position(|&b| b == b'\r').unwrap_or(0);
    let mut input = Vec::new();
    let (head, tail) = content.split_at(at);
    let (middle, tail) = tail.split_at(cuts.min(tail.len()));
    let mut chunks = vec![head];
    chunks.extend(middle.chunks(1));
    chunks.push(tail);
    for (number, chunk) in chunks.iter().enumerate() {
        let last = if number + 1 == chunks.len() {
            " LAST"
        } else {
            ""
        };
        input.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        input.extend_from_slice(chunk);
    }
    client.send_quietly(input).unwrap();
    let mut reply = String::new();
    for _ in chunks {
        reply = client.reply().unwrap().1;
        if !reply.starts_with("250 2.0.0 ") {
            // RFC 3030 §2: the rest of the group is refused, too, as there is no transaction any more.
            break;
        }
    }
    reply
}

/// Every false end, by DATA and by BDAT, under both policies: one reply each, and one message or none.
#[test]
fn nothing_but_crlf_dot_crlf_ends_a_message() {
    for policy in ["refuse", "normalize"] {
        let site = site_with(&[
            ("smtpd.bare_newlines", policy),
            ("smtpd.error_delay", "0s"),
            ("smtpd.error_limit", "1000"),
        ]);
        let mut accepted = 0;
        for end in FALSE_ENDS {
            let content = with_false_end(end);
            let accepts = policy == "normalize" || is_clean(end);
            for way in ["DATA", "BDAT", "BDAT in pieces"] {
                let mut client = transaction(&site);
                let reply = match way {
                    "DATA" => by_data(&mut client, &content),
                    "BDAT" => say(
                        &mut client,
                        [
                            format!("BDAT {} LAST\r\n", content.len()).as_bytes(),
                            &content,
                        ]
                        .concat(),
                    ),
                    _ => by_chunks(&mut client, &content, 40),
                };
                let wanted = if accepts { "250 2.0.0 " } else { "550 5.6.11 " };
                assert!(reply.starts_with(wanted), "{policy} {way} {end:?}: {reply}");
                accepted += usize::from(accepts);
                if way != "BDAT in pieces" {
                    // One reply came for all of it: the session is at its start again.
                    client.command("NOOP", 250).unwrap();
                }
            }
        }
        let messages = bobs_messages(&site);
        assert_eq!(messages.len(), accepted, "{policy}");
        for message in messages {
            let text = String::from_utf8(message).unwrap();
            assert!(
                text.contains("Subject: outer") && text.contains("boo"),
                "{text}"
            );
            assert!(is_clean(text.as_bytes()), "{text:?}");
        }
        assert!(site.fetch(site.alice(), 0).unwrap().is_empty());
    }
}

/// RFC 2920 §3.1: the client must have the reply to DATA before it sends content, as nobody else can know whether what
/// follows is content. RFC 3030 §4.2: BDAT says it itself.
#[test]
fn content_behind_data_is_refused_and_behind_bdat_is_content() {
    let site = site_with(&[]);
    for (group, wanted) in [
        ("DATA\r\nSubject: eager\r\n\r\n.\r\n", "554 5.5.0 "),
        ("DATA\r\nMAIL FROM:<>\r\n.\r\n", "554 5.5.0 "),
        (
            "BDAT 16 LAST\r\nSubject: good\r\n\r\nNOOP\r\n",
            "503 5.5.1 ",
        ),
    ] {
        let mut client = transaction(&site);
        if wanted.starts_with("503") {
            client.command("RSET", 250).unwrap();
        }
        let reply = say(&mut client, group);
        assert!(reply.starts_with(wanted), "{group}: {reply}");
        if wanted.starts_with("554") {
            assert!(is_closed(&mut client));
        }
    }
    let mut client = transaction(&site);
    let group = "BDAT 17 LAST\r\nSubject: good\r\n\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<bob@posthouse.test>\r\nQUIT\r\n";
    client.send(group).unwrap();
    for code in [250, 250, 250, 250, 221] {
        client.expect(code).unwrap();
    }
    assert_eq!(bobs_messages(&site).len(), 1);
}

/// NUL, long lines, size: each its own reply, at the end of the data and only there.
#[test]
fn content_that_is_no_text_is_refused_at_its_end() {
    let site = site_with(&[
        ("smtpd.line_length_limit", "998"),
        ("smtpd.message_size_limit", "64KiB"),
        ("smtpd.error_delay", "0s"),
    ]);
    let lines = b"0123456789012345678901234567890123456789\r\n".repeat(2_000);
    for (content, wanted) in [
        (b"Subject: nul\r\n\r\na\0b".to_vec(), "550 5.6.0 "),
        (b"Sub\0ject: nul\r\n\r\n".to_vec(), "550 5.6.0 "),
        (vec![b'x'; 998], "250 2.0.0 "),
        (vec![b'x'; 999], "554 5.6.0 "),
        (lines, "552 5.3.4 "),
        (b"Subject: 8-bit\r\n\r\n\xff\xfe\x80".to_vec(), "250 2.0.0 "),
        (b"".to_vec(), "250 2.0.0 "),
    ] {
        let mut client = transaction(&site);
        let reply = by_data(&mut client, &content);
        let shown = String::from_utf8_lossy(&content[..content.len().min(30)]);
        assert!(reply.starts_with(wanted), "DATA {shown}: {reply}");
        envelope(&mut client);
        let command = format!("BDAT {} LAST\r\n", content.len());
        let reply = say(&mut client, [command.as_bytes(), &content].concat());
        assert!(reply.starts_with(wanted), "BDAT {shown}: {reply}");
    }
    assert_eq!(bobs_messages(&site).len(), 6);
}

/// RFC 1870 §6.1, RFC 3030 §2: a size that is known to be too large is refused when it is told.
#[test]
fn declared_sizes_are_checked_and_the_octets_of_refused_chunks_are_no_commands() {
    let site = site_with(&[
        ("smtpd.message_size_limit", "64KiB"),
        ("smtpd.error_delay", "0s"),
    ]);
    let mut client = site.smtp_client().unwrap();
    for (command, wanted) in [
        ("MAIL FROM:<> SIZE=65536\r\n", "250 "),
        ("RSET\r\n", "250 "),
        ("MAIL FROM:<> SIZE=65537\r\n", "552 5.3.4 "),
        ("MAIL FROM:<> SIZE=99999999999999999999\r\n", "552 5.3.4 "),
        ("MAIL FROM:<> SIZE=999999999999999999999\r\n", "501 5.5.4 "),
        ("MAIL FROM:<> SIZE=-1\r\n", "501 5.5.4 "),
        ("MAIL FROM:<> SIZE=\r\n", "501 5.5.4 "),
        // No transaction: the octets are skipped.
        ("BDAT 6 LAST\r\nQUIT\r\n", "503 5.5.1 "),
        ("BDAT 5\r\nQUIT\r", "503 5.5.1 "),
    ] {
        let reply = say(&mut client, command);
        assert!(reply.starts_with(wanted), "{command}: {reply}");
    }
    client.command("NOOP", 250).unwrap();
    // Over the limit in a transaction: read to its end, then refused; no octet of it is a command.
    envelope(&mut client);
    client.send("BDAT 65537 LAST\r\n").unwrap();
    client.send_quietly(b"QUIT\r\n".repeat(10_922)).unwrap();
    let reply = say(&mut client, "QUIT\r");
    assert!(reply.starts_with("552 5.3.4 "), "{reply}");
    client.command("NOOP", 250).unwrap();
    assert!(bobs_messages(&site).is_empty());
}

/// Without a size nobody knows where the next command begins.
#[test]
fn chunks_of_no_size_end_the_session() {
    let site = site_with(&[]);
    for size in [
        "",
        "-1",
        "x",
        "+5",
        "5 FIRST",
        "5 LAST LAST",
        "99999999999999999999999",
    ] {
        let mut client = transaction(&site);
        let reply = say(&mut client, format!("BDAT {size}\r\n"));
        assert!(reply.starts_with("521 5.5.4 "), "{size}: {reply}");
        assert!(is_closed(&mut client), "{size}");
    }
}

/// 20 MB in chunks of odd lengths, through the spool and back, octet for octet.
#[test]
fn a_large_message_comes_whole_by_chunks() {
    let site = site_with(&[]);
    let mut letter = b"Subject: large\r\n\r\n".to_vec();
    let mut number = 0_u32;
    while letter.len() < 20_000_000 {
        letter.extend_from_slice(format!(".{number} the mail coach\r\n").as_bytes());
        number += 1;
    }
    let mut client = transaction(&site);
    let chunks: Vec<_> = letter.chunks(999_983).collect();
    for (number, chunk) in chunks.iter().enumerate() {
        let last = if number + 1 == chunks.len() {
            " LAST"
        } else {
            ""
        };
        client
            .send_quietly(format!("BDAT {}{last}\r\n", chunk.len()))
            .unwrap();
        client.send_quietly(chunk).unwrap();
        client.expect(250).unwrap();
    }
    let messages = site.fetch(site.bob(), 1).unwrap();
    assert!(
        messages[0].ends_with(&letter),
        "{} octets came",
        messages[0].len()
    );
}

/// RFC 3030 §2: no BDAT behind LAST, no DATA or RCPT among chunks, RSET drops them.
#[test]
fn chunks_out_of_order_are_refused() {
    let site = site_with(&[]);
    let mut client = transaction(&site);
    for (input, wanted) in [
        ("BDAT 6\r\nA: b\r\n", "250 "),
        ("DATA\r\n", "503 5.5.1 "),
        ("RCPT TO:<alice@posthouse.test>\r\n", "503 5.5.1 "),
        ("MAIL FROM:<>\r\n", "503 5.5.1 "),
        ("RSET\r\n", "250 "),
        ("BDAT 0 LAST\r\n", "503 5.5.1 "),
        ("MAIL FROM:<> BODY=BINARYMIME\r\n", "501 5.5.4 "),
        ("MAIL FROM:<>\r\n", "250 "),
        ("BDAT 2 LAST\r\n\r\n", "503 5.5.1 "),
        ("RCPT TO:<nobody@posthouse.test>\r\n", "550 5.1.1 "),
        ("BDAT 2 LAST\r\n\r\n", "554 5.5.1 "),
        ("DATA\r\n", "554 5.5.1 "),
        ("RCPT TO:<bob@posthouse.test>\r\n", "250 "),
        ("BDAT 0\r\n", "250 "),
        ("BDAT 6\r\nC: d\r\n", "250 "),
        ("BDAT 0 LAST\r\n", "250 "),
        ("BDAT 0 LAST\r\n", "503 5.5.1 "),
    ] {
        let reply = say(&mut client, input);
        assert!(reply.starts_with(wanted), "{input}: {reply}");
    }
    let messages = bobs_messages(&site);
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].ends_with(b"\r\nC: d\r\n") && !messages[0].windows(6).any(|w| w == b"A: b\r\n")
    );
}
