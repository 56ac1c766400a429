//! `posthouse user`: the file of virtual users.
//!
//! A password is asked for at the terminal, without echo and twice, or read from standard input; it is never
//! an argument, which every user of the system could read. `directory` sees a change within a second.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use config::Config;
use directory::{MailboxFormat, PasswordHash, Scheme, Sources, User, UsersFile, show_size};
use mail_types::{Address, AddressHost};
use routing::Domains;

use crate::password;
use crate::{Failure, load_config};

/// The subcommands of `posthouse user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user.
    Add(Add),
    /// Give a user another password.
    Passwd {
        /// The user's address; a name alone is in the first local domain.
        user: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Remove a user. The mailbox stays where it is.
    Del {
        /// The user's address; a name alone is in the first local domain.
        user: String,
    },
    /// List the users with quota and mailbox.
    List,
    /// Check the files of users and aliases: every error with its line, and what cannot be meant. Exit code 1
    /// if there is an error.
    Check,
}

/// Where a password comes from.
#[derive(Args, Clone, Copy, Debug)]
pub struct PasswordFrom {
    /// Read the password from the first line of standard input instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
    /// No password: the user gets mail but cannot log in.
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
}

/// What a new user is like.
#[derive(Args, Debug)]
pub struct Add {
    /// The user's address; a name alone is in the first local domain.
    user: String,
    /// Where the password comes from.
    #[command(flatten)]
    password: PasswordFrom,
    /// How much the mailbox may hold, such as 500M or 2G; 0 is no limit. By default directory.default_quota.
    #[arg(long, value_name = "SIZE", value_parser = directory::parse_size)]
    quota: Option<u64>,
    /// How many messages the mailbox may hold.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    messages: u64,
    /// Where the mailbox is, by default in directory.mail_root.
    #[arg(long, value_name = "PATH")]
    mailbox: Option<PathBuf>,
    /// How the mailbox is stored.
    #[arg(long, value_enum, default_value_t = Format::Maildir)]
    format: Format,
    /// The user has moved to this address: mail is refused with it.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    moved: Option<Address>,
}

/// How a mailbox is stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// A Maildir folder.
    Maildir,
    /// An mbox file.
    Mbox,
}

fn parse_address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

/// Runs one of them.
///
/// # Errors
/// The configuration or the users file is faulty, the edit is not possible, or the output cannot be written.
pub fn run(command: &UserCommand, file: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let config = load_config(file)?;
    match command {
        UserCommand::Add(add) => run_add(add, &config, out),
        UserCommand::Passwd { user, password } => {
            let (users, address) = (users_file(&config, None)?, address_of(user, &config)?);
            users.find(&address).map_err(failed)?;
            users.set_hash(&address, hash(*password)?).map_err(failed)
        }
        UserCommand::Del { user } => {
            let address = address_of(user, &config)?;
            users_file(&config, None)?.remove(&address).map_err(failed)
        }
        UserCommand::List => list(&config, &users_file(&config, None)?, out),
        UserCommand::Check => check(&config, out),
    }
}

/// The users file; one that is not there yet is made for `group`.
fn users_file(config: &Config, group: Option<u32>) -> Result<UsersFile, Failure> {
    match &config.directory.users_file {
        Some(path) => Ok(UsersFile::new(path, group)),
        None => fail("directory.users_file is empty: this site has no virtual users"),
    }
}

/// The group that a users file gets when it is made now.
fn group_of_new_file(config: &Config) -> Result<Option<u32>, Failure> {
    match &config.directory.users_file {
        Some(path) if !path.exists() => new_file_group(config),
        _ => Ok(None),
    }
}

fn run_add(add: &Add, config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let address = address_of(&add.user, config)?;
    let users = users_file(config, group_of_new_file(config)?)?;
    let host = &address.host;
    let is_local = host
        .domain()
        .is_some_and(|domain| config.domains.local.contains(domain));
    if !is_local {
        writeln!(
            out,
            "Note: {host} is not in domains.local, so no mail comes in for {address} yet."
        )?;
    }
    let mut user = User::new(address, PasswordHash::locked());
    user.quota = add.quota;
    user.messages = add.messages;
    user.mailbox.clone_from(&add.mailbox);
    user.format = match add.format {
        Format::Maildir => MailboxFormat::Maildir,
        Format::Mbox => MailboxFormat::Mbox,
    };
    user.moved.clone_from(&add.moved);
    users.check_new(&user).map_err(failed)?;
    user.hash = hash(add.password)?;
    users.add(&user).map_err(failed)
}

