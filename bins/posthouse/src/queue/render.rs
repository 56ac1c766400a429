//! How messages and their recipients are shown: to people, and as JSON.
//!
//! Text that came from others is shown to people without control characters: it must not steer a terminal.

use std::io::{self, Write};
use std::time::Duration;

use ipc::protocol::{MessageState, MessageSummary, RecipientSummary};
use mail_types::Timestamp;
use serde_json::json;

fn state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Incoming => "incoming",
        MessageState::Active => "active",
        MessageState::Deferred => "deferred",
        MessageState::Hold => "hold",
        MessageState::Corrupt => "corrupt",
    }
}

pub(super) fn write_message(
    message: &MessageSummary,
    now: Timestamp,
    first: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    if first {
        writeln!(
            out,
            "{:<14}{:<10}{:>8}  {:>6}  SENDER",
            "QUEUE ID", "STATE", "SIZE", "AGE"
        )?;
    }
    writeln!(
        out,
        "{:<14}{:<10}{:>8}  {:>6}  {}",
        message.queue_id.to_string(),
        state_name(message.state),
        size(message.size),
        span(now.since(message.accepted)),
        clean(&message.reverse_path.to_string()),
    )?;
    for recipient in &message.recipients {
        write_recipient(recipient, now, out)?;
    }
    let listed = u64::try_from(message.recipients.len()).unwrap_or(u64::MAX);
    let rest = message.recipients_left.saturating_sub(listed);
    if rest > 0 {
        writeln!(out, "    and {rest} more")?;
    }
    Ok(())
}

fn write_recipient(
    recipient: &RecipientSummary,
    now: Timestamp,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "    {}", clean(&recipient.address.to_string()))?;
    let attempts = recipient.attempts;
    if attempts > 0 {
        write!(
            out,
            ", {attempts} {}",
            plural(u64::from(attempts), "attempt")
        )?;
    }
    if let Some(next) = recipient.next_attempt.filter(|next| *next > now) {
        write!(out, ", next in {}", span(next.since(now)))?;
    }
    writeln!(out)?;
    if let Some(reply) = &recipient.last_reply {
        writeln!(out, "        {}", clean(reply))?;
    }
    Ok(())
}

pub(super) fn message_json(message: &MessageSummary) -> serde_json::Value {
    let recipients: Vec<_> = message
        .recipients
        .iter()
        .map(|recipient| {
            json!({
                "address": recipient.address.to_string(),
                "attempts": recipient.attempts,
                "next_attempt": recipient.next_attempt.map(moment),
                "last_reply": recipient.last_reply,
            })
        })
        .collect();
    json!({
        "queue_id": message.queue_id.to_string(),
        "state": state_name(message.state),
        "size": message.size,
        "accepted": moment(message.accepted),
        "sender": message.reverse_path.address().map(ToString::to_string),
        "recipients": recipients,
        "recipients_left": message.recipients_left,
    })
}

/// As RFC 3339 has it, in UTC.
fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0)
        .map_or_else(|_| at.0.to_string(), |moment| moment.to_string())
}

/// Without control characters, and without those that change the direction of text.
pub(super) fn clean(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if steers(c) { '?' } else { c })
        .collect()
}

pub(super) fn plural(count: u64, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{word}{ending}")
}

fn size(octets: u64) -> String {
    match octets {
        0..1024 => format!("{octets}B"),
        1024..1_048_576 => format!("{}.{}K", octets / 1024, octets % 1024 * 10 / 1024),
        _ => {
            let kib = octets / 1024;
            format!("{}.{}M", kib / 1024, kib % 1024 * 10 / 1024)
        }
    }
}

fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::{Address, QueueId, ReversePath};

    fn summary() -> MessageSummary {
        MessageSummary {
            queue_id: QueueId(1_795_089_600_000_000),
            state: MessageState::Deferred,
            size: 4300,
            accepted: Timestamp::from_seconds(1000),
            reverse_path: ReversePath::Address(Address::parse("alice@example.org").unwrap()),
            recipients: vec![RecipientSummary {
                address: Address::parse("bob@example.net").unwrap(),
                attempts: 1,
                next_attempt: Some(Timestamp::from_seconds(9000)),
                last_reply: Some("4.4.1 no\x1b[2J answer".to_owned()),
            }],
            recipients_left: 3,
        }
    }

    #[test]
    fn a_message_is_shown_with_all_that_explains_it() {
        let mut out = Vec::new();
        let now = Timestamp::from_seconds(8400);
        write_message(&summary(), now, true, &mut out).unwrap();
        let id = summary().queue_id.to_string();
        let expected = format!(
            "QUEUE ID      STATE         SIZE     AGE  SENDER\n\
             {id:<14}deferred      4.1K   2h03m  <alice@example.org>\n    \
             bob@example.net, 1 attempt, next in 10m\n        \
             4.4.1 no?[2J answer\n    and 2 more\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_has_the_same() {
        let object = message_json(&summary());
        assert_eq!(object["state"], "deferred");
        assert_eq!(object["accepted"], "1970-01-01T00:16:40Z");
        assert_eq!(object["recipients"][0]["address"], "bob@example.net");
        assert_eq!(object["recipients_left"], 3);
    }

    #[test]
    fn sizes_and_spans_are_short() {
        let sizes = [0, 1023, 1024, 4300, 1 << 20, 52_428_800].map(size);
        assert_eq!(sizes, ["0B", "1023B", "1.0K", "4.1K", "1.0M", "50.0M"]);
        let spans = [0, 59, 60, 3600, 90_061].map(|s| span(Duration::from_secs(s)));
        assert_eq!(spans, ["0s", "59s", "1m", "1h00m", "1d01h"]);
    }
}
