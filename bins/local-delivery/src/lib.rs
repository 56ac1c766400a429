//! Puts mail into mailboxes under the rights of their owners.
//!
//! Purpose: takes works from queue-manager and brings each recipient's copy into a mailbox, a file or a
//! command. One program in two parts. The [`supervisor`] talks to queue-manager and directory, and starts
//! workers; it never opens a mailbox. A [`worker`] is this program once more, started as a mailbox owner; it
//! jails itself in the folder of that owner's mailboxes before it reads its first work.
//!
//! Invariants: no file is touched and no command run as root; an outcome "delivered" is only told after the
//! worker said that the mail is synced; whatever happens to a worker, each of its recipients gets an outcome.
//!
//! Deliberately absent: the network, decisions on who a user is (directory) and on when to try again
//! (queue-manager), and filters (Sieve).
//!
//! RFC 5321 §4.4 (Return-Path at final delivery), RFC 9228 (Delivered-To).

pub mod supervisor;
pub mod worker;
pub mod worker_protocol;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The argument that makes this program a worker for mailboxes; the folder for its jail follows.
pub const MAILBOX_WORKER: &str = "--mailbox-worker";
/// The argument that makes this program a worker that runs one command.
pub const COMMAND_WORKER: &str = "--command-worker";

/// Runs the part of the program that the arguments name; without arguments the supervisor.
#[must_use]
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (part, folder) = (arguments.next(), arguments.next());
    match (part, folder) {
        (None, None) => supervisor::main(),
        (Some(part), Some(folder)) if part == MAILBOX_WORKER => {
            worker::mailbox_worker(PathBuf::from(folder))
        }
        (Some(part), None) if part == COMMAND_WORKER => worker::command_worker(),
        _ => {
            eprintln!("local-delivery is started by posthouse's master and takes no arguments");
            ExitCode::from(2)
        }
    }
}
