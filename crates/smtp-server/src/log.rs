//! What the log says about sessions; how loud each event is, the catalogue says.
//!
//! There is one line for each message that was accepted, and for each recipient, sender or message that was
//! refused. A session that brought no mail and was refused nothing, or that was cut, has a line too: it is what an
//! administrator looks for who wonders why mail does not come. All others end silently.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipc::CallError;
use mail_types::{ReversePath, SessionId};
use smtp_proto::{Ending, HeloName, Report, Subject, Unwelcome};
use telemetry::catalogue::{
    ACCEPT_FAILED, COMMAND_REFUSED, MAIL_ACCEPTED, MAIL_REFUSED, RECIPIENT_REFUSED,
    SERVICE_UNAVAILABLE, SMTP_CUT, SMTP_DISCONNECTED, SMTP_TURNED_AWAY, SMTP_WITHOUT_MAIL,
    SPOOL_WRITE_FAILED,
};
use telemetry::event;

use crate::connection::{End, Tally};
use crate::content::Stored;

/// Who a line is about.
pub(crate) struct Facts<'a> {
    pub(crate) session: SessionId,
    pub(crate) client: IpAddr,
    pub(crate) helo: Option<&'a HeloName>,
    pub(crate) reverse_path: Option<&'a ReversePath>,
}

pub(crate) fn accepted(facts: &Facts<'_>, protocol: &str, stored: &Stored) {
    let envelope = stored.envelope();
    event!(
        MAIL_ACCEPTED,
        session = %facts.session,
        queue_id = %stored.queue_id,
        client = %facts.client,
        helo = facts.helo.map(display),
        from = envelope.map(|envelope| display(&envelope.reverse_path)),
        recipients = envelope.map(|envelope| envelope.recipients.len()),
        size = stored.size,
        protocol = protocol,
    );
}

pub(crate) fn refused(facts: &Facts<'_>, report: &Report) {
    match &report.subject {
        Subject::Recipient(to) => event!(
            RECIPIENT_REFUSED,
            session = %facts.session,
            client = %facts.client,
            helo = facts.helo.map(display),
            from = facts.reverse_path.map(display),
            to = to.as_ref().map(display),
            reply = report.reply.as_str(),
        ),
        Subject::Sender(from) => mail_refused(facts, from.as_ref(), &report.reply),
        Subject::Message(from) => mail_refused(facts, Some(from), &report.reply),
        Subject::Command(verb) => event!(
            COMMAND_REFUSED,
            session = %facts.session,
            client = %facts.client,
            command = verb.map(display),
            reply = report.reply.as_str(),
        ),
        Subject::Session => cut(facts, &report.reply),
    }
}

fn mail_refused(facts: &Facts<'_>, from: Option<&ReversePath>, reply: &str) {
    event!(
        MAIL_REFUSED,
        session = %facts.session,
        client = %facts.client,
        helo = facts.helo.map(display),
        from = from.map(display),
        reply = reply,
    );
}

pub(crate) fn ended(facts: &Facts<'_>, why: Ending) {
    match why {
        Ending::TimedOut => cut(facts, "timed out"),
        Ending::TooSlow => cut(facts, "content came below smtpd.min_data_rate"),
        Ending::ShuttingDown => {}
    }
}

fn cut(facts: &Facts<'_>, reason: &str) {
    event!(
        SMTP_CUT,
        session = %facts.session,
        client = %facts.client,
        helo = facts.helo.map(display),
        from = facts.reverse_path.map(display),
        reason = reason,
    );
}

/// `open`: within a transaction, which the client will have to begin anew.
pub(crate) fn disconnected(
    facts: &Facts<'_>,
    end: End,
    open: bool,
    tally: Tally,
    lasted: Duration,
) {
    match end {
        End::Gone if open => cut(facts, "client went away within a transaction"),
        End::Failed if open => cut(facts, "connection failed within a transaction"),
        _ => {}
    }
    let reason = match end {
        End::Closed => "closed",
        End::Gone => "client went away",
        End::Failed => "connection failed",
    };
    let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
    if tally.accepted == 0 && tally.refused == 0 && !tally.hung_up && !open {
        event!(
            SMTP_WITHOUT_MAIL,
            session = %facts.session,
            client = %facts.client,
            helo = facts.helo.map(display),
            reason = reason,
            duration_ms = duration_ms,
        );
    } else {
        event!(
            SMTP_DISCONNECTED,
            session = %facts.session,
            client = %facts.client,
            reason = reason,
            accepted = tally.accepted,
            refused = tally.refused,
            duration_ms = duration_ms,
        );
    }
}

/// `unlogged` others were turned away since the last line.
pub(crate) fn turned_away(client: IpAddr, why: Unwelcome, unlogged: u64) {
    let reason = match why {
        Unwelcome::Full => "smtpd.connection_limit is reached",
        Unwelcome::ClientFull => "smtpd.connection_limit_per_client is reached",
        Unwelcome::ShuttingDown => "shutting down",
    };
    event!(SMTP_TURNED_AWAY, client = %client, reason = reason, unlogged = unlogged);
}

pub(crate) fn accept_failed(error: &io::Error) {
    event!(ACCEPT_FAILED, reason = %error);
}

pub(crate) fn service_unavailable(service: &str, error: &CallError) {
    event!(SERVICE_UNAVAILABLE, service = service, reason = %error);
}

pub(crate) fn spool_write_failed(error: &io::Error) {
    event!(SPOOL_WRITE_FAILED, reason = %error);
}
