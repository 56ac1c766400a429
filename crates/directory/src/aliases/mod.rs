//! The aliases file, posthouse-aliases(5): sendmail's format, aliases(5) elsewhere.
//!
//! A name is bare (it counts in every local domain), has a domain, or is a domain alone (`@domain`,
//! the catch-all). Members of an `:include:` file are addresses only: who may write such a list may
//! not run commands with it.

mod lexer;
mod member;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mail_types::{Address, AddressHost, LocalPart};
use routing::Member;

use crate::file::{self, Problem, Stamp};

/// What stands in for the members of a list that could not be read. The sender may see it.
const UNREADABLE: &str = "a list of members of this alias cannot be read just now";

/// All aliases. Keys are `name@` for a bare name, `name@domain`, and `@domain`.
#[derive(Debug, Default)]
pub struct AliasTable {
    aliases: HashMap<Box<str>, Entry>,
    includes: HashMap<PathBuf, Include>,
}

#[derive(Debug)]
struct Entry {
    members: Vec<Member>,
    line: usize,
}

/// An `:include:` file as it was read.
#[derive(Clone, Debug)]
struct Include {
    stamp: Option<Stamp>,
    members: Vec<Member>,
}

/// What may be included, and what to fall back on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Including<'a> {
    /// The folders that lists may be in.
    pub(crate) folders: &'a [PathBuf],
    /// The table before, for the lists that cannot be read now.
    pub(crate) last: Option<&'a AliasTable>,
}

impl AliasTable {
    /// Reads an aliases file with its includes.
    ///
    /// A list that cannot be read does not spoil the table: its alias keeps the members it had, or
    /// is deferred. Such problems come with the table.
    ///
    /// # Errors
    /// Lists every line that is wrong; there is no table then.
    pub(crate) fn load(
        path: &Path,
        including: Including<'_>,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let to_do = "make it (with a line such as \"postmaster: you@your.domain\"), or name another \
                     in directory.aliases_file";
        Self::parse(&file::read(path, to_do)?, path, including)
    }

    pub(crate) fn parse(
        text: &str,
        path: &Path,
        including: Including<'_>,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut reader = Reader {
            path,
            including,
            table: Self::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        for (line, text) in lexer::logical_lines(text) {
            if let Err(problem) = reader.line(line, &text) {
                reader.problems.push(Problem::at(path, line, problem));
            }
        }
        if reader.problems.is_empty() {
            Ok((reader.table, file::shortened(reader.warnings)))
        } else {
            Err(file::shortened(reader.problems))
        }
    }

    /// The members of an alias, by key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[Member]> {
        self.aliases.get(key).map(|entry| entry.members.as_slice())
    }

    /// All keys with their lines, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut keys: Vec<_> = self
            .aliases
            .iter()
            .map(|(key, entry)| (entry.line, &**key))
            .collect();
        keys.sort_unstable();
        keys.into_iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aliases.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.aliases.is_empty()
    }

    /// The included files and what they looked like when they were read.
    pub(crate) fn includes(&self) -> impl Iterator<Item = (&Path, Option<Stamp>)> {
        self.includes
            .iter()
            .map(|(path, include)| (path.as_path(), include.stamp))
    }
}

struct Reader<'a> {
    path: &'a Path,
    including: Including<'a>,
    table: AliasTable,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        let (name, value) = lexer::split_name(text)?;
        let key = key(&name)?;
        if let Some(earlier) = self.table.aliases.get(&*key) {
            return Err(format!(
                "the alias {name:?} is already on line {}",
                earlier.line
            ));
        }
        let mut members = Vec::new();
        for item in lexer::split_members(value)? {
            match member::parse(item)? {
                member::Parsed::Member(member) => members.push(member),
                member::Parsed::Include(path) => members.extend(self.include(&path, line)?),
            }
        }
        if members.is_empty() && !value.contains(":include:") {
            return Err(format!("the alias {name:?} has no members"));
        }
        self.table.aliases.insert(key, Entry { members, line });
        Ok(())
    }

    /// The members of a list, read once however many aliases include it.
    fn include(&mut self, path: &Path, line: usize) -> Result<Vec<Member>, String> {
        let allowed = self
            .including
            .folders
            .iter()
            .any(|folder| path.starts_with(folder));
        if !allowed {
            return Err(format!(
                "{} is in none of the folders of directory.include_folders",
                path.display()
            ));
        }
        if let Some(include) = self.table.includes.get(path) {
            return Ok(include.members.clone());
        }
        let include = self.read_include(path, line);
        let members = include.members.clone();
        self.table.includes.insert(path.to_owned(), include);
        Ok(members)
    }

    fn read_include(&mut self, path: &Path, line: usize) -> Include {
        let stamp = Stamp::look(path);
        let to_do = format!("{}:{line} includes it", self.path.display());
        let problems = match file::read(path, &to_do).and_then(|text| parse_list(&text, path)) {
            Ok(members) => return Include { stamp, members },
            Err(problems) => problems,
        };
        self.warnings.extend(problems);
        let last = self.including.last.and_then(|last| last.includes.get(path));
        let members = match last {
            Some(last) => last.members.clone(),
            None => vec![Member::Unreadable(UNREADABLE.to_owned())],
        };
        Include { stamp, members }
    }
}

/// A list file: members on lines, parted by commas too; `#` begins a comment line.
fn parse_list(text: &str, path: &Path) -> Result<Vec<Member>, Vec<Problem>> {
    let mut members = Vec::new();
    let mut problems = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let parsed = lexer::split_members(line).and_then(|items| {
            let parsed = items.into_iter().map(member::parse_listed);
            parsed.collect::<Result<Vec<_>, _>>()
        });
        match parsed {
            Ok(parsed) => members.extend(parsed),
            Err(text) => problems.push(Problem::at(path, number, text)),
        }
    }
    if problems.is_empty() {
        Ok(members)
    } else {
        Err(file::shortened(problems))
    }
}

/// The key of an alias's name.
fn key(name: &str) -> Result<Box<str>, String> {
    let wrong = |error| format!("{name:?} is no name for an alias: {error}");
    if let Some(domain) = name.strip_prefix('@') {
        let host = AddressHost::parse(domain).map_err(wrong)?;
        return Ok(catch_all_key(&host).into());
    }
    if lexer::has_domain(name) {
        let address = Address::parse(name).map_err(wrong)?;
        return Ok(address.lookup_key().into());
    }
    let name = member::unquoted(name).map_or_else(|| Ok(name.to_owned()), |(text, _)| text)?;
    let local_part = LocalPart::from_unquoted(&name).map_err(wrong)?;
    Ok(format!("{}@", local_part.as_str().to_lowercase()).into())
}

/// The key of a domain's catch-all.
pub(crate) fn catch_all_key(host: &AddressHost) -> String {
    match host {
        AddressHost::Domain(domain) => format!("@{}", domain.as_ascii()),
        AddressHost::Literal(_) => format!("@{host}"),
    }
}

/// For fuzzing: any bytes parse or not, without panic.
pub fn fuzz_aliases(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let including = Including {
        folders: &[],
        last: None,
    };
    // Both outcomes are fine.
    let _ = AliasTable::parse(&text, Path::new("aliases"), including);
    let _ = parse_list(&text, Path::new("list"));
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
