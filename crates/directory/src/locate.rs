//! Where a user's mail is stored, and under whose rights.

use std::path::{Path, PathBuf};

use mail_types::{Address, AddressHost};

use crate::system::SystemUser;
use crate::text::push_escaped;
use crate::users::Quota;

/// How a mailbox is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxFormat {
    /// A Maildir++ folder.
    Maildir,
    /// An mboxrd file.
    Mbox,
}

/// Under whose rights a mailbox is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The one user that owns the mailboxes of all virtual users (`users.vmail`).
    Virtual,
    /// The system user itself.
    System {
        /// User id; never 0.
        uid: u32,
        /// Primary group.
        gid: u32,
    },
}

/// A user's mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMailbox {
    /// The user's own address.
    pub user: Address,
    /// Whose it is.
    pub owner: Owner,
    /// How it is stored.
    pub format: MailboxFormat,
    /// Absolute path of the Maildir folder or mbox file.
    pub path: PathBuf,
    /// How much may be in it.
    pub quota: Quota,
}

/// The mailbox of a virtual user whose line names none: `<root>/<domain>/<local-part>/Maildir`,
/// or `mbox` instead of `Maildir`.
///
/// Both parts are in lower case. Of the local-part, every byte that is not an ASCII letter or digit
/// or one of `._-+=` is written `%XX`, and so is a dot at its beginning: no name can be `..`, hold a
/// slash or be another user's.
#[must_use]
pub fn mailbox_path(root: &Path, user: &Address, format: MailboxFormat) -> PathBuf {
    let domain = match &user.host {
        AddressHost::Domain(domain) => domain.as_ascii().to_owned(),
        AddressHost::Literal(_) => user.host.to_string(),
    };
    let store = match format {
        MailboxFormat::Maildir => "Maildir",
        MailboxFormat::Mbox => "mbox",
    };
    root.join(domain).join(folder_name(user)).join(store)
}

fn folder_name(user: &Address) -> String {
    let mut name = String::new();
    for (at, c) in user.local_part.as_str().to_lowercase().char_indices() {
        let plain = c.is_ascii_alphanumeric() || "_-+=".contains(c) || (c == '.' && at > 0);
        if plain {
            name.push(c);
        } else {
            push_escaped(&mut name, c);
        }
    }
    name
}

/// Where the mail of system users is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemMailbox {
    /// A Maildir of this name in the home folder.
    Home(PathBuf),
    /// An mbox file of the user's name in this folder.
    Spool(PathBuf),
}

impl SystemMailbox {
    pub(crate) fn of(&self, user: &SystemUser) -> (PathBuf, MailboxFormat) {
        match self {
            Self::Home(maildir) => (user.home.join(maildir), MailboxFormat::Maildir),
            Self::Spool(folder) => (folder.join(&user.name), MailboxFormat::Mbox),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_paths_stay_below_their_root() {
        for (user, path) in [
            ("alice@example.org", "/m/example.org/alice/Maildir"),
            ("Alice.B@Example.Org", "/m/example.org/alice.b/Maildir"),
            ("a+b=c_d-e@x", "/m/x/a+b=c_d-e/Maildir"),
            ("\"..\"@x", "/m/x/%2E./Maildir"),
            ("\".\"@x", "/m/x/%2E/Maildir"),
            ("\"../../etc\"@x", "/m/x/%2E.%2F..%2Fetc/Maildir"),
            ("a/b@x", "/m/x/a%2Fb/Maildir"),
            ("a%2fb@x", "/m/x/a%252fb/Maildir"),
            ("\"a b\"@x", "/m/x/a%20b/Maildir"),
            (
                "jürgen@münchen.example",
                "/m/xn--mnchen-3ya.example/j%C3%BCrgen/Maildir",
            ),
            ("a@[IPv6:2001:db8::1]", "/m/[IPv6:2001:db8::1]/a/Maildir"),
        ] {
            let user = Address::parse(user).unwrap();
            let found = mailbox_path(Path::new("/m"), &user, MailboxFormat::Maildir);
            assert_eq!(found, Path::new(path), "{user}");
        }
        let user = Address::parse("a@x").unwrap();
        let mbox = mailbox_path(Path::new("/m"), &user, MailboxFormat::Mbox);
        assert_eq!(mbox, Path::new("/m/x/a/mbox"));
    }

    #[test]
    fn system_mailboxes_are_at_home_or_in_the_spool() {
        let user = SystemUser {
            name: "ann".into(),
            uid: 1000,
            gid: 100,
            home: "/home/ann/".into(),
        };
        let home = SystemMailbox::Home("Maildir".into());
        let spool = SystemMailbox::Spool("/var/mail".into());
        for (place, path, format) in [
            (home, "/home/ann/Maildir", MailboxFormat::Maildir),
            (spool, "/var/mail/ann", MailboxFormat::Mbox),
        ] {
            assert_eq!(place.of(&user), (path.into(), format));
        }
    }
}
