//! Delivery status notifications (RFC 3464), in all their parts: multipart/report (RFC 6522) of words
//! for a person, fields for a program, and the message or its header.
//!
//! When the message came with SMTPUTF8, the report is internationalised (RFC 6533): its parts are
//! message/global-delivery-status and message/global or message/global-headers. Otherwise only ASCII
//! stands outside the returned message; what is not ASCII is written in the forms of RFC 6533 §3.
//!
//! Deliberately absent: the decision whether to report at all (NOTIFY, null reverse-paths), which is
//! the queue-manager's.

mod fields;
#[cfg(test)]
mod tests;
mod words;

use mail_types::{
    Address, BodyKind, Domain, EnhancedStatus, MessageId, OriginalRecipient, ReturnContent,
    Timestamp,
};
use memchr::memmem;

use crate::{Header, rfc5322_date, write_field};

/// What happened to a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Never will be delivered.
    Failed,
    /// Was tried until the message's lifetime was over: `failed` for a program, more for a person.
    Expired,
    /// Not yet; attempts go on.
    Delayed,
    /// Is in its mailbox.
    Delivered,
    /// Was handed to a system that does not report on its part.
    Relayed,
}

/// One recipient of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRecipient {
    /// ORCPT, when the sender said it.
    pub original: Option<OriginalRecipient>,
    /// Where the mail was to go in the end.
    pub final_recipient: Address,
    /// The address that the sender wrote, when an alias led from it to `final_recipient`.
    pub expanded_from: Option<Address>,
    /// What happened.
    pub action: Action,
    /// Why, as a code.
    pub status: EnhancedStatus,
    /// Why, as it was said.
    pub diagnostic: Option<String>,
    /// The other system that said it; `None` when it was said here.
    pub remote_mta: Option<Domain>,
    /// When it was last tried.
    pub last_attempt: Option<Timestamp>,
    /// Until when it will be tried; only for [`Action::Delayed`].
    pub will_retry_until: Option<Timestamp>,
}

/// The message that is reported on.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// Its first bytes, or all of them.
    pub head: &'a [u8],
    /// Its length in octets.
    pub size: u64,
    /// How its octets are to be taken.
    pub body: BodyKind,
    /// It came with SMTPUTF8.
    pub smtputf8: bool,
    /// RET, when the sender said it.
    pub return_content: Option<ReturnContent>,
    /// ENVID, when the sender said it.
    pub envelope_id: Option<&'a str>,
    /// When it was accepted here.
    pub arrival: Timestamp,
}

/// Everything a report is made of.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The name of this system.
    pub hostname: &'a Domain,
    /// Who helps people here.
    pub postmaster: &'a Address,
    /// Who is told: the reverse-path of the message.
    pub to: &'a Address,
    /// The report's own Message-ID.
    pub message_id: &'a MessageId,
    /// Now.
    pub date: Timestamp,
    /// What the clock here shows against UTC.
    pub offset_seconds: i32,
    /// On what.
    pub original: Original<'a>,
    /// On whom; at least one.
    pub recipients: &'a [ReportRecipient],
    /// Larger messages are returned by header only.
    pub full_return_limit: u64,
    /// Any number that is not used twice.
    pub boundary_seed: u64,
}

/// A finished report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The message.
    pub content: Vec<u8>,
    /// What its envelope must say.
    pub body: BodyKind,
    /// What its envelope must say.
    pub smtputf8: bool,
}

