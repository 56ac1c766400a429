//! A whole suite in one folder: configuration, users, ports, the running master.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::builder::SiteBuilder;
use crate::client::DialogError;
use crate::pop3::Pop3Client;
use crate::processes::{descendants_of, title_of};
use crate::programs::{program, programs_folder};
use crate::smtp::SmtpClient;
use crate::wait::{PATIENCE, eventually};

/// What went wrong with a site, in words.
#[derive(Debug)]
pub struct SiteError(String);

impl SiteError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl std::fmt::Display for SiteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SiteError {}

impl From<DialogError> for SiteError {
    fn from(error: DialogError) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn cannot(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> SiteError {
    move |error| SiteError(format!("cannot {what}: {error}"))
}

/// A user of a site.
#[derive(Clone, Debug)]
pub struct Account {
    /// `name@domain`
    pub address: String,
    /// In clear: it is a test's.
    pub password: String,
}

/// One suite: its folder, and its master while it runs.
#[derive(Debug)]
pub struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) _temporary: Option<tempfile::TempDir>,
    pub(crate) config: PathBuf,
    pub(crate) domain: String,
    pub(crate) smtp: SocketAddr,
    pub(crate) pop3: SocketAddr,
    pub(crate) accounts: Vec<Account>,
    pub(crate) run_as: Option<u32>,
    pub(crate) master: Option<Child>,
    pub(crate) give_up: Arc<AtomicBool>,
}

impl Site {
    /// What a new site is to be like.
    #[must_use]
    pub fn builder() -> SiteBuilder {
        SiteBuilder::default()
    }

    /// A site with nothing special, running.
    ///
    /// # Errors
    /// As [`SiteBuilder::start`].
    pub fn running() -> Result<Self, SiteError> {
        Self::builder().start()
    }

    /// Adds a user, or gives one who is `known` from an earlier start the password.
    pub(crate) fn add_user(
        &mut self,
        name: &str,
        password: &str,
        arguments: &[String],
        known: &[String],
    ) -> Result<(), SiteError> {
        let address = if name.contains('@') {
            name.to_owned()
        } else {
            format!("{name}@{}", self.domain)
        };
        let (verb, arguments) = if known.contains(&address) {
            ("passwd", &[][..])
        } else {
            ("add", arguments)
        };
        let mut command = self.posthouse(&["user", verb, &address, "--password-stdin"])?;
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(cannot("run `posthouse user`"))?;
        if let Some(mut input) = child.stdin.take() {
            // A command that ended before it read it says why itself.
            let _ = writeln!(input, "{password}");
        }
        let output = child
            .wait_with_output()
            .map_err(cannot("wait for `posthouse user`"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(SiteError::new(format!(
                "`posthouse user {verb} {address}` failed: {said}"
            )));
        }
        self.accounts.push(Account {
            address,
            password: password.to_owned(),
        });
        Ok(())
    }

    /// The users of the users file, if there is one.
    pub(crate) fn user_names(&self) -> Result<Vec<String>, SiteError> {
        if !self.dir.join("users").exists() {
            return Ok(Vec::new());
        }
        let list = self.run_posthouse(&["user", "list"])?;
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        Ok(list.lines().filter_map(first).collect())
    }

    /// Gives the files to the ordinary user who is to run the suite. For root, master sees to it.
    pub(crate) fn hand_over(&self) -> Result<(), SiteError> {
        let Some(uid) = self.run_as else {
            return Ok(());
        };
        for name in ["", "aliases", "posthouse.toml"] {
            let path = self.dir.join(name);
            chown(&path, Some(uid), Some(uid))
                .map_err(cannot(format!("give {} away", path.display())))?;
        }
        Ok(())
    }

    /// Has master look at the settings; its complaints, without the names of a file that goes away.
    pub(crate) fn check_settings(&self) -> Result<(), SiteError> {
        let output = self
            .master()?
            .arg("--check")
            .output()
            .map_err(cannot("run `master --check`"))?;
        if output.status.success() {
            return Ok(());
        }
        let file = format!("{}:", self.config.display());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let faults = said.trim().trim_start_matches("master: ").lines();
        let faults = faults.map(|fault| {
            let number = |c: char| c.is_ascii_digit() || c == ':';
            fault
                .strip_prefix(&file)
                .map_or(fault, |rest| rest.trim_start_matches(number).trim_start())
        });
        let faults: Vec<_> = faults.collect();
        Err(SiteError::new(format!(
            "the settings are refused:\n  {}",
            faults.join("\n  ")
        )))
    }

    /// master on this site's configuration.
    fn master(&self) -> Result<Command, SiteError> {
        let mut command = Command::new(program("master").map_err(SiteError::new)?);
        command.arg("--config").arg(&self.config);
        if let Some(uid) = self.run_as {
            command.uid(uid).gid(uid);
        }
        Ok(command)
    }

    /// Starts master and waits until SMTP and POP3 greet.
    ///
    /// # Errors
    /// Says what failed, with the end of the log.
    pub fn start(&mut self) -> Result<(), SiteError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(cannot("open the log"))?;
        let mut command = self.master()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        self.master = Some(command.spawn().map_err(cannot("start master"))?);
        self.await_greeting("SMTP", |site| {
            let limit = Duration::from_secs(10);
            let mut client = SmtpClient::connect_patiently(site.smtp, limit).ok()?;
            client.expect(220).ok()?;
            client.command("QUIT", 221).ok()
        })?;
        self.await_greeting("POP3", |site| {
            let limit = Duration::from_secs(10);
            Pop3Client::connect_patiently(site.pop3, limit)
                .ok()?
                .quit()
                .ok()
        })
    }

