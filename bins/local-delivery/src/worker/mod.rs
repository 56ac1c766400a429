//! The part that touches mailboxes: one process per owner and folder.
//!
//! Invariants: it is never root; it is jailed before it reads what to do; what waits is delivered together.
//! It ends when the supervisor closes the channel, and not by a signal of a terminal or of systemd, which
//! would cut off deliveries.

mod batch;
mod command;
mod head;
mod mailbox_server;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use daemon::{Error, Role, Service};
use ipc::{Frame, PollConnection, Status};
use mailbox::mbox::LockOptions;
use mailbox::{Deliverer, FullMailbox, SyncOptions};
use sandbox::events::{Interest, Signals, poll};

use crate::worker_protocol::{Worker, WorkerReply, WorkerRequest};

/// The name under which a worker is handed its end of the channel.
pub const CHANNEL: &str = "work";

/// Runs a worker for the mailboxes in `folder`.
#[must_use]
pub fn mailbox_worker(folder: PathBuf) -> ExitCode {
    daemon::main(Role::DeliveryWorker, |mut service: Service| {
        let channel = prepare(&mut service)?;
        let server = mailbox_server::MailboxServer::new(deliverer(&service)?, full(&service));
        // A folder that is missing is made by the delivery, in the nearest one that is there.
        let given: Vec<PathBuf> = existing(&folder).into_iter().collect();
        service.jail(&given)?;
        serve(channel, |frames, answer| server.answer(frames, answer))
    })
}

/// Runs a worker for commands of aliases.
#[must_use]
pub fn command_worker() -> ExitCode {
    daemon::main(Role::CommandWorker, |mut service: Service| {
        let channel = prepare(&mut service)?;
        let time_limit = service.config().local_delivery.command_timeout;
        service.jail(&[])?;
        serve(channel, |frames, answer| {
            command::answer(frames, time_limit, answer)
        })
    })
}

/// What must be done before the jail closes.
fn prepare(service: &mut Service) -> Result<OwnedFd, Error> {
    let channel = service.take(CHANNEL)?;
    if sandbox::ids::is_root() {
        return Err(failed("deliver mail as root")(
            io::ErrorKind::PermissionDenied.into(),
        ));
    }
    Ok(channel)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

fn deliverer(service: &Service) -> Result<Deliverer, Error> {
    let config = service.config();
    let host = config
        .domains
        .host_name()
        .map_err(failed("find this host's name"))?;
    let settings = &config.local_delivery;
    let lock = LockOptions {
        timeout: settings.lock_timeout,
        stale_after: settings.stale_lock_time,
    };
    let sync = SyncOptions {
        whole_file_system: settings.sync_file_system && syncfs_tells_of_failures(),
    };
    Ok(Deliverer::new(host.as_ascii(), lock, sync))
}

/// Before Linux 5.8 `syncfs` did not say when writing had failed. An unknown kernel is taken for an old one.
fn syncfs_tells_of_failures() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    is_at_least_5_8(&release)
}

fn is_at_least_5_8(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
        _ => false,
    }
}

fn full(service: &Service) -> FullMailbox {
    match service.config().local_delivery.mailbox_full {
        config::settings::MailboxFull::Bounce => FullMailbox::Fail,
        config::settings::MailboxFull::Defer => FullMailbox::Defer,
    }
}

/// The nearest folder at or above `folder` that is there; never `/`, which would be no jail.
fn existing(folder: &Path) -> Option<PathBuf> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    (there != Path::new("/")).then(|| there.to_owned())
}

/// Gives all frames that wait to `answer`, again and again until the supervisor closes the channel.
fn serve(
    channel: OwnedFd,
    mut answer: impl FnMut(Vec<Frame<WorkerRequest>>, &mut dyn FnMut(u32, WorkerReply)),
) -> Result<(), Error> {
    let _kept_from_killing = Signals::new().map_err(failed("hold back signals"))?;
    let mut connection: PollConnection<Worker> =
        PollConnection::from_fd(channel).map_err(failed("talk to the supervisor"))?;
    loop {
        wait(&connection).map_err(failed("wait for the supervisor"))?;
        if connection.wants_write() && connection.write_available().is_err() {
            return Ok(());
        }
        let status = connection.read_available().map_err(Error::Control)?;
        if status == Status::Ended {
            // What was not begun is not begun any more: the queue gives it to somebody else.
            return Ok(());
        }
        let frames: Vec<_> = std::iter::from_fn(|| connection.next_frame()).collect();
        if frames.is_empty() {
            continue;
        }
        let mut gone = false;
        answer(frames, &mut |id, reply| {
            gone |= connection
                .send(id, &reply, bytes::Bytes::new(), Vec::new())
                .is_err();
        });
        if gone {
            return Ok(());
        }
    }
}

fn wait(connection: &PollConnection<Worker>) -> io::Result<()> {
    let interest = if connection.wants_write() {
        Interest::ReadableOrWritable
    } else {
        Interest::Readable
    };
    poll(&[(connection.as_fd(), interest)], None::<Duration>).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_apart() {
        let new = ["5.8.0", "6.1.0-13-amd64\n", "5.10.0", "10.0"];
        let old = ["5.7.19", "4.18.0-553.el8", "", "x.y"];
        assert!(new.into_iter().all(is_at_least_5_8));
        assert!(!old.into_iter().any(is_at_least_5_8));
    }

    #[test]
    fn the_jail_is_the_nearest_folder_that_is_there() {
        let place = tempfile::tempdir().unwrap();
        let here = place.path();
        assert_eq!(existing(here), Some(here.to_owned()));
        assert_eq!(existing(&here.join("a/b/c")), Some(here.to_owned()));
        assert_eq!(existing(Path::new("/no/such/folder")), None);
    }
}
