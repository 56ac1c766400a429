//! Deliveries into real folders: what readers find, what attackers get, what a full disk leaves.

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

/// What an attacker with write access to a folder on the way may put there.
#[test]
fn swapped_files_and_folders_divert_nothing() {
    type Case = (&'static str, Format, fn(&Place));
    let cases: [Case; 8] = [
        ("mbox", Format::Mbox, |place| {
            fs::write(place.path("victim"), "").unwrap();
            symlink(place.path("victim"), place.path("mbox")).unwrap();
        }),
        ("mbox", Format::Mbox, |place| {
            fs::write(place.path("victim"), "").unwrap();
            fs::hard_link(place.path("victim"), place.path("mbox")).unwrap();
        }),
        ("mbox", Format::Mbox, |place| {
            fs::create_dir(place.path("mbox")).unwrap()
        }),
        ("mbox", Format::Mbox, |place| {
            fs::write(place.path("mbox"), "").unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(place.path("mbox"), mode).unwrap();
        }),
        ("Maildir", Format::Maildir, |place| {
            fs::create_dir(place.path("victim")).unwrap();
            symlink(place.path("victim"), place.path("Maildir")).unwrap();
            // Only root's links in folders that only root writes are followed.
            let mode = fs::Permissions::from_mode(0o777);
            fs::set_permissions(place.folder.path(), mode).unwrap();
        }),
        ("Maildir", Format::Maildir, |place| {
            fs::create_dir_all(place.path("victim")).unwrap();
            fs::create_dir(place.path("Maildir")).unwrap();
            for name in ["cur", "tmp"] {
                fs::create_dir(place.path("Maildir").join(name)).unwrap();
            }
            symlink(place.path("victim"), place.path("Maildir/new")).unwrap();
        }),
        ("way/mbox", Format::Mbox, |place| {
            fs::create_dir(place.path("victim")).unwrap();
            symlink(place.path("victim"), place.path("way")).unwrap();
            let mode = fs::Permissions::from_mode(0o777);
            fs::set_permissions(place.folder.path(), mode).unwrap();
        }),
        ("way/../mbox", Format::Mbox, |_| {}),
    ];
    for (at, (name, format, prepare)) in cases.into_iter().enumerate() {
        let place = Place::new();
        prepare(&place);
        let error = place
            .deliver(&place.location(name, format), MESSAGE)
            .unwrap_err();
        assert!(
            matches!(error, MailboxError::Unsafe { .. }),
            "case {at}: {error}"
        );
        let victim = place.path("victim");
        if victim.is_dir() {
            assert!(names(&victim).is_empty(), "case {at}");
        } else if victim.exists() {
            assert_eq!(fs::read(&victim).unwrap(), b"", "case {at}");
        }
    }
}

#[test]
fn a_pipe_in_place_of_a_mailbox_holds_up_nobody() {
    let place = Place::new();
    let status = std::process::Command::new("mkfifo")
        .arg(place.path("mbox"))
        .status();
    assert!(status.unwrap().success());
    let error = place
        .deliver(&place.location("mbox", Format::Mbox), MESSAGE)
        .unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn another_owner_is_refused() {
    let place = Place::new();
    let mut location = place.location("mbox", Format::Mbox);
    fs::write(&location.path, "").unwrap();
    location.owner += 1;
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(error.to_string().contains("must belong to uid"), "{error}");
    let mut location = place.location("Maildir", Format::Maildir);
    place.deliver(&location, MESSAGE).unwrap();
    location.owner += 1;
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(error.to_string().contains("must belong to uid"), "{error}");
}

#[test]
fn a_link_of_root_in_a_folder_of_root_is_followed() {
    let place = Place::new();
    if place.owner != 0 {
        println!("skipped: only root can make such a link");
        return;
    }
    fs::create_dir(place.path("data")).unwrap();
    symlink("./data", place.path("home")).unwrap();
    // The folder above, /tmp, is open to all, which the rule does not ask about: it has no link.
    let location = place.location("home/Maildir", Format::Maildir);
    place.deliver(&location, MESSAGE).unwrap();
    assert_eq!(names(&place.path("data/Maildir/new")).len(), 1);
    symlink("loop", place.path("loop")).unwrap();
    let error = place
        .deliver(&place.location("loop/x", Format::Mbox), MESSAGE)
        .unwrap_err();
    assert!(
        error.to_string().contains("too many symbolic links"),
        "{error}"
    );
}

#[test]
fn a_locked_mbox_is_given_up_after_a_while() {
    let place = Place::new();
    let location = place.location("mbox", Format::Mbox);
    fs::write(place.path("mbox.lock"), "1").unwrap();
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(matches!(error, MailboxError::Locked { .. }), "{error}");
    assert_eq!(fs::read(&location.path).unwrap(), b"");
    assert!(place.path("mbox.lock").exists());
}

#[test]
fn quotas_in_octets_and_messages_hold() {
    let place = Place::new();
    let size = 40;
    let cases = [
        (
            Quota {
                bytes: 2 * size,
                messages: 0,
            },
            2,
        ),
        (
            Quota {
                bytes: 2 * size + 1,
                messages: 0,
            },
            2,
        ),
        (
            Quota {
                bytes: 3 * size - 1,
                messages: 0,
            },
            2,
        ),
        (
            Quota {
                bytes: 0,
                messages: 3,
            },
            3,
        ),
        (
            Quota {
                bytes: 1000 * size,
                messages: 1,
            },
            1,
        ),
    ];
    for (at, (quota, fits)) in cases.into_iter().enumerate() {
        let location = Location {
            quota,
            ..place.location(&format!("quota{at}"), Format::Maildir)
        };
        // 16 octets of prefix and 24 of content, stored.
        let content = b"0123456789012345678901\r\n\r\n";
        let delivery = Delivery {
            location: &location,
            prefix: PREFIX,
            content: Content::Bytes(content),
            sender: "",
        };
        let results = place.deliverer.deliver_batch(&[delivery; 5]);
        let delivered = results.iter().filter(|result| result.is_ok()).count() as u64;
        assert_eq!(delivered, fits, "case {at}");
        assert!(
            matches!(results[4], Err(MailboxError::OverQuota { .. })),
            "case {at}"
        );
        let usage = place.deliverer.usage(&location).unwrap();
        assert_eq!(
            usage,
            Usage {
                bytes: fits * size,
                messages: fits
            },
            "case {at}"
        );
        assert!(names(&location.path.join("tmp")).is_empty(), "case {at}");
        let record = fs::read_to_string(location.path.join("maildirsize")).unwrap();
        assert!(record.starts_with(&format!("{quota}\n")), "{record}");
    }
}

#[test]
fn the_record_of_usage_is_made_anew_when_it_cannot_be_right() {
    let place = Place::new();
    let quota = Quota {
        bytes: 100,
        messages: 0,
    };
    let location = Location {
        quota,
        ..place.location("Maildir", Format::Maildir)
    };
    place.deliver(&location, MESSAGE).unwrap();
    let stored = 39;
    let record = location.path.join("maildirsize");
    fs::create_dir_all(location.path.join(".Sent/cur")).unwrap();
    fs::write(
        location.path.join(".Sent/cur/1.a,S=7:2,S"),
        "size is in the name",
    )
    .unwrap();
    fs::write(location.path.join(".Sent/cur/2.a"), "three").unwrap();
    let counted = stored + 7 + 5;
    let broken = [
        "100S\nx y\n",
        "100S\n-5 -1\n",
        "100S\n5 1",
        "100S\n",
        "99S\n1 1\n",
        "",
        "100S\n1 1 1\n",
    ];
    for text in broken {
        fs::write(&record, text).unwrap();
        let usage = place.deliverer.usage(&location).unwrap();
        assert_eq!((usage.bytes, usage.messages), (counted, 3), "{text:?}");
        assert_eq!(
            fs::read_to_string(&record).unwrap(),
            format!("100S\n{counted} 3\n")
        );
    }
    fs::write(&record, format!("100S\n{}", "1 1\n".repeat(2000))).unwrap();
    assert_eq!(place.deliverer.usage(&location).unwrap().bytes, counted);
    // A good record is believed …
    fs::write(&record, "100S\n           60           2\n").unwrap();
    assert_eq!(place.deliverer.usage(&location).unwrap().bytes, 60);
    // … also when it says full, unless it has several lines and so may be out of date.
    fs::write(&record, "100S\n99 2\n").unwrap();
    assert!(place.deliver(&location, MESSAGE).is_err());
    fs::write(&record, "100S\n98 1\n1 1\n").unwrap();
    place.deliver(&location, MESSAGE).unwrap();
    assert_eq!(
        fs::read_to_string(&record).unwrap(),
        format!("100S\n{counted} 3\n{stored} 1\n")
    );
}

#[test]
fn without_a_quota_usage_is_counted_and_not_recorded() {
    let place = Place::new();
    let location = place.location("Maildir", Format::Maildir);
    let nothing = Usage::default();
    assert_eq!(place.deliverer.usage(&location).unwrap(), nothing);
    place.deliver(&location, MESSAGE).unwrap();
    assert_eq!(place.deliverer.usage(&location).unwrap().messages, 1);
    assert!(!location.path.join("maildirsize").exists());
}

#[test]
fn leftovers_in_tmp_are_removed_when_old() {
    let place = Place::new();
    let location = place.location("Maildir", Format::Maildir);
    fs::create_dir_all(location.path.join("tmp")).unwrap();
    for (name, hours) in [("old", 37), ("young", 35)] {
        let file = File::create(location.path.join("tmp").join(name)).unwrap();
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_modified(then).unwrap();
    }
    // The first opening of a process is one of those that look.
    place.deliver(&location, MESSAGE).unwrap();
    assert_eq!(names(&location.path.join("tmp")), ["young"]);
}

#[test]
fn an_mbox_has_quotas_too() {
    let place = Place::new();
    let mut location = place.location("mbox", Format::Mbox);
    location.quota.messages = 2;
    place.deliver(&location, MESSAGE).unwrap();
    place.deliver(&location, MESSAGE).unwrap();
    let before = fs::read(&location.path).unwrap();
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(matches!(error, MailboxError::OverQuota { .. }), "{error}");
    location.quota = Quota {
        bytes: before.len() as u64 + 20,
        messages: 0,
    };
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(matches!(error, MailboxError::OverQuota { .. }), "{error}");
    assert_eq!(fs::read(&location.path).unwrap(), before, "cut back");
}

/// Runs the test `name` of this file again as a child that may write no file above 8 KiB.
///
/// The shell ignores SIGXFSZ, so that writing on fails with EFBIG and the rest was a short write.
fn with_small_files(name: &str) -> bool {
    const MARK: &str = "POSTHOUSE_TEST_SMALL_FILES";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new("bash")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact \"$1\" --nocapture",
        ])
        .arg(this)
        .arg(name)
        .env(MARK, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    false
}

#[test]
fn a_short_write_leaves_nothing_behind() {
    if !with_small_files("delivery_tests::a_short_write_leaves_nothing_behind") {
        return;
    }
    let place = Place::new();
    let mbox = place.location("mbox", Format::Mbox);
    let maildir = place.location("Maildir", Format::Maildir);
    place.deliver(&mbox, MESSAGE).unwrap();
    place.deliver(&maildir, MESSAGE).unwrap();
    let before = fs::read(&mbox.path).unwrap();
    let large = b"0123456789\r\n".repeat(2000);
    for location in [&mbox, &maildir] {
        let deliveries = [&large[..], MESSAGE].map(|content| Delivery {
            location,
            prefix: PREFIX,
            content: Content::Bytes(content),
            sender: "",
        });
        let results = place.deliverer.deliver_batch(&deliveries);
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.errno(), Some(nix::errno::Errno::EFBIG), "{error}");
        assert!(results[1].is_ok(), "the others are not kept out");
    }
    let after = fs::read_to_string(&mbox.path).unwrap();
    assert!(after.as_bytes().starts_with(&before));
    assert_eq!(after.matches("\nFrom ").count(), 1, "{after}");
    assert!(!after.contains("0123456789"), "half a message stayed");
    assert!(names(&maildir.path.join("tmp")).is_empty());
    assert_eq!(names(&maildir.path.join("new")).len(), 2);
}

