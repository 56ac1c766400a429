//! Reports: who is told what became of a recipient, and the messages that tell it.
//!
//! | reverse-path | NOTIFY | what ended | told |
//! |---|---|---|---|
//! | address | NEVER | anything | nobody |
//! | address | FAILURE, or not said | failed, expired | the address |
//! | address | SUCCESS | delivered | the address |
//! | null | not NEVER | failed, expired | postmaster, by a notice, if `queue.notify_postmaster`; nobody for a notice |
//!
//! RFC 3461 §4.1, §6.2; RFC 5321 §4.5.5. A report has the null reverse-path, so nothing is ever reported to
//! one who reports.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use mail_types::{
    Address, EnhancedStatus, Envelope, MessageId, QueueId, Recipient as NewRecipient, ReversePath,
    Target, Timestamp,
};
use mime::dsn::{Action, Original, Report, ReportRecipient};
use queue::{Content, NewContent, NewMessage, Origin, StorageError};

use super::Manager;
use super::message::{Ending, Facts, Message, NOTICE, REPORT, Recipient};
use crate::log;

/// The status of a delivery (RFC 3463 §3.2: other address status; success).
pub(super) const DELIVERED: EnhancedStatus = EnhancedStatus::new(2, 0, 0);
/// When only the header is returned, so much of the message is read for it.
const HEADER_LIMIT: u64 = 64 << 10;

/// One recipient in a report, and whom the report goes to.
pub(super) struct Line {
    to: Address,
    origin: &'static str,
    recipient: ReportRecipient,
}

impl Manager {
    /// The line of a recipient in a report, if anybody is to be told. `owner` is that of a member that has no row.
    pub(super) fn line(
        &self,
        queue_id: QueueId,
        message: &Message,
        recipient: &Recipient,
        ending: &Ending,
        owner: Option<&Address>,
    ) -> Option<Line> {
        let (action, status, text) = match ending {
            // Where we keep mailboxes is nobody's business outside.
            Ending::Delivered(_) => (Action::Delivered, DELIVERED, ""),
            Ending::Failed(reply) => (Action::Failed, reply.status, reply.text.as_str()),
            Ending::Expired(reply) => (Action::Expired, reply.status, reply.text.as_str()),
            Ending::Deferred { .. } | Ending::Replaced { .. } | Ending::Merged => return None,
        };
        let notify = recipient.notify.unwrap_or_default();
        let wanted = match action {
            Action::Delivered => notify.success,
            _ => notify.failure,
        };
        if !wanted {
            return None;
        }
        let owner = owner.or(recipient.owner.as_ref());
        let (to, origin) = match message.facts.reverse_path_with(owner) {
            ReversePath::Address(sender) => (sender, REPORT),
            ReversePath::Null if action == Action::Delivered => return None,
            ReversePath::Null => (self.postmaster(queue_id, message, recipient)?, NOTICE),
        };
        Some(Line {
            to,
            origin,
            recipient: described(recipient, action, status, text),
        })
    }

    /// Who is told of mail that has no sender; what nobody is told of ends in the log.
    fn postmaster(
        &self,
        queue_id: QueueId,
        message: &Message,
        recipient: &Recipient,
    ) -> Option<Address> {
        if self.settings.notify_postmaster && !message.facts.is_notice {
            return Some(self.settings.postmaster.clone());
        }
        let reason = "mail without a sender cannot be reported on";
        log::bounce_dropped(queue_id, &recipient.accepted_as, reason);
        None
    }

    /// The messages that tell `lines`: one for each who is told.
    pub(super) fn reports(
        &mut self,
        queue_id: QueueId,
        lines: Vec<Line>,
        now: Timestamp,
    ) -> Result<Vec<NewMessage>, StorageError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let Some(content) = self.content_of(queue_id)? else {
            return Ok(Vec::new());
        };
        let Some(facts) = self.messages.get(&queue_id).map(|m| m.facts.clone()) else {
            return Ok(Vec::new());
        };
        let head = self.head(queue_id, content, &facts)?;
        let mut groups: BTreeMap<(Address, &'static str), Vec<ReportRecipient>> = BTreeMap::new();
        for line in lines {
            let group = groups.entry((line.to, line.origin)).or_default();
            group.push(line.recipient);
        }
        let built = groups
            .into_iter()
            .map(|((to, origin), recipients)| {
                self.report(to, origin, &recipients, &facts, &head, now)
            })
            .collect();
        Ok(built)
    }

