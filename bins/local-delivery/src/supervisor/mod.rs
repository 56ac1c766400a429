//! The part that takes works and hands them out; it never opens a mailbox itself.
//!
//! Works come from queue-manager, places from directory, and both the mail and the right to write it go to a
//! worker. Each work is a task of its own: a slow mailbox holds up nobody but itself, its worker's batch and
//! the lease it was given under.

mod agent;
mod places;
mod pool;
mod starter;
mod usage;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use config::Config;
use daemon::{Error, Role, Service};

use places::Places;
use pool::Pool;
use starter::Starter;

/// Runs the supervisor.
#[must_use]
pub fn main() -> ExitCode {
    daemon::main(Role::LocalDelivery, supervise)
}

fn supervise(mut service: Service) -> Result<(), Error> {
    let config = Arc::clone(service.config());
    let socket = service.take("ipc")?;
    let (queue, directory) = (service.socket("queue"), service.socket("directory"));
    let starter = Starter::new(&config).map_err(failed("prepare to start workers"))?;
    let places =
        Places::new(&config).map_err(failed("find the user of aliases' files and commands"))?;
    let asker = usage_asker(&config).map_err(failed("find the user of directory"))?;
    service.jail(&[])?;
    service.run(async move |life| {
        let pool = Pool::new(starter, &config.local_delivery);
        tokio::spawn(pool.clone().look_after());
        let workers = pool.clone();
        let usage = usage::Server::open(socket, asker, pool.clone(), places.clone())
            .map_err(failed("serve delivery.sock"))?;
        let serving = tokio::spawn(usage.serve());
        let agent = agent::Agent::new(queue, directory, pool, places, &config);
        life.ready()?;
        agent.serve(life.drain()).await;
        serving.abort();
        workers.end().await;
        Ok(())
    })
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// Who may ask how full a mailbox is: directory's user; without root, the one user that there is.
fn usage_asker(config: &Config) -> io::Result<u32> {
    if !sandbox::ids::is_root() {
        return Ok(sandbox::ids::effective_uid());
    }
    Ok(sandbox::ids::user(&config.users.dir.to_string())?.uid)
}
