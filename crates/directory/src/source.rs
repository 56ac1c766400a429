//! Where the tables come from, and how they are kept fresh.
//!
//! A change is taken when the file has looked the same for two calls of [`Source::refresh`]: one
//! that is being written is left alone until it rests. What was last read well stays in use for as
//! long as the file has errors or is gone.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routing::{Domains, Limits};

use crate::aliases::{AliasTable, Including};
use crate::file::{self, Problem, Stamp};
use crate::locate::SystemMailbox;
use crate::system::SystemTable;
use crate::tables::Tables;
use crate::users::UserTable;

/// A table that could not be read is tried again after this many calls, changed or not.
const RETRY_AFTER: u32 = 120;

/// The settings that the tables depend on.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `directory.users_file`; `None` for no virtual users.
    pub users_file: Option<PathBuf>,
    /// `directory.aliases_file`; `None` for no aliases.
    pub aliases_file: Option<PathBuf>,
    /// `directory.include_folders`
    pub include_folders: Vec<PathBuf>,
    /// `domains.local` and `domains.relay`
    pub domains: Domains,
    /// `directory.recipient_delimiter`: each character is one.
    pub delimiters: String,
    /// `directory.mail_root`
    pub mail_root: PathBuf,
    /// `directory.default_quota`, in octets; 0 is none.
    pub default_quota: u64,
    /// `directory.expansion_limit`, `directory.expansion_depth`
    pub limits: Limits,
    /// `None` unless `directory.system_users`.
    pub system: Option<SystemSource>,
}

/// No files and no domains, and the limits of the default configuration.
impl Default for Sources {
    fn default() -> Self {
        Self {
            users_file: None,
            aliases_file: None,
            include_folders: Vec::new(),
            domains: Domains::default(),
            delimiters: "+".to_owned(),
            mail_root: PathBuf::from("/"),
            default_quota: 0,
            limits: Limits {
                targets: 10_000,
                depth: 50,
            },
            system: None,
        }
    }
}

/// Where system users come from.
#[derive(Clone, Debug)]
pub struct SystemSource {
    /// passwd(5)
    pub passwd: PathBuf,
    /// shadow(5)
    pub shadow: PathBuf,
    /// `directory.first_uid`
    pub first_uid: u32,
    /// `local_delivery.system_mailbox` and what belongs to it.
    pub mailbox: SystemMailbox,
}

/// What happened to a table, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was read, and is in use.
    Loaded {
        /// Which.
        file: PathBuf,
        /// How many users or aliases.
        entries: usize,
    },
    /// It has errors and is not used.
    Refused {
        /// Which.
        file: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
        /// Whether an earlier state of it stays in use; otherwise what depends on it is unavailable.
        kept: bool,
    },
    /// It is in use, but something in it does not make sense.
    Odd(Problem),
}

/// The current tables, and what is needed to see that they changed.
#[derive(Debug)]
pub struct Source {
    sources: Arc<Sources>,
    users: Watch<UserTable>,
    aliases: Watch<AliasTable>,
    system: Watch<SystemTable>,
    current: Arc<Tables>,
}

impl Source {
    /// Reads all tables for the first time.
    #[must_use]
    pub fn load(sources: Sources) -> (Self, Vec<Event>) {
        let passwd = sources.system.as_ref().map(|system| system.passwd.clone());
        let sources = Arc::new(sources);
        let mut source = Self {
            users: Watch::new(sources.users_file.clone()),
            aliases: Watch::new(sources.aliases_file.clone()),
            system: Watch::new(passwd),
            current: Arc::new(Tables::new(Arc::clone(&sources), None, None, None)),
            sources,
        };
        let events = source.read([true; 3]);
        (source, events)
    }

    /// The tables as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<Tables> {
        Arc::clone(&self.current)
    }

    /// Looks at the files and reads what changed. To be called every half second or so.
    pub fn refresh(&mut self) -> Vec<Event> {
        let due = [
            self.users.is_due(),
            self.aliases.is_due(),
            self.system.is_due(),
        ];
        if due == [false; 3] {
            return Vec::new();
        }
        self.read(due)
    }

    fn read(&mut self, [users, aliases, system]: [bool; 3]) -> Vec<Event> {
        let sources = Arc::clone(&self.sources);
        let mut events = Vec::new();
        if users {
            let load = |path: &Path, _: Option<&UserTable>| {
                UserTable::load(path).map(|table| (table, Vec::new()))
            };
            self.users.read(load, &mut events);
        }
        if aliases {
            let load = |path: &Path, last: Option<&AliasTable>| {
                let folders = &sources.include_folders;
                AliasTable::load(path, Including { folders, last })
            };
            self.aliases.read(load, &mut events);
        }
        if system {
            let first_uid = sources.system.as_ref().map_or(1, |system| system.first_uid);
            let load = |path: &Path, _: Option<&SystemTable>| {
                SystemTable::load(path, first_uid).map(|table| (table, Vec::new()))
            };
            self.system.read(load, &mut events);
        }
        self.current = Arc::new(Tables::new(
            sources,
            self.users.table.clone(),
            self.aliases.table.clone(),
            self.system.table.clone(),
        ));
        events.extend(oddities(&self.current).into_iter().map(Event::Odd));
        events
    }
}

