//! From text to settings.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::check::{across, did_you_mean};
use crate::error::{ConfigError, Problem};
use crate::settings::Config;

/// The largest configuration that is read.
pub const MAX_FILE: usize = 1 << 20;

/// The text of a configuration file.
///
/// # Errors
/// It cannot be read, is too large, or is not text; the fault names the file as it was given.
pub fn read_file(file: &Path) -> Result<String, ConfigError> {
    let fault = |line, message| {
        let problems = vec![Problem { line, message }];
        ConfigError::new(&file.display().to_string(), problems)
    };
    let mut bytes = Vec::new();
    let limit = MAX_FILE as u64;
    File::open(file)
        .and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => "; make it, or name another with --config",
                _ => "",
            };
            fault(0, format!("cannot be read: {error}{advice}"))
        })?;
    if bytes.len() > MAX_FILE {
        return Err(fault(0, format!("is over {MAX_FILE} bytes long")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        fault(line, "this is not UTF-8 text".to_owned())
    })
}

impl Config {
    /// Reads the text of a configuration file; `file` is its name for the messages.
    ///
    /// # Errors
    /// All faults at once, each with its line.
    pub fn load(text: &str, file: &str) -> Result<Self, ConfigError> {
        Self::load_with(text, file, &[])
    }

    /// As [`Self::load`], and then sets each `section.key=value` of `overrides`.
    ///
    /// A value that is not TOML is taken as a string, so `log.level=debug` needs no quotes.
    ///
    /// # Errors
    /// All faults at once, each with its line.
    pub fn load_with(text: &str, file: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut loader = Loader {
            config: Self::default(),
            text,
            lines: HashMap::new(),
            problems: Vec::new(),
        };
        loader.file();
        for assignment in overrides {
            loader.assignment(assignment);
        }
        // What is wrong by itself need not be compared with others.
        if loader.problems.is_empty() {
            loader.across();
        }
        if loader.problems.is_empty() {
            return Ok(loader.config);
        }
        Err(ConfigError::new(file, loader.problems))
    }

    /// Reads the configuration from an inherited descriptor, wherever its offset stands.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or is faulty.
    pub fn from_fd(fd: OwnedFd, name: &str) -> io::Result<Self> {
        let file = File::from(fd);
        let mut bytes = vec![0; 4096];
        let mut len = 0;
        loop {
            if len > MAX_FILE {
                return Err(io::Error::other(format!(
                    "{name} is over {MAX_FILE} bytes long"
                )));
            }
            if len == bytes.len() {
                bytes.resize(2 * len, 0);
            }
            match file.read_at(&mut bytes[len..], len as u64) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let text = std::str::from_utf8(&bytes[..len]).map_err(io::Error::other)?;
        Self::load(text, name).map_err(io::Error::other)
    }
}

struct Loader<'a> {
    config: Config,
    text: &'a str,
    /// Where each `section.key` stands.
    lines: HashMap<String, usize>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn file(&mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let line = error.span().map_or(0, |span| self.line(span.start));
            // The reader's messages can have several lines.
            let message = error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            self.problem(line, message);
        }
        for (name, value) in table.get_ref() {
            let line = self.line(name.span().start);
            match value.get_ref() {
                DeValue::Table(table) => self.section(line, name.get_ref(), table),
                _ => self.problem(
                    line,
                    format!(
                        "\"{}\" is outside any section; settings stand below a [section]",
                        name.get_ref().escape_debug()
                    ),
                ),
            }
        }
    }

    fn section(&mut self, line: usize, section: &str, table: &DeTable<'_>) {
        if self.config.section(section).is_none() {
            let names = self.config.all().map(|section| section.record().name);
            let hint = hint(did_you_mean(section, names));
            self.problem(
                line,
                format!("unknown section [{}]{hint}", section.escape_debug()),
            );
            return;
        }
        for (key, value) in table {
            let line = self.line(key.span().start);
            self.set(line, section, key.get_ref(), value.get_ref());
        }
    }

    fn set(&mut self, line: usize, section: &str, key: &str, value: &DeValue<'_>) {
        let Some(target) = self.config.section(section) else {
            return;
        };
        match target.set(key, value) {
            Some(Ok(())) => {
                self.lines.insert(format!("{section}.{key}"), line);
            }
            Some(Err(message)) => self.problem(line, format!("{section}.{key}: {message}")),
            None => {
                let message = self.unknown_key(section, key);
                self.problem(line, message);
            }
        }
    }

    fn unknown_key(&mut self, section: &str, key: &str) -> String {
        let records: Vec<_> = self.config.all().map(|section| section.record()).into();
        let own = records.iter().find(|record| record.name == section);
        let keys = own
            .iter()
            .flat_map(|record| record.settings.iter().map(|record| record.key));
        let elsewhere: Vec<_> = records
            .iter()
            .flat_map(|record| &record.settings)
            .filter(|record| record.key == key)
            .map(|record| record.name())
            .collect();
        let hint = match did_you_mean(key, keys) {
            None if !elsewhere.is_empty() => hint(Some(&elsewhere.join(" or "))),
            near => hint(near),
        };
        format!("unknown setting {section}.{}{hint}", key.escape_debug())
    }

    fn assignment(&mut self, assignment: &str) {
        let parts = assignment
            .split_once('=')
            .and_then(|(name, value)| Some((name.trim().split_once('.')?, value.trim())));
        let Some(((section, key), value)) = parts else {
            self.problem(0, format!("\"{assignment}\" is not section.key=value"));
            return;
        };
        if self.config.section(section).is_none() {
            let names = self.config.all().map(|section| section.record().name);
            let hint = hint(did_you_mean(section, names));
            self.problem(
                0,
                format!("\"{assignment}\": unknown section {section}{hint}"),
            );
            return;
        }
        match DeValue::parse(value) {
            Ok(value) => self.set(0, section, key, value.get_ref()),
            Err(_) => self.set(0, section, key, &DeValue::String(value.into())),
        }
    }

    fn across(&mut self) {
        for (name, message) in across(&self.config) {
            let line = self.lines.get(name).copied().unwrap_or(0);
            self.problem(line, message);
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn problem(&mut self, line: usize, message: String) {
        self.problems.push(Problem { line, message });
    }
}

fn hint(meant: Option<&str>) -> String {
    meant
        .map(|meant| format!(" (did you mean {meant}?)"))
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
