//! Deliveries into real folders: what readers find, what attackers get, what a full disk leaves.

mod attacks;
mod faults;
mod quotas;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::mbox::LockOptions;
use crate::quota::{Quota, Usage};
use crate::{
    Content, Deliverer, Delivery, Format, FullMailbox, Location, MailboxError, SyncOptions,
};
use tempfile::TempDir;

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nhello\r\n.dot\r\n";
const PREFIX: &[u8] = b"Return-Path: <>\r\n";

struct Place {
    folder: TempDir,
    owner: u32,
    deliverer: Deliverer,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = fs::metadata(folder.path()).unwrap().uid();
        let lock = LockOptions {
            timeout: Duration::from_millis(10),
            ..LockOptions::default()
        };
        let deliverer = Deliverer::new("host.example", lock, SyncOptions::default());
        Self {
            folder,
            owner,
            deliverer,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn location(&self, name: &str, format: Format) -> Location {
        Location {
            path: self.path(name),
            format,
            owner: self.owner,
            quota: Quota::NONE,
        }
    }

    fn deliver(&self, location: &Location, content: &[u8]) -> Result<(), MailboxError> {
        let delivery = Delivery {
            location,
            prefix: PREFIX,
            content: Content::Bytes(content),
            sender: "a@b.example",
        };
        self.deliverer.deliver_batch(&[delivery]).pop().unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_maildir_is_made_and_filled() {
    let place = Place::new();
    let location = place.location("example.org/alice/Maildir", Format::Maildir);
    place.deliver(&location, MESSAGE).unwrap();
    let found = names(&location.path.join("new"));
    assert_eq!(found.len(), 1);
    let stored = fs::read(location.path.join("new").join(&found[0])).unwrap();
    assert_eq!(stored, b"Return-Path: <>\nSubject: x\n\nhello\n.dot\n");
    let sizes = format!(",S={},W={}", stored.len(), PREFIX.len() + MESSAGE.len());
    assert!(found[0].ends_with(&sizes), "{}", found[0]);
    assert!(names(&location.path.join("tmp")).is_empty());
    for folder in ["", "cur", "new", "tmp"] {
        let mode = fs::metadata(location.path.join(folder)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700, "{folder}");
    }
    let file = location.path.join("new").join(&found[0]);
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_batch_reaches_every_mailbox_and_answers_in_order() {
    let place = Place::new();
    let good: Vec<_> = (0..8)
        .map(|n| place.location(&format!("u{n}"), Format::Maildir))
        .collect();
    let mbox = place.location("mbox", Format::Mbox);
    let bad = place.location("bad", Format::Maildir);
    fs::write(place.path("bad"), "a file").unwrap();
    let mut large = tempfile::tempfile().unwrap();
    let text = b"0123456789abcdef\r\n".repeat(50_000);
    large.write_all(&text).unwrap();
    let content = Content::File {
        file: &large,
        size: text.len() as u64,
    };
    let mut locations: Vec<&Location> = good.iter().chain(&good).collect();
    locations.insert(3, &bad);
    locations.push(&mbox);
    let deliveries: Vec<_> = locations
        .iter()
        .map(|&location| Delivery {
            location,
            prefix: b"",
            content,
            sender: "",
        })
        .collect();
    let results = place.deliverer.deliver_batch(&deliveries);
    for (at, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), at == 3, "{at}: {result:?}");
    }
    let stored = b"0123456789abcdef\n".repeat(50_000);
    for location in &good {
        let new = location.path.join("new");
        let found = names(&new);
        assert_eq!(found.len(), 2);
        assert!(
            fs::read(new.join(&found[0])).unwrap() == stored,
            "content differs"
        );
    }
    let appended = fs::read(&mbox.path).unwrap();
    assert!(appended.starts_with(b"From MAILER-DAEMON "));
    assert!(appended.ends_with(b"0123456789abcdef\n\n"));
}

#[test]
fn an_mbox_is_appended_to_with_quotes_and_blank_lines() {
    let place = Place::new();
    let location = place.location("mbox", Format::Mbox);
    // As another program may have left it: without the blank line.
    fs::write(
        &location.path,
        "From x Thu Jan  1 00:00:00 1970\nA: b\n\nbody",
    )
    .unwrap();
    place
        .deliver(&location, b"B: c\r\n\r\nFrom me\r\n>From you\r\n")
        .unwrap();
    place.deliver(&location, b"no line end").unwrap();
    let text = fs::read_to_string(&location.path).unwrap();
    let text: Vec<_> = text.split("\n\nFrom ").collect();
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(text[0].ends_with("body"));
    assert!(text[1].ends_with("\n>From me\n>>From you"), "{}", text[1]);
    assert!(text[2].ends_with("\nno line end\n\n"), "{}", text[2]);
    assert!(!place.path("mbox.lock").exists());
    let usage = place.deliverer.usage(&location).unwrap();
    assert_eq!(usage.messages, 3);
}
