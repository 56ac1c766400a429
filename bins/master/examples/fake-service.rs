//! A stand-in for every service, for the tests of master: it lives the common life of a service and behaves as
//! the file `NAME.behaviour` in its folder says. What happens to it goes into the file `events` there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use daemon::{Error, Life, Role, Service, Wake};
use ipc::protocol::{
    ChildMessage, MailboxFormat, MailboxSpec, MasterMessage, SessionProgram, SessionTicket, Ticket,
};

/// Where the events go, found before the service leaves its folder.
struct Fake {
    name: String,
    folder: PathBuf,
    behaviour: String,
}

impl Fake {
    fn tell(&self, event: &str) {
        let line = format!("{} {} {event}\n", self.name, std::process::id());
        let file = File::options()
            .append(true)
            .create(true)
            .open(self.folder.join("events"));
        if let Ok(mut file) = file {
            // One write, so that the lines of several services do not mix.
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// The behaviour has been taken back.
    fn is_told_to_go(&self) -> bool {
        let file = self.folder.join(format!("{}.behaviour", self.name));
        fs::read_to_string(file).is_ok_and(|behaviour| behaviour.is_empty())
    }

    fn does(&self, behaviour: &str) -> bool {
        self.behaviour
            .split_whitespace()
            .any(|word| word == behaviour)
    }
}

fn main() -> ExitCode {
    let title = std::env::args().next().unwrap_or_default();
    let name = title.trim_start_matches("posthouse: ").to_owned();
    let folder = std::env::current_dir().unwrap_or_default();
    let behaviour =
        fs::read_to_string(folder.join(format!("{name}.behaviour"))).unwrap_or_default();
    let fake = Fake {
        name,
        folder,
        behaviour,
    };
    fake.tell("start");
    if fake.does("crash") {
        return ExitCode::FAILURE;
    }
    let role = match fake.name.as_str() {
        "directory" => Role::Directory,
        "queue-manager" => Role::QueueManager,
        "local-delivery" => Role::LocalDelivery,
        "pop3d" => Role::Pop3Login,
        "pop3-session" => Role::Pop3Session,
        _ => Role::Smtpd,
    };
    daemon::main(role, |service| match role {
        Role::Pop3Session => session(&fake, service),
        _ => serve(&fake, service),
    })
}

fn serve(fake: &Fake, mut service: Service) -> Result<(), Error> {
    let listeners = service.listeners("smtp").len() + service.listeners("pop3").len();
    let local = service.take("ipc").is_ok();
    if fake.does("garbage") {
        let control = service.take("control")?;
        // 3 GiB of body, and more descriptors than there can be.
        let _ = File::from(control).write_all(&[0xC0; 64]);
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
    service.run(async |mut life| {
        if fake.does("unready") {
            return forever().await;
        }
        life.ready()?;
        fake.tell(&format!("ready listeners={listeners} ipc={local}"));
        if fake.does("wrong-word") || fake.does("confirm") {
            for ticket in TICKETS {
                life.tell(&confirmation(ticket, owner()), Bytes::new(), Vec::new())?;
            }
        }
        if fake.does("confirm-root") {
            life.tell(&confirmation(TICKETS[0], 0), Bytes::new(), Vec::new())?;
        }
        if fake.does("log-in") {
            for ticket in TICKETS {
                log_in(fake, &mut life, ticket).await?;
            }
        }
        life.drain().requested().await;
        fake.tell("drain");
        while fake.does("lingering") && !fake.is_told_to_go() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        if fake.does("stubborn") {
            return forever().await;
        }
        fake.tell("end");
        Ok(())
    })
}

async fn forever() -> Result<(), Error> {
    std::future::pending().await
}

const TICKETS: [Ticket; 2] = [Ticket(7), Ticket(8)];

/// Who owns the mailbox: somebody else, if that is possible.
fn owner() -> u32 {
    match sandbox::ids::effective_uid() {
        0 => 45_321,
        own => own,
    }
}

fn confirmation(ticket: Ticket, uid: u32) -> ChildMessage {
    let Ok(user) = "alice@example.org".parse() else {
        std::process::abort()
    };
    ChildMessage::ConfirmSession(SessionTicket {
        ticket,
        program: SessionProgram::Pop3,
        mailbox: MailboxSpec {
            user,
            uid,
            gid: uid,
            format: MailboxFormat::Maildir,
            path: "/nowhere".into(),
            quota_bytes: 0,
            quota_messages: 0,
        },
    })
}

/// Plays a login half with a client of its own, and tells what the client got to read.
async fn log_in(fake: &Fake, life: &mut Life, shown: Ticket) -> Result<(), Error> {
    let io = |source| Error::Io {
        doing: "play the client",
        source,
    };
    let (mut client, server) = UnixStream::pair().map_err(io)?;
    let request = ChildMessage::StartSession {
        ticket: shown,
        client: Ipv4Addr::LOCALHOST.into(),
    };
    life.tell(
        &request,
        Bytes::from_static(b"STAT"),
        vec![OwnedFd::from(server)],
    )?;
    match life.message().await {
        MasterMessage::SessionStarted { ticket } if ticket == shown => {
            let mut said = String::new();
            client.read_to_string(&mut said).map_err(io)?;
            fake.tell(&format!("session said {said}"));
        }
        other => fake.tell(&format!("answer {other:?}")),
    }
    Ok(())
}

/// Plays a session half.
fn session(fake: &Fake, mut service: Service) -> Result<(), Error> {
    let io = |source| Error::Io {
        doing: "answer the client",
        source,
    };
    let (mut life, assignment) = service.assignment()?;
    life.ready()?;
    let mut client = UnixStream::from(service.take("client")?);
    let ahead = String::from_utf8_lossy(&assignment.sent_ahead).into_owned();
    let uid = sandbox::ids::effective_uid();
    write!(client, "{} {uid} {ahead}", assignment.mailbox.user).map_err(io)?;
    if fake.does("stay") {
        client.shutdown(std::net::Shutdown::Write).map_err(io)?;
        // A client that says nothing.
        let (quiet, _other_end) = UnixStream::pair().map_err(io)?;
        let patience = std::time::Duration::from_secs(60);
        while life.wait(quiet.as_fd(), patience).map_err(io)? != Wake::Drain {}
        fake.tell("drain");
    }
    fake.tell("end");
    Ok(())
}
