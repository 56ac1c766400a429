//! `[local_delivery]`

use std::path::PathBuf;
use std::time::Duration;

use crate::record::settings;
use crate::types::{Account, words};

words! {
    /// What a full mailbox means for a message.
    MailboxFull {
        /// It goes back to its sender.
        Bounce = "bounce",
        /// It is tried again.
        Defer = "defer",
    }
}

words! {
    /// Where the mail of a system user is.
    SystemMailbox {
        /// A Maildir in the home folder.
        Maildir = "maildir",
        /// A file in the spool folder.
        Mbox = "mbox",
    }
}

settings! {
    /// Writing into mailboxes, always under the rights of their owner.
    local_delivery: LocalDelivery {
        /// What a full mailbox means: `bounce` refuses at RCPT with 552 and bounces what was queued, `defer`
        /// answers 452 and tries again until queue.lifetime is over.
        mailbox_full: MailboxFull {
            default: MailboxFull::Bounce,
            readers: ["smtpd", "directory", "local-delivery"],
        }
        /// How many messages are taken from the queue at a time. Those for mailboxes of the same owner are
        /// delivered together and share the waiting for the disk.
        concurrency: u32 {
            default: 100,
            range: 1 => 1000,
            readers: ["local-delivery"],
        }
        /// How many worker processes there are at a time: one for each owner of mailboxes and folder that
        /// mail is being delivered to. Mail for others waits for its turn.
        workers: u32 {
            default: 20,
            range: 1 => 500,
            readers: ["local-delivery"],
        }
        /// A worker process without work ends after this time.
        worker_idle_time: Duration {
            default: Duration::from_secs(60),
            range: Duration::from_secs(1) => Duration::from_secs(3600),
            readers: ["local-delivery"],
        }
        /// Whether several messages are made durable by syncing their whole file system at once (ext4, XFS
        /// and Btrfs), which is several times faster than file by file. Switch it off if other programs
        /// write large amounts to the file system of the mailboxes.
        sync_file_system: bool {
            default: true,
            readers: ["local-delivery"],
        }
        /// Where the mail of system users goes.
        system_mailbox: SystemMailbox {
            default: SystemMailbox::Maildir,
            readers: ["directory"],
        }
        /// The Maildir of a system user, below the home folder.
        home_maildir: String {
            default: "Maildir".to_owned(),
            readers: ["directory"],
        }
        /// The folder of the mbox files of system users.
        mbox_dir: PathBuf {
            default: PathBuf::from("/var/mail"),
            readers: ["directory", "local-delivery"],
        }
        /// The group that may make files in mbox_dir, such as mbox files and their locks (`mail` on Debian).
        /// Workers that deliver there are in it, too. Empty for none: then the files must be there, and only
        /// fcntl locks are used where the folder allows no others.
        mbox_group: Option<Account> {
            default: None,
            readers: ["local-delivery"],
        }
        /// How long the locks of an mbox file are waited for before the delivery is deferred.
        lock_timeout: Duration {
            default: Duration::from_secs(20),
            range: Duration::from_secs(1) => Duration::from_secs(3600),
            readers: ["local-delivery", "pop3-session"],
        }
        /// A lock file beside an mbox that is older was left over by a crash and is removed.
        stale_lock_time: Duration {
            default: Duration::from_secs(500),
            range: Duration::from_secs(60) => Duration::from_secs(86_400),
            readers: ["local-delivery", "pop3-session"],
        }
        /// The user as whom mail is written to a `/file` and piped into a `|command` of an alias.
        alias_user: Account {
            default: Account::named("nobody"),
            readers: ["local-delivery"],
        }
        /// A `|command` of an alias is killed after so long, and the delivery is deferred.
        command_timeout: Duration {
            default: Duration::from_secs(900),
            range: Duration::from_secs(1) => Duration::from_secs(3600),
            readers: ["local-delivery"],
        }
        /// How many commands of aliases run at a time; more wait for their turn.
        command_concurrency: u32 {
            default: 10,
            range: 1 => 500,
            readers: ["local-delivery"],
        }
    }
}
