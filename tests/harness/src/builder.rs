//! What a site is to be like, and the making of its folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::unistd::Uid;

use crate::site::{Site, SiteError, cannot};

/// The first line of each configuration that is made here; it stands for "may be written anew".
pub const MADE_HERE: &str =
    "# Made by `cargo xtask try` or a test, and written anew at each start.";

/// Ids for the service users when root runs a site: far above those of real accounts, and no
/// passwd entry is needed for them.
const ID_NET: u32 = 64_101;
const ID_QUEUE: u32 = 64_102;
const ID_DIRECTORY: u32 = 64_103;
const ID_VMAIL: u32 = 64_104;
const ID_GROUP: u32 = 64_100;

/// The domain of a site, unless `domains.local` is set.
const DOMAIN: &str = "posthouse.test";

/// What a site is to be like.
#[derive(Debug, Default)]
pub struct SiteBuilder {
    folder: Option<PathBuf>,
    settings: BTreeMap<String, BTreeMap<String, String>>,
    aliases: String,
    users: Vec<(String, String, Vec<String>)>,
    run_as: Option<u32>,
    give_up: Arc<AtomicBool>,
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

    /// Stops waiting for the suite when this becomes true.
    #[must_use]
    pub fn give_up_when(mut self, flag: &Arc<AtomicBool>) -> Self {
        self.give_up = Arc::clone(flag);
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
        let kept = self.folder.is_some();
        let mut site = Site {
            smtp: self.first("smtpd", "listen").unwrap_or(smtp),
            pop3: self.first("pop3", "listen").unwrap_or(pop3),
            domain: self
                .first("domains", "local")
                .unwrap_or_else(|| DOMAIN.to_owned()),
            dir,
            _temporary: temporary,
            config,
            accounts: Vec::new(),
            run_as: self.run_as,
            master: None,
            give_up: self.give_up,
        };
        site.hand_over()?;
        site.check_settings()?;
        let known = if kept { site.user_names()? } else { Vec::new() };
        for (name, password, arguments) in accounts.into_iter().chain(self.users) {
            site.add_user(&name, &password, &arguments, &known)?;
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
        let aliases = dir.join("aliases");
        if !aliases.exists() || !self.aliases.is_empty() {
            let text = format!("postmaster: alice\n{}", self.aliases);
            fs::write(aliases, text).map_err(cannot("write the aliases file"))?;
        }
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

    /// The first entry of a list that an override has set, if it can be understood.
    fn first<T: std::str::FromStr>(&self, section: &str, key: &str) -> Option<T> {
        let list = self.settings.get(section)?.get(key)?;
        list.split('"').nth(1)?.parse().ok()
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
    let mut text = format!("{MADE_HERE}\n\n");
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