/// Reads all tables once and lists everything that is wrong: errors first, then what is only odd.
#[must_use]
pub fn check(sources: Sources) -> (Vec<Problem>, Vec<Problem>) {
    let (mut errors, mut odd) = (Vec::new(), Vec::new());
    for event in Source::load(sources).1 {
        match event {
            Event::Loaded { .. } => {}
            Event::Refused { problems, .. } => errors.extend(problems),
            Event::Odd(problem) => odd.push(problem),
        }
    }
    (errors, odd)
}

/// What is allowed but cannot be meant.
fn oddities(tables: &Tables) -> Vec<Problem> {
    let sources = tables.sources();
    let mut odd = file::shortened(strays(tables));
    odd.extend(sources.users_file.as_deref().and_then(too_open));
    let files = [&sources.aliases_file, &sources.users_file];
    let file = files.into_iter().flatten().next();
    let without = tables.domains_without_postmaster();
    if let (Some(file), false) = (file, without.is_empty()) {
        let text = format!(
            "nobody is postmaster of {}: add a line \"postmaster: you@your.domain\" (RFC 5321 §4.5.1); \
             until then its mail goes to the first user",
            without.join(", ")
        );
        odd.push(Problem::of(file, text));
    }
    odd
}

/// Users and aliases that no mail can come in for.
fn strays(tables: &Tables) -> Vec<Problem> {
    let sources = tables.sources();
    let is_ours = |key: &str| {
        let host = key.rsplit('@').next().unwrap_or_default();
        let host = mail_types::AddressHost::parse(host);
        host.is_ok_and(|host| sources.domains.is_local(&host))
    };
    let mut strays = Vec::new();
    let mut stray = |file: &Option<PathBuf>, line: usize, key: &str, what: &str| {
        if let Some(file) = file.as_ref().filter(|_| !is_ours(key)) {
            let text = format!("{what} {key} gets no mail: its domain is not in domains.local");
            strays.push(Problem::at(file, line, text));
        }
    };
    for (line, user) in tables.users().into_iter().flat_map(|users| users.iter()) {
        let key = user.address.lookup_key();
        stray(&sources.users_file, line, &key, "the user");
    }
    for (line, key) in tables
        .aliases()
        .into_iter()
        .flat_map(|aliases| aliases.iter())
    {
        if !key.ends_with('@') {
            stray(&sources.aliases_file, line, key, "the alias");
        }
    }
    strays
}

/// Password hashes that everybody can read can be guessed at by everybody.
fn too_open(users_file: &Path) -> Option<Problem> {
    let mode = std::fs::metadata(users_file).ok()?.mode();
    (mode & 0o007 != 0).then(|| {
        let text = "every user of this system can read the password hashes: chmod o= the file";
        Problem::of(users_file, text)
    })
}

/// One table, with the state of its files when they were last read.
#[derive(Debug)]
struct Watch<T> {
    path: Option<PathBuf>,
    table: Option<Arc<T>>,
    read: Vec<Option<Stamp>>,
    /// Seen once, and to be seen again before it is read.
    changing: Option<Vec<Option<Stamp>>>,
    /// Counts down to another try after a failure.
    retry: Option<u32>,
}

type Loaded<T> = Result<(T, Vec<Problem>), Vec<Problem>>;

impl<T: Table> Watch<T> {
    fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            table: None,
            read: Vec::new(),
            changing: None,
            retry: None,
        }
    }

    fn is_due(&mut self) -> bool {
        if let Some(left) = &mut self.retry {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return true;
            }
        }
        let included = self.table.iter().flat_map(|table| table.included());
        let included = included.map(|(path, _)| path.to_owned());
        let files = self.path.iter().cloned().chain(included);
        let now: Vec<_> = files.map(|path| Stamp::look(&path)).collect();
        if now == self.read {
            self.changing = None;
            return false;
        }
        let rests = self.changing.as_ref() == Some(&now);
        self.changing = Some(now);
        rests
    }

    fn read(&mut self, load: impl FnOnce(&Path, Option<&T>) -> Loaded<T>, events: &mut Vec<Event>) {
        let Some(path) = self.path.clone() else {
            self.table.get_or_insert_default();
            return;
        };
        // Taken before reading: a change in between shows at the next look.
        let before = Stamp::look(&path);
        self.changing = None;
        self.retry = None;
        match load(&path, self.table.as_deref()) {
            Ok((table, odd)) => {
                if !odd.is_empty() {
                    self.retry = Some(RETRY_AFTER);
                }
                events.push(Event::Loaded {
                    file: path,
                    entries: table.count(),
                });
                events.extend(odd.into_iter().map(Event::Odd));
                self.table = Some(Arc::new(table));
            }
            Err(problems) => {
                self.retry = Some(RETRY_AFTER);
                events.push(Event::Refused {
                    file: path,
                    problems,
                    kept: self.table.is_some(),
                });
            }
        }
        let included = self.table.iter().flat_map(|table| table.included());
        self.read = [before]
            .into_iter()
            .chain(included.map(|(_, stamp)| stamp))
            .collect();
    }
}

/// What [`Watch`] needs to know of a table.
trait Table: Default {
    fn count(&self) -> usize;
    /// The files beside the main one that it was read from, as they were then.
    fn included(&self) -> Vec<(&Path, Option<Stamp>)> {
        Vec::new()
    }
}

impl Table for UserTable {
    fn count(&self) -> usize {
        self.len()
    }
}

impl Table for SystemTable {
    fn count(&self) -> usize {
        self.len()
    }
}

impl Table for AliasTable {
    fn count(&self) -> usize {
        self.len()
    }

    fn included(&self) -> Vec<(&Path, Option<Stamp>)> {
        self.includes().collect()
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
