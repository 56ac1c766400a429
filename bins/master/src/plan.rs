//! What the configuration asks of master: where, how many, as whom. Made anew at every reload.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::types::Account;
use config::{Config, Selection};
use sandbox::{fds, ids};

use crate::backoff::Delays;
use crate::folders::Folders;
use crate::sockets::Address;
use crate::table::{Processes, SERVICES, Service};

/// Where the configuration comes from.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Settings from the command line, which override those of the file, now and after every reload.
    pub overrides: Vec<String>,
}

impl Source {
    /// Reads and checks the configuration, and looks up everything it names.
    ///
    /// The error lists all that is wrong, one line each.
    pub fn plan(&self) -> Result<Plan, String> {
        let name = self.file.display().to_string();
        let text = config::read_file(&self.file).map_err(|error| error.to_string())?;
        let config =
            Config::load_with(&text, &name, &self.overrides).map_err(|error| error.to_string())?;
        Plan::new(config)
    }
}

/// The plan.
#[derive(Debug)]
pub struct Plan {
    /// The settings.
    pub config: Config,
    /// The same as sealed text, for the children.
    pub configuration: OwnedFd,
    /// The folders and their owners.
    pub folders: Folders,
    /// Where to listen.
    pub addresses: Vec<Address>,
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The time limit of an ordered stop.
    pub stop_timeout: Duration,
    /// The time limit for a child to serve.
    pub start_timeout: Duration,
    /// How crash loops are slowed.
    pub delays: Delays,
    /// The most session halves at a time.
    pub max_sessions: usize,
    /// The users that the suite itself runs as, who own no mail.
    service_uids: Vec<u32>,
}

impl Plan {
    fn new(mut config: Config) -> Result<Self, String> {
        let accounts = Accounts::look_up(&config)?;
        accounts.fix(&mut config);
        let text = config.render(Selection::Changed);
        let configuration = fds::sealed_memory("posthouse.toml", text.as_bytes())
            .map_err(|error| format!("cannot hold the configuration in memory: {error}"))?;
        let programs = programs(&config)?;
        let addresses = addresses(&config);
        Ok(Self {
            configuration,
            folders: Folders {
                run: config.paths.run_dir.clone(),
                queue: config.paths.queue_dir.clone(),
                mail: config.directory.mail_root.clone(),
                queue_owner: (accounts.queue, accounts.group),
                mail_owner: (accounts.vmail, accounts.vmail_group),
                group: accounts.group,
            },
            addresses,
            programs,
            stop_timeout: config.master.stop_timeout,
            start_timeout: config.master.start_timeout,
            delays: Delays {
                first: config.master.restart_delay_min,
                longest: config.master.restart_delay_max,
            },
            max_sessions: config.pop3.max_sessions as usize,
            service_uids: vec![accounts.net, accounts.queue, accounts.dir],
            config,
        })
    }

    /// How many processes a service is to have; one without addresses has nothing to do.
    #[must_use]
    pub fn processes(&self, service: &Service) -> usize {
        if let Some(what) = service.listens
            && !self.addresses.iter().any(|(served, _)| *served == what)
        {
            return 0;
        }
        match service.processes {
            Processes::One => 1,
            Processes::SmtpdWorkers => self.config.smtpd.workers as usize,
            Processes::Pop3Workers => self.config.pop3.workers as usize,
        }
    }

    /// Whether a reload can lead to `next`: what the locks and open sockets stand on cannot change.
    pub fn may_become(&self, next: &Self) -> Result<(), String> {
        if self.folders != next.folders {
            return Err(
                "the folders, or the users and the group they belong to, have changed: \
                        that takes a restart of master"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether a session may run as this user: never as root or as a user of the suite itself.
    pub fn may_own_mail(&self, uid: u32, gid: u32) -> Result<(), String> {
        if !ids::is_root() {
            return Ok(());
        }
        if uid == 0 || gid == 0 || self.service_uids.contains(&uid) {
            return Err(format!("user {uid}, group {gid} must not own a mailbox"));
        }
        Ok(())
    }
}

/// The service users as numbers. Without root everything is the one user that we are.
struct Accounts {
    net: u32,
    queue: u32,
    dir: u32,
    vmail: u32,
    vmail_group: u32,
    group: u32,
}

impl Accounts {
    fn look_up(config: &Config) -> Result<Self, String> {
        let (own, own_group) = (ids::effective_uid(), ids::effective_gid());
        if !ids::is_root() {
            return Ok(Self {
                net: own,
                queue: own,
                dir: own,
                vmail: own,
                vmail_group: own_group,
                group: own_group,
            });
        }
        let mut faults = Vec::new();
        let mut user = |setting: &str, account: &Account| {
            let found = ids::user(&account.to_string());
            match found {
                Ok(user) if user.uid == 0 => {
                    faults.push(format!("users.{setting} must not be root"));
                    (0, None)
                }
                Ok(user) => (user.uid, user.gid),
                Err(error) => {
                    faults.push(format!("users.{setting}: {error}"));
                    (0, None)
                }
            }
        };
        let (net, _) = user("net", &config.users.net);
        let (queue, _) = user("queue", &config.users.queue);
        let (dir, _) = user("dir", &config.users.dir);
        let (vmail, vmail_group) = user("vmail", &config.users.vmail);
        let group = ids::group(&config.users.group.to_string()).unwrap_or_else(|error| {
            faults.push(format!("users.group: {error}"));
            0
        });
        if group == 0 && faults.is_empty() {
            faults.push("users.group must not be root's".to_owned());
        }
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        // A number without an entry in the user database has a group of the same number.
        Ok(Self {
            net,
            queue,
            dir,
            vmail,
            vmail_group: vmail_group.unwrap_or(vmail),
            group,
        })
    }
}

impl Accounts {
    /// Puts the numbers in place of the names, as root: the children need not look them up, which would load
    /// the name services' libraries into each of them.
    fn fix(&self, config: &mut Config) {
        if !ids::is_root() {
            return;
        }
        let users = &mut config.users;
        users.net = Account::Id(self.net);
        users.queue = Account::Id(self.queue);
        users.dir = Account::Id(self.dir);
        users.vmail = Account::Id(self.vmail);
        users.group = Account::Id(self.group);
    }
}

/// The folder of the programs: the setting, or the folder that master itself is in.
fn programs(config: &Config) -> Result<PathBuf, String> {
    let folder = match &config.paths.lib_dir {
        Some(folder) => folder.clone(),
        None => {
            let own = std::env::current_exe().map_err(|error| {
                format!("cannot find my own folder, set paths.lib_dir: {error}")
            })?;
            own.parent().map(Path::to_owned).unwrap_or_default()
        }
    };
    let missing = missing_in(&folder);
    if missing.is_empty() {
        Ok(folder)
    } else {
        Err(missing.join("\n"))
    }
}

/// The programs that a folder does not have, as faults.
fn missing_in(folder: &Path) -> Vec<String> {
    let names = SERVICES
        .iter()
        .map(|service| service.name)
        .chain(["pop3-session"]);
    names
        .map(|name| folder.join(name))
        .filter(|program| !program.is_file())
        .map(|program| {
            format!(
                "the program {} is missing; see paths.lib_dir",
                program.display()
            )
        })
        .collect()
}

fn addresses(config: &Config) -> Vec<Address> {
    let smtp = config.smtpd.listen.iter().map(|address| ("smtp", *address));
    let pop3 = config.pop3.listen.iter().map(|address| ("pop3", *address));
    smtp.chain(pop3).collect()
}
