//! Which folders and files are opened, and which are refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use queue::{Action, Command, Content, OpenError, Queue, Selection};

use crate::common::{Fixture, message, settings};

/// A database of schema version 1 with one message, as the first version wrote it.
const VERSION_1: &str = include_str!("../data/version-1.sql");

fn refused(folder: &Path) -> OpenError {
    match Queue::<()>::open(folder, settings(), |_| {}) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn everything_is_private() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("queue");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let fixture = Fixture::at(&folder, settings());
    fixture.submit(message(1, "x")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), wanted, "{}", path.display());
    }
}

#[test]
fn a_queue_is_opened_once() {
    let fixture = Fixture::new();
    let error = refused(&fixture.folder);
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("queue.sqlite");
    let write = |sql: &str| {
        let _ = fs::remove_file(&file);
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };

    fs::write(
        &file,
        "a text, and not a database, of more than a hundred octets ".repeat(9),
    )
    .unwrap();
    let error = refused(temporary.path());
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");

    write("CREATE TABLE bookmarks (x); PRAGMA application_id = 77;");
    let error = refused(temporary.path());
    assert!(
        matches!(error, OpenError::NotAQueue { found: 77, .. }),
        "{error}"
    );

    write(VERSION_1);
    write(&format!("{VERSION_1} PRAGMA user_version = 1000;"));
    let error = refused(temporary.path());
    assert!(
        matches!(error, OpenError::Newer { found: 1000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("schema version 1000"), "{error}");
}

#[test]
fn version_1_opens_forever() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("queue.sqlite");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch(VERSION_1)
        .unwrap();
    let fixture = Fixture::at(temporary.path(), settings());
    let ids = fixture.reader.list(None, None, 9).unwrap();
    assert_eq!(ids.len(), 1);
    let stored = fixture.reader.message(ids[0]).unwrap().unwrap();
    assert_eq!(stored.reverse_path.to_string(), "<alice@example.org>");
    assert_eq!(fixture.recipients(ids[0]).len(), 2);
    let Some(Content::Inline(content)) = fixture.reader.content(ids[0]).unwrap() else {
        panic!("no content");
    };
    assert_eq!(&content[..], b"Subject: version 1\r\n\r\nbody\r\n");
    assert_eq!(fixture.counts().incoming, 1);
    assert!(fixture.submit(message(1, "x")).unwrap() > ids[0]);
}

#[test]
fn the_file_shrinks_again_after_a_burst() {
    let fixture = Fixture::new();
    let submit = || Command::Submit(Box::new(message(1, vec![b'x'; 60_000])));
    for _ in 0..10 {
        fixture.call_all((0..100).map(|_| submit()).collect());
    }
    let file = fixture.folder.join("queue.sqlite");
    let size = || fs::metadata(&file).unwrap().len();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < deadline, "{what}: {} octets", size());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("it did not grow", &|| size() > 60_000_000);
    assert_eq!(fixture.administer(Action::Delete, Selection::All), 1000);
    // Below 4 096 free pages it is left alone.
    until("it did not shrink", &|| size() < 20_000_000);
}
