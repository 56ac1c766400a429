//! Starting workers as their users.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use config::{Config, Selection};
use sandbox::fds::sealed_memory;
use sandbox::ids::Identity;
use sandbox::listen::duplicate;
use sandbox::process::Program;

use crate::worker::CHANNEL;
use crate::{COMMAND_WORKER, MAILBOX_WORKER};

/// What distinguishes workers: whose rights, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkerKey {
    /// The user that it becomes; `None` when the suite runs without root.
    pub user: Option<WorkerUser>,
    /// What it does.
    pub job: WorkerJob,
}

/// Whose rights a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerUser {
    /// Never 0.
    pub uid: u32,
    /// Never 0.
    pub gid: u32,
    /// One more group, for the folder of mboxes.
    pub extra_group: Option<u32>,
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkerJob {
    /// Mailboxes in this folder.
    Mailboxes(PathBuf),
    /// Commands of aliases.
    Commands,
}

/// Starts this program again as a worker.
#[derive(Debug)]
pub struct Starter {
    executable: PathBuf,
    config: OwnedFd,
}

impl Starter {
    /// Prepares what every worker is given: the program and the settings.
    pub fn new(config: &Config) -> io::Result<Self> {
        let text = config.render(Selection::Changed);
        Ok(Self {
            executable: std::env::current_exe()?,
            config: sealed_memory("config", text.as_bytes())?,
        })
    }

    /// Starts a worker; answers its process id and our end of its channel.
    pub fn start(&self, key: &WorkerKey) -> io::Result<(u32, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut program = Program::new(&self.executable, "posthouse: local-delivery worker")
            .fd("config", duplicate(&self.config)?)
            .fd(CHANNEL, OwnedFd::from(theirs));
        program = match &key.job {
            WorkerJob::Mailboxes(folder) => program.argument(MAILBOX_WORKER).argument(folder),
            WorkerJob::Commands => program.argument(COMMAND_WORKER),
        };
        if let Some(user) = key.user {
            program = program.identity(Identity {
                uid: user.uid,
                gid: user.gid,
                groups: user.extra_group.into_iter().collect(),
            });
        }
        Ok((program.start()?, OwnedFd::from(ours)))
    }
}
