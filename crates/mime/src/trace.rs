//! Trace fields (RFC 5321 §4.4, RFC 9228).

use std::fmt::Write as _;
use std::net::IpAddr;

use mail_types::{Address, AddressHost, ReversePath};

use crate::write_field;

/// What `Received` says about one hop (RFC 5321 §4.4).
///
/// The texts are one word each; a character that does not belong there is written as `?`.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// What the client called itself.
    pub helo: &'a str,
    /// The client's name by DNS; `None` when it is not known.
    pub client_name: Option<&'a str>,
    /// The client's address.
    pub client: IpAddr,
    /// Our name.
    pub by: &'a str,
    /// `SMTP`, `ESMTP`, … (RFC 3848, RFC 6531 §4.3).
    pub protocol: &'a str,
    /// Our name for the transaction, to be found in the log.
    pub id: &'a str,
    /// For whom; only to be told when there is one recipient.
    pub recipient: Option<&'a Address>,
    /// When, as [`crate::rfc5322_date`] writes it.
    pub date: &'a str,
}

/// `Received`, put before the content by each server that takes it (RFC 5321 §4.4).
#[must_use]
pub fn received(hop: &Hop<'_>) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("Received: from ");
    push_word(&mut out, hop.helo);
    out.push_str(" (");
    push_word(&mut out, hop.client_name.unwrap_or("unknown"));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        " {})\r\n\tby ",
        AddressHost::Literal(hop.client.to_canonical())
    );
    push_word(&mut out, hop.by);
    out.push_str(" (Posthouse) with ");
    push_word(&mut out, hop.protocol);
    out.push_str(" id ");
    push_word(&mut out, hop.id);
    if let Some(recipient) = hop.recipient {
        let _ = write!(out, "\r\n\tfor <{recipient}>");
    }
    let _ = write!(out, "; {}\r\n", hop.date);
    out
}

/// What could end the word, the comment or the field does not get in.
fn push_word(out: &mut String, word: &str) {
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && !"()<>;\\\"".contains(c);
    out.extend(word.chars().map(|c| if fits(c) { c } else { '?' }));
}

/// `Return-Path`, put before everything else at final delivery (RFC 5321 §4.4).
#[must_use]
pub fn return_path(reverse_path: &ReversePath) -> Vec<u8> {
    let mut out = Vec::new();
    write_field(&mut out, "Return-Path", &reverse_path.to_string());
    out
}

/// `Delivered-To`, put before the content at each delivery; finding one's own there is a loop (RFC 9228 §4).
#[must_use]
pub fn delivered_to(address: &Address) -> Vec<u8> {
    let mut out = Vec::new();
    write_field(&mut out, "Delivered-To", &address.to_string());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_tells_the_hop() {
        let recipient = Address::parse("bob@example.org").unwrap();
        let hop = Hop {
            helo: "client.example",
            client_name: None,
            client: "192.0.2.1".parse().unwrap(),
            by: "mail.example",
            protocol: "ESMTP",
            id: "BCDF.1",
            recipient: Some(&recipient),
            date: "Thu, 19 Nov 2026 12:00:00 +0100",
        };
        assert_eq!(
            received(&hop),
            "Received: from client.example (unknown [192.0.2.1])\r\n\
             \tby mail.example (Posthouse) with ESMTP id BCDF.1\r\n\
             \tfor <bob@example.org>; Thu, 19 Nov 2026 12:00:00 +0100\r\n"
        );
        let hop = Hop {
            helo: "[IPv6:2001:db8::1]",
            client_name: Some("a)\r\nX: y"),
            client: "2001:db8::1".parse().unwrap(),
            recipient: None,
            ..hop
        };
        assert_eq!(
            received(&hop),
            "Received: from [IPv6:2001:db8::1] (a???X:?y [IPv6:2001:db8::1])\r\n\
             \tby mail.example (Posthouse) with ESMTP id BCDF.1; Thu, 19 Nov 2026 12:00:00 +0100\r\n"
        );
    }

    #[test]
    fn trace_fields_are_one_line() {
        let alice = Address::parse("\"a b\"@example.org").unwrap();
        assert_eq!(return_path(&ReversePath::Null), b"Return-Path: <>\r\n");
        assert_eq!(
            return_path(&ReversePath::Address(alice.clone())),
            b"Return-Path: <\"a b\"@example.org>\r\n"
        );
        assert_eq!(
            delivered_to(&alice),
            b"Delivered-To: \"a b\"@example.org\r\n"
        );
    }
}
