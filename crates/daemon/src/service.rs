//! From exec to serving: what master handed down, the jail, the runtime.

use std::fmt::Display;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use config::Config;
use sandbox::fds::Inherited;
use sandbox::{events, ids, process};

use crate::jail::{self, Root, Site};
use crate::life::Life;
use crate::log::{log_failure, log_jail, start_log};
use crate::session::{Assignment, SessionLife};
use crate::{Error, Role};

/// Runs a program: takes what was handed down, gives it to `body`, and turns the outcome into an exit status.
///
/// An error is logged with its text before the program ends.
pub fn main<E: Display + From<Error>>(
    role: Role,
    body: impl FnOnce(Service) -> Result<(), E>,
) -> ExitCode {
    let outcome = Service::start(role).map_err(E::from).and_then(body);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Logs why a program ends; before there is a log, standard error has to do.
fn report(error: &dyn Display) {
    if telemetry::tracing::dispatcher::has_been_set() {
        log_failure(error);
    } else {
        eprintln!("{error}");
    }
}

/// A program that has been started by master and does not serve yet.
#[derive(Debug)]
pub struct Service {
    role: Role,
    config: Arc<Config>,
    inherited: Inherited,
    socket_folder: PathBuf,
}

impl Service {
    /// Takes over what was handed down, reads the configuration, starts the log.
    fn start(role: Role) -> Result<Self, Error> {
        let io = |doing| move |source| Error::Io { doing, source };
        let mut inherited =
            Inherited::take().map_err(io("take over the descriptors from master"))?;
        events::ignore_terminal_signals().map_err(io("ignore the signals of a terminal"))?;
        process::set_private_umask();
        std::env::set_current_dir("/").map_err(io("go to the root folder"))?;
        let fd = take(&mut inherited, "config")?;
        let config = Config::from_fd(fd, "the configuration from master")
            .map_err(|error| Error::Config(error.to_string()))?;
        start_log(role, &config)?;
        let inside = ids::is_root() && jail::spec(role).root == Root::SocketFolder;
        let socket_folder = if inside {
            PathBuf::from("/")
        } else {
            socket_folder(&config)
        };
        Ok(Self {
            role,
            config: Arc::new(config),
            inherited,
            socket_folder,
        })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Takes a descriptor that was handed down under this name.
    pub fn take(&mut self, name: &str) -> Result<OwnedFd, Error> {
        take(&mut self.inherited, name)
    }

    /// Takes the listening sockets of a service such as `smtp`; none if it is not configured.
    pub fn listeners(&mut self, what: &str) -> Vec<TcpListener> {
        let sockets = self.inherited.remove_series(&format!("listen.{what}"));
        sockets.into_iter().map(TcpListener::from).collect()
    }

    /// The path of another service's Unix socket (`queue`, `directory`, `delivery`), as this program sees it
    /// once it is jailed.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.socket_folder.join(format!("{name}.sock"))
    }

    /// Puts the jail of this program's role on. `given` are the folders that it alone knows: the mailbox of a
    /// session or worker. They must exist.
    ///
    /// Call it before any thread or runtime is started.
    pub fn jail(&self, given: &[PathBuf]) -> Result<(), Error> {
        let spec = jail::spec(self.role);
        let missing = jail::apply(spec, &site(&self.config), given)?;
        // Workers and sessions come and go: the services have said it once for all of them.
        if spec.account != jail::Account::AsStarted {
            log_jail(&missing);
        }
        Ok(())
    }

    /// Greets master as a session half and waits for the assignment; comes before the jail, which needs it.
    pub fn assignment(&mut self) -> Result<(SessionLife, Assignment), Error> {
        SessionLife::begin(self.take("control")?)
    }

    /// Runs `serve` on a runtime of one thread, with the channel to master if there is one.
    ///
    /// A worker whose parent is not master has no descriptor `control`; SIGTERM alone drains it.
    pub fn run<T, E, F>(mut self, serve: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(Life) -> Result<T, E>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Io {
                doing: "start the runtime",
                source,
            })?;
        let control = self.inherited.remove("control");
        runtime.block_on(async { serve(Life::begin(control).await?).await })
    }
}

fn take(inherited: &mut Inherited, name: &str) -> Result<OwnedFd, Error> {
    inherited.remove(name).ok_or_else(|| Error::NotHandedDown {
        name: name.to_owned(),
    })
}

/// Where the Unix sockets are.
fn socket_folder(config: &Config) -> PathBuf {
    config.paths.run_dir.join("ipc")
}

/// What the jail has to know of the configuration.
#[must_use]
pub fn site(config: &Config) -> Site {
    let folder = |file: &Path| {
        file.parent()
            .map_or_else(|| PathBuf::from("/"), Path::to_owned)
    };
    let directory = &config.directory;
    let files = [&directory.users_file, &directory.aliases_file];
    let mut user_tables: Vec<PathBuf> = files
        .into_iter()
        .flatten()
        .map(|file| folder(file))
        .collect();
    user_tables.extend(directory.include_folders.iter().cloned());
    if directory.system_users {
        // passwd and shadow are replaced by rename, so that their folder must stay open.
        user_tables.push(PathBuf::from("/etc"));
    }
    user_tables.sort();
    user_tables.dedup();
    Site {
        socket_folder: socket_folder(config),
        queue_folder: config.paths.queue_dir.clone(),
        user_tables,
        net: config.users.net.to_string(),
        queue: config.users.queue.to_string(),
        dir: config.users.dir.to_string(),
        group: config.users.group.to_string(),
    }
}
