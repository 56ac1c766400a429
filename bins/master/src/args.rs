//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// How to call this program.
pub const USAGE: &str = "\
Usage: master [--config FILE] [--set SECTION.KEY=VALUE]... [--check]

Starts and supervises the programs of the mail suite, in the foreground.

  --config FILE            the configuration (default: /etc/posthouse/posthouse.toml)
  --set SECTION.KEY=VALUE  overrides one setting; may be repeated
  --check                  checks configuration, users and programs, and starts nothing
  --help, --version

SIGHUP reloads the configuration; SIGTERM stops in order, a second one at once.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run, or only check.
    Run(Options),
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// The options of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Settings that override those of the file.
    pub overrides: Vec<String>,
    /// Only check.
    pub check: bool,
}

/// Reads the arguments that follow the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options {
        config: config::DEFAULT_FILE.into(),
        overrides: Vec::new(),
        check: false,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
            _ => (&*text, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| arguments.next())
                .ok_or(format!("{name} needs a value"))
        };
        match name {
            "--config" => options.config = value()?.into(),
            "--set" => {
                let assignment = value()?.into_string();
                options
                    .overrides
                    .push(assignment.map_err(|_| "--set: not UTF-8")?);
            }
            "--check" => options.check = true,
            "--help" | "-h" => return Ok(Command::Help),
            "--version" | "-V" => return Ok(Command::Version),
            _ => return Err(format!("unknown argument {text:?}")),
        }
    }
    Ok(Command::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn both_ways_to_give_a_value() {
        let expected = Options {
            config: "/a b".into(),
            overrides: vec!["log.level=debug".to_owned(), "smtpd.workers=2".to_owned()],
            check: true,
        };
        let line = [
            "--config",
            "/a b",
            "--set=log.level=debug",
            "--set",
            "smtpd.workers=2",
            "--check",
        ];
        assert_eq!(parsed(&line).unwrap(), Command::Run(expected));
        assert_eq!(parsed(&["-h"]).unwrap(), Command::Help);
        for bad in [&["--config"][..], &["--set"], &["x"], &["--chekc"]] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }
}
