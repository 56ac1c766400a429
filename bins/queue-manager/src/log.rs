//! The lines of the log, one function each. No content is ever in them.

use std::path::Path;
use std::time::Duration;

use ipc::ReceiveError;
use ipc::protocol::{DeliveryTransport, LeaseId};
use mail_types::{Address, EnhancedStatus, QueueId, Target, Timestamp};
use mime::rfc5322_date;
use queue::{Counts, LastReply, StorageError};
use schedule::Misuse;
use telemetry::{catalogue, event};

use crate::manager::{Facts, Recipient};

/// What the recipient lines have in common.
struct Attempt<'a> {
    queue_id: QueueId,
    to: String,
    original_to: Option<&'a Address>,
    destination: &'static str,
    attempts: u32,
    delay_ms: u64,
}

impl<'a> Attempt<'a> {
    fn new(queue_id: QueueId, recipient: &'a Recipient, facts: &Facts, now: Timestamp) -> Self {
        let to = match &recipient.target {
            Some(target) => target.to_string(),
            None => recipient.accepted_as.to_string(),
        };
        let accepted_as = &recipient.accepted_as;
        Self {
            queue_id,
            original_to: Some(accepted_as).filter(|address| address.to_string() != to),
            destination: match &recipient.target {
                Some(Target::Remote(_)) => "remote",
                Some(_) => "local",
                None => "unknown",
            },
            // With the one that the line is about.
            attempts: recipient.attempts.saturating_add(1),
            delay_ms: millis(now.since(facts.accepted)),
            to,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One recipient's line; the events have the same fields, and `next` only where it is deferred.
macro_rules! recipient_event {
    ($event:path, $attempt:expr, $status:expr, $text:expr $(, next = $next:expr)?) => {{
        let attempt: Attempt<'_> = $attempt;
        event!(
            $event,
            queue_id = %attempt.queue_id,
            to = %attempt.to,
            original_to = attempt.original_to.map(telemetry::display),
            destination = attempt.destination,
            attempts = attempt.attempts,
            delay_ms = attempt.delay_ms,
            status = %$status,
            reason = $text,
            $(next = $next)?
        );
    }};
}

pub(crate) fn delivered(
    queue_id: QueueId,
    recipient: &Recipient,
    facts: &Facts,
    text: &str,
    now: Timestamp,
) {
    let attempt = Attempt::new(queue_id, recipient, facts, now);
    let status = EnhancedStatus::new(2, 0, 0);
    recipient_event!(catalogue::RECIPIENT_DELIVERED, attempt, status, text);
}

pub(crate) fn deferred(
    queue_id: QueueId,
    recipient: &Recipient,
    facts: &Facts,
    reply: &LastReply,
    due: Timestamp,
    now: Timestamp,
) {
    let attempt = Attempt::new(queue_id, recipient, facts, now);
    let next = rfc5322_date(due, 0);
    recipient_event!(
        catalogue::RECIPIENT_DEFERRED,
        attempt,
        reply.status,
        reply.text,
        next = next
    );
}

pub(crate) fn expired(
    queue_id: QueueId,
    recipient: &Recipient,
    facts: &Facts,
    reply: &LastReply,
    now: Timestamp,
) {
    let attempt = Attempt::new(queue_id, recipient, facts, now);
    recipient_event!(
        catalogue::RECIPIENT_EXPIRED,
        attempt,
        reply.status,
        reply.text
    );
}

pub(crate) fn failed(
    queue_id: QueueId,
    recipient: &Recipient,
    facts: &Facts,
    reply: &LastReply,
    now: Timestamp,
) {
    let attempt = Attempt::new(queue_id, recipient, facts, now);
    recipient_event!(
        catalogue::RECIPIENT_FAILED,
        attempt,
        reply.status,
        reply.text
    );
}

pub(crate) fn expanded(queue_id: QueueId, to: &Address, recipients: usize) {
    event!(
        catalogue::RECIPIENT_EXPANDED,
        queue_id = %queue_id,
        to = %to,
        recipients = recipients
    );
}

pub(crate) fn merged(queue_id: QueueId, to: &Address, destination: &Target) {
    event!(
        catalogue::RECIPIENT_MERGED,
        queue_id = %queue_id,
        to = %to,
        destination = %destination
    );
}

pub(crate) fn removed(queue_id: QueueId, facts: &Facts, now: Timestamp) {
    let delay_ms = millis(now.since(facts.accepted));
    event!(catalogue::MESSAGE_DONE, queue_id = %queue_id, delay_ms = delay_ms);
}

pub(crate) fn bounce_queued(queue_id: QueueId, about: QueueId) {
    event!(catalogue::BOUNCE_QUEUED, queue_id = %queue_id, about = %about);
}

pub(crate) fn bounce_dropped(queue_id: QueueId, to: &Address, reason: &str) {
    event!(
        catalogue::BOUNCE_DROPPED,
        queue_id = %queue_id,
        to = %to,
        reason = reason
    );
}

pub(crate) fn not_recorded(queue_id: QueueId, error: &StorageError) {
    event!(catalogue::OUTCOME_UNRECORDED, queue_id = %queue_id, reason = %error);
}

pub(crate) fn set_aside(queue_id: QueueId, why: &str) {
    event!(catalogue::MESSAGE_CORRUPT, queue_id = %queue_id, reason = why);
}

pub(crate) fn opened(path: &Path, counts: &Counts, took: Duration) {
    let messages = counts.incoming + counts.deferred + counts.hold + counts.corrupt;
    event!(
        catalogue::QUEUE_OPENED,
        path = %path.display(),
        messages = messages,
        duration_ms = millis(took)
    );
}

pub(crate) fn turned_away(error: &StorageError) {
    event!(catalogue::QUEUE_TURNED_AWAY, reason = %error);
}

pub(crate) fn read_failed(error: &StorageError) {
    event!(catalogue::QUEUE_READ_FAILED, reason = %error);
}

pub(crate) fn storage_failing(error: &StorageError) {
    match error {
        StorageError::DiskFull(_) => event!(catalogue::QUEUE_FULL, reason = %error),
        _ => event!(catalogue::QUEUE_WRITE_FAILED, reason = %error),
    }
}

pub(crate) fn storage_recovered() {
    event!(catalogue::QUEUE_WRITABLE);
}

pub(crate) fn orphans_removed(files: u64) {
    event!(catalogue::ORPHANS_REMOVED, files = files);
}

pub(crate) fn directory_failed(reason: &str) {
    event!(
        catalogue::SERVICE_UNAVAILABLE,
        service = "directory",
        reason = reason
    );
}

pub(crate) fn agent_connected(transport: DeliveryTransport, capacity: usize) {
    event!(
        catalogue::AGENT_CONNECTED,
        transport = name(transport),
        capacity = capacity
    );
}

pub(crate) fn agent_gone(transport: DeliveryTransport, leases: usize) {
    if leases == 0 {
        // It ended in order, or had nothing to do.
        return;
    }
    event!(
        catalogue::AGENT_GONE,
        transport = name(transport),
        leases = leases
    );
}

fn name(transport: DeliveryTransport) -> &'static str {
    match transport {
        DeliveryTransport::Local => "local",
    }
}

pub(crate) fn lapsed(queue_id: QueueId, destination: &Target, reason: &str) {
    event!(
        catalogue::LEASE_LAPSED,
        queue_id = %queue_id,
        destination = %destination,
        reason = reason
    );
}

pub(crate) fn late_outcome(lease: LeaseId, outcomes: usize) {
    let reason = format!(
        "{outcomes} outcomes for lease {}, which has ended: what was delivered under it is delivered again",
        lease.0
    );
    event!(catalogue::OUTCOME_IGNORED, reason = reason);
}

/// The scheduler and the manager do not agree: a fault of ours, from which the store recovers us.
pub(crate) fn misuse(queue_id: QueueId, misuse: &Misuse) {
    let reason = format!("the scheduler says: {misuse}");
    event!(catalogue::OUTCOME_IGNORED, queue_id = %queue_id, reason = reason);
}

pub(crate) fn drain_cut(leases: usize) {
    event!(catalogue::DRAIN_CUT, leases = leases);
}

pub(crate) fn administered(action: &str, selection: &str, messages: u64, uid: u32) {
    event!(
        catalogue::QUEUE_ADMINISTERED,
        action = action,
        selection = selection,
        messages = messages,
        uid = uid
    );
}

pub(crate) fn channel_fault(protocol: &str, uid: u32, error: &ReceiveError) {
    event!(
        catalogue::CHANNEL_FAULT,
        protocol = protocol,
        uid = uid,
        reason = %error
    );
}

pub(crate) fn channel_refused(protocol: &str, uid: u32, reason: &str) {
    event!(
        catalogue::CHANNEL_REFUSED,
        protocol = protocol,
        uid = uid,
        reason = reason
    );
}

pub(crate) fn accept_failed(error: &std::io::Error) {
    event!(catalogue::ACCEPT_FAILED, reason = %error);
}