    fn await_greeting<T>(
        &mut self,
        what: &str,
        mut greeted: impl FnMut(&Self) -> Option<T>,
    ) -> Result<(), SiteError> {
        let mut ended = None;
        let answer = eventually(PATIENCE, || {
            ended = self
                .master
                .as_mut()
                .and_then(|master| master.try_wait().ok().flatten());
            if ended.is_some() || self.given_up() {
                Some(false)
            } else {
                greeted(self).map(|_| true)
            }
        });
        if ended.is_some() {
            self.master = None;
        }
        match (answer, ended) {
            (Some(true), _) => Ok(()),
            _ if self.given_up() => Err(SiteError::new("interrupted")),
            (_, Some(status)) => Err(self.failed(&format!("master ended with {status}"))),
            _ => Err(self.failed(&format!("{what} did not greet within {PATIENCE:?}"))),
        }
    }

    fn given_up(&self) -> bool {
        self.give_up.load(Ordering::Relaxed)
    }

    fn failed(&self, what: &str) -> SiteError {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(30).collect();
        let tail: Vec<_> = lines.into_iter().rev().collect();
        SiteError::new(format!("{what}; the log ends:\n{}", tail.join("\n")))
    }

    /// Asks master to stop and waits for it.
    ///
    /// # Errors
    /// When it is not running or does not end.
    pub fn stop(&mut self) -> Result<ExitStatus, SiteError> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_end()
    }

    /// Waits until master has ended by itself.
    ///
    /// # Errors
    /// When it is not running or does not end.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, SiteError> {
        let mut master = self
            .master
            .take()
            .ok_or_else(|| SiteError::new("master is not running"))?;
        let ended = eventually(PATIENCE, || master.try_wait().ok().flatten());
        ended.ok_or_else(|| {
            // It hangs: leave nothing behind.
            let _ = master.kill();
            let _ = master.wait();
            self.failed("master did not stop")
        })
    }

    /// Sends master a signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, signal: Signal) -> Result<(), SiteError> {
        let pid = self
            .master_pid()
            .ok_or_else(|| SiteError::new("master is not running"))?;
        kill(pid, signal).map_err(|error| SiteError::new(format!("cannot signal master: {error}")))
    }

    /// Kills master and everything below it with SIGKILL, at once.
    pub fn kill_all(&mut self) {
        let Some(mut master) = self.master.take() else {
            return;
        };
        let below = i32::try_from(master.id()).map(|pid| descendants_of(Pid::from_raw(pid)));
        // First master, so that it restarts nobody.
        let _ = master.kill();
        for pid in below.unwrap_or_default() {
            // Gone already is as good.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = master.wait();
    }

    /// The pids of a program by the name it shows in `ps`, such as `smtpd` or `local-delivery worker`.
    #[must_use]
    pub fn pids_of(&self, name: &str) -> Vec<Pid> {
        let Some(master) = self.master_pid() else {
            return Vec::new();
        };
        let mut below = descendants_of(master);
        below.retain(|pid| title_of(*pid).is_some_and(|title| title == name));
        below
    }

    /// master's pid while it runs.
    #[must_use]
    pub fn master_pid(&self) -> Option<Pid> {
        self.master
            .as_ref()
            .and_then(|master| i32::try_from(master.id()).ok())
            .map(Pid::from_raw)
    }

    /// A `posthouse` command on this site's configuration, ready to run.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn posthouse(&self, arguments: &[&str]) -> Result<Command, SiteError> {
        let mut command = Command::new(program("posthouse").map_err(SiteError::new)?);
        command.arg("--config").arg(&self.config).args(arguments);
        if let Some(uid) = self.run_as {
            command.uid(uid).gid(uid);
        }
        Ok(command)
    }

    /// Runs `posthouse` and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run_posthouse(&self, arguments: &[&str]) -> Result<String, SiteError> {
        let output = self
            .posthouse(arguments)?
            .output()
            .map_err(cannot("run posthouse"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(SiteError::new(format!(
            "`posthouse {}` failed: {said}",
            arguments.join(" ")
        )))
    }

    /// Waits until `count` messages can be fetched for `account`, and fetches them all.
    ///
    /// # Errors
    /// When they do not come.
    pub fn fetch(&self, account: &Account, count: usize) -> Result<Vec<Vec<u8>>, SiteError> {
        let fetched = eventually(PATIENCE, || self.fetch_now(account, count).ok().flatten());
        fetched.ok_or_else(|| {
            self.failed(&format!(
                "{count} messages for {} did not come",
                account.address
            ))
        })
    }

    fn fetch_now(
        &self,
        account: &Account,
        count: usize,
    ) -> Result<Option<Vec<Vec<u8>>>, DialogError> {
        let mut client = Pop3Client::login(self.pop3, &account.address, &account.password)?;
        let (there, _) = client.stat()?;
        if there < count {
            return client.quit().map(|_| None);
        }
        let messages = (1..=there)
            .map(|number| client.retrieve(number))
            .collect::<Result<_, _>>()?;
        client.quit()?;
        Ok(Some(messages))
    }

    /// A greeted SMTP connection.
    ///
    /// # Errors
    /// When the server does not greet.
    pub fn smtp_client(&self) -> Result<SmtpClient, SiteError> {
        Ok(SmtpClient::greeted(self.smtp)?)
    }

    /// What a shell script needs to know, as `NAME`, value.
    ///
    /// # Errors
    /// When the programs' folder cannot be told.
    pub fn environment(&self) -> Result<Vec<(&'static str, String)>, SiteError> {
        let bin = programs_folder().map_err(SiteError::new)?;
        let mut variables = vec![
            ("POSTHOUSE_HOST", self.smtp.ip().to_string()),
            ("POSTHOUSE_SMTP_PORT", self.smtp.port().to_string()),
            ("POSTHOUSE_POP3_PORT", self.pop3.port().to_string()),
            ("POSTHOUSE_DOMAIN", self.domain.clone()),
            ("POSTHOUSE_USER", self.alice().address.clone()),
            ("POSTHOUSE_PASSWORD", self.alice().password.clone()),
            ("POSTHOUSE_USER2", self.bob().address.clone()),
            ("POSTHOUSE_PASSWORD2", self.bob().password.clone()),
            ("POSTHOUSE_DIR", self.dir.display().to_string()),
            ("POSTHOUSE_CONFIG", self.config.display().to_string()),
            ("POSTHOUSE_BIN", bin.display().to_string()),
        ];
        if let Some(pid) = self.master_pid() {
            variables.push(("POSTHOUSE_MASTER_PID", pid.to_string()));
        }
        Ok(variables)
    }

    /// The first user.
    #[must_use]
    pub fn alice(&self) -> &Account {
        &self.accounts[0]
    }

    /// The second user.
    #[must_use]
    pub fn bob(&self) -> &Account {
        &self.accounts[1]
    }

    /// All users, in order of their making.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Where SMTP listens.
    #[must_use]
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Where POP3 listens.
    #[must_use]
    pub fn pop3(&self) -> SocketAddr {
        self.pop3
    }

    /// The site's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The log file.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("posthouse.log")
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill_all();
    }
}
