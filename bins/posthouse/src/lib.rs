//! The administrator's command: looks at and changes what the suite does.
//!
//! Each subcommand has a module; this file has the arguments and the exit codes. Everything it may do, the
//! invoking user may do: there is no privilege in this program.

pub mod config_command;
pub mod password;
pub mod queue;
pub mod user;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The arguments of `posthouse`.
#[derive(Debug, Parser)]
#[command(
    name = "posthouse",
    version,
    about = "Administer the Posthouse mail suite"
)]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_FILE)]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `posthouse` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check and show the configuration.
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Add, change, remove and list virtual users.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Look into the queue and move mail.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
}

/// Why a command failed; each has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for is not so, or not possible: exit code 1. (2 is a wrong use of the command.)
    #[error("{0}")]
    Failed(String),
    /// The configuration has faults, one per line: exit code 1.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The files of users or aliases have faults, one per line: exit code 1.
    #[error("{0}")]
    Tables(String),
    /// The output could not be written: exit code 1.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// Runs one command, and tells its faults on standard error.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = dispatch(arguments, &mut out).and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            match &failure {
                // Each line begins with a file and a line number, as editors look for them.
                Failure::Config(_) | Failure::Tables(_) => eprintln!("{failure}"),
                Failure::Failed(_) | Failure::Output(_) => eprintln!("posthouse: {failure}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    match &arguments.command {
        Command::Config(command) => config_command::run(command, &arguments.config, out),
        Command::User(command) => user::run(command, &arguments.config, out),
        Command::Queue(command) => queue::run(command, &arguments.config, out),
    }
}

/// Reads the configuration that the suite runs on.
///
/// # Errors
/// The file cannot be read, or has faults.
pub fn load_config(file: &std::path::Path) -> Result<config::Config, Failure> {
    let text = config::read_file(file)?;
    Ok(config::Config::load(&text, &file.display().to_string())?)
}
