//! `posthouse config`: check and show the settings.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use config::{Config, Selection};

use crate::{Failure, load_config};

/// The subcommands of `posthouse config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every fault of the file with its line; exit code 1 if there is one.
    Check {
        /// The file, instead of the one that --config names.
        file: Option<PathBuf>,
    },
    /// Print the settings in force.
    Show {
        /// Print the defaults, without reading a file.
        #[arg(long, conflicts_with = "changed")]
        defaults: bool,
        /// Print only what differs from the defaults.
        #[arg(long)]
        changed: bool,
    },
    /// Print the manual page posthouse.toml(5).
    Man,
}

/// Runs one of them.
///
/// # Errors
/// The configuration is faulty, or the output cannot be written.
pub fn run(command: &ConfigCommand, file: &Path, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { file: other } => {
            let file = other.as_deref().unwrap_or(file);
            load_config(file)?;
            writeln!(out, "{}: no faults", file.display())?;
        }
        ConfigCommand::Show { defaults: true, .. } => {
            out.write_all(Config::default().render(Selection::All).as_bytes())?;
        }
        ConfigCommand::Show { changed, .. } => {
            let selection = if *changed {
                Selection::Changed
            } else {
                Selection::All
            };
            out.write_all(load_config(file)?.render(selection).as_bytes())?;
        }
        ConfigCommand::Man => out.write_all(config::manual_page().as_bytes())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a command on a file with `text`; its output, or the text of its failure.
    fn run_on(text: &str, command: &ConfigCommand) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("posthouse.toml");
        std::fs::write(&file, text).expect("written");
        let mut out = Vec::new();
        let folder = format!("{}/", folder.path().display());
        run(command, &file, &mut out)
            .map(|()| String::from_utf8(out).expect("text").replace(&folder, ""))
            .map_err(|failure| failure.to_string().replace(&folder, ""))
    }

    #[test]
    fn check_reports_every_fault() {
        let check = ConfigCommand::Check { file: None };
        assert_eq!(
            run_on("", &check),
            Ok("posthouse.toml: no faults\n".to_owned())
        );
        let told = run_on("[smtpd]\nworker = 1\n[nope]\n", &check).expect_err("faulty");
        assert_eq!(
            told,
            "posthouse.toml:2: unknown setting smtpd.worker (did you mean workers?)\n\
             posthouse.toml:3: unknown section [nope]"
        );
    }

    #[test]
    fn show_prints_what_is_asked_for() {
        let show = |defaults, changed| ConfigCommand::Show { defaults, changed };
        let text = "[smtpd]\nworkers = 2\nexpn = false\n";
        let changed = run_on(text, &show(false, true));
        assert_eq!(changed, Ok("[smtpd]\nworkers = 2\n".to_owned()));
        let all = run_on(text, &show(false, false)).expect("valid");
        assert!(all.contains("workers = 2\n") && all.contains("expn = false\n"));
        let defaults = run_on("broken", &show(true, false)).expect("no file is read");
        assert!(defaults.contains("workers = 1\n"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let check = ConfigCommand::Check {
            file: Some(PathBuf::from("/nonexistent/x.toml")),
        };
        let told = run_on("", &check).expect_err("missing");
        assert!(
            told.starts_with("/nonexistent/x.toml: cannot be read: No such file"),
            "{told}"
        );
    }
}
