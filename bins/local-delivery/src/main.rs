//! Puts mail into mailboxes under the rights of their owners.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_delivery::run(std::env::args_os().skip(1))
}
