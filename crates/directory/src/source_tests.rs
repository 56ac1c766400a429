//! Files that change, break, vanish and come back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::tables::Resolution;
use crate::tables::tests::sources;

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(users: &str, aliases: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Self { dir };
        files.write("users", users);
        files.write("aliases", aliases);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }

    fn sources(&self) -> Sources {
        Sources {
            users_file: Some(self.path("users")),
            aliases_file: Some(self.path("aliases")),
            include_folders: vec![self.dir.path().to_owned()],
            ..sources()
        }
    }

    fn show(&self, events: &[Event]) -> Vec<String> {
        let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
        let show = |event: &Event| match event {
            Event::Loaded { file, entries } => format!("{} has {entries}", name(file)),
            Event::Refused {
                file,
                problems,
                kept,
            } => {
                let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
                format!("{} refused at {lines:?}, kept {kept}", name(file))
            }
            Event::Odd(problem) => format!("odd: {}", problem.text),
        };
        events.iter().map(show).collect()
    }
}

fn resolve(source: &Source, address: &str) -> Resolution {
    source
        .current()
        .resolve(&mail_types::Address::parse(address).unwrap())
}

const LOCAL: Resolution = Resolution::Local { limited: None };

#[test]
fn changes_are_taken_once_they_rest() {
    let files = Files::new("a@example.org:*\n", "postmaster: a\n");
    let (mut source, events) = Source::load(files.sources());
    assert_eq!(files.show(&events), ["users has 1", "aliases has 1"]);
    assert!(source.refresh().is_empty());

    let before = source.current();
    files.write("users", "a@example.org:*\nb@example.org:*\n");
    assert!(source.refresh().is_empty());
    files.write(
        "users",
        "a@example.org:*\nb@example.org:*\nc@example.org:*\n",
    );
    assert!(source.refresh().is_empty());
    assert_eq!(files.show(&source.refresh()), ["users has 3"]);
    assert_eq!(resolve(&source, "c@example.org"), LOCAL);
    assert_eq!(
        before.resolve(&mail_types::Address::parse("c@example.org").unwrap()),
        Resolution::Unknown
    );
    assert!(source.refresh().is_empty());
}

#[test]
fn the_last_good_table_stays() {
    let files = Files::new("a@example.org:*\n", "postmaster: a\n");
    let (mut source, _) = Source::load(files.sources());
    files.write("users", "a@example.org:*\nbroken\nalso broken\n");
    files.write("aliases", "postmaster a\n");
    assert!(source.refresh().is_empty());
    assert_eq!(
        files.show(&source.refresh()),
        [
            "users refused at [Some(2), Some(3)], kept true",
            "aliases refused at [Some(1)], kept true"
        ]
    );
    assert_eq!(resolve(&source, "a@example.org"), LOCAL);
    assert_eq!(resolve(&source, "postmaster@example.org"), LOCAL);

    fs::remove_file(files.path("users")).unwrap();
    assert!(source.refresh().is_empty());
    assert_eq!(
        files.show(&source.refresh()),
        ["users refused at [None], kept true"]
    );
    assert_eq!(resolve(&source, "a@example.org"), LOCAL);

    files.write("users", "b@example.org:*\n");
    assert!(source.refresh().is_empty());
    let events = files.show(&source.refresh());
    assert_eq!(events[0], "users has 1");
    assert!(
        events[1].starts_with("odd: nobody is postmaster of example.org"),
        "{events:?}"
    );
    assert_eq!(resolve(&source, "a@example.org"), Resolution::Unknown);
    assert_eq!(resolve(&source, "b@example.org"), LOCAL);
}

#[test]
fn a_table_that_was_never_good_is_unavailable_until_it_is() {
    let files = Files::new("broken\n", "postmaster: a\n");
    let (mut source, events) = Source::load(files.sources());
    assert_eq!(
        files.show(&events)[0],
        "users refused at [Some(1)], kept false"
    );
    assert_eq!(resolve(&source, "a@example.org"), Resolution::Unavailable);
    assert_eq!(resolve(&source, "a@relayed.example"), Resolution::Relay);

    files.write("users", "a@example.org:*\n");
    source.refresh();
    assert_eq!(files.show(&source.refresh()), ["users has 1"]);
    assert_eq!(resolve(&source, "a@example.org"), LOCAL);
}

#[test]
fn included_lists_are_watched_too() {
    let files = Files::new("a@example.org:*\n", "");
    let list = files.path("list");
    files.write(
        "aliases",
        &format!("postmaster: a\nl: :include:{}\n", list.display()),
    );
    let (mut source, events) = Source::load(files.sources());
    assert!(
        files.show(&events)[2].starts_with("odd: there is no such file"),
        "{events:?}"
    );
    assert_eq!(resolve(&source, "l@example.org"), LOCAL);

    files.write("list", "nobody\n");
    source.refresh();
    assert_eq!(files.show(&source.refresh()), ["aliases has 2"]);
    assert_eq!(resolve(&source, "l@example.org"), Resolution::Unknown);
}

#[test]
fn a_failure_is_tried_again_without_a_change() {
    let files = Files::new("broken\n", "postmaster: a\n");
    let (mut source, _) = Source::load(files.sources());
    let tries = (0..RETRY_AFTER)
        .filter(|_| !source.refresh().is_empty())
        .count();
    assert_eq!(tries, 1);
}

#[test]
fn no_file_is_an_empty_table_and_odd_lines_are_named() {
    let files = Files::new(
        "a@elsewhere.example:*\na@example.org:*\n",
        "x@elsewhere.example: a\n",
    );
    let (errors, odd) = check(files.sources());
    assert_eq!(errors, []);
    let odd: Vec<_> = odd
        .iter()
        .map(|problem| (problem.line, problem.text.as_str()))
        .collect();
    assert_eq!(
        odd[0],
        (
            Some(1),
            "the user a@elsewhere.example gets no mail: its domain is not in domains.local"
        )
    );
    assert_eq!(odd[1].0, Some(1));
    assert!(
        odd[2]
            .1
            .starts_with("nobody is postmaster of example.org, other.example: add")
    );

    fs::set_permissions(files.path("users"), fs::Permissions::from_mode(0o644)).unwrap();
    let (_, odd) = check(files.sources());
    let open = odd
        .iter()
        .filter(|problem| problem.text.contains("every user of this system"));
    assert_eq!(open.count(), 1);

    let nothing = Sources {
        users_file: None,
        aliases_file: None,
        ..files.sources()
    };
    let (source, events) = Source::load(nothing);
    assert!(events.is_empty());
    assert_eq!(resolve(&source, "a@example.org"), Resolution::Unknown);
}
