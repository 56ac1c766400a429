//! The jails: a table of rights per program ([`spec`]) and the one procedure that puts a jail on ([`apply`]).
//!
//! Invariants: no step can be undone by a later one or by the program; a step that the kernel supports and
//! that fails ends the program before it has served anybody; what the kernel does not support is reported.
//! Without root there is no other user and no other root folder, all else is the same.

mod table;

use std::path::{Path, PathBuf};

use sandbox::caps::{self, Capability};
use sandbox::ids::{self, Identity};
use sandbox::landlock::{PathRule, Rights, Rules, Signals};
use sandbox::seccomp::{self, Group};
use sandbox::{limits, process};

pub use table::spec;

use crate::Error;

/// The programs that are jailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Receives mail over SMTP.
    Smtpd,
    /// Owns the queue.
    QueueManager,
    /// Knows users, passwords and aliases.
    Directory,
    /// Supervises the delivery workers.
    LocalDelivery,
    /// Delivers under one recipient's rights.
    DeliveryWorker,
    /// Runs the commands of aliases.
    CommandWorker,
    /// The half of POP3 before the login.
    Pop3Login,
    /// The half of POP3 after the login.
    Pop3Session,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Smtpd,
        Self::QueueManager,
        Self::Directory,
        Self::LocalDelivery,
        Self::DeliveryWorker,
        Self::CommandWorker,
        Self::Pop3Login,
        Self::Pop3Session,
    ];

    /// The name in logs and in `ps`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtpd => "smtpd",
            Self::QueueManager => "queue-manager",
            Self::Directory => "directory",
            Self::LocalDelivery => "local-delivery",
            Self::DeliveryWorker => "local-delivery worker",
            Self::CommandWorker => "local-delivery command",
            Self::Pop3Login => "pop3d",
            Self::Pop3Session => "pop3-session",
        }
    }
}

/// As whom a program runs, when master is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// `users.net`, in group `users.group`.
    Net,
    /// `users.queue`, in group `users.group`.
    Queue,
    /// `users.dir`, in group `users.group`, in its own primary group, which the password hashes belong to,
    /// and in the groups that the system gives that user, so that the administrator can let it read a file
    /// such as `/etc/shadow`.
    Directory,
    /// Stays root, with few capabilities.
    Root,
    /// Was started as the right user already.
    AsStarted,
}

/// What a program sees as `/`, when master is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The folder with the suite's Unix sockets.
    SocketFolder,
    /// The whole file system, as far as Landlock allows.
    Whole,
}

/// A place in the file system, named in a [`Spec`] and found in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `paths.queue_dir`.
    QueueFolder,
    /// The folders of the users file and of the aliases file.
    UserTables,
    /// The folders that the program names when it jails itself.
    Given,
    /// A fixed path, left out where it does not exist.
    Path(&'static str),
}

/// The rights of one program.
#[derive(Debug)]
pub struct Spec {
    /// As whom it runs.
    pub account: Account,
    /// What is its `/`.
    pub root: Root,
    /// The capabilities it keeps.
    pub keeps: &'static [Capability],
    /// The places it may touch, and how.
    pub files: &'static [(Place, Rights)],
    /// Whom it may signal.
    pub signals: Signals,
    /// The kinds of system calls it may make.
    pub calls: &'static [Group],
    /// The most descriptors it may have open.
    pub open_files: u64,
}

/// What the configuration says about the places and accounts in the table.
#[derive(Debug, Clone)]
pub struct Site {
    /// The folder with the Unix sockets.
    pub socket_folder: PathBuf,
    /// The queue.
    pub queue_folder: PathBuf,
    /// Folders of the users file and the aliases file.
    pub user_tables: Vec<PathBuf>,
    /// The name or number of each service user.
    pub net: String,
    /// See `net`.
    pub queue: String,
    /// See `net`.
    pub dir: String,
    /// The group of all services.
    pub group: String,
}

