use std::time::Duration;

use super::*;

/// What a literal becomes when it is read and written again.
fn round<T: Value>(literal: &str) -> Result<String, String> {
    let value = DeValue::parse(literal).expect("TOML");
    T::parse(value.get_ref()).map(|value| value.render())
}

/// Checks literals against what they are rendered as, or a word of the fault.
fn check<T: Value>(cases: &[(&str, Result<&str, &str>)]) {
    for (literal, expected) in cases {
        match (round::<T>(literal), expected) {
            (Ok(text), Ok(expected)) => {
                assert_eq!(&text, expected, "{literal}");
                assert_eq!(
                    round::<T>(&text).as_deref(),
                    Ok(*expected),
                    "{literal} again"
                );
            }
            (Err(message), Err(word)) => assert!(message.contains(word), "{literal}: {message}"),
            (got, _) => panic!("{literal}: {got:?}"),
        }
    }
}

#[test]
fn sizes() {
    check::<Size>(&[
        (r#""50MiB""#, Ok(r#""50MiB""#)),
        (r#""1024 KiB""#, Ok(r#""1MiB""#)),
        ("1000", Ok(r#""1000B""#)),
        ("0", Ok(r#""0B""#)),
        (r#""1500B""#, Ok(r#""1500B""#)),
        (r#""50MB""#, Err("64KiB")),
        (r#""50""#, Err("64KiB")),
        (r#""99999999999TiB""#, Err("64KiB")),
        (r#""-1KiB""#, Err("64KiB")),
        ("-1", Err("found the number -1")),
        ("true", Err("found true")),
    ]);
}

#[test]
fn durations() {
    check::<Duration>(&[
        (r#""5min""#, Ok(r#""5min""#)),
        (r#""5 min""#, Ok(r#""5min""#)),
        (r#""1h 30min""#, Ok(r#""90min""#)),
        (r#""1h30min""#, Ok(r#""90min""#)),
        (r#""120s""#, Ok(r#""2min""#)),
        (r#""250ms""#, Ok(r#""250ms""#)),
        (r#""0s""#, Ok(r#""0s""#)),
        (r#""5d""#, Ok(r#""5d""#)),
        (r#""30min 1h""#, Err("30s")),
        (r#""1h 1h""#, Err("30s")),
        (r#""5m""#, Err("30s")),
        (r#""""#, Err("30s")),
        (r#""99999999999999999999d""#, Err("30s")),
        ("300", Err("found the number 300")),
    ]);
}

#[test]
fn networks() {
    check::<Network>(&[
        (r#""192.0.2.0/24""#, Ok(r#""192.0.2.0/24""#)),
        (r#""192.0.2.1""#, Ok(r#""192.0.2.1/32""#)),
        (r#""0.0.0.0/0""#, Ok(r#""0.0.0.0/0""#)),
        (r#""2001:DB8::/32""#, Ok(r#""2001:db8::/32""#)),
        (r#""::/0""#, Ok(r#""::/0""#)),
        (r#""192.0.2.1/24""#, Err("did you mean \"192.0.2.0/24\"?")),
        (r#""192.0.2.0/33""#, Err("0 to 32")),
        (r#""192.0.2.0/""#, Err("0 to 32")),
        (r#""2001:db8::/129""#, Err("0 to 128")),
        (r#""example.org""#, Err("address")),
    ]);
}

#[test]
fn networks_contain() {
    let cases = [
        ("127.0.0.0/8", "127.1.2.3", true),
        ("127.0.0.0/8", "128.0.0.1", false),
        ("127.0.0.0/8", "::ffff:127.0.0.1", true),
        ("127.0.0.0/8", "::1", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("::/0", "2001:db8::1", true),
        ("::/0", "192.0.2.1", false),
        ("2001:db8::/33", "2001:db8:8000::1", false),
        ("2001:db8::/33", "2001:db8:7fff::1", true),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
    ];
    for (network, address, inside) in cases {
        let network: Network = network.parse().expect("network");
        let address = address.parse().expect("address");
        assert_eq!(network.contains(address), inside, "{network} {address}");
    }
}

#[test]
fn accounts_paths_and_text() {
    check::<Account>(&[
        (r#""posthouse-net""#, Ok(r#""posthouse-net""#)),
        (r#""1000""#, Ok("1000")),
        ("1000", Ok("1000")),
        ("4294967295", Err("name or number")),
        (r#""4294967295""#, Err("too large")),
        (r#""""#, Err("letters")),
        (r#""a:b""#, Err("letters")),
    ]);
    check::<PathBuf>(&[
        (r#""/var/lib""#, Ok(r#""/var/lib""#)),
        (r#""var/lib""#, Err("does not start with /")),
        (r#""/a\nb""#, Err("control")),
    ]);
    check::<String>(&[
        (r#""a \"b\"""#, Ok(r#"'a "b"'"#)),
        (r#""a\u0007""#, Err("control")),
    ]);
    check::<Option<Domain>>(&[
        (r#""""#, Ok(r#""""#)),
        (r#""Mail.Example""#, Ok(r#""mail.example""#)),
        (r#""-bad-""#, Err("domain name")),
    ]);
    check::<Vec<SocketAddr>>(&[
        (
            r#"["0.0.0.0:25", "[::]:25"]"#,
            Ok(r#"["0.0.0.0:25", "[::]:25"]"#),
        ),
        ("[]", Ok("[]")),
        (r#""0.0.0.0:25""#, Err("a list")),
        (r#"["25"]"#, Err("address and port")),
    ]);
    check::<u32>(&[
        ("0x10", Ok("16")),
        ("-1", Err("whole")),
        ("1.5", Err("whole")),
    ]);
}
