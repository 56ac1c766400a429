//! The file of virtual users, posthouse-users(5): one user per line,
//! `address:hash[:key=value]…`.

mod edit;
mod size;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mail_types::Address;

pub use edit::{EditError, UsersFile};
pub use size::{parse_size, show_size};

use crate::file::{self, Problem};
use crate::hash::PasswordHash;
use crate::locate::{MailboxFormat, mailbox_path};
use crate::text::{escape, unescape};

/// How much a mailbox may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Octets; 0 is no limit.
    pub bytes: u64,
    /// Messages; 0 is no limit.
    pub messages: u64,
}

impl Quota {
    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.bytes > 0 || self.messages > 0
    }
}

/// A virtual user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's own address.
    pub address: Address,
    /// Of the password.
    pub hash: PasswordHash,
    /// Octets that the mailbox may hold: 0 is no limit, `None` the default.
    pub quota: Option<u64>,
    /// Messages that the mailbox may hold; 0 is no limit.
    pub messages: u64,
    /// Where the mailbox is, when not in the default place.
    pub mailbox: Option<PathBuf>,
    /// How the mailbox is stored.
    pub format: MailboxFormat,
    /// Where the user moved to: mail is refused with this address (RFC 5321 §3.4).
    pub moved: Option<Address>,
}

impl User {
    /// A user with a mailbox in the default place and with the default quota.
    #[must_use]
    pub fn new(address: Address, hash: PasswordHash) -> Self {
        Self {
            address,
            hash,
            quota: None,
            messages: 0,
            mailbox: None,
            format: MailboxFormat::Maildir,
            moved: None,
        }
    }

    /// How much the mailbox may hold.
    #[must_use]
    pub fn quota(&self, default_bytes: u64) -> Quota {
        Quota {
            bytes: self.quota.unwrap_or(default_bytes),
            messages: self.messages,
        }
    }

    /// Where the mailbox is.
    #[must_use]
    pub fn path(&self, mail_root: &Path) -> PathBuf {
        let default = || mailbox_path(mail_root, &self.address, self.format);
        self.mailbox.clone().unwrap_or_else(default)
    }

    /// Reads a line without its line end.
    fn parse(line: &str) -> Result<Self, String> {
        let mut fields = line.split(':');
        let address = unescape(fields.next().unwrap_or_default())?;
        let address = Address::parse(&address)
            // What stands there is not shown: it might be a hash or a password.
            .map_err(|error| format!("the line does not begin with an address: {error}"))?;
        let hash = fields
            .next()
            .ok_or("there is no password hash: a line is address:hash[:key=value]…")?;
        let hash = PasswordHash::parse(hash).map_err(|error| error.to_string())?;
        let mut user = Self::new(address, hash);
        let mut seen = Vec::new();
        for field in fields {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| format!("{field:?} is not of the form key=value"))?;
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            seen.push(key);
            user.set(key, &unescape(value)?)?;
        }
        Ok(user)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "quota" => self.quota = Some(parse_size(value)?),
            "messages" => {
                self.messages = value
                    .parse()
                    .map_err(|_| format!("messages={value:?} is not a number"))?;
            }
            "mailbox" => self.mailbox = Some(checked_path(value)?),
            "format" => {
                self.format = match value {
                    "maildir" => MailboxFormat::Maildir,
                    "mbox" => MailboxFormat::Mbox,
                    _ => return Err(format!("format={value:?} is neither maildir nor mbox")),
                };
            }
            "moved" => {
                let new = Address::parse(value)
                    .map_err(|error| format!("moved={value:?} is no address: {error}"))?;
                self.moved = Some(new);
            }
            _ => {
                return Err(format!(
                    "{key:?} is not a known key: quota, messages, mailbox, format and moved are"
                ));
            }
        }
        Ok(())
    }

    /// The line for the file, without its line end.
    fn to_line(&self) -> String {
        let address = escape(&self.address.to_string());
        let mut line = format!("{address}:{}", self.hash.as_str());
        let mut push = |key: &str, value: String| {
            line.push_str(&format!(":{key}={}", escape(&value)));
        };
        if let Some(bytes) = self.quota {
            push("quota", show_size(bytes));
        }
        if self.messages > 0 {
            push("messages", self.messages.to_string());
        }
        if let Some(path) = &self.mailbox {
            push("mailbox", path.to_string_lossy().into_owned());
        }
        if self.format == MailboxFormat::Mbox {
            push("format", "mbox".to_owned());
        }
        if let Some(new) = &self.moved {
            push("moved", new.to_string());
        }
        line
    }
}

