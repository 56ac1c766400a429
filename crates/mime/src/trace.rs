//! Trace fields (RFC 5321 §4.4, RFC 9228).

use mail_types::{Address, ReversePath};

use crate::write_field;

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