/// A file system of 256 KiB, for as long as it is needed.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "small"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
    }
}

#[test]
fn a_full_disk_defers_and_leaves_nothing_behind() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: cannot mount a small file system (needs root)");
        return;
    };
    let at = |name: &str, format| Location {
        path: disk.0.path().join(name),
        ..place.location("", format)
    };
    let (mbox, maildir) = (at("mbox", Format::Mbox), at("Maildir", Format::Maildir));
    place.deliver(&mbox, MESSAGE).unwrap();
    place.deliver(&maildir, MESSAGE).unwrap();
    let before = fs::read(&mbox.path).unwrap();
    let large = b"0123456789\r\n".repeat(40_000);
    for location in [&mbox, &maildir] {
        let error = place.deliver(location, &large).unwrap_err();
        let outcome = error.outcome(FullMailbox::Fail);
        let mail_types::Outcome::Deferred(deferral) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(deferral.status.to_string(), "4.3.1");
    }
    assert_eq!(fs::read(&mbox.path).unwrap(), before);
    assert!(names(&maildir.path.join("tmp")).is_empty());
    place.deliver(&mbox, MESSAGE).unwrap();
    place.deliver(&maildir, MESSAGE).unwrap();
    assert_eq!(names(&maildir.path.join("new")).len(), 2);
}

#[test]
fn a_content_file_that_is_too_short_is_not_delivered() {
    let place = Place::new();
    let file: File = tempfile::tempfile().unwrap();
    for format in [Format::Maildir, Format::Mbox] {
        let location = place.location(&format!("{format:?}"), format);
        let delivery = Delivery {
            location: &location,
            prefix: PREFIX,
            content: Content::File {
                file: &file,
                size: 10,
            },
            sender: "",
        };
        assert!(place.deliverer.deliver_batch(&[delivery])[0].is_err());
    }
    assert!(names(&place.path("Maildir/new")).is_empty());
    assert_eq!(fs::read(place.path("Mbox")).unwrap(), b"");
}
