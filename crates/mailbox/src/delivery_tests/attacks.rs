//! What others may have put where the mailbox should be.

use super::*;

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
