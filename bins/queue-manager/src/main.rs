//! Owns the queue: makes mail durable, schedules it, leases it to delivery agents.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main(daemon::Role::QueueManager, queue_manager::run)
}
