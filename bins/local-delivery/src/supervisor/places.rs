//! From a target to the worker that may write there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Config;
use ipc::protocol::{MailboxFormat, MailboxSpec};
use mail_types::Outcome;
use sandbox::ids;

use super::starter::{WorkerJob, WorkerKey, WorkerUser};
use crate::worker_protocol::{MailboxPlace, Place};

/// The rules, from the configuration.
#[derive(Clone, Debug)]
pub struct Places(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    /// `None` when the suite runs without root.
    users: Option<Users>,
    own_uid: u32,
    mail_root: PathBuf,
    mbox_dir: PathBuf,
}

#[derive(Debug)]
struct Users {
    alias: (u32, u32),
    mbox_group: Option<u32>,
}

impl Places {
    /// Looks the users up; to be done before the jail closes.
    pub fn new(config: &Config) -> io::Result<Self> {
        let settings = &config.local_delivery;
        let mut users = None;
        if ids::is_root() {
            let alias = ids::user(&settings.alias_user.to_string())?;
            let group = settings.mbox_group.as_ref();
            users = Some(Users {
                // A number without an entry among the users has the group of the same number.
                alias: (alias.uid, alias.gid.unwrap_or(alias.uid)),
                mbox_group: group
                    .map(|group| ids::group(&group.to_string()))
                    .transpose()?,
            });
        }
        Ok(Self(Arc::new(Rules {
            users,
            own_uid: ids::effective_uid(),
            mail_root: config.directory.mail_root.clone(),
            mbox_dir: settings.mbox_dir.clone(),
        })))
    }

    /// A user's mailbox; or the outcome, when there is nothing for a worker to do.
    pub fn mailbox(&self, spec: MailboxSpec) -> Result<(WorkerKey, Place), Outcome> {
        let user = self.user(spec.uid, spec.gid)?;
        let place = MailboxPlace {
            path: spec.path,
            format: spec.format,
            quota_bytes: spec.quota_bytes,
            quota_messages: spec.quota_messages,
        };
        Ok((self.key(user, &place.path), Place::Mailbox(place)))
    }

    /// A file of an alias: an mbox, or a Maildir when its name ends in `/`, as in Postfix.
    pub fn file(&self, path: &Path) -> Result<(WorkerKey, Place), Outcome> {
        if path == Path::new("/dev/null") {
            return Err(Outcome::delivered("discarded: the alias names /dev/null"));
        }
        let user = self.alias_user()?;
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let place = MailboxPlace {
            path: path.components().collect(),
            format: if is_folder {
                MailboxFormat::Maildir
            } else {
                MailboxFormat::Mbox
            },
            quota_bytes: 0,
            quota_messages: 0,
        };
        Ok((self.key(user, &place.path), Place::Mailbox(place)))
    }

    /// A command of an alias.
    pub fn command(&self, command: String) -> Result<(WorkerKey, Place), Outcome> {
        let key = WorkerKey {
            user: self.alias_user()?,
            job: WorkerJob::Commands,
        };
        Ok((key, Place::Command(command)))
    }

    fn alias_user(&self) -> Result<Option<WorkerUser>, Outcome> {
        match &self.0.users {
            None => Ok(None),
            Some(users) => self.user(users.alias.0, users.alias.1),
        }
    }

    /// The rights to take on: never root's, and without root no other than our own.
    fn user(&self, uid: u32, gid: u32) -> Result<Option<WorkerUser>, Outcome> {
        if self.0.users.is_some() && (uid == 0 || gid == 0) {
            return Err(Outcome::deferred(
                3,
                5,
                "mail is never delivered as root; give root an alias",
            ));
        }
        if self.0.users.is_none() {
            let ours = uid == self.0.own_uid;
            let other = "the mailbox belongs to another user, and the server does not run as root";
            return if ours {
                Ok(None)
            } else {
                Err(Outcome::deferred(3, 5, other))
            };
        }
        Ok(Some(WorkerUser {
            uid,
            gid,
            extra_group: None,
        }))
    }

    /// The worker for a mailbox: one for all of `directory.mail_root`, one for `mbox_dir`, else one for each
    /// folder with mailboxes in it, such as a home.
    fn key(&self, mut user: Option<WorkerUser>, mailbox: &Path) -> WorkerKey {
        let rules = &self.0;
        let parent = mailbox.parent().filter(|parent| *parent != Path::new("/"));
        let folder = if mailbox.starts_with(&rules.mail_root) {
            &rules.mail_root
        } else if mailbox.starts_with(&rules.mbox_dir) {
            if let (Some(user), Some(users)) = (&mut user, &rules.users) {
                user.extra_group = users.mbox_group;
            }
            &rules.mbox_dir
        } else {
            parent.unwrap_or(mailbox)
        };
        WorkerKey {
            user,
            job: WorkerJob::Mailboxes(folder.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::Address;

    fn places(root: bool) -> Places {
        Places(Arc::new(Rules {
            users: root.then_some(Users {
                alias: (65534, 65534),
                mbox_group: Some(8),
            }),
            own_uid: 1000,
            mail_root: "/srv/mail".into(),
            mbox_dir: "/var/mail".into(),
        }))
    }

    fn spec(uid: u32, path: &str) -> MailboxSpec {
        MailboxSpec {
            user: Address::parse("alice@example.org").unwrap(),
            uid,
            gid: uid,
            format: MailboxFormat::Maildir,
            path: path.into(),
            quota_bytes: 7,
            quota_messages: 9,
        }
    }

    #[test]
    fn each_mailbox_has_the_smallest_jail_that_serves_its_neighbours() {
        let cases = [
            ("/srv/mail/example.org/alice", "/srv/mail", None),
            ("/var/mail/alice", "/var/mail", Some(8)),
            ("/home/alice/Maildir", "/home/alice", None),
            ("/mailbox", "/mailbox", None),
        ];
        for (path, folder, extra_group) in cases {
            let (key, _) = places(true).mailbox(spec(5, path)).unwrap();
            assert_eq!(key.job, WorkerJob::Mailboxes(folder.into()), "{path}");
            let user = WorkerUser {
                uid: 5,
                gid: 5,
                extra_group,
            };
            assert_eq!(key.user, Some(user), "{path}");
            let (key, _) = places(false).mailbox(spec(1000, path)).unwrap();
            assert_eq!(key.user, None);
        }
    }

    #[test]
    fn nobody_becomes_root_or_somebody_they_cannot_become() {
        for (root, uid) in [(true, 0), (false, 0), (false, 1001)] {
            let outcome = places(root)
                .mailbox(spec(uid, "/home/x/Maildir"))
                .unwrap_err();
            let Outcome::Deferred(deferral) = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(deferral.status.to_string(), "4.3.5");
        }
    }

    #[test]
    fn files_are_mboxes_or_maildirs_and_null_is_nothing() {
        let place = |path: &str| places(true).file(Path::new(path)).unwrap().1;
        let mailbox = |path: &str, format| {
            Place::Mailbox(MailboxPlace {
                path: path.into(),
                format,
                quota_bytes: 0,
                quota_messages: 0,
            })
        };
        assert_eq!(place("/srv/x"), mailbox("/srv/x", MailboxFormat::Mbox));
        assert_eq!(place("/srv/x/"), mailbox("/srv/x", MailboxFormat::Maildir));
        let null = places(true).file(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(null, Outcome::Delivered(_)), "{null:?}");
    }
}
