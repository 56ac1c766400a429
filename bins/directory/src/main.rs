//! Answers who is a user, what is an alias, and whether a password is right.

use std::process::ExitCode;

fn main() -> ExitCode {
    directory_service::main()
}
