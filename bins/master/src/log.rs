//! What master logs: each start, end and refusal, with process ids.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use sandbox::process::Ended;
use tracing::{error, info, warn};

use crate::plan::Plan;
use crate::sockets::Change;

/// Starts the log.
pub fn begin(_plan: &Plan) -> Result<(), String> {
    Ok(())
}

pub fn listening(change: &Change) {
    for (service, address) in &change.opened {
        info!(service, %address, "listening");
    }
    for (service, address) in &change.closed {
        info!(service, %address, "closed");
    }
}

pub fn started(service: &str, pid: u32) {
    info!(service, pid, "started");
}

pub fn not_started(service: &str, error: &io::Error, delay: Duration) {
    error!(service, %error, ?delay, "not started");
}

pub fn ready(service: &str, pid: u32) {
    info!(service, pid, "ready");
}

pub fn all_ready() {
    info!("all services are ready");
}

pub fn ended(service: &str, pid: u32, status: Ended, lived: Duration) {
    info!(service, pid, %status, ?lived, "ended");
}

pub fn died(service: &str, pid: u32, status: Ended, lived: Duration, delay: Duration) {
    warn!(service, pid, %status, ?lived, ?delay, "died");
}

pub fn overdue(service: &str, pid: u32) {
    warn!(service, pid, "killed: it did not start or end in time");
}

pub fn misbehaved(service: &str, pid: u32, fault: &str) {
    error!(
        service,
        pid, fault, "killed: it broke the protocol of its control channel"
    );
}

pub fn session_started(pid: u32, user: &str, client: IpAddr) {
    info!(pid, user, %client, "session started");
}

pub fn session_ended(pid: u32, status: Ended, lived: Duration) {
    info!(pid, %status, ?lived, "session ended");
}

pub fn session_refused(reason: &str) {
    warn!(reason, "session refused");
}

pub fn not_told(service: &str, pid: u32, reason: &str) {
    warn!(service, pid, reason, "not told");
}

pub fn reload_refused(reason: &str) {
    error!(reason, "reload refused");
}

pub fn reloaded(generation: u64) {
    info!(generation, "reloaded");
}

pub fn stopping() {
    info!("stopping");
}

pub fn hurrying() {
    warn!("stopping at once");
}
