//! `cargo xtask audit`.

use crate::{steps, tools};

/// Runs cargo-deny, which is installed when it is not there.
pub fn run() -> Result<(), String> {
    tools::cargo_tool("cargo-deny", &["deny", "--version"])?;
    steps::run(
        "cargo deny: licences, bans, sources",
        &mut steps::cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"]),
    )
}