/// What directory would say of the tables.
fn check(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let settings = &config.directory;
    let local = config
        .domains
        .local
        .iter()
        .cloned()
        .map(AddressHost::Domain);
    let (errors, odd) = directory::check(Sources {
        users_file: settings.users_file.clone(),
        aliases_file: settings.aliases_file.clone(),
        include_folders: settings.include_folders.clone(),
        domains: Domains::new(local.collect(), config.domains.relay.clone()),
        delimiters: settings.recipient_delimiter.clone(),
        ..Sources::default()
    });
    for problem in &odd {
        writeln!(out, "{problem}")?;
    }
    if errors.is_empty() {
        let note = if odd.is_empty() {
            "no faults"
        } else {
            "no errors"
        };
        writeln!(out, "users and aliases: {note}")?;
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(Failure::Tables(lines.join("\n")))
}

fn list(config: &Config, users: &UsersFile, out: &mut impl Write) -> Result<(), Failure> {
    let table = users.read().map_err(failed)?;
    let rows: Vec<[String; 4]> = table.iter().map(|(_, user)| row(user, config)).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2].map(|column| widest(column).unwrap_or(0));
    for [address, quota, messages, rest] in &rows {
        let [first, second, third] = widths;
        writeln!(
            out,
            "{address:first$}  {quota:>second$}  {messages:>third$}  {rest}"
        )?;
    }
    Ok(())
}

/// Address, quota in octets and in messages, mailbox with what else is to be known.
fn row(user: &User, config: &Config) -> [String; 4] {
    let quota = user.quota(config.directory.default_quota.bytes());
    let or_none = |number: u64, shown: String| if number == 0 { "-".to_owned() } else { shown };
    let path = user.path(&config.directory.mail_root);
    let mut rest = path.display().to_string();
    if user.format == MailboxFormat::Mbox {
        rest.push_str("  mbox");
    }
    if user.hash.scheme() == Scheme::Locked {
        rest.push_str("  cannot log in");
    }
    if let Some(new) = &user.moved {
        rest.push_str(&format!("  moved to {new}"));
    }
    [
        user.address.to_string(),
        or_none(quota.bytes, show_size(quota.bytes)),
        or_none(quota.messages, quota.messages.to_string()),
        rest,
    ]
}

fn address_of(user: &str, config: &Config) -> Result<Address, Failure> {
    let wrong = |error| Failure::Failed(format!("{user:?} is no address: {error}"));
    if user.contains('@') {
        return Address::parse(user).map_err(wrong);
    }
    let Some(domain) = config.domains.local.first() else {
        return fail(format!(
            "{user:?} has no domain, and domains.local is empty"
        ));
    };
    let local_part = mail_types::LocalPart::from_unquoted(user).map_err(wrong)?;
    Ok(Address::new(
        local_part,
        AddressHost::Domain(domain.clone()),
    ))
}

fn hash(from: PasswordFrom) -> Result<PasswordHash, Failure> {
    if from.no_password {
        return Ok(PasswordHash::locked());
    }
    let password = match from.password_stdin {
        true => password::from_stdin(),
        false => password::ask(),
    };
    let password = password.map_err(Failure::Failed)?;
    PasswordHash::make(&password).map_err(|error| Failure::Failed(error.to_string()))
}

/// The group of a new users file when root makes it: the one that only directory is in.
fn new_file_group(config: &Config) -> Result<Option<u32>, Failure> {
    if !sandbox::ids::is_root() {
        return Ok(None);
    }
    let failed = |setting: &str| {
        let setting = setting.to_owned();
        move |error| Failure::Failed(format!("{setting}: {error}"))
    };
    let users = &config.users;
    let user = sandbox::ids::user(&users.dir.to_string()).map_err(failed("users.dir"))?;
    let shared = sandbox::ids::group(&users.group.to_string()).map_err(failed("users.group"))?;
    // A number without an entry is its own group.
    let own = user.gid.unwrap_or(user.uid);
    if own == shared {
        return fail(format!(
            "the user {} (users.dir) has the group {} (users.group), which the programs that face the \
             network are in: give it a group of its own, for the file of password hashes",
            users.dir, users.group
        ));
    }
    Ok(Some(own))
}

fn failed(error: directory::EditError) -> Failure {
    Failure::Failed(error.to_string())
}

fn fail<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Failed(text.into()))
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
