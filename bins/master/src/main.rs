//! Binds listeners, starts and supervises every other program.

use std::process::ExitCode;

fn main() -> ExitCode {
    master::main(std::env::args_os().skip(1))
}
