use super::*;
use proptest::prelude::*;

const RULES: ContentRules = ContentRules {
    newlines: NewlinePolicy::Refuse,
    nul: NulPolicy::Refuse,
    size_limit: 1000,
    line_limit: 100,
    hop_limit: 2,
};

const NORMALIZE: ContentRules = ContentRules {
    newlines: NewlinePolicy::Normalize,
    nul: NulPolicy::Keep,
    ..RULES
};

/// What became of an input: consumed octets, whether it ended, content, fault.
type Outcome = (usize, bool, Vec<u8>, Option<Fault>);

fn decode(mut decoder: ContentDecoder, input: &[u8], pieces: &[usize]) -> Outcome {
    let (mut out, mut at, mut turn) = (Vec::new(), 0, 0);
    let mut ended = false;
    while at < input.len() && !ended {
        let piece = pieces[turn % pieces.len()].clamp(1, input.len() - at);
        turn += 1;
        let decoded = decoder.decode(&input[at..at + piece], &mut out);
        at += decoded.used;
        ended = decoded.ended;
    }
    if !decoder.dots {
        decoder.finish(&mut out);
    }
    if decoder.fault().is_some() {
        out.clear();
    }
    (at, ended, out, decoder.fault())
}

#[test]
fn the_end_of_data_is_crlf_dot_crlf() {
    // Input, what it is taken to mean, and whether anything is left unread behind the end.
    for (input, content, rest) in [
        (".\r\n", "", ""),
        ("a\r\n.\r\n", "a\r\n", ""),
        ("a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"),
        ("..\r\n...\r\n.a\r\n.\r\n", ".\r\n..\r\na\r\n", ""),
        ("\r\n\r\n.\r\n", "\r\n\r\n", ""),
        ("a.\r\n.\r\n", "a.\r\n", ""),
        ("é\r\n.\r\n", "é\r\n", ""),
    ] {
        for cut in 1..=input.len() {
            let (used, ended, out, fault) =
                decode(ContentDecoder::with_dots(RULES), input.as_bytes(), &[cut]);
            assert!(ended, "{input:?}");
            assert_eq!(&input[used..], rest, "{input:?}");
            assert_eq!(String::from_utf8(out).unwrap(), content, "{input:?}");
            assert_eq!(fault, None, "{input:?}");
        }
    }
}

/// Every way of writing an end of data that some server somewhere takes for one. None ends it here,
/// under either policy; refused under one, made into lines under the other.
#[test]
fn nothing_else_ends_data() {
    for (sequence, fault, normalized) in [
        ("\n.\n", Fault::BareLf, "a\r\n\r\nb\r\n"),
        ("\n.\r\n", Fault::BareLf, "a\r\n\r\nb\r\n"),
        ("\r\n.\n", Fault::BareLf, "a\r\n\r\nb\r\n"),
        ("\r.\r", Fault::BareCr, "a . b\r\n"),
        ("\r\n.\r", Fault::BareCr, "a\r\n b\r\n"),
        ("\r.\r\n", Fault::BareCr, "a .\r\nb\r\n"),
        ("\r\r\n.\r\r\n", Fault::BareCr, "a \r\n \r\nb\r\n"),
        ("\n\r.\n\r", Fault::BareLf, "a\r\n .\r\n b\r\n"),
        ("\r\n\n.\r\n", Fault::BareLf, "a\r\n\r\n\r\nb\r\n"),
        ("\r\n.\r\r\n", Fault::BareCr, "a\r\n \r\nb\r\n"),
        ("\r\n\0.\r\n", Fault::Nul, "a\r\n\0.\r\nb\r\n"),
        ("\r\n.\0\r\n", Fault::Nul, "a\r\n\0\r\nb\r\n"),
        ("\r\0\n.\r\n", Fault::BareCr, "a \0\r\n\r\nb\r\n"),
    ] {
        let input = format!("a{sequence}b\r\n.\r\n");
        for cut in 1..=input.len() {
            let refused = decode(ContentDecoder::with_dots(RULES), input.as_bytes(), &[cut]);
            assert_eq!(
                refused,
                (input.len(), true, Vec::new(), Some(fault)),
                "{input:?} cut {cut}"
            );
            let (used, ended, out, none) = decode(
                ContentDecoder::with_dots(NORMALIZE),
                input.as_bytes(),
                &[cut],
            );
            assert_eq!((used, ended, none), (input.len(), true, None), "{input:?}");
            assert_eq!(
                String::from_utf8(out).unwrap(),
                normalized,
                "{input:?} cut {cut}"
            );
        }
    }
}

