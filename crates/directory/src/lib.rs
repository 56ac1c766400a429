//! Users, password hashes, aliases and domains: the tables behind every "who is that?".
//!
//! Purpose: parse the users file, the aliases file and, by setting, the system's users; answer
//! from one immutable snapshot ([`Tables`]); keep it fresh ([`Source`]); edit the users file
//! ([`UsersFile`]).
//!
//! Invariants:
//! - A snapshot never changes; a table with an error in it never replaces one without.
//! - A table that was never read well is unavailable, which is not the same as empty: what
//!   depends on it is answered "later", never "unknown user".
//! - An edit leaves the old file or the new one, whatever happens in between.
//! - No two users share a default mailbox, and none lies outside the mail root ([`mailbox_path`]).
//! - A password or a hash is in no error and no `Debug` output.
//!
//! Deliberately absent: sockets, threads and timers (the program `directory` has them), NSS and
//! other remote sources of users, and the choice of a user id for virtual users (configuration).

mod aliases;
mod file;
mod hash;
mod locate;
mod login;
mod source;
mod system;
mod tables;
mod text;
mod users;
mod verify;

pub use aliases::{AliasTable, fuzz_aliases};
pub use file::Problem;
pub use hash::{HashError, PasswordHash, Scheme, VerifyError};
pub use locate::{MailboxFormat, Owner, SystemMailbox, UserMailbox, mailbox_path};
pub use login::{LoginCheck, LoginError};
pub use source::{Event, Source, Sources, SystemSource, check};
pub use system::{SystemTable, SystemUser};
pub use tables::{Resolution, Tables, Unreadable};
pub use users::{EditError, Quota, User, UserTable, UsersFile, fuzz_users, parse_size, show_size};
pub use verify::Verified;
