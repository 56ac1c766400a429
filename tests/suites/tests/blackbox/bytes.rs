//! A thousand messages of every shape go in, and come out byte for byte.

use harness::{Site, SmtpClient};

/// A small generator of numbers that look random and are the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn length(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

/// Octets that may stand in a line: anything but NUL, CR and LF.
fn octets(numbers: &mut Numbers, length: usize) -> Vec<u8> {
    let octet = |numbers: &mut Numbers| loop {
        let octet = u8::try_from(numbers.below(256)).unwrap();
        if ![0, b'\r', b'\n'].contains(&octet) {
            return octet;
        }
    };
    (0..length).map(|_| octet(numbers)).collect()
}

fn line(numbers: &mut Numbers) -> Vec<u8> {
    match numbers.below(12) {
        0 => Vec::new(),
        1 => b".".to_vec(),
        2 => b"..".to_vec(),
        3 => b".leading dot".to_vec(),
        4 => b"From the beginning".to_vec(),
        5 => b">From quoted".to_vec(),
        6 => b"trailing space   ".to_vec(),
        7 => b"\ttabs\t".to_vec(),
        8 => vec![b'x'; 998],
        9 => vec![b'.'; 997],
        10 => "größer als 7 bit \u{1F4EE}".as_bytes().to_vec(),
        _ => {
            let length = numbers.length(200);
            octets(numbers, length)
        }
    }
}

fn letter(number: usize) -> Vec<u8> {
    let mut numbers = Numbers(number as u64);
    let mut content = format!("Subject: number {number}\r\nX-Fold: a\r\n\tb\r\n").into_bytes();
    if number.is_multiple_of(17) {
        // No body, not even the empty line.
        return content;
    }
    content.extend_from_slice(b"\r\n");
    let lines = if number % 100 == 99 {
        6_000
    } else {
        numbers.length(40)
    };
    for _ in 0..lines {
        content.extend(line(&mut numbers));
        content.extend_from_slice(b"\r\n");
    }
    content
}

fn number_of(message: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(message);
    text.lines()
        .find_map(|line| line.strip_prefix("Subject: number "))
        .and_then(|number| number.parse().ok())
}

fn send_all(site: &Site, letters: &[Vec<u8>]) {
    let mut client = SmtpClient::greeted(site.smtp()).unwrap();
    for letter in letters {
        client
            .deliver("alice@posthouse.test", &["bob@posthouse.test"], letter)
            .unwrap();
    }
}

fn compare(site: &Site, letters: &[Vec<u8>]) {
    let messages = site.fetch(site.bob(), letters.len()).unwrap();
    assert_eq!(messages.len(), letters.len());
    let mut seen = vec![false; letters.len()];
    for message in &messages {
        let number = number_of(message).expect("a number");
        assert!(
            !std::mem::replace(&mut seen[number], true),
            "{number} came twice"
        );
        let sent = &letters[number];
        assert!(
            message.ends_with(sent),
            "message {number} changed: {:?} came",
            String::from_utf8_lossy(&message[..message.len().min(2000)])
        );
        // What stands before it is ours: trace fields only.
        let ours = String::from_utf8(message[..message.len() - sent.len()].to_vec()).unwrap();
        let strange = ours.split("\r\n").find(|line| {
            !line.is_empty()
                && !line.starts_with(['\t', ' '])
                && !["Return-Path: ", "Delivered-To: ", "Received: "]
                    .iter()
                    .any(|name| line.starts_with(name))
        });
        assert_eq!(strange, None, "message {number}");
    }
}

#[test]
fn a_thousand_varied_messages_pass_unchanged() {
    let site = Site::running().unwrap();
    let letters: Vec<_> = (0..1000).map(letter).collect();
    send_all(&site, &letters);
    compare(&site, &letters);
}

#[test]
fn twenty_megabytes_pass_unchanged() {
    let site = Site::running().unwrap();
    let mut content = b"Subject: number 0\r\n\r\n".to_vec();
    let mut numbers = Numbers(20);
    while content.len() < 20_000_000 {
        content.extend(line(&mut numbers));
        content.extend_from_slice(b"\r\n");
    }
    let letters = [content];
    send_all(&site, &letters);
    compare(&site, &letters);
}

#[test]
fn an_mbox_gives_back_what_it_was_given() {
    let site = Site::builder()
        .user("mona", "mona-secret", &["--format", "mbox"])
        .start()
        .unwrap();
    let letters: Vec<_> = (0..50).map(letter).collect();
    let mut client = SmtpClient::greeted(site.smtp()).unwrap();
    for letter in &letters {
        client
            .deliver("alice@posthouse.test", &["mona@posthouse.test"], letter)
            .unwrap();
    }
    let messages = site.fetch(&site.accounts()[2], letters.len()).unwrap();
    for message in &messages {
        let number = number_of(message).expect("a number");
        assert!(
            message.ends_with(&letters[number]),
            "message {number} changed"
        );
    }
}
