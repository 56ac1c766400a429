use super::*;
use mail_types::{BodyKind, Domain, Notify, OriginalRecipient, ReturnContent};
use proptest::prelude::*;

fn mail_of(line: &str) -> Result<MailCommand, CommandError> {
    match parse_command(line.as_bytes())? {
        Command::Mail(mail) => Ok(*mail),
        other => panic!("{line}: {other:?}"),
    }
}

fn rcpt_of(line: &str) -> Result<RcptCommand, CommandError> {
    match parse_command(line.as_bytes())? {
        Command::Rcpt(rcpt) => Ok(*rcpt),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn commands_are_known_in_any_case() {
    let query = |text, smtputf8| Query { text, smtputf8 };
    let chunk = |size, last| Command::Bdat(ChunkHeader { size, last });
    for (line, command) in [
        ("helo client.example", Command::Helo("client.example")),
        ("EHLO [192.0.2.1]", Command::Ehlo("[192.0.2.1]")),
        ("Data  ", Command::Data),
        ("rset", Command::Rset),
        ("NOOP anything", Command::Noop),
        ("QUIT", Command::Quit),
        ("BDAT 0 LAST", chunk(0, true)),
        ("bdat 12", chunk(12, false)),
        (
            "VRFY <alice@example.org>",
            Command::Vrfy(query("alice@example.org", false)),
        ),
        ("VRFY jürgen SMTPUTF8", Command::Vrfy(query("jürgen", true))),
        ("EXPN list", Command::Expn(query("list", false))),
        ("HELP", Command::Help(None)),
        ("HELP mail", Command::Help(Some(Verb::Mail))),
        ("TURN", Command::NotOffered(Verb::Turn)),
        ("STARTTLS", Command::NotOffered(Verb::StartTls)),
        ("AUTH PLAIN xyz", Command::NotOffered(Verb::Auth)),
    ] {
        assert_eq!(parse_command(line.as_bytes()), Ok(command), "{line}");
    }
}

#[test]
fn bad_lines_say_why() {
    use CommandError as E;
    let cases: [(&[u8], E); 28] = [
        (b"", E::Unknown),
        (b" NOOP", E::Unknown),
        (b"FOO bar", E::Unknown),
        (b"NO\0OP", E::Nul),
        (b"NOOP \ra", E::Control),
        (b"MAIL\tFROM:<>", E::Control),
        (b"NOOP \xff", E::NotUtf8),
        ("NOOP ä".as_bytes(), E::NonAsciiCommand),
        ("EHLO münchen.example".as_bytes(), E::NonAsciiCommand),
        ("VRFY jürgen".as_bytes(), E::NonAscii),
        ("MAIL FROM:<jürgen@example.org>".as_bytes(), E::NonAscii),
        (b"GET / HTTP/1.1", E::Http),
        (b"DATA now", E::UnexpectedArgument(Verb::Data)),
        (b"QUIT now", E::UnexpectedArgument(Verb::Quit)),
        (b"HELO", E::Syntax(Verb::Helo)),
        (b"EHLO a b", E::Syntax(Verb::Ehlo)),
        (b"MAIL", E::Syntax(Verb::Mail)),
        (b"MAIL FROM a@b", E::Syntax(Verb::Mail)),
        (b"RCPT FROM:<a@b>", E::Syntax(Verb::Rcpt)),
        (b"VRFY", E::Syntax(Verb::Vrfy)),
        (b"MAIL FROM:a@b", E::ReversePath),
        (b"RCPT TO:<>", E::ForwardPath),
        (b"BDAT", E::ChunkSize),
        (b"BDAT x", E::ChunkSize),
        (b"BDAT -1", E::ChunkSize),
        (b"BDAT +1", E::ChunkSize),
        (b"BDAT 1 LAST x", E::ChunkSize),
        (b"BDAT 99999999999999999999", E::ChunkSize),
    ];
    for (line, error) in cases {
        assert_eq!(parse_command(line), Err(error), "{}", line.escape_ascii());
    }
}

#[test]
fn paths_are_exact() {
    for (path, meant) in [
        ("<alice@example.org>", Some("alice@example.org")),
        ("<\"a>b\"@example.org>", Some("\"a>b\"@example.org")),
        ("<\"a\\\">b\"@example.org>", Some("\"a\\\">b\"@example.org")),
        (
            "<@a.example,@b.example:alice@example.org>",
            Some("alice@example.org"),
        ),
        (
            "<@[IPv6:2001:db8::1]:alice@example.org>",
            Some("alice@example.org"),
        ),
        ("<alice@[192.0.2.1]>", Some("alice@[192.0.2.1]")),
        ("<alice@[IPv6:::1]>", Some("alice@[IPv6:::1]")),
        (" <alice@example.org>", Some("alice@example.org")),
        ("<alice>", None),
        ("<alice@example.org", None),
        ("<alice@example.org>x", None),
        ("<alice@example.org>>", None),
        ("<alice@example..org>", None),
        ("<@a.example>", None),
        ("<@:alice@example.org>", None),
        ("<@a.example,b.example:alice@example.org>", None),
        ("< alice@example.org>", None),
        ("alice@example.org", None),
    ] {
        let shown = match mail_of(&format!("MAIL FROM:{path}")) {
            Ok(mail) => mail.reverse_path.address().map(ToString::to_string),
            Err(error) => {
                assert_eq!(error, CommandError::ReversePath, "{path}");
                None
            }
        };
        assert_eq!(shown.as_deref(), meant, "{path}");
    }
    assert_eq!(
        mail_of("MAIL FROM:<>").unwrap().reverse_path,
        ReversePath::Null
    );
    for line in ["RCPT TO:<Postmaster>", "rcpt to:<POSTMASTER> NOTIFY=NEVER"] {
        assert_eq!(rcpt_of(line).unwrap().forward_path, ForwardPath::Postmaster);
    }
}

#[test]
fn mail_parameters_are_read() {
    let mail = mail_of(
        "MAIL FROM:<jürgen@example.org>  size=1000 BODY=8BITMIME SMTPUTF8 RET=hdrs ENVID=QQ+2B314",
    );
    assert_eq!(
        mail.unwrap().parameters,
        MailParameters {
            size: Some(1000),
            body: Some(BodyKind::EightBitMime),
            smtputf8: true,
            return_content: Some(ReturnContent::Headers),
            envelope_id: Some("QQ+314".to_owned()),
        }
    );
    use CommandError as E;
    for (parameters, error) in [
        ("FOO=1", E::UnknownParameter),
        ("AUTH=<>", E::UnknownParameter),
        ("NOTIFY=NEVER", E::UnknownParameter),
        ("=1", E::UnknownParameter),
        ("SIZE", E::ParameterValue("SIZE")),
        ("SIZE=", E::ParameterValue("SIZE")),
        ("SIZE=-1", E::ParameterValue("SIZE")),
        ("SIZE=1 SIZE=1", E::RepeatedParameter),
        ("SMTPUTF8 smtputf8", E::RepeatedParameter),
        ("SMTPUTF8=1", E::ParameterValue("SMTPUTF8")),
        ("BODY=BINARYMIME", E::ParameterValue("BODY")),
        ("RET=NONE", E::ParameterValue("RET")),
        ("ENVID=a=b", E::ParameterValue("ENVID")),
        ("ENVID=", E::ParameterValue("ENVID")),
    ] {
        let line = format!("MAIL FROM:<a@example.org> {parameters}");
        assert_eq!(mail_of(&line), Err(error), "{line}");
    }
    let huge = mail_of("MAIL FROM:<> SIZE=99999999999999999999").unwrap();
    assert_eq!(huge.parameters.size, Some(u64::MAX));
}

#[test]
fn rcpt_parameters_are_read() {
    let rcpt = rcpt_of("RCPT TO:<bob@example.org> NOTIFY=success,DELAY ORCPT=RFC822;b+2Bob@x");
    assert_eq!(
        rcpt.unwrap().parameters,
        RcptParameters {
            notify: Some(Notify {
                success: true,
                failure: false,
                delay: true
            }),
            original: Some(OriginalRecipient {
                address_type: "rfc822".to_owned(),
                address: "b+ob@x".to_owned()
            }),
        }
    );
    use CommandError as E;
    for (parameters, error) in [
        ("SIZE=1", E::UnknownParameter),
        ("NOTIFY=NEVER,DELAY", E::ParameterValue("NOTIFY")),
        ("NOTIFY=", E::ParameterValue("NOTIFY")),
        ("NOTIFY=NEVER NOTIFY=NEVER", E::RepeatedParameter),
        ("ORCPT=bob@x", E::ParameterValue("ORCPT")),
        ("ORCPT=rfc822;", E::ParameterValue("ORCPT")),
        ("ORCPT=;x", E::ParameterValue("ORCPT")),
        ("ORCPT=rfc822;a+0Ab", E::ParameterValue("ORCPT")),
    ] {
        let line = format!("RCPT TO:<a@example.org> {parameters}");
        assert_eq!(rcpt_of(&line), Err(error), "{line}");
    }
    let utf8 = rcpt_of("RCPT TO:<b@example.org> ORCPT=utf-8;j\\x{FC}rgen@x").unwrap();
    assert_eq!(utf8.parameters.original.unwrap().address, "jürgen@x");
}

proptest! {
    #[test]
    fn any_line_parses_or_not_without_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_command(&line);
    }

    #[test]
    fn any_argument_parses_or_not_without_panic(
        verb in prop::sample::select(Verb::ALL.to_vec()), rest in "[ -~äß€]{0,80}",
    ) {
        let _ = parse_command(format!("{verb} {rest}").as_bytes());
        let _ = parse_command(format!("{verb} FROM:<{rest}>").as_bytes());
        let _ = parse_command(format!("{verb} TO:<a@b> {rest}").as_bytes());
    }

    #[test]
    fn every_address_can_be_said(local in "[ -~äß€]{1,20}", domain in "[a-z]{1,9}\\.[a-zé]{2,5}") {
        let address = Address::at(&local, &Domain::parse(&domain).unwrap()).unwrap();
        let mail = mail_of(&format!("MAIL FROM:<@relay.example:{address}> SMTPUTF8")).unwrap();
        prop_assert_eq!(mail.reverse_path, ReversePath::Address(address));
    }
}
