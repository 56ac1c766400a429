use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::Location;
use crate::deliver::Format;
use crate::maildrop::{Found, Maildrop, OpenError};
use crate::mbox::LockOptions;
use crate::quota::Quota;

/// As Dovecot 2.3.19 wrote it for the messages of [`dovecot_maildir`].
const DOVECOT_LIST: &str = "3 V1795260592 N4 Gc0192f23b080016bab66000083ecc375\n\
    1 :1700000001.M1P1.host,S=25,W=29\n\
    2 W26 :1700000002.M2P1.host\n\
    3 W24 :1700000003.M3P1.host\n";
/// What its POP3 server answered to UIDL.
const DOVECOT_IDS: [&str; 3] = ["000000016b0180b0", "000000026b0180b0", "000000036b0180b0"];

struct Place {
    _folder: TempDir,
    location: Location,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.location.path.join(name)
    }

    fn put(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn list(&self) -> String {
        fs::read_to_string(self.path("dovecot-uidlist")).unwrap()
    }

    fn open(&self) -> Maildrop {
        Maildrop::open(&self.location, LockOptions::default()).unwrap()
    }
}

fn maildir() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("Maildir");
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
    let location = Location {
        path,
        format: Format::Maildir,
        owner: nix::unistd::geteuid().as_raw(),
        quota: Quota::NONE,
    };
    Place {
        _folder: folder,
        location,
    }
}

fn dovecot_maildir() -> Place {
    let place = maildir();
    place.put(
        "cur/1700000001.M1P1.host,S=25,W=29:2,S",
        "Subject: one\n\nbody\n.dot\n",
    );
    place.put(
        "cur/1700000002.M2P1.host:2,S",
        "Subject: two\r\n\r\nbody two\r\n",
    );
    place.put("cur/1700000003.M3P1.host:2,", "Subject: three\n\nno end");
    place.put("dovecot-uidlist", DOVECOT_LIST);
    place
}

fn ids(drop: &Maildrop) -> Vec<String> {
    let id = |index| {
        let mut id = Vec::new();
        drop.unique_id(index, &mut id);
        String::from_utf8(id).unwrap()
    };
    (0..drop.count()).map(id).collect()
}

fn sizes(drop: &Maildrop) -> Vec<u64> {
    (0..drop.count()).map(|index| drop.octets(index)).collect()
}

fn content(drop: &mut Maildrop, index: u32) -> Option<String> {
    let Found::Message(mut reader) = drop.message(index).unwrap() else {
        return None;
    };
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.next_block(&mut block).unwrap() {
        all.extend_from_slice(&block);
    }
    Some(String::from_utf8(all).unwrap())
}

#[test]
fn what_dovecot_left_keeps_its_ids_sizes_and_order() {
    let place = dovecot_maildir();
    let mut drop = place.open();
    assert_eq!(ids(&drop), DOVECOT_IDS);
    assert_eq!(sizes(&drop), [29, 26, 24]);
    assert_eq!(
        content(&mut drop, 1).unwrap(),
        "Subject: two\r\n\r\nbody two\r\n"
    );
    assert_eq!(content(&mut drop, 2).unwrap(), "Subject: three\n\nno end");
    assert_eq!(drop.take_notes(), Vec::<String>::new());
    // All was known: nothing is written.
    assert_eq!(place.list(), DOVECOT_LIST);
}

#[test]
fn new_mail_goes_behind_and_is_recorded_for_dovecot() {
    let place = dovecot_maildir();
    place.put("new/1700000009.M2P1.host,S=4,W=5", "a: \n");
    place.put("new/1700000009.M1P1.host", "a\nb\n");
    let by_name = ["1700000009.M1P1.host", "1700000009.M2P1.host"];
    let wanted = [&DOVECOT_IDS[..], &by_name[..]].concat();
    for _ in 0..2 {
        let drop = place.open();
        assert_eq!(ids(&drop), wanted);
        assert_eq!(sizes(&drop), [29, 26, 24, 6, 5]);
    }
    let added = "4 W6 P1700000009.M1P1.host :1700000009.M1P1.host\n\
        5 P1700000009.M2P1.host :1700000009.M2P1.host,S=4,W=5\n";
    assert_eq!(place.list(), DOVECOT_LIST.replace(" N4 ", " N6 ") + added);
}

