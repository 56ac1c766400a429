//! Large content: the life of a spool file.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime};

use queue::{
    Command, Content, Done, Event, Fate, NewContent, NewMessage, Settings, SpoolId, StorageError,
};

use crate::common::{Fixture, changes, message, settings};

fn open(fixture: &Fixture) -> (SpoolId, File) {
    match fixture.call(Command::OpenSpool { expected: 0 }).unwrap() {
        Done::Spool { spool, file } => (spool, file),
        other => panic!("{other:?}"),
    }
}

fn spooled(spool: SpoolId, size: u64) -> NewMessage {
    NewMessage {
        content: NewContent::Spooled { spool, size },
        ..message(1, "")
    }
}

fn files(fixture: &Fixture) -> usize {
    fs::read_dir(fixture.folder.join("spool")).unwrap().count()
}

#[test]
fn large_content_survives_a_restart_and_goes_with_its_message() {
    let fixture = Fixture::new();
    let (spool, mut file) = open(&fixture);
    file.write_all(&[b'x'; 200_000]).unwrap();
    assert!(file.read(&mut [0]).is_err(), "only for writing");
    // The queue was closed between opening and commit.
    let fixture = fixture.reopen();
    let id = fixture.submit(spooled(spool, 200_000)).unwrap();
    assert!(fixture.reader.message(id).unwrap().unwrap().spooled);
    let Some(Content::File(mut file)) = fixture.reader.content(id).unwrap() else {
        panic!("not a file");
    };
    assert!(file.write(b"x").is_err(), "only for reading");
    let abort = fixture.call(Command::AbortSpool { spool });
    assert!(matches!(abort, Ok(Done::Aborted)));
    assert_eq!(files(&fixture), 1, "a committed file is not aborted");
    assert_eq!(fixture.update(changes(id, vec![(0, Fate::Gone)])).left, 0);
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content.len(), 200_000, "still readable by who opened it");
    let fixture = fixture.reopen();
    assert_eq!(files(&fixture), 0);
}

#[test]
fn only_a_whole_file_is_committed_and_only_once() {
    let fixture = Fixture::new();
    let (spool, mut file) = open(&fixture);
    file.write_all(b"12345").unwrap();
    let refused = |spool, size| {
        let error = fixture.submit(spooled(spool, size)).unwrap_err();
        assert!(
            matches!(error, StorageError::SpoolMismatch { .. }),
            "{error}"
        );
        error.to_string()
    };
    assert!(refused(spool, 4).contains("has 5 octets, not 4"));
    assert!(refused(SpoolId(7), 5).contains("does not exist"));
    fixture.submit(spooled(spool, 5)).unwrap();
    assert!(refused(spool, 5).contains("belongs to a message already"));
    let (aborted, _) = open(&fixture);
    fixture
        .call(Command::AbortSpool { spool: aborted })
        .unwrap();
    refused(aborted, 0);
    assert_eq!(files(&fixture), 1);
    let both = vec![spooled(open(&fixture).0, 0); 2];
    let both = both
        .into_iter()
        .map(|m| Command::Submit(Box::new(m)))
        .collect();
    let results = fixture.call_all(both);
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
}

#[test]
fn a_message_whose_file_is_gone_is_set_aside() {
    let fixture = Fixture::new();
    let (spool, _) = open(&fixture);
    let id = fixture.submit(spooled(spool, 0)).unwrap();
    fs::remove_file(fixture.folder.join("spool").join(spool.to_string())).unwrap();
    assert!(matches!(
        fixture.reader.content(id),
        Err(StorageError::Corrupt { .. })
    ));
    fixture.other(|event| matches!(event, Event::SetAside { queue_id, .. } if *queue_id == id));
    assert_eq!(fixture.counts().corrupt, 1);
}

#[test]
fn orphans_are_removed_and_nothing_else() {
    let fixture = Fixture::new();
    let (orphan, _) = open(&fixture);
    let (young, _) = open(&fixture);
    let (committed, _) = open(&fixture);
    let id = fixture.submit(spooled(committed, 0)).unwrap();
    let folder = fixture.folder.join("spool");
    fs::write(folder.join("README"), "not ours").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(90_000);
    for name in [
        orphan.to_string(),
        committed.to_string(),
        "README".to_owned(),
    ] {
        let file = File::options().write(true).open(folder.join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let fixture = fixture.reopen();
    let event = fixture.other(|event| matches!(event, Event::OrphansRemoved { .. }));
    assert!(matches!(event, Event::OrphansRemoved { files: 1 }));
    assert!(!folder.join(orphan.to_string()).exists());
    assert!(folder.join(young.to_string()).exists());
    assert!(folder.join("README").exists());
    assert!(matches!(
        fixture.reader.content(id),
        Ok(Some(Content::File(_)))
    ));
}

#[test]
fn new_mail_is_refused_while_the_disk_is_nearly_full() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = Fixture::at(temporary.path(), settings())
        .submit(message(1, "x"))
        .unwrap();
    let full = Settings {
        min_free: u64::MAX,
        ..settings()
    };
    let fixture = Fixture::at(temporary.path(), full);
    let inline = fixture.submit(message(1, "x")).unwrap_err();
    assert!(matches!(inline, StorageError::DiskFull(_)), "{inline}");
    let spooled = fixture
        .call(Command::OpenSpool { expected: 0 })
        .unwrap_err();
    assert!(matches!(spooled, StorageError::DiskFull(_)), "{spooled}");
    fixture.other(|event| matches!(event, Event::StorageFailing(StorageError::DiskFull(_))));
    let updated = fixture.update(changes(kept, vec![(0, Fate::Gone)]));
    assert_eq!(updated.left, 0, "outcomes are recorded all the same");
}
