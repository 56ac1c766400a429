//! What the log says about connections. A login that is right, the directory and master log.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use mail_types::SessionId;
use telemetry::catalogue::{
    ACCEPT_FAILED, POP3_CONNECTED, POP3_DISCONNECTED, POP3_LOGIN_REFUSED, POP3_TURNED_AWAY,
    SERVICE_UNAVAILABLE,
};
use telemetry::event;

pub(crate) fn accept_failed(reason: &dyn Display) {
    event!(ACCEPT_FAILED, reason = %reason);
}

pub(crate) fn turned_away(client: IpAddr, reason: &str) {
    event!(POP3_TURNED_AWAY, client = %client, reason = reason);
}

pub(crate) fn connected(session: SessionId, client: IpAddr, port: Option<u16>) {
    event!(POP3_CONNECTED, session = %session, client = %client, port = port);
}

pub(crate) fn disconnected(session: SessionId, client: IpAddr, reason: &str, lasted: Duration) {
    event!(
        POP3_DISCONNECTED,
        session = %session,
        client = %client,
        reason = reason,
        duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
    );
}

pub(crate) fn login_refused(session: SessionId, client: IpAddr, user: &str, tries: u32) {
    event!(POP3_LOGIN_REFUSED, session = %session, client = %client, user = user, tries = tries);
}

pub(crate) fn directory_unavailable(session: SessionId, reason: &dyn Display) {
    event!(
        SERVICE_UNAVAILABLE,
        service = "directory",
        session = %session,
        reason = %reason,
    );
}
