//! `[directory]`

use std::path::PathBuf;
use std::time::Duration;

use crate::record::settings;
use crate::types::Size;

settings! {
    /// Users, aliases and mailboxes. Changes of the files are picked up without a restart; a file with a
    /// fault is logged with the line, and the last good one stays in force. While a file could never be read
    /// without a fault, what depends on it is answered with 451, not with 550.
    directory: Directory {
        /// The file of the virtual users, posthouse-users(5): address, password hash, quota and mailbox.
        /// `posthouse user` edits it. Empty for no virtual users.
        users_file: Option<PathBuf> {
            default: Some(PathBuf::from("/etc/posthouse/users")),
            readers: ["directory", "posthouse"],
        }
        /// The aliases in the format of sendmail, posthouse-aliases(5). It should have postmaster. Empty for
        /// no aliases.
        aliases_file: Option<PathBuf> {
            default: Some(PathBuf::from("/etc/posthouse/aliases")),
            readers: ["directory", "posthouse"],
        }
        /// The folders that `:include:` lists of aliases may be in, at any depth. They must exist.
        include_folders: Vec<PathBuf> {
            default: Vec::new(),
            readers: ["directory", "posthouse"],
        }
        /// The folder of the virtual users' mailboxes that are not given a path of their own: in it
        /// `domain/user/Maildir` is a Maildir.
        mail_root: PathBuf {
            default: PathBuf::from("/var/lib/posthouse/mail"),
            readers: ["directory", "local-delivery", "posthouse"],
        }
        /// The character that separates a user from a detail, as in user+lists@example.org; empty for none.
        /// Of several characters each is one.
        recipient_delimiter: String {
            default: "+".to_owned(),
            readers: ["directory"],
        }
        /// Whether the users of /etc/passwd have mailboxes, in every local domain. For them to log in, the
        /// user of the directory (users.dir) must be in the group that may read /etc/shadow.
        system_users: bool {
            default: false,
            readers: ["directory"],
        }
        /// System users with a lower number have no mailbox and cannot log in: name who reads their mail in
        /// the aliases file. Root and nobody never have one.
        first_uid: u32 {
            default: 1000,
            range: 1 => u32::MAX,
            readers: ["directory"],
        }
        /// The quota of virtual users who have none of their own; 0 for none.
        default_quota: Size {
            default: Size::new(0),
            range: Size::new(0) => Size::gib(1 << 20),
            readers: ["directory", "posthouse"],
        }
        /// How deep an alias may lead to other aliases.
        expansion_depth: u32 {
            default: 50,
            range: 1 => 1000,
            readers: ["directory"],
        }
        /// The most recipients that one address may expand to. Mail for an alias with more is refused.
        expansion_limit: u32 {
            default: 10_000,
            range: 1 => 100_000,
            readers: ["directory"],
        }
        /// How often the files are looked at for changes. A change is taken at the second look that finds the
        /// file at rest.
        check_interval: Duration {
            default: Duration::from_millis(500),
            range: Duration::from_millis(50) => Duration::from_secs(3600),
            readers: ["directory"],
        }
        /// How many passwords are checked at a time. Each check takes a processor and its hash's memory (19
        /// MiB for hashes made here) for some tens of milliseconds.
        login_concurrency: u32 {
            default: 4,
            range: 1 => 256,
            readers: ["directory"],
        }
        /// How many password checks may wait for their turn; further clients are told to come back later.
        login_waiting: u32 {
            default: 200,
            range: 1 => 10_000,
            readers: ["directory"],
        }
    }
}
