//! master: binds the listeners, starts every other program with what it needs and nothing else, restarts the
//! dead, replaces all of them on a reload and stops them in order.
//!
//! Invariants: master is single-threaded and never blocks but in `poll`; it reads its configuration and its
//! children's control channels, and nothing from the network; a listening socket, once bound, stays open until
//! a reload no longer wants it or master ends.
//!
//! Absent on purpose: becoming a daemon (systemd and containers want the foreground), any knowledge of mail.

mod args;
mod backoff;
mod children;
mod converge;
mod folders;
mod log;
mod notify;
mod plan;
mod sessions;
mod sockets;
mod start;
mod stop;
mod supervisor;
mod table;
mod tickets;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Command, Options};
use plan::Source;
use supervisor::Supervisor;

/// Runs master with the arguments that follow its name.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match args::parse(arguments) {
        Ok(Command::Help) => {
            print!("{}", args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            println!("posthouse master {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Command::Run(options)) => match run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                eprintln!("master: {reason}");
                ExitCode::FAILURE
            }
        },
        Err(reason) => {
            eprint!("master: {reason}\n\n{}", args::USAGE);
            ExitCode::from(2)
        }
    }
}

/// The most descriptors that master asks for: each session costs it one.
const OPEN_FILES: u64 = 65_536;

fn run(options: Options) -> Result<(), String> {
    let source = Source {
        file: options.config,
        overrides: options.overrides,
    };
    let plan = source.plan()?;
    if options.check {
        println!("{}: the configuration can be run", source.file.display());
        return Ok(());
    }
    log::begin(&plan, &source.file)?;
    sandbox::process::set_private_umask();
    let failed = |error: std::io::Error| error.to_string();
    sandbox::limits::raise_open_files(OPEN_FILES).map_err(failed)?;
    restrict().map_err(failed)?;
    let outcome = Supervisor::new(source, plan).and_then(Supervisor::run);
    outcome.map_err(|error| {
        log::cannot_go_on(&error);
        error.to_string()
    })
}

/// Renounces the capabilities that neither master nor any program that it starts will ever need.
fn restrict() -> std::io::Result<()> {
    use sandbox::caps::{self, Capability};
    const KEPT: &[Capability] = &[
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Kill,
        Capability::SetGid,
        Capability::SetUid,
        Capability::SetPcap,
        Capability::NetBindService,
        Capability::SysChroot,
    ];
    caps::bound(KEPT)?;
    caps::keep_only(KEPT)
}
