//! Running cargo and other tools with their output in view.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A command run in the workspace's folder.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    command
}

/// `cargo` of the toolchain that runs us.
pub fn cargo(arguments: &[&str]) -> Command {
    command(
        &std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
        arguments,
    )
}

/// Says what is done, does it, and tells whether it went well.
pub fn run(title: &str, command: &mut Command) -> Result<(), String> {
    eprintln!("==> {title}");
    let status = command
        .status()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{title}: {status}"))
    }
}

/// Builds every program of the suite, as it will be run.
pub fn build_programs() -> Result<(), String> {
    run(
        "build the programs (cargo build --release)",
        &mut cargo(&["build", "--release", "--workspace", "--bins"]),
    )
}