fn checked_path(value: &str) -> Result<PathBuf, String> {
    let trimmed = value.strip_suffix('/').unwrap_or(value);
    let path = PathBuf::from(trimmed);
    let plain = trimmed
        .split('/')
        .skip(1)
        .all(|part| !matches!(part, "" | "." | ".."));
    if path.is_absolute() && plain && !value.contains('\0') {
        Ok(path)
    } else {
        Err(format!(
            "mailbox={value:?} must be an absolute path without empty parts, . or .."
        ))
    }
}

/// Whether a line of the file holds no user.
fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// All virtual users, by lookup key.
#[derive(Debug, Default)]
pub struct UserTable {
    users: HashMap<Box<str>, Entry>,
    first: Option<Box<str>>,
    check_for_unknown: Option<PasswordHash>,
}

#[derive(Debug)]
struct Entry {
    user: User,
    line: usize,
}

impl UserTable {
    /// Reads a users file.
    ///
    /// # Errors
    /// Lists every line that is wrong; there is no table then.
    pub(crate) fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let to_do = "\"posthouse user add\" makes it, or name another in directory.users_file";
        Self::parse(&file::read(path, to_do)?, path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        let mut table = Self::default();
        let mut problems = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            if is_blank(line) {
                continue;
            }
            let added = User::parse(line).and_then(|user| table.add(user, number));
            if let Err(text) = added {
                problems.push(Problem::at(path, number, text));
            }
        }
        if !problems.is_empty() {
            return Err(file::shortened(problems));
        }
        table.check_for_unknown = table.most_common_hash();
        Ok(table)
    }

    fn add(&mut self, user: User, line: usize) -> Result<(), String> {
        let key: Box<str> = user.address.lookup_key().into();
        if let Some(earlier) = self.users.get(&key) {
            return Err(format!(
                "{} is already on line {}",
                user.address, earlier.line
            ));
        }
        if user.moved.is_none() {
            self.first.get_or_insert_with(|| key.clone());
        }
        self.users.insert(key, Entry { user, line });
        Ok(())
    }

    /// A hash of the cost that most users' have: checking it for an unknown user takes as long as
    /// for most known ones. Its result counts for nothing.
    fn most_common_hash(&self) -> Option<PasswordHash> {
        let mut costs: HashMap<&str, (usize, &PasswordHash)> = HashMap::new();
        for hash in self.users.values().map(|entry| &entry.user.hash) {
            if !hash.cost().is_empty() {
                costs.entry(hash.cost()).or_insert((0, hash)).0 += 1;
            }
        }
        let most = costs
            .into_iter()
            .max_by_key(|&(cost, (count, _))| (count, cost));
        most.map(|(_, (_, hash))| hash.clone())
    }

    /// The user of an address, by its lookup key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&User> {
        self.users.get(key).map(|entry| &entry.user)
    }

    /// The line of the file that a user is on, counted from 1.
    fn line(&self, key: &str) -> Option<usize> {
        self.users.get(key).map(|entry| entry.line)
    }

    /// The first user who has not moved, and who gets postmaster's mail when nobody else does.
    #[must_use]
    pub fn first(&self) -> Option<&User> {
        self.first.as_deref().and_then(|key| self.get(key))
    }

    /// What to check a password of nobody against.
    pub(crate) fn hash_for_unknown(&self) -> Option<&PasswordHash> {
        self.check_for_unknown.as_ref()
    }

    /// All users in the order of the file, with their lines.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &User)> {
        let mut entries: Vec<_> = self.users.values().collect();
        entries.sort_by_key(|entry| entry.line);
        entries.into_iter().map(|entry| (entry.line, &entry.user))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// For fuzzing: any bytes parse or not, without panic, and what parses prints to what parses to
/// the same.
pub fn fuzz_users(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(table) = UserTable::parse(&text, Path::new("users")) else {
        return;
    };
    let mut printed = String::new();
    for (_, user) in table.iter() {
        printed.push_str(&user.to_line());
        printed.push('\n');
    }
    let again = UserTable::parse(&printed, Path::new("users"));
    let same = again.is_ok_and(|again| {
        let pairs = again.iter().zip(table.iter());
        again.len() == table.len() && pairs.into_iter().all(|((_, a), (_, b))| a == b)
    });
    assert!(same, "a users file changed by being written: {printed:?}");
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
