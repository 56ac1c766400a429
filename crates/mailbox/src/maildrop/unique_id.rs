//! Unique-ids made from what does not change about a message.

use sha2::{Digest, Sha256};

use super::uid_list::is_unique_id;

/// Octets of a digest that are used: 128 bits, in 32 digits.
const DIGEST: usize = 16;

/// 128 bits of SHA-256: no sender can make two messages with one id, or foresee another's.
pub(super) type ContentId = [u8; DIGEST];

/// The first 128 bits of a digest.
pub(super) fn shorten(digest: Sha256) -> ContentId {
    let mut short = ContentId::default();
    for (to, from) in short.iter_mut().zip(digest.finalize()) {
        *to = from;
    }
    short
}

/// Appends an id's digits.
pub(super) fn write_hex(id: &ContentId, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in id {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The unique part of a Maildir name: all before sizes and flags, which other programs may change.
pub(super) fn unique_part(base: &[u8]) -> &[u8] {
    &base[..memchr::memchr(b',', base).unwrap_or(base.len())]
}

/// Appends the id of a message by its Maildir name: the unique part itself, as qmail-pop3d and Dovecot's `%f`
/// have it; its digest when POP3 would not take it as an id.
pub(super) fn write_from_name(base: &[u8], out: &mut Vec<u8>) {
    let unique = unique_part(base);
    if is_unique_id(unique) {
        out.extend_from_slice(unique);
    } else {
        write_name_digest(unique, out);
    }
}

/// Appends the digest of a name.
pub(super) fn write_name_digest(name: &[u8], out: &mut Vec<u8>) {
    write_hex(&shorten(Sha256::new().chain_update(name)), out);
}

/// Appends the id that Dovecot gives by default (`pop3_uidl_format = %08Xu%08Xv`, in small letters).
pub(super) fn write_dovecot(uid: u32, validity: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{uid:08x}{validity:08x}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_ids() {
        let long = "x".repeat(71);
        for (base, wanted) in [
            ("1700000001.M1P1.host,S=25,W=29", "1700000001.M1P1.host"),
            ("1700000001.M1P1.host", "1700000001.M1P1.host"),
            ("a b", "c8687a08aa5d6ed2044328fa6a697ab8"),
            (&long, "87a1e4c1c92b7b7a7c46433d780de6cc"),
        ] {
            let mut id = Vec::new();
            write_from_name(base.as_bytes(), &mut id);
            assert_eq!(String::from_utf8(id).unwrap(), wanted, "{base}");
        }
    }

    #[test]
    fn ids_are_those_of_dovecot() {
        // Seen from Dovecot 2.3.19 for the list "3 V1795260592 ...", uid 1.
        let mut id = Vec::new();
        write_dovecot(1, 1_795_260_592, &mut id);
        assert_eq!(id, b"000000016b0180b0");
    }
}
