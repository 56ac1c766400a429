//! Developer commands: `cargo xtask try`, `test`, `audit`, `bench`.

mod audit;
mod bench;
mod steps;
mod test_run;
mod tools;
mod try_out;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of Posthouse.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the suite, start it in a folder of its own, send mail through it and read it back.
    Try(try_out::Arguments),
    /// Install what the tests need, then check format, lints and docs, and run every test.
    Test(test_run::Arguments),
    /// Measure ours and others' side by side.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Check licences, sources and versions of all that is linked (cargo-deny).
    Audit,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Try(arguments) => try_out::run(arguments),
        Command::Test(arguments) => test_run::run(&arguments),
        Command::Bench(bench) => bench::run(&bench),
        Command::Audit => audit::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cargo xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
