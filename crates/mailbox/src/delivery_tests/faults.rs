//! Short writes, full disks, held locks.

use super::*;

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
    if !with_small_files("delivery_tests::faults::a_short_write_leaves_nothing_behind") {
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
