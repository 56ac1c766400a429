//! `[users]`

use crate::record::settings;
use crate::types::Account;

settings! {
    /// The users that the programs become when master is started as root; without root everything runs as
    /// the user who started it. Each can be a name or a number; a number needs no entry in the system's
    /// user table. No two of them should be the same, and none should own files.
    users: Users {
        /// The user of the programs that talk to the network before anybody has logged in.
        net: Account {
            default: Account::named("posthouse-net"),
            readers: ["master", "smtpd", "pop3d", "queue-manager", "directory"],
        }
        /// The user of the queue-manager, and the owner of the queue folder.
        queue: Account {
            default: Account::named("posthouse-queue"),
            readers: ["master", "queue-manager", "directory"],
        }
        /// The user of the directory, which alone can read the password hashes.
        dir: Account {
            default: Account::named("posthouse-dir"),
            readers: ["master", "directory", "local-delivery"],
        }
        /// The owner of the mailboxes of virtual users.
        vmail: Account {
            default: Account::named("posthouse-vmail"),
            readers: ["directory", "local-delivery"],
        }
        /// The group of the programs' users: it may connect to the sockets between the programs. A peer's
        /// user is checked besides.
        group: Account {
            default: Account::named("posthouse"),
            readers: ["master", "smtpd", "queue-manager", "directory", "pop3d"],
        }
    }
}
