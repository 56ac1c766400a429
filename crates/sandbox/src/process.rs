//! Starting programs: what a child gets is listed, everything else it does not get.
//!
//! Invariants: the environment holds nothing but what is listed here and the table of descriptors; every
//! descriptor that is not handed down is closed by exec; an identity is taken on, and verified, before the
//! new program's first instruction; signals are neither blocked nor ignored.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{self, SigHandler, SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::caps;
use crate::fds::{FDS_VARIABLE, FIRST_FD};
use crate::ids::{self, Identity};

/// The search path of children; ours start no program by name, but a delivery command's shell may.
const SAFE_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program to be started.
#[derive(Debug)]
pub struct Program {
    executable: PathBuf,
    title: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    fds: Vec<(String, OwnedFd)>,
    identity: Option<Identity>,
}

impl Program {
    /// The program in `executable`; `title` is how `ps` shows it.
    pub fn new(executable: impl Into<PathBuf>, title: impl Into<OsString>) -> Self {
        Self {
            executable: executable.into(),
            title: title.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            fds: Vec::new(),
            identity: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a variable to the otherwise nearly empty environment.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.into()));
        self
    }

    /// Hands a descriptor down under a name.
    #[must_use]
    pub fn fd(mut self, name: impl Into<String>, fd: OwnedFd) -> Self {
        self.fds.push((name.into(), fd));
        self
    }

    /// Becomes this user, for good and without any way to gain privileges, before the program starts.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Starts the program and answers its process id. Collect it with [`reap`] or [`wait`] when it has ended.
    ///
    /// It starts in the folder of its executable, which is entered before the identity is taken on: the folders
    /// above may be closed to that user. Ours go to `/` first of all.
    pub fn start(self) -> io::Result<u32> {
        let (folder, file) = self.location()?;
        let mut command = Command::new(file);
        command
            .arg0(&self.title)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", SAFE_PATH)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(FDS_VARIABLE, self.table())
            .current_dir(folder)
            .stdin(Stdio::null());
        let handed: Vec<RawFd> = self.fds.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
        let identity = self.identity.clone();
        // SAFETY: prepare_child makes only async-signal-safe system calls and allocates nothing.
        unsafe { command.pre_exec(move || prepare_child(&handed, identity.as_ref())) };
        let child = command.spawn().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot start {}: {error}", self.executable.display()),
            )
        })?;
        Ok(child.id())
    }

    /// The folder of the executable, and its path from there.
    fn location(&self) -> io::Result<(&Path, PathBuf)> {
        match (self.executable.parent(), self.executable.file_name()) {
            (Some(folder), Some(file)) if folder.is_absolute() => {
                Ok((folder, Path::new(".").join(file)))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} is not an absolute path of a program",
                    self.executable.display()
                ),
            )),
        }
    }

    /// `name:number` of every descriptor handed down; a child gets them under the numbers that they have here.
    fn table(&self) -> String {
        let entries: Vec<String> = self
            .fds
            .iter()
            .map(|(name, fd)| format!("{name}:{}", fd.as_raw_fd()))
            .collect();
        entries.join(",")
    }
}

/// Runs in the child between fork and exec: lets these descriptors and no others through, takes on the identity.
fn prepare_child(fds: &[RawFd], identity: Option<&Identity>) -> io::Result<()> {
    close_on_exec_from(FIRST_FD.unsigned_abs());
    reset_signals()?;
    for fd in fds {
        // SAFETY: the parent owns these descriptors until spawn returns, and the child has copies of them all.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(*fd) };
        fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    if let Some(identity) = identity {
        caps::set_no_new_privileges()?;
        ids::take_on(identity)?;
    }
    Ok(())
}

/// Unblocks all signals and gives those that we handle or ignore their default effect back: exec keeps both.
fn reset_signals() -> io::Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: the default action installs no handler.
        unsafe { signal::signal(signal, SigHandler::SigDfl) }?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Marks every descriptor from `first` upwards close-on-exec.
///
/// Ours are so already; this is for those that this process inherited itself without knowing. Kernels before 5.11
/// cannot do it, and the services close what they were not told of once more when they start.
fn close_on_exec_from(first: u32) {
    // SAFETY: this only sets a flag on descriptors, which no safety property depends on.
    unsafe { libc::close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Ended {
    /// Whether the program ended by itself and said that all went well.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(formatter, "exit status {status}"),
            Self::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(formatter, "killed by {}", signal.as_str()),
                Err(_) => write!(formatter, "killed by signal {number}"),
            },
        }
    }
}

/// Collects one dead child, if there is one; never waits.
pub fn reap() -> io::Result<Option<(u32, Ended)>> {
    next_dead()?.map(|pid| Ok((pid, wait(pid)?))).transpose()
}

/// A child that has ended and has not been collected yet, if there is one; never waits.
///
/// Until [`wait`] collects it, its process id is not given to anybody else.
pub fn next_dead() -> io::Result<Option<u32>> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, flags) {
            Ok(status) => return Ok(status.pid().map(|pid| pid.as_raw().unsigned_abs())),
            Err(nix::Error::ECHILD) => return Ok(None),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for one child to end, and collects it.
pub fn wait(pid: u32) -> io::Result<Ended> {
    let pid = to_pid(pid)?;
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(Ended::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Ended::Killed(signal as i32)),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks a process to end (SIGTERM). One that is gone already is no error.
pub fn terminate(pid: u32) -> io::Result<()> {
    send(pid, Signal::SIGTERM)
}

/// Ends a process at once (SIGKILL). One that is gone already is no error.
pub fn kill(pid: u32) -> io::Result<()> {
    send(pid, Signal::SIGKILL)
}

/// Ends a process that leads a group of its own, and all of its group, at once (SIGKILL). That they are gone
/// already is no error.
pub fn kill_group(leader: u32) -> io::Result<()> {
    match signal::killpg(to_pid(leader)?, Signal::SIGKILL) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn send(pid: u32, signal: Signal) -> io::Result<()> {
    match signal::kill(to_pid(pid)?, signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A process id; 0 and numbers that would mean a group or everybody are refused.
fn to_pid(pid: u32) -> io::Result<Pid> {
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{pid} is not a process id"),
        )),
    }
}

/// Sets the name of this thread, the one that `ps -o comm` shows for the main thread.
pub fn set_name(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    nix::sys::prctl::set_name(&name)?;
    Ok(())
}

/// Makes `folder` the root folder and the working folder of this process. Needs `CAP_SYS_CHROOT`.
pub fn change_root(folder: &Path) -> io::Result<()> {
    std::env::set_current_dir(folder)?;
    nix::unistd::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Files made from now on are for their owner alone.
pub fn set_private_umask() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}
