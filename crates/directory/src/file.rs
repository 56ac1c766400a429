//! Reading a table whole, with its identity, and saying what is wrong with it.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The largest table that is read: room for over a million users.
const MAX_TABLE: u64 = 256 << 20;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Problems listed per file; a file of another format should not fill the log.
const MAX_PROBLEMS: usize = 50;

/// Something wrong with a table, or only odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: PathBuf,
    /// Where in it, counted from 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub text: String,
}

impl Problem {
    pub(crate) fn at(file: &Path, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(line),
            text: text.into(),
        }
    }

    pub(crate) fn of(file: &Path, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            text: text.into(),
        }
    }
}

/// `file:line: text`, on one line whatever the file contains.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.text)
    }
}

/// The state of a file on disk, to see that it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also moves when an edit sets the modification time back.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// `None` when there is no such file, or it cannot be looked at.
    pub(crate) fn look(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// The text of a table.
///
/// `to_do` completes the message for a missing file.
pub(crate) fn read(path: &Path, to_do: &str) -> Result<String, Vec<Problem>> {
    read_bytes(path, to_do).and_then(|bytes| utf8(path, bytes))
}

fn read_bytes(path: &Path, to_do: &str) -> Result<Vec<u8>, Vec<Problem>> {
    let failed = |error: std::io::Error| {
        let text = match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no such file: {to_do}"),
            std::io::ErrorKind::PermissionDenied => {
                "it cannot be read: give the group of the user that directory runs as (users.dir) \
                 the right to read it, and to search its folder"
                    .to_owned()
            }
            _ => format!("it cannot be read: {error}"),
        };
        vec![Problem::of(path, text)]
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(vec![Problem::of(path, "it is not a regular file")]);
    }
    let mut bytes = Vec::new();
    file.take(MAX_TABLE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_TABLE {
        let text = format!("it is larger than {} MiB", MAX_TABLE >> 20);
        return Err(vec![Problem::of(path, text)]);
    }
    Ok(bytes)
}

/// Checks the encoding, naming each line that is wrong. The mark that some editors put at the beginning
/// would be taken for part of a name.
fn utf8(path: &Path, mut bytes: Vec<u8>) -> Result<String, Vec<Problem>> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|error| {
        let bad = error.as_bytes().split(|&byte| byte == b'\n').zip(1..);
        let bad = bad.filter(|(line, _)| std::str::from_utf8(line).is_err());
        bad.take(MAX_PROBLEMS)
            .map(|(_, line)| Problem::at(path, line, "the line is not UTF-8 text"))
            .collect()
    })
}

/// Cuts a list of problems to a length that can be logged.
pub(crate) fn shortened(mut problems: Vec<Problem>) -> Vec<Problem> {
    if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS + 1) {
        let file = problems[MAX_PROBLEMS].file.clone();
        problems.truncate(MAX_PROBLEMS);
        let text = format!("and {} more errors like these", more + 1);
        problems.push(Problem::of(&file, text));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        let shown = |result: Result<String, Vec<Problem>>| {
            let problems = result.unwrap_err();
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            lines
                .join("\n")
                .replace(&dir.path().display().to_string(), "D")
        };
        assert_eq!(
            shown(read(&file, "make it")),
            "D/users: there is no such file: make it"
        );
        assert_eq!(shown(read(dir.path(), "")), "D: it is not a regular file");
        std::fs::write(&file, "\u{feff}a\n").unwrap();
        assert_eq!(read(&file, "").unwrap(), "a\n");
        std::fs::write(&file, b"a\n\xff\nb\n\xfe").unwrap();
        assert_eq!(
            shown(read(&file, "")),
            "D/users:2: the line is not UTF-8 text\nD/users:4: the line is not UTF-8 text"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let problems = vec![Problem::at(Path::new("f"), 1, "x"); MAX_PROBLEMS + 7];
        let problems = shortened(problems);
        assert_eq!(problems.len(), MAX_PROBLEMS + 1);
        assert_eq!(
            problems[MAX_PROBLEMS].to_string(),
            "f: and 7 more errors like these"
        );
        assert_eq!(shortened(problems[..3].to_vec()).len(), 3);
    }

    #[test]
    fn stamps_see_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        assert_eq!(Stamp::look(&file), None);
        std::fs::write(&file, "a").unwrap();
        let first = Stamp::look(&file).unwrap();
        assert_eq!(Stamp::look(&file), Some(first));
        std::fs::write(&file, "ab").unwrap();
        assert_ne!(Stamp::look(&file), Some(first));
    }
}
