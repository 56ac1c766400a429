//! The administrator's command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    posthouse_cli::run(&posthouse_cli::Arguments::parse())
}
