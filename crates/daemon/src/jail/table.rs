//! All rights of all programs at a glance: who a program runs as, what it sees of the file system, which
//! system calls it may make. Whatever is not listed here is denied.

use sandbox::caps::Capability;
use sandbox::landlock::{Rights, Signals};
use sandbox::seccomp::Group;

use super::{Account, Place, Role, Root, Spec};

/// The jail of a program.
#[must_use]
pub fn spec(role: Role) -> &'static Spec {
    match role {
        Role::Smtpd => &SMTPD,
        Role::QueueManager => &QUEUE_MANAGER,
        Role::Directory => &DIRECTORY,
        Role::LocalDelivery => &LOCAL_DELIVERY,
        Role::DeliveryWorker => &DELIVERY_WORKER,
        Role::CommandWorker => &COMMAND_WORKER,
        Role::Pop3Login => &POP3_LOGIN,
        Role::Pop3Session => &POP3_SESSION,
    }
}

/// Reads bytes from the network; talks to queue-manager and directory. No file, no way out.
const SMTPD: Spec = Spec {
    account: Account::Net,
    root: Root::SocketFolder,
    keeps: &[],
    files: &[],
    signals: Signals::Inside,
    calls: &[Group::Sockets, Group::UnixSockets],
    open_files: 65_536,
};

/// Owns the queue folder and nothing else; talks over Unix sockets only.
const QUEUE_MANAGER: Spec = Spec {
    account: Account::Queue,
    root: Root::Whole,
    keeps: &[],
    files: &[
        (Place::QueueFolder, Rights::ReadWrite),
        (Place::Path("/dev/null"), Rights::ReadWrite),
        (Place::Path("/dev/urandom"), Rights::Read),
        (Place::Path("/etc/localtime"), Rights::Read),
        (Place::Path("/usr/share/zoneinfo"), Rights::Read),
    ],
    signals: Signals::Inside,
    calls: &[Group::Sockets, Group::UnixSockets, Group::Files],
    open_files: 16_384,
};

/// Reads users, password hashes and aliases, and no other file: the system's users from their files, not through
/// the C library, whose modules are shared libraries. The folders stay open to it, so that it sees files
/// replaced by rename.
const DIRECTORY: Spec = Spec {
    account: Account::Directory,
    root: Root::Whole,
    keeps: &[],
    files: &[
        (Place::UserTables, Rights::Read),
        (Place::Path("/dev/null"), Rights::ReadWrite),
        (Place::Path("/dev/urandom"), Rights::Read),
        (Place::Path("/etc/localtime"), Rights::Read),
        (Place::Path("/usr/share/zoneinfo"), Rights::Read),
    ],
    signals: Signals::Inside,
    calls: &[Group::Sockets, Group::UnixSockets, Group::Files],
    open_files: 4096,
};

/// Becomes the recipient, by starting itself again as that user; the mailboxes may be anywhere, so that the
/// limits on files are those of the workers. It cannot connect out, make devices or look into other processes.
const LOCAL_DELIVERY: Spec = Spec {
    account: Account::Root,
    root: Root::Whole,
    keeps: &[Capability::SetUid, Capability::SetGid, Capability::Kill],
    files: &[(Place::Path("/"), Rights::All)],
    signals: Signals::Anyone,
    calls: &[
        Group::Sockets,
        Group::UnixSockets,
        Group::Files,
        Group::ExecutableMemory,
        Group::Processes,
        Group::Jails,
    ],
    open_files: 16_384,
};

/// One recipient's rights, one folder, no new sockets of any kind.
const DELIVERY_WORKER: Spec = Spec {
    account: Account::AsStarted,
    root: Root::Whole,
    keeps: &[],
    files: &[
        (Place::Given, Rights::ReadWrite),
        (Place::Path("/dev/null"), Rights::ReadWrite),
        (Place::Path("/dev/urandom"), Rights::Read),
        (Place::Path("/etc/localtime"), Rights::Read),
        (Place::Path("/usr/share/zoneinfo"), Rights::Read),
    ],
    signals: Signals::Inside,
    calls: &[Group::Sockets, Group::Files],
    open_files: 4096,
};

/// The alias user's rights, for commands that the administrator wrote into an alias: they may use what files
/// that user may, and start programs, but not connect out over the network.
const COMMAND_WORKER: Spec = Spec {
    account: Account::AsStarted,
    root: Root::Whole,
    keeps: &[],
    files: &[(Place::Path("/"), Rights::All)],
    signals: Signals::Inside,
    calls: &[
        Group::Sockets,
        Group::UnixSockets,
        Group::Files,
        Group::ExecutableMemory,
        Group::Processes,
    ],
    open_files: 4096,
};

/// Reads bytes from the network before a login; never sees mail.
const POP3_LOGIN: Spec = Spec {
    account: Account::Net,
    root: Root::SocketFolder,
    keeps: &[],
    files: &[],
    signals: Signals::Inside,
    calls: &[Group::Sockets, Group::UnixSockets],
    open_files: 65_536,
};

/// One client that has logged in, one mailbox; never sees a password.
const POP3_SESSION: Spec = Spec {
    account: Account::AsStarted,
    root: Root::Whole,
    keeps: &[],
    files: &[
        (Place::Given, Rights::ReadWrite),
        (Place::Path("/dev/null"), Rights::ReadWrite),
        (Place::Path("/dev/urandom"), Rights::Read),
        (Place::Path("/etc/localtime"), Rights::Read),
        (Place::Path("/usr/share/zoneinfo"), Rights::Read),
    ],
    signals: Signals::Inside,
    calls: &[Group::Sockets, Group::Files],
    open_files: 1024,
};
