//! What master logs: each start, end and refusal, with process ids.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipc::Protocol;
use ipc::protocol::Supervise;
use sandbox::process::Ended;
use telemetry::{catalogue, event};

use crate::plan::Plan;
use crate::sockets::Change;

/// Starts the log, and says that the suite starts.
pub fn begin(plan: &Plan, config: &Path) -> Result<(), String> {
    telemetry::init(&daemon::log_options("master", &plan.config))
        .map_err(|error| error.to_string())?;
    let version = env!("CARGO_PKG_VERSION");
    event!(catalogue::MASTER_STARTED, version = version, config = %config.display());
    Ok(())
}

pub fn cannot_go_on(error: &io::Error) {
    event!(catalogue::PROGRAM_FAILED, reason = %error);
}

pub fn listening(change: &Change) {
    for (service, address) in &change.opened {
        event!(catalogue::LISTENING, service = *service, address = %address);
    }
    for (service, address) in &change.closed {
        event!(catalogue::LISTENING_ENDED, service = *service, address = %address);
    }
}

pub fn started(service: &str, pid: u32) {
    event!(catalogue::CHILD_STARTED, service = service, pid = pid);
}

pub fn not_started(service: &str, error: &io::Error) {
    event!(catalogue::CHILD_START_FAILED, service = service, reason = %error);
}

pub fn ready(service: &str, pid: u32) {
    event!(catalogue::CHILD_READY, service = service, pid = pid);
}

pub fn all_ready() {
    event!(catalogue::MASTER_READY);
}

pub fn told_to_end(service: &str, pid: u32) {
    event!(catalogue::CHILD_STOPPING, service = service, pid = pid);
}

pub fn ended(service: &str, pid: u32, status: Ended) {
    event!(catalogue::CHILD_ENDED, service = service, pid = pid, status = %status);
}

pub fn died(service: &str, pid: u32, status: Ended, lived: Duration) {
    let lived = milliseconds(lived);
    event!(
        catalogue::CHILD_DIED,
        service = service,
        pid = pid,
        status = %status,
        lived_ms = lived
    );
}

/// Nothing to say if there is no delay.
pub fn delayed(service: &str, delay: Duration) {
    if !delay.is_zero() {
        let delay = milliseconds(delay);
        event!(
            catalogue::CHILD_DELAYED,
            service = service,
            delay_ms = delay
        );
    }
}

pub fn overdue(service: &str, pid: u32) {
    let reason = "it did not serve, or did not end, in time";
    event!(
        catalogue::CHILD_KILLED,
        service = service,
        pid = pid,
        reason = reason
    );
}

pub fn misbehaved(service: &str, pid: u32, fault: &str) {
    let protocol = Supervise::NAME;
    event!(
        catalogue::CHANNEL_FAULT,
        protocol = protocol,
        pid = pid,
        reason = fault
    );
    let reason = "it broke the rules of its control channel";
    event!(
        catalogue::CHILD_KILLED,
        service = service,
        pid = pid,
        reason = reason
    );
}

pub fn session_started(service: &str, pid: u32, uid: u32, user: &str, client: IpAddr) {
    event!(
        catalogue::SESSION_STARTED,
        service = service,
        pid = pid,
        uid = uid,
        user = user,
        client = %client
    );
}

pub fn session_ended(service: &str, pid: u32, status: Ended) {
    event!(catalogue::SESSION_ENDED, service = service, pid = pid, status = %status);
}

pub fn session_refused(client: Option<IpAddr>, user: Option<&str>, reason: &str) {
    let client = client.map(telemetry::display);
    event!(
        catalogue::SESSION_REFUSED,
        client = client,
        user = user,
        reason = reason
    );
}

pub fn not_told(pid: u32, reason: &str) {
    event!(
        catalogue::CHANNEL_FAULT,
        protocol = Supervise::NAME,
        pid = pid,
        reason = reason
    );
}

/// One event per fault.
pub fn reload_refused(config: &Path, faults: &str) {
    for fault in faults.lines() {
        event!(catalogue::CONFIG_REFUSED, config = %config.display(), reason = fault);
    }
}

pub fn reloaded(config: &Path) {
    event!(catalogue::CONFIG_RELOADED, config = %config.display());
}

pub fn stopping(reason: &str) {
    event!(catalogue::MASTER_STOPPING, reason = reason);
}

pub fn stopped() {
    event!(catalogue::MASTER_ENDED);
}

/// For the log; more than half a billion years are cut.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
