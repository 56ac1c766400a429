//! `[directory]`

use std::path::PathBuf;
use std::time::Duration;

use crate::record::settings;
use crate::types::Size;

settings! {
    /// Users, aliases and mailboxes. Changes of the files are picked up without a restart; a file with a
    /// fault is logged, and the last good one stays in force.
    directory: Directory {
        /// The file of the virtual users: address, password hash, quota and mailbox. `posthouse user`
        /// edits it.
        users_file: PathBuf {
            default: PathBuf::from("/etc/posthouse/users"),
            readers: ["directory", "posthouse"],
        }
        /// The aliases, in the format of sendmail (aliases(5)). It must have postmaster.
        aliases_file: PathBuf {
            default: PathBuf::from("/etc/aliases"),
            readers: ["directory"],
        }
        /// The folder of the virtual users' mailboxes that are not given a path of their own: in it
        /// `domain/user` is a Maildir.
        mail_root: PathBuf {
            default: PathBuf::from("/var/lib/posthouse/mail"),
            readers: ["directory", "local-delivery", "posthouse"],
        }
        /// The character that separates a user from a detail, as in user+lists@example.org; empty for none.
        recipient_delimiter: String {
            default: "+".to_owned(),
            readers: ["directory"],
        }
        /// The address that gets the mail for unknown users of the local domains; empty to refuse them.
        catch_all: String {
            default: String::new(),
            readers: ["directory"],
        }
        /// Whether the users of the system have mailboxes, in every local domain.
        system_users: bool {
            default: false,
            readers: ["directory"],
        }
        /// The quota of virtual users who have none of their own; 0 for none.
        default_quota: Size {
            default: Size::new(0),
            range: Size::new(0) => Size::gib(1 << 20),
            readers: ["directory"],
        }
        /// How deep an alias may lead to other aliases.
        alias_depth_limit: u32 {
            default: 50,
            range: 1 => 1000,
            readers: ["directory", "queue-manager"],
        }
        /// The most recipients that one address may expand to.
        alias_expansion_limit: u32 {
            default: 10_000,
            range: 1 => 1_000_000,
            readers: ["directory", "queue-manager"],
        }
        /// How often the files are looked at for changes.
        check_interval: Duration {
            default: Duration::from_secs(2),
            range: Duration::from_millis(100) => Duration::from_secs(3600),
            readers: ["directory"],
        }
        /// How many passwords are checked at a time. Each check takes a processor and its hash's memory for
        /// some tens of milliseconds.
        login_concurrency: u32 {
            default: 4,
            range: 1 => 256,
            readers: ["directory"],
        }
    }
}