#[test]
fn ids_of_our_mail_survive_the_loss_of_the_list() {
    let place = maildir();
    for second in [3, 1, 2] {
        place.put(&format!("new/170000000{second}.M1P1Q1.host,S=1,W=2"), "\n");
    }
    let before = ids(&place.open());
    assert_eq!(before[0], "1700000001.M1P1Q1.host");
    for damage in [
        None,
        Some("rubbish\n"),
        Some("3 V1 N9\nrubbish\n"),
        Some(""),
    ] {
        match damage {
            None => fs::remove_file(place.path("dovecot-uidlist")).unwrap(),
            Some(text) => place.put("dovecot-uidlist", text),
        }
        let mut drop = place.open();
        assert_eq!(ids(&drop), before, "{damage:?}");
        assert_eq!(
            drop.take_notes().len(),
            usize::from(damage.is_some()),
            "{damage:?}"
        );
        std::mem::drop(drop);
        // It is as it was.
        assert!(
            place
                .list()
                .ends_with("3 P1700000003.M1P1Q1.host :1700000003.M1P1Q1.host,S=1,W=2\n")
                || place.list().contains("N12"),
            "{}",
            place.list()
        );
        assert_eq!(place.open().take_notes(), Vec::<String>::new());
    }
}

#[test]
fn saved_ids_and_other_extensions_are_kept() {
    let place = maildir();
    place.put("cur/1.a.h,S=1,W=2:2,", "\n");
    place.put("cur/2.b.h,S=1,W=2:2,", "\n");
    place.put(
        "dovecot-uidlist",
        "3 V9 N8\n5 O3 PUID-17 Xy :2.b.h,S=1,W=2:2,F\n",
    );
    assert_eq!(ids(&place.open()), ["UID-17", "1.a.h"]);
    assert_eq!(
        place.list(),
        "3 V9 N9\n5 PUID-17 O3 Xy :2.b.h,S=1,W=2\n8 P1.a.h :1.a.h,S=1,W=2\n"
    );
}

#[test]
fn a_list_that_cannot_be_written_keeps_nobody_from_the_mail() {
    let place = maildir();
    place.put("new/1.a.h,S=1,W=2", "\n");
    // Another program is at it, and alive.
    place.put("dovecot-uidlist.lock", "1:elsewhere");
    let begin = Instant::now();
    let mut drop = place.open();
    assert_eq!(ids(&drop), ["1.a.h"]);
    let notes = drop.take_notes();
    assert!(
        notes[0].contains("dovecot-uidlist.lock") && begin.elapsed().as_secs() < 9,
        "{notes:?}"
    );
    assert!(!place.path("dovecot-uidlist").exists());
}

#[test]
fn a_second_session_is_refused_until_the_first_ends() {
    let place = dovecot_maildir();
    let first = place.open();
    let second = Maildrop::open(&place.location, LockOptions::default());
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(first);
    place.open();
}

#[test]
fn only_what_is_removed_goes_and_the_quota_hears_of_it() {
    let place = dovecot_maildir();
    place.put("maildirsize", "1000S\n73 3\n");
    drop(place.open());
    assert_eq!(place.open().count(), 3);
    let mut drop = place.open();
    drop.remove(&[0, 2]).unwrap();
    std::mem::drop(drop);
    assert_eq!(ids(&place.open()), [DOVECOT_IDS[1]]);
    assert_eq!(
        fs::read_to_string(place.path("maildirsize")).unwrap(),
        "1000S\n73 3\n-47 -2\n"
    );
}

