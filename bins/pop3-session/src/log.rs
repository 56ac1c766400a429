//! What the log says about one session.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use mail_types::{Address, SessionId, Timestamp};
use telemetry::catalogue::{
    POP3_CLOSED, POP3_MAILBOX_FAULT, POP3_MESSAGE_FAILED, POP3_OPEN_FAILED, POP3_OPENED,
};
use telemetry::event;

use crate::Report;

/// Who the lines are about.
#[derive(Debug)]
pub struct Log {
    session: SessionId,
    client: IpAddr,
    user: String,
    began: Instant,
}

impl Log {
    /// For one session, which begins now.
    #[must_use]
    pub fn new(client: IpAddr, user: &Address) -> Self {
        let now = Timestamp::from(SystemTime::now());
        Self {
            session: SessionId(u64::try_from(now.0).unwrap_or_default()),
            client,
            user: user.to_string(),
            began: Instant::now(),
        }
    }

    pub(crate) fn opened(&self, messages: u32, bytes: u64) {
        event!(
            POP3_OPENED,
            session = %self.session,
            client = %self.client,
            user = self.user.as_str(),
            messages = messages,
            bytes = bytes,
        );
    }

    pub(crate) fn open_failed(&self, mailbox: &std::path::Path, reason: &dyn Display) {
        event!(
            POP3_OPEN_FAILED,
            session = %self.session,
            client = %self.client,
            user = self.user.as_str(),
            mailbox = %mailbox.display(),
            reason = %reason,
        );
    }

    pub(crate) fn fault(&self, reason: &str) {
        event!(
            POP3_MAILBOX_FAULT,
            session = %self.session,
            client = %self.client,
            user = self.user.as_str(),
            reason = reason,
        );
    }

    pub(crate) fn message_failed(&self, reason: &dyn Display) {
        event!(
            POP3_MESSAGE_FAILED,
            session = %self.session,
            client = %self.client,
            user = self.user.as_str(),
            reason = %reason,
        );
    }

    pub(crate) fn closed(&self, report: &Report) {
        let duration = self.began.elapsed().as_millis();
        event!(
            POP3_CLOSED,
            session = %self.session,
            client = %self.client,
            user = self.user.as_str(),
            reason = report.reason.as_str(),
            retrieved = report.retrieved,
            bytes = report.bytes,
            deleted = report.deleted,
            duration_ms = u64::try_from(duration).unwrap_or(u64::MAX),
        );
    }
}
