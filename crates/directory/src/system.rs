//! The system's own users, from `/etc/passwd` and `/etc/shadow`.
//!
//! The files are read as they are, not through NSS: a jailed process loads no libraries, and an
//! answer must not wait for another service. Users who come from elsewhere are not seen. The
//! password hashes stay in `/etc/shadow` until a login asks for one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mail_types::LocalPart;

use crate::file::{self, Problem};
use crate::hash::{PasswordHash, Scheme};

/// The user that stands for no user at all, on every Linux.
const NOBODY: u32 = 65_534;

/// One user of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemUser {
    /// The login name.
    pub name: String,
    /// User id; never 0.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home folder.
    pub home: PathBuf,
}

/// The users who may have mail, by name in lower case.
#[derive(Debug, Default)]
pub struct SystemTable {
    users: HashMap<String, SystemUser>,
}

impl SystemTable {
    /// Reads a passwd file; users below `first_uid` are left out, and root and nobody always.
    pub(crate) fn load(path: &Path, first_uid: u32) -> Result<Self, Vec<Problem>> {
        let text = file::read(path, "it should hold the system's users")?;
        Ok(Self::parse(&text, first_uid))
    }

    /// Lines that are no user entry are left to the system's tools to complain about.
    pub(crate) fn parse(text: &str, first_uid: u32) -> Self {
        let mut users = HashMap::new();
        for user in text.lines().filter_map(parse_entry) {
            if user.uid >= first_uid.max(1) && user.uid != NOBODY && user.gid != 0 {
                users.entry(user.name.to_lowercase()).or_insert(user);
            }
        }
        Self { users }
    }

    /// The user of this name, in any letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SystemUser> {
        self.users.get(name)
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

/// `name:password:uid:gid:gecos:home:shell`, passwd(5).
fn parse_entry(line: &str) -> Option<SystemUser> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, uid, gid, _, home, _] = fields.as_slice() else {
        return None;
    };
    // The name becomes part of a path.
    let sound =
        LocalPart::from_unquoted(name).is_ok() && !name.contains('/') && !name.starts_with('.');
    let home = PathBuf::from(home);
    (sound && home.is_absolute()).then_some(())?;
    Some(SystemUser {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home,
    })
}

/// A shadow file.
#[derive(Debug)]
pub(crate) struct Shadow(String);

impl Shadow {
    /// Reads it.
    pub(crate) fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        file::read(path, "without it no system user can log in").map(Self)
    }

    /// The password hash of a user; `None` when the user has none that can be checked here, is locked,
    /// or the account is over.
    ///
    /// `today` is in days since 1970, as shadow(5) counts.
    pub(crate) fn hash(&self, name: &str, today: i64) -> Option<PasswordHash> {
        let mut entries = self.entries();
        let fields = entries.find(|fields| fields.first() == Some(&name))?;
        let expires = fields.get(7).and_then(|days| days.parse::<i64>().ok());
        if expires.is_some_and(|day| day <= today) {
            return None;
        }
        usable(&fields)
    }

    /// Somebody's hash, to check a password of nobody against.
    pub(crate) fn any_hash(&self) -> Option<PasswordHash> {
        self.entries().find_map(|fields| usable(&fields))
    }

    fn entries(&self) -> impl Iterator<Item = Vec<&str>> {
        self.0.lines().map(|line| line.split(':').collect())
    }
}

fn usable(fields: &[&str]) -> Option<PasswordHash> {
    let hash = PasswordHash::parse(fields.get(1)?).ok()?;
    (hash.scheme() != Scheme::Locked).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_rights_or_sense_are_left_out() {
        let text = "root:x:0:0:root:/root:/bin/bash\n\
                    daemon:x:1:1::/:/bin/sh\n\
                    Ann:x:1000:100:Ann,,,:/home/ann:/bin/bash\n\
                    toor:x:1001:0::/root:/bin/sh\n\
                    .dot:x:1002:100::/h:/bin/sh\n\
                    nohome:x:1003:100::home:/bin/sh\n\
                    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
                    +nis::::::\n\
                    broken:x\n";
        let table = SystemTable::parse(text, 1000);
        assert_eq!(table.len(), 1);
        let ann = table.get("ann").unwrap();
        assert_eq!((ann.name.as_str(), ann.uid, ann.gid), ("Ann", 1000, 100));
        assert!(SystemTable::parse(text, 0).get("root").is_none());
        assert!(SystemTable::parse(text, 0).get("daemon").is_some());
    }

    #[test]
    fn shadow_entries_give_a_hash_while_the_account_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shadow");
        let hash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        let text = format!(
            "ann:{hash}:19000:0:99999:7:::\nbob:{hash}:19000:0:99999:7::20000:\ncy:!{hash}:1::::::\n\
             dee:$1$x$y:1::::::\neve::1::::::\n"
        );
        std::fs::write(&file, text).unwrap();
        let shadow = Shadow::load(&file).unwrap();
        for (name, today, found) in [
            ("ann", 20_000, true),
            ("bob", 19_999, true),
            ("bob", 20_000, false),
            ("cy", 20_000, false),
            ("dee", 20_000, false),
            ("eve", 20_000, false),
            ("an", 20_000, false),
            ("", 20_000, false),
        ] {
            assert_eq!(shadow.hash(name, today).is_some(), found, "{name}");
        }
        assert_eq!(shadow.any_hash().unwrap().scheme(), Scheme::Sha256Crypt);
        assert!(
            Shadow("ann:!:1\nempty::1\n\n".to_owned())
                .any_hash()
                .is_none()
        );
        assert!(Shadow::load(&dir.path().join("none")).is_err());
    }
}