#[test]
fn limits_are_exact() {
    let line = |n: usize| format!("{}\r\n.\r\n", "x".repeat(n));
    let lines = |n: usize| format!("{}.\r\n", format!("{}\r\n", "y".repeat(98)).repeat(n));
    let hops = |n: usize| format!("{}\r\nReceived: body\r\n.\r\n", "Received: x\r\n".repeat(n));
    for (input, fault) in [
        (line(100), None),
        (line(101), Some(Fault::LineTooLong)),
        (lines(10), None),
        (format!("a{}", lines(10)), Some(Fault::TooLarge)),
        (hops(2), None),
        (hops(3), Some(Fault::TooManyHops)),
    ] {
        for cut in [1, 7, 64, 5000] {
            let outcome = decode(ContentDecoder::with_dots(RULES), input.as_bytes(), &[cut]);
            assert_eq!(
                (outcome.0, outcome.1, outcome.3),
                (input.len(), true, fault)
            );
        }
    }
}

#[test]
fn chunks_know_no_dots_and_end_where_told() {
    for (input, content, fault) in [
        ("", "", None),
        (".\r\n.\r\n", ".\r\n.\r\n", None),
        ("a\r\nb", "a\r\nb\r\n", None),
        ("a\r", "", Some(Fault::BareCr)),
        ("a\nb", "", Some(Fault::BareLf)),
    ] {
        for cut in 1..=input.len().max(1) {
            let outcome = decode(
                ContentDecoder::without_dots(RULES),
                input.as_bytes(),
                &[cut],
            );
            assert_eq!(
                outcome,
                (input.len(), false, content.into(), fault),
                "{input:?}"
            );
        }
    }
    let mut decoder = ContentDecoder::without_dots(RULES);
    decoder.expect(1000);
    assert_eq!(decoder.fault(), None);
    decoder.expect(1001);
    assert_eq!(decoder.fault(), Some(Fault::TooLarge));
}

/// Octets that matter, often.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        5 => Just(b'\r'), 5 => Just(b'\n'), 4 => Just(b'.'), 1 => Just(0u8), 3 => any::<u8>()
    ];
    prop::collection::vec(octet, 0..80)
}

/// The end of data by the plainest reading of RFC 5321 §4.1.1.4.
fn end_of_data(input: &[u8]) -> Option<usize> {
    if input.starts_with(b".\r\n") {
        return Some(3);
    }
    let found = input.windows(5).position(|window| window == b"\r\n.\r\n")?;
    Some(found + 5)
}

proptest! {
    #[test]
    fn cutting_the_input_changes_nothing(
        input in octets(), pieces in prop::collection::vec(1usize..9, 1..6), dots: bool, normalize: bool,
    ) {
        let rules = if normalize { NORMALIZE } else { RULES };
        let decoder = ContentDecoder::new(rules, dots);
        let whole = decode(decoder.clone(), &input, &[usize::MAX]);
        prop_assert_eq!(decode(decoder, &input, &pieces), whole);
    }

    #[test]
    fn data_ends_where_the_standard_says(input in octets(), normalize: bool) {
        let rules = if normalize { NORMALIZE } else { RULES };
        let (used, ended, out, fault) = decode(ContentDecoder::with_dots(rules), &input, &[usize::MAX]);
        prop_assert_eq!(ended.then_some(used), end_of_data(&input));
        if ended && fault.is_none() {
            // Only CRLF line ends come out, and the last line has one.
            let text: Vec<u8> = out.iter().copied().filter(|&b| b != b'\r').collect();
            let crlf = out.windows(2).filter(|pair| pair == b"\r\n").count();
            prop_assert_eq!(crlf, out.len() - text.len());
            prop_assert_eq!(crlf, out.iter().filter(|&&b| b == b'\n').count());
            prop_assert!(out.is_empty() || out.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn stuffed_lines_come_out_as_they_went_in(lines in prop::collection::vec("[ -~]{0,20}|\\.{1,3}", 0..10)) {
        let (mut plain, mut stuffed) = (String::new(), String::new());
        for line in &lines {
            plain += &format!("{line}\r\n");
            let dot = if line.starts_with('.') { "." } else { "" };
            stuffed += &format!("{dot}{line}\r\n");
        }
        stuffed += ".\r\n";
        let (_, ended, out, fault) = decode(ContentDecoder::with_dots(RULES), stuffed.as_bytes(), &[3, 5, 1]);
        prop_assert!(ended && fault.is_none());
        prop_assert_eq!(String::from_utf8(out).unwrap(), plain);
    }
}
