//! The part for programs (RFC 3464 §2, RFC 6533 §4).

use std::fmt::Write as _;

use mail_types::{Address, OriginalRecipient};

use super::{Action, Report, ReportRecipient};
use crate::{rfc5322_date, write_field};

pub(super) fn write(report: &Report<'_>, global: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(envelope_id) = report.original.envelope_id {
        write_field(
            &mut out,
            "Original-Envelope-Id",
            &plain(envelope_id, global),
        );
    }
    let reporting = format!("dns; {}", report.hostname.as_ascii());
    write_field(&mut out, "Reporting-MTA", &reporting);
    let arrival = rfc5322_date(report.original.arrival, report.offset_seconds);
    write_field(&mut out, "Arrival-Date", &arrival);
    for recipient in report.recipients {
        out.extend_from_slice(b"\r\n");
        write_recipient(&mut out, report, recipient, global);
    }
    out
}

fn write_recipient(
    out: &mut Vec<u8>,
    report: &Report<'_>,
    recipient: &ReportRecipient,
    global: bool,
) {
    let date = |at| rfc5322_date(at, report.offset_seconds);
    if let Some(original) = &recipient.original {
        write_field(out, "Original-Recipient", &typed_original(original, global));
    }
    let address = typed_address(&recipient.final_recipient, global);
    write_field(out, "Final-Recipient", &address);
    let action = match recipient.action {
        Action::Failed | Action::Expired => "failed",
        Action::Delayed => "delayed",
        Action::Delivered => "delivered",
        Action::Relayed => "relayed",
    };
    write_field(out, "Action", action);
    write_field(out, "Status", &recipient.status.to_string());
    if let Some(mta) = &recipient.remote_mta {
        write_field(out, "Remote-MTA", &format!("dns; {}", mta.as_ascii()));
    }
    if let Some(said) = &recipient.diagnostic {
        // RFC 3464 §2.3.6: what a peer said over SMTP has the type smtp, our own words one of our own.
        let spoken = if recipient.remote_mta.is_some() {
            "smtp"
        } else {
            "x-posthouse"
        };
        write_field(
            out,
            "Diagnostic-Code",
            &format!("{spoken}; {}", plain(said, global)),
        );
    }
    if let Some(at) = recipient.last_attempt {
        write_field(out, "Last-Attempt-Date", &date(at));
    }
    if let Some(at) = recipient.will_retry_until {
        write_field(out, "Will-Retry-Until", &date(at));
    }
}

fn typed_address(address: &Address, global: bool) -> String {
    let text = address.to_string();
    if address.is_internationalized() {
        format!("utf-8; {}", unitext(&text, global))
    } else {
        format!("rfc822; {text}")
    }
}

fn typed_original(original: &OriginalRecipient, global: bool) -> String {
    let kind = plain(&original.address_type, false);
    if original.address_type.eq_ignore_ascii_case("utf-8") {
        format!("{kind}; {}", unitext(&original.address, global))
    } else {
        format!("{kind}; {}", plain(&original.address, global))
    }
}

/// Text for a field that may or may not hold UTF-8.
fn plain(text: &str, global: bool) -> String {
    text.chars()
        .map(|c| if global || c.is_ascii() { c } else { '?' })
        .collect()
}

/// An address of type utf-8: as it is, or as utf-8-addr-xtext (RFC 6533 §3).
fn unitext(address: &str, global: bool) -> String {
    if global {
        return address.to_owned();
    }
    let mut out = String::new();
    for c in address.chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            out.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
        }
    }
    out
}
