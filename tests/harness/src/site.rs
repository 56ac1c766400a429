//! A whole suite in one folder: configuration, users, ports, the running master.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::client::DialogError;
use crate::pop3::Pop3Client;
use crate::programs::{program, programs_folder};
use crate::smtp::SmtpClient;
use crate::wait::{PATIENCE, eventually};

/// Ids for the service users when root runs a site: far above those of real accounts, and no
/// passwd entry is needed for them.
const ID_NET: u32 = 64_101;
const ID_QUEUE: u32 = 64_102;
const ID_DIRECTORY: u32 = 64_103;
const ID_VMAIL: u32 = 64_104;
const ID_GROUP: u32 = 64_100;

/// The domain that every site serves.
const DOMAIN: &str = "posthouse.test";

/// What went wrong with a site, in words.
#[derive(Debug)]
pub struct SiteError(String);

impl SiteError {
    fn new(what: impl Into<String>) -> Self {
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

fn cannot(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> SiteError {
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

/// What a site is to be like.
#[derive(Debug, Default)]
pub struct SiteBuilder {
    folder: Option<PathBuf>,
    settings: BTreeMap<String, BTreeMap<String, String>>,
    aliases: String,
    users: Vec<(String, String, Vec<String>)>,
    run_as: Option<u32>,
}

impl SiteBuilder {
    /// Uses this folder and keeps it; otherwise a temporary one goes away with the site.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Overrides `section.key`. A value that is no TOML (`5min`) is taken as a string.
    ///
    /// # Errors
    /// When the name has no section.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, SiteError> {
        let (section, key) = name
            .split_once('.')
            .ok_or_else(|| SiteError::new(format!("`{name}`: a setting is named section.key")))?;
        self.put(section, key, &toml_value(value));
        Ok(self)
    }

    /// Adds a line to the aliases file.
    #[must_use]
    pub fn alias(mut self, line: &str) -> Self {
        self.aliases.push_str(line);
        self.aliases.push('\n');
        self
    }

    /// Adds a user with a password and further arguments of `posthouse user add`.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, arguments: &[&str]) -> Self {
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        self.users
            .push((name.to_owned(), password.to_owned(), arguments));
        self
    }

    /// Runs the whole suite as this ordinary user; only root can ask for it.
    #[must_use]
    pub fn run_as(mut self, uid: u32) -> Self {
        self.run_as = Some(uid);
        self
    }

    fn put(&mut self, section: &str, key: &str, value: &str) {
        self.settings
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_owned());
    }

    fn put_default(&mut self, section: &str, key: &str, value: &str) {
        self.settings
            .entry(section.to_owned())
            .or_default()
            .entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    }

    /// Makes the folder, the configuration and the users; starts nothing.
    ///
    /// # Errors
    /// Says what could not be made.
    pub fn prepare(mut self) -> Result<Site, SiteError> {
        let (dir, temporary) = self.make_folder()?;
        let smtp = free_address().map_err(cannot("find a free port"))?;
        let pop3 = free_address().map_err(cannot("find a free port"))?;
        self.fill_settings(&dir, smtp, pop3);
        let config = dir.join("posthouse.toml");
        fs::write(&config, render(&self.settings)).map_err(cannot("write the configuration"))?;
        let accounts =
            ["alice", "bob"].map(|name| (name.to_owned(), format!("{name}-secret"), Vec::new()));
        let mut site = Site {
            smtp: self.address_of("smtpd", smtp),
            pop3: self.address_of("pop3", pop3),
            dir,
            _temporary: temporary,
            config,
            accounts: Vec::new(),
            run_as: self.run_as,
            master: None,
        };
        site.hand_over()?;
        for (name, password, arguments) in
            accounts.into_iter().chain(std::mem::take(&mut self.users))
        {
            site.add_user(&name, &password, &arguments)?;
        }
        Ok(site)
    }

    /// [`SiteBuilder::prepare`] and [`Site::start`].
    ///
    /// # Errors
    /// Says what failed, with the end of the log.
    pub fn start(self) -> Result<Site, SiteError> {
        let mut site = self.prepare()?;
        site.start()?;
        Ok(site)
    }

    fn make_folder(&self) -> Result<(PathBuf, Option<tempfile::TempDir>), SiteError> {
        let (dir, temporary) = match &self.folder {
            Some(folder) => {
                fs::create_dir_all(folder).map_err(cannot(format!("make {}", folder.display())))?;
                let folder = folder
                    .canonicalize()
                    .map_err(cannot("find the folder again"))?;
                (folder, None)
            }
            None => {
                let made = tempfile::Builder::new().prefix("posthouse-").tempdir();
                let made = made.map_err(cannot("make a temporary folder"))?;
                (made.path().to_path_buf(), Some(made))
            }
        };
        // The programs leave root behind and must still reach what is theirs below.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))
            .map_err(cannot("open the folder"))?;
        let aliases = format!("postmaster: alice\n{}", self.aliases);
        fs::write(dir.join("aliases"), aliases).map_err(cannot("write the aliases file"))?;
        Ok((dir, temporary))
    }

    fn fill_settings(&mut self, dir: &Path, smtp: SocketAddr, pop3: SocketAddr) {
        let path = |name: &str| quoted(&dir.join(name).to_string_lossy());
        self.put_default("paths", "queue_dir", &path("queue"));
        self.put_default("paths", "run_dir", &path("run"));
        self.put_default("domains", "hostname", &quoted(&format!("mail.{DOMAIN}")));
        self.put_default("domains", "local", &format!("[\"{DOMAIN}\"]"));
        self.put_default("smtpd", "listen", &format!("[\"{smtp}\"]"));
        self.put_default("pop3", "listen", &format!("[\"{pop3}\"]"));
        self.put_default("directory", "users_file", &path("users"));
        self.put_default("directory", "aliases_file", &path("aliases"));
        self.put_default("directory", "mail_root", &path("mail"));
        if Uid::effective().is_root() && self.run_as.is_none() {
            for (key, id) in [
                ("net", ID_NET),
                ("queue", ID_QUEUE),
                ("dir", ID_DIRECTORY),
                ("vmail", ID_VMAIL),
                ("group", ID_GROUP),
            ] {
                self.put_default("users", key, &quoted(&id.to_string()));
            }
        }
    }

    /// The first address a section listens on, should an override have changed it.
    fn address_of(&self, section: &str, otherwise: SocketAddr) -> SocketAddr {
        let listen = self
            .settings
            .get(section)
            .and_then(|keys| keys.get("listen"));
        listen
            .and_then(|value| value.split('"').nth(1))
            .and_then(|address| address.parse().ok())
            .unwrap_or(otherwise)
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A value as TOML: as it stands when it is TOML, else as a string.
fn toml_value(value: &str) -> String {
    match format!("x = {value}").parse::<toml::Table>() {
        Ok(_) => value.to_owned(),
        Err(_) => quoted(value),
    }
}

fn render(settings: &BTreeMap<String, BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (section, keys) in settings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{section}]");
        for (key, value) in keys {
            let _ = writeln!(text, "{key} = {value}");
        }
        text.push('\n');
    }
    text
}

/// Below the ports that the kernel gives to clients: a port out of those may be taken again before master binds it, by
/// any connection of any test that runs meanwhile.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

fn free_address() -> io::Result<SocketAddr> {
    let mut outcome = Err(io::Error::from(io::ErrorKind::AddrInUse));
    for _ in 0..100 {
        // The standard library's source of randomness.
        let random = RandomState::new().hash_one(0);
        let offset = u16::try_from(random % u64::from(PORTS.end - PORTS.start)).unwrap_or_default();
        outcome = TcpListener::bind((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        if outcome.is_ok() {
            break;
        }
    }
    outcome?.local_addr()
}

/// One suite: its folder, and its master while it runs.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    config: PathBuf,
    smtp: SocketAddr,
    pop3: SocketAddr,
    accounts: Vec<Account>,
    run_as: Option<u32>,
    master: Option<Child>,
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

    fn add_user(
        &mut self,
        name: &str,
        password: &str,
        arguments: &[String],
    ) -> Result<(), SiteError> {
        let address = if name.contains('@') {
            name.to_owned()
        } else {
            format!("{name}@{DOMAIN}")
        };
        let mut command = self.posthouse(&["user", "add", &address, "--password-stdin"])?;
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(cannot("run `posthouse user add`"))?;
        if let Some(mut input) = child.stdin.take() {
            // A command that ended before it read it says why itself.
            let _ = writeln!(input, "{password}");
        }
        let output = child
            .wait_with_output()
            .map_err(cannot("wait for `posthouse user add`"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(SiteError::new(format!(
                "`posthouse user add {address}` failed: {said}"
            )));
        }
        self.accounts.push(Account {
            address,
            password: password.to_owned(),
        });
        Ok(())
    }

    /// Gives the files to those who are to read them.
    fn hand_over(&self) -> Result<(), SiteError> {
        if !Uid::effective().is_root() {
            return Ok(());
        }
        let give = |name: &str, uid: u32, gid: u32| {
            let path = self.dir.join(name);
            chown(&path, Some(uid), Some(gid))
                .map_err(cannot(format!("give {} away", path.display())))
        };
        match self.run_as {
            Some(uid) => {
                for name in ["", "aliases", "posthouse.toml"] {
                    give(name, uid, uid)?;
                }
                Ok(())
            }
            None => {
                fs::create_dir_all(self.dir.join("mail"))
                    .map_err(cannot("make the mail folder"))?;
                give("mail", ID_VMAIL, ID_VMAIL)
            }
        }
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
        let mut command = Command::new(program("master").map_err(SiteError::new)?);
        command.arg("--config").arg(&self.config);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        if let Some(uid) = self.run_as {
            command.uid(uid).gid(uid);
        }
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
            if ended.is_some() {
                Some(false)
            } else {
                greeted(self).map(|_| true)
            }
        });
        match (answer, ended) {
            (Some(true), _) => Ok(()),
            (_, Some(status)) => Err(self.failed(&format!("master ended with {status}"))),
            _ => Err(self.failed(&format!("{what} did not greet within {PATIENCE:?}"))),
        }
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
        below.retain(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let title = arguments
                .split(|&byte| byte == 0)
                .next()
                .unwrap_or_default();
            title
                .strip_prefix(b"posthouse: ")
                .is_some_and(|shown| shown == name.as_bytes())
        });
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
            ("POSTHOUSE_DOMAIN", DOMAIN.to_owned()),
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

/// Everything below `root`, by the parents that /proc names.
fn descendants_of(root: Pid) -> Vec<Pid> {
    let parents = parents();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.remove(0);
    found
}

/// Every process with its parent.
fn parents() -> Vec<(Pid, Pid)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            // The name in parentheses may hold anything; state and parent follow the last one.
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((Pid::from_raw(pid), Pid::from_raw(parent)))
        })
        .collect()
}
