//! The session half of POP3: one process, one client that has logged in, one mailbox.
//!
//! master starts it as the mailbox's owner when the directory has confirmed the login. It jails itself to the one
//! mailbox, opens and locks that, answers the PASS that the client is waiting on, and serves until QUIT.
//!
//! Invariants: it never sees a password; what it can touch is one mailbox, with the rights of its owner; messages are
//! removed only for QUIT (RFC 1939 §6), so that a session that is cut, killed or told to end removes nothing; memory
//! grows with the number of messages (some 100 octets each), not with their size.
//!
//! Deliberately absent: threads, tokio, sockets other than the client's.

mod client;
mod log;
mod serve;

use std::net::TcpStream;
use std::path::PathBuf;

use config::Config;
use daemon::{Assignment, Error, Service};
use ipc::protocol::{MailboxFormat, MailboxSpec};
use mailbox::mbox::LockOptions;
use mailbox::quota::Quota;
use mailbox::{Format, Location};
use pop3_proto::{Capabilities, SessionOptions};

use serve::{Options, Report, serve};

/// Serves the session that master assigns, to its end.
///
/// # Errors
/// Nothing was assigned, or the jail does not close. What happens to the session is logged and is no error.
pub fn run(mut service: Service) -> Result<(), Error> {
    let client = TcpStream::from(service.take("client")?);
    let (mut life, assignment) = service.assignment()?;
    let Assignment {
        mailbox,
        client: address,
        sent_ahead,
    } = assignment;
    let location = location(&mailbox);
    service.jail(&places(&location))?;
    life.ready()?;
    let options = options(service.config());
    let log = log::Log::new(address, &mailbox.user);
    let report = serve(client, &mut life, &location, &options, &sent_ahead, &log);
    log.closed(&report);
    Ok(())
}

fn location(mailbox: &MailboxSpec) -> Location {
    Location {
        path: mailbox.path.clone(),
        format: match mailbox.format {
            MailboxFormat::Maildir => Format::Maildir,
            MailboxFormat::Mbox => Format::Mbox,
        },
        owner: mailbox.uid,
        quota: Quota {
            bytes: mailbox.quota_bytes,
            messages: mailbox.quota_messages,
        },
    }
}

/// What the jail leaves open: a Maildir, or an mbox's folder, where its lock and its successor are made.
/// What is not there is an empty mailbox, and stays closed.
fn places(location: &Location) -> Vec<PathBuf> {
    let place = match location.format {
        Format::Maildir => Some(location.path.as_path()),
        Format::Mbox => location.path.parent(),
    };
    place
        .filter(|place| place.is_dir())
        .map(|place| vec![place.to_owned()])
        .unwrap_or_default()
}

fn options(config: &Config) -> Options {
    Options {
        session: SessionOptions {
            capabilities: Capabilities {
                login_delay: config.pop3.login_delay.as_secs(),
            },
            max_errors: config.pop3.error_limit,
        },
        idle_timeout: config.pop3.idle_timeout,
        lock: LockOptions {
            timeout: config.local_delivery.lock_timeout,
            stale_after: config.local_delivery.stale_lock_time,
        },
    }
}
