//! Where the built programs are.

use std::path::PathBuf;

/// The folder with the programs under test: the one this executable was built into.
///
/// Test executables are in `target/<profile>/deps`, developer commands in `target/<profile>`.
///
/// # Errors
/// When this executable's own place cannot be told.
pub fn programs_folder() -> Result<PathBuf, String> {
    let me = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let mut folder = me.parent().ok_or("this executable has no folder")?;
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder = folder
            .parent()
            .ok_or("this executable's folder has no parent")?;
    }
    Ok(folder.to_path_buf())
}

/// One program by name.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let path = programs_folder()?.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "{} is not built: run `cargo build --release --workspace --bins`",
        path.display()
    ))
}