/// Puts the jail on this process. Call it while there is one thread only.
///
/// `given` are the folders for [`Place::Given`]. Answers what the kernel could not enforce.
pub fn apply(spec: &Spec, site: &Site, given: &[PathBuf]) -> Result<Vec<String>, Error> {
    let failed = |doing: &'static str| move |source| Error::Jail { doing, source };
    // Names and paths are looked up while they can still be seen.
    let identity = identity(spec.account, site).map_err(failed("find the service user"))?;
    let rules = Rules::prepare(&rules(spec, site, given), spec.signals)
        .map_err(failed("prepare the file rules"))?;
    limits::apply(spec.open_files).map_err(failed("set resource limits"))?;
    caps::bound(spec.keeps).map_err(failed("bound capabilities"))?;
    if ids::is_root() {
        if spec.root == Root::SocketFolder {
            process::change_root(&site.socket_folder).map_err(failed("change the root folder"))?;
        }
        if let Some(identity) = &identity {
            ids::become_permanently(identity).map_err(failed("become the service user"))?;
        }
    }
    caps::keep_only(spec.keeps).map_err(failed("drop capabilities"))?;
    caps::set_no_new_privileges().map_err(failed("renounce new privileges"))?;
    caps::set_undumpable().map_err(failed("switch off core dumps"))?;
    let mut missing = rules.enforce().map_err(failed("enforce the file rules"))?;
    if !seccomp::install(spec.calls).map_err(failed("install the system call filter"))? {
        missing.push("seccomp: system call filters (needs CONFIG_SECCOMP_FILTER)".to_owned());
    }
    Ok(missing)
}

/// The ids to take on, if the process is root and is not to stay so.
fn identity(account: Account, site: &Site) -> std::io::Result<Option<Identity>> {
    let name = match account {
        Account::Root | Account::AsStarted => return Ok(None),
        Account::Net => &site.net,
        Account::Queue => &site.queue,
        Account::Directory => &site.dir,
    };
    if !ids::is_root() {
        return Ok(None);
    }
    let user = ids::user(name)?;
    let gid = ids::group(&site.group)?;
    let mut groups = vec![gid];
    if account == Account::Directory {
        if user.gid.is_some() {
            groups = ids::groups_of(&user.name, gid)?;
        }
        // The group that the file of password hashes belongs to: nobody else's. A number without an entry is
        // its own group.
        groups.push(user.gid.unwrap_or(user.uid));
        groups.retain(|group| *group != 0);
    }
    Ok(Some(Identity {
        uid: user.uid,
        gid,
        groups,
    }))
}

/// The table's places as paths.
fn rules(spec: &Spec, site: &Site, given: &[PathBuf]) -> Vec<PathRule> {
    let mut rules = Vec::new();
    for (place, rights) in spec.files {
        let rule = |path: &Path| PathRule::new(path, *rights);
        match place {
            Place::QueueFolder => rules.push(rule(&site.queue_folder)),
            Place::UserTables => rules.extend(site.user_tables.iter().map(|path| rule(path))),
            Place::Given => rules.extend(given.iter().map(|path| rule(path))),
            Place::Path(path) => rules.push(PathRule::optional(*path, *rights)),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_the_network_opens_no_files_and_starts_no_programs() {
        for role in [Role::Smtpd, Role::Pop3Login] {
            let spec = spec(role);
            assert_eq!(spec.root, Root::SocketFolder);
            assert_eq!(spec.account, Account::Net);
            assert!(spec.files.is_empty() && spec.keeps.is_empty());
            assert_eq!(spec.calls, [Group::Sockets, Group::UnixSockets]);
        }
    }

    #[test]
    fn only_the_delivery_supervisor_keeps_capabilities_or_root() {
        for role in Role::ALL {
            let (spec, special) = (spec(role), role == Role::LocalDelivery);
            assert_eq!(!spec.keeps.is_empty(), special, "{}", role.name());
            assert_eq!(spec.account == Account::Root, special, "{}", role.name());
        }
    }

    #[test]
    fn only_local_delivery_starts_programs() {
        for role in Role::ALL {
            let special = matches!(role, Role::LocalDelivery | Role::CommandWorker);
            let starts = spec(role).calls.contains(&Group::Processes);
            assert_eq!(starts, special, "{}", role.name());
        }
    }

    #[test]
    fn session_halves_make_no_sockets() {
        for role in [Role::DeliveryWorker, Role::Pop3Session] {
            assert!(
                !spec(role).calls.contains(&Group::UnixSockets),
                "{}",
                role.name()
            );
        }
    }
}