    /// The first bytes of the message: all that a report may hold.
    fn head(
        &self,
        queue_id: QueueId,
        content: Content,
        facts: &Facts,
    ) -> Result<Bytes, StorageError> {
        let most = if facts.size <= self.settings.bounce_size_limit {
            facts.size
        } else {
            HEADER_LIMIT
        };
        match content {
            Content::Inline(bytes) => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                Ok(bytes.slice(..most.min(bytes.len())))
            }
            Content::File(file) => {
                let mut head = Vec::new();
                file.take(most).read_to_end(&mut head).map_err(|error| {
                    StorageError::Failed(format!("cannot read the content of {queue_id}: {error}"))
                })?;
                Ok(head.into())
            }
        }
    }

    fn report(
        &mut self,
        to: Address,
        origin: &str,
        recipients: &[ReportRecipient],
        facts: &Facts,
        head: &[u8],
        now: Timestamp,
    ) -> NewMessage {
        let (message_id, boundary_seed) = self.next_report(now);
        let built = Report {
            hostname: &self.settings.hostname,
            postmaster: &self.settings.postmaster,
            to: &to,
            message_id: &message_id,
            date: now,
            offset_seconds: self.clock_offset(now),
            original: Original {
                head,
                size: facts.size,
                body: facts.body,
                smtputf8: facts.smtputf8,
                return_content: facts.return_content,
                envelope_id: facts.envelope_id.as_deref(),
                arrival: facts.accepted,
            },
            recipients,
            full_return_limit: self.settings.bounce_size_limit,
            boundary_seed,
        }
        .build();
        let mut envelope = Envelope::new(ReversePath::Null, vec![NewRecipient::new(to)]);
        envelope.body = built.body;
        envelope.smtputf8 = built.smtputf8;
        NewMessage {
            envelope,
            origin: Origin {
                protocol: origin.to_owned(),
                ..Origin::local()
            },
            content: NewContent::Inline(built.content.into()),
            hold: false,
        }
    }

    /// A name that no other report has, and a number as rare.
    fn next_report(&mut self, now: Timestamp) -> (MessageId, u64) {
        self.reports_made += 1;
        let (number, moment) = (self.reports_made, u64::try_from(now.0).unwrap_or(0));
        let host = self.settings.hostname.as_ascii();
        let name = format!("<{}.{number}.report@{host}>", QueueId(moment));
        (MessageId(name), moment.wrapping_add(number << 48))
    }

    /// What the clock of this host shows against UTC.
    fn clock_offset(&self, now: Timestamp) -> i32 {
        jiff::Timestamp::from_microsecond(now.0)
            .map_or(0, |moment| self.time_zone.to_offset(moment).seconds())
    }
}

/// A recipient as a report has it. Files and commands of this host are nobody's business outside.
fn described(
    recipient: &Recipient,
    action: Action,
    status: EnhancedStatus,
    text: &str,
) -> ReportRecipient {
    let final_recipient = match &recipient.target {
        Some(Target::Mailbox(address) | Target::Remote(address)) => address.clone(),
        Some(Target::File(_) | Target::Command(_)) | None => recipient.accepted_as.clone(),
    };
    let expanded_from =
        (final_recipient != recipient.accepted_as).then(|| recipient.accepted_as.clone());
    ReportRecipient {
        original: recipient.original.clone(),
        final_recipient,
        expanded_from,
        action,
        status,
        diagnostic: Some(text.to_owned()).filter(|text| !text.is_empty()),
        remote_mta: None,
        last_attempt: recipient.ended,
        will_retry_until: None,
    }
}
