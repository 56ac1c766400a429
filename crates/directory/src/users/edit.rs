//! Edits of the users file that leave either the old file or the new one.
//!
//! An editor holds a lock on `<file>.lock`, writes a whole new file beside the old one with its
//! owner and mode, syncs it, renames it over the old one and syncs the folder. Lines that the edit
//! is not about stay as they are, comments too. A file with an error in it is not edited: the
//! error might hide the very user.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use mail_types::Address;

use super::{User, UserTable};
use crate::file::{self, Problem};
use crate::hash::PasswordHash;

/// Readable by the owner and by the group that directory runs in, by nobody else.
const MODE: u32 = 0o640;

/// The users file, for editing.
#[derive(Clone, Debug)]
pub struct UsersFile {
    path: PathBuf,
    group: Option<u32>,
}

impl UsersFile {
    /// Edits of the file at `path`. A new file belongs to `group` when given: the one that
    /// directory runs in.
    #[must_use]
    pub fn new(path: &Path, group: Option<u32>) -> Self {
        // A link is followed, so that the file is replaced and not the link.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Self { path, group }
    }

    /// Reads all users.
    ///
    /// # Errors
    /// When the file cannot be read or has errors.
    pub fn read(&self) -> Result<UserTable, EditError> {
        UserTable::load(&self.path).map_err(EditError::Problems)
    }

    /// Looks a user up.
    ///
    /// # Errors
    /// When there is no such user, or the file cannot be read or has errors.
    pub fn find(&self, address: &Address) -> Result<User, EditError> {
        let table = self.read()?;
        let user = table.get(&address.lookup_key()).cloned();
        user.ok_or_else(|| EditError::Unknown(address.clone()))
    }

    /// Whether a user can be added, as far as can be said before a password is asked for.
    ///
    /// # Errors
    /// When there is such a user already, or the file or the user has errors.
    pub fn check_new(&self, user: &User) -> Result<(), EditError> {
        let text = user.to_line();
        User::parse(&text).map_err(|problem| EditError::User(user.address.clone(), problem))?;
        match self.find(&user.address) {
            Ok(_) => Err(EditError::Exists(user.address.clone())),
            Err(EditError::Unknown(_)) => Ok(()),
            Err(_) if !self.path.exists() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Appends a user; makes the file when there is none.
    ///
    /// # Errors
    /// When there is such a user already, or the edit fails.
    pub fn add(&self, user: &User) -> Result<(), EditError> {
        let line = user.to_line();
        User::parse(&line).map_err(|problem| EditError::User(user.address.clone(), problem))?;
        self.edit(true, |lines, table| {
            if table.get(&user.address.lookup_key()).is_some() {
                return Err(EditError::Exists(user.address.clone()));
            }
            lines.push(line);
            Ok(())
        })
    }

    /// Gives a user another password hash.
    ///
    /// # Errors
    /// When there is no such user, or the edit fails.
    pub fn set_hash(&self, address: &Address, hash: PasswordHash) -> Result<(), EditError> {
        self.edit(false, |lines, table| {
            let at = line_of(table, address)?;
            let mut user = User::parse(&lines[at]).map_err(|_| EditError::Changed)?;
            user.hash = hash;
            lines[at] = user.to_line();
            Ok(())
        })
    }

    /// Removes a user; the mailbox stays.
    ///
    /// # Errors
    /// When there is no such user, or the edit fails.
    pub fn remove(&self, address: &Address) -> Result<(), EditError> {
        self.edit(false, |lines, table| {
            lines.remove(line_of(table, address)?);
            Ok(())
        })
    }

    fn edit(
        &self,
        create: bool,
        change: impl FnOnce(&mut Vec<String>, &UserTable) -> Result<(), EditError>,
    ) -> Result<(), EditError> {
        let _lock = self.lock()?;
        let text = match file::read(&self.path, "nobody has been added yet") {
            Err(_) if create && !self.path.exists() => String::new(),
            text => text.map_err(EditError::Problems)?,
        };
        let table = UserTable::parse(&text, &self.path).map_err(EditError::Problems)?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines, &table)?;
        lines.push(String::new());
        self.replace(&lines.join("\n"))
    }

    /// Held until dropped; the kernel frees it if this process dies.
    fn lock(&self) -> Result<File, EditError> {
        let path = self.beside(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        let lock = options.open(&path).map_err(failed("open", &path))?;
        lock.lock().map_err(failed("lock", &path))?;
        Ok(lock)
    }

    fn replace(&self, text: &str) -> Result<(), EditError> {
        let path = self.beside(&format!(".new.{}", std::process::id()));
        let written = self.write_new(&path, text);
        let renamed = written.and_then(|()| {
            std::fs::rename(&path, &self.path).map_err(failed("replace", &self.path))
        });
        if renamed.is_err() {
            // Whatever is left of it is of no use; the error that counts is the first.
            let _ = std::fs::remove_file(&path);
        }
        renamed?;
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync", folder))
    }

    fn write_new(&self, path: &Path, text: &str) -> Result<(), EditError> {
        // A leftover of a process that died with this id; the lock says that nobody uses it.
        let _ = std::fs::remove_file(path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed("create", path))?;
        let (mode, owner, group) = match std::fs::metadata(&self.path) {
            Ok(old) => (old.mode() & 0o7777, Some(old.uid()), Some(old.gid())),
            Err(_) => (MODE, None, self.group),
        };
        let mine = file.metadata().map_err(failed("examine", path))?;
        let owner = owner.filter(|&uid| uid != mine.uid());
        let group = group.filter(|&gid| gid != mine.gid());
        if owner.is_some() || group.is_some() {
            fchown(&file, owner, group).map_err(failed("give away", path))?;
        }
        file.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(failed("write", path))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

fn line_of(table: &UserTable, address: &Address) -> Result<usize, EditError> {
    table
        .line(&address.lookup_key())
        .map(|line| line - 1)
        .ok_or_else(|| EditError::Unknown(address.clone()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
    let path = path.to_owned();
    move |source| EditError::Io {
        action,
        path,
        source,
    }
}

/// Why the users file was not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file cannot be read, or has errors.
    #[error("{}", show(.0))]
    Problems(Vec<Problem>),
    /// To be added, but there.
    #[error("there is a user {0} already; \"posthouse user passwd\" changes the password")]
    Exists(Address),
    /// To be changed or removed, but not there.
    #[error("there is no user {0}; \"posthouse user list\" shows all")]
    Unknown(Address),
    /// What is to be written could not be read back.
    #[error("{0} cannot be written to the file: {1}")]
    User(Address, String),
    /// A line is not what it was a moment ago.
    #[error("the file changed while it was edited: try again")]
    Changed,
    /// A step failed.
    #[error("cannot {action} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn show(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": run this as root, or as the file's owner",
        io::ErrorKind::NotFound => ": does its folder exist?",
        _ => "",
    }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