impl Report<'_> {
    /// Writes the report.
    #[must_use]
    pub fn build(&self) -> Built {
        let global = self.original.smtputf8 || self.to.is_internationalized();
        let returned = self.returned();
        let words = words::write(self, returned.whole);
        let fields = fields::write(self, global);
        let boundary = boundary(
            self.boundary_seed,
            &[words.as_bytes(), &fields, returned.bytes],
        );
        let mut out = Vec::with_capacity(returned.bytes.len() + words.len() + fields.len() + 2048);
        self.write_header(&mut out, &boundary);
        part(&mut out, &boundary, &words_type(&words), words.as_bytes());
        let fields_type = if global {
            "message/global-delivery-status"
        } else {
            "message/delivery-status"
        };
        part(
            &mut out,
            &boundary,
            &media_type(fields_type, &fields),
            &fields,
        );
        let returned_type = returned.media_type(self.original.smtputf8);
        let returned_type = media_type(returned_type, returned.bytes);
        part(&mut out, &boundary, &returned_type, returned.bytes);
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let body = if out.is_ascii() {
            BodyKind::SevenBit
        } else {
            BodyKind::EightBitMime
        };
        Built {
            content: out,
            body,
            smtputf8: global,
        }
    }

    fn write_header(&self, out: &mut Vec<u8>, boundary: &str) {
        let from = format!(
            "Mail Delivery System <MAILER-DAEMON@{}>",
            self.hostname.as_ascii()
        );
        let date = rfc5322_date(self.date, self.offset_seconds);
        let content_type = format!(
            "multipart/report; report-type={}; boundary=\"{boundary}\"",
            self.report_type()
        );
        for (name, value) in [
            ("Date", date.as_str()),
            ("From", &from),
            ("To", &format!("<{}>", self.to)),
            ("Subject", words::subject(self.recipients)),
            ("Message-ID", &self.message_id.0),
            // RFC 3834 §5: nobody's vacation program is to answer.
            ("Auto-Submitted", "auto-replied"),
            ("MIME-Version", "1.0"),
            ("Content-Type", &content_type),
        ] {
            write_field(out, name, value);
        }
        out.extend_from_slice(b"\r\nThis is a delivery report in MIME format (RFC 3464).\r\n");
    }

    /// `delivery-status` also for global reports (RFC 6533 §6).
    fn report_type(&self) -> &'static str {
        "delivery-status"
    }

    /// What of the message goes back: all of it only with a failure (RFC 3461 §4.3, §6.2).
    fn returned(&self) -> Returned<'_> {
        let original = &self.original;
        let failure = |r: &ReportRecipient| matches!(r.action, Action::Failed | Action::Expired);
        let whole = original.return_content != Some(ReturnContent::Headers)
            && original.size <= self.full_return_limit
            && original.size == u64::try_from(original.head.len()).unwrap_or(u64::MAX)
            && original.body != BodyKind::BinaryMime
            && self.recipients.iter().any(failure);
        if whole {
            return Returned {
                bytes: original.head,
                whole,
            };
        }
        let header = Header::of(original.head);
        let mut bytes = header.as_bytes();
        if !header.is_complete() {
            // Not half a line: it could be half a character.
            let end = memchr::memrchr(b'\n', bytes).map_or(0, |lf| lf + 1);
            bytes = &bytes[..end];
        }
        Returned { bytes, whole }
    }
}

/// The third part.
struct Returned<'a> {
    bytes: &'a [u8],
    whole: bool,
}

impl Returned<'_> {
    fn media_type(&self, global: bool) -> &'static str {
        match (self.whole, global) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        }
    }
}

/// A boundary that does not occur in any of `parts`.
fn boundary(seed: u64, parts: &[&[u8]]) -> String {
    let mut seed = seed;
    loop {
        let candidate = format!("=_posthouse_{seed:016x}");
        let finder = memmem::Finder::new(candidate.as_bytes());
        if parts.iter().all(|part| finder.find(part).is_none()) {
            return candidate;
        }
        seed = seed.wrapping_add(1);
    }
}

/// Header fields of a part: its type and, where it is not plain ASCII, that it is 8-bit.
fn media_type(media_type: &str, bytes: &[u8]) -> String {
    let encoding = if bytes.is_ascii() { "7bit" } else { "8bit" };
    format!("Content-Type: {media_type}\r\nContent-Transfer-Encoding: {encoding}\r\n")
}

fn words_type(words: &str) -> String {
    let charset = if words.is_ascii() {
        "us-ascii"
    } else {
        "utf-8"
    };
    media_type(&format!("text/plain; charset={charset}"), words.as_bytes())
}

/// The CRLF before a boundary belongs to it (RFC 2046 §5.1.1), so `bytes` comes out as it went in.
fn part(out: &mut Vec<u8>, boundary: &str, head: &str, bytes: &[u8]) {
    out.extend_from_slice(format!("\r\n--{boundary}\r\n{head}\r\n").as_bytes());
    out.extend_from_slice(bytes);
}