#[test]
fn what_others_rename_is_found_and_what_they_remove_is_gone() {
    let place = dovecot_maildir();
    let mut drop = place.open();
    fs::rename(
        place.path("cur/1700000001.M1P1.host,S=25,W=29:2,S"),
        place.path("cur/1700000001.M1P1.host,S=25,W=29:2,FS"),
    )
    .unwrap();
    fs::remove_file(place.path("cur/1700000002.M2P1.host:2,S")).unwrap();
    fs::rename(
        place.path("cur/1700000003.M3P1.host:2,"),
        place.path("cur/1700000003.M3P1.host:2,T"),
    )
    .unwrap();
    assert_eq!(
        content(&mut drop, 0).unwrap(),
        "Subject: one\n\nbody\n.dot\n"
    );
    assert_eq!(content(&mut drop, 1), None);
    assert_eq!(sizes(&drop), [29, 26, 24], "the view does not change");
    drop.remove(&[1, 2]).unwrap();
    std::mem::drop(drop);
    assert_eq!(ids(&place.open()), DOVECOT_IDS[..1]);
}

#[test]
fn one_bad_entry_harms_only_itself() {
    let place = maildir();
    fs::create_dir(place.path("cur/folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.path("cur/link")).unwrap();
    place.put("cur/.hidden", "");
    place.put("cur/1.bad name\n:2,", "x\n");
    place.put("cur/2.wrong,S=9,W=1:2,", "12345678\n");
    place.put("cur/3.same,S=1,W=2:2,", "\n");
    place.put("cur/3.same,S=2,W=4:2,", "\n\n");
    let mut drop = place.open();
    assert_eq!(sizes(&drop), [3, 10, 2, 4]);
    let seen = ids(&drop);
    assert!(
        seen.iter()
            .all(|id| id.bytes().all(|byte| byte.is_ascii_graphic()))
    );
    assert!(seen[2] == "3.same" && seen[3].len() == 32, "{seen:?}");
    assert_eq!(content(&mut drop, 0).unwrap(), "x\n");
    std::mem::drop(drop);
    // A name with a line end cannot be in the list, and is a new one each time; its id is the same.
    let again = ids(&place.open());
    assert_eq!(again[..3], seen[1..]);
    assert_eq!(again[3], seen[0]);
}

#[test]
fn a_hundred_thousand_messages_open_quickly() {
    let place = maildir();
    let cur = place.path("cur");
    for number in 0..100_000 {
        create(
            &cur,
            &format!(
                "17{number:08}.M{:06}P123Q0.mail.example.org,S=4000,W=4100:2,S",
                number % 1000
            ),
        );
    }
    place.open();
    let begin = Instant::now();
    let drop = place.open();
    let took = begin.elapsed();
    assert_eq!(drop.count(), 100_000);
    println!("opened 100 000 messages in {took:?}");
    // A third of a second here; the rest is for machines that do other things, too.
    assert!(took.as_secs() < 3, "{took:?}");
}

fn create(folder: &Path, name: &str) {
    fs::File::create(folder.join(name)).unwrap();
}

#[test]
fn a_maildir_that_lacks_a_part_is_not_empty() {
    let place = dovecot_maildir();
    fs::remove_dir(place.path("tmp")).unwrap();
    fs::remove_dir(place.path("new")).unwrap();
    assert_eq!(place.open().count(), 3);
}

#[test]
fn a_file_that_was_changed_is_sent_with_its_new_size() {
    let place = maildir();
    place.put("new/1.a.h,S=9,W=10", "changed\n\n\n");
    let mut drop = place.open();
    let Found::Message(reader) = drop.message(0).unwrap() else {
        panic!("not found");
    };
    assert_eq!(reader.octets(), 13);
}

#[test]
fn no_maildir_yet_is_an_empty_maildrop() {
    let mut place = maildir();
    place.location.path = place.path("none");
    let mut drop = place.open();
    assert_eq!(drop.count(), 0);
    drop.remove(&[]).unwrap();
}
