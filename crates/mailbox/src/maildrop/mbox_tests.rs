use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::Location;
use crate::deliver::Format;
use crate::maildrop::{Found, Maildrop, OpenError};
use crate::mbox::{LockKind, LockOptions, MboxLock};
use crate::quota::Quota;
use crate::safe_open::{Folder, OpenMode};

const FROM: &str = "From a@b Sat Nov 21 11:13:43 2026\n";
const NO_WAIT: LockOptions = LockOptions {
    timeout: Duration::ZERO,
    stale_after: Duration::from_secs(500),
};

struct Place {
    folder: TempDir,
    location: Location,
}

impl Place {
    fn with(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("alice");
        fs::write(&path, content).unwrap();
        let location = Location {
            path,
            format: Format::Mbox,
            owner: nix::unistd::geteuid().as_raw(),
            quota: Quota::NONE,
        };
        Self { folder, location }
    }

    fn open(&self) -> Maildrop {
        Maildrop::open(&self.location, NO_WAIT).unwrap()
    }

    fn append(&self, text: &str) {
        let mut file = fs::File::options()
            .append(true)
            .open(&self.location.path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.location.path).unwrap()
    }

    fn inode(&self) -> u64 {
        fs::metadata(&self.location.path).unwrap().ino()
    }
}

fn message(number: u32) -> String {
    format!("{FROM}Subject: {number}\n\nbody {number}\n>From here\n\n")
}

fn mbox(numbers: &[u32]) -> String {
    numbers.iter().map(|&number| message(number)).collect()
}

fn ids(drop: &Maildrop) -> Vec<Vec<u8>> {
    let id = |index| {
        let mut id = Vec::new();
        drop.unique_id(index, &mut id);
        id
    };
    (0..drop.count()).map(id).collect()
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
fn messages_are_read_as_they_were_delivered() {
    let place = Place::with(&mbox(&[1, 2, 3]));
    let mut drop = place.open();
    assert_eq!(drop.count(), 3);
    let wanted = "Subject: 2\n\nbody 2\nFrom here\n";
    assert_eq!(content(&mut drop, 1).unwrap(), wanted);
    assert_eq!(drop.octets(1), wanted.len() as u64 + 4);
    let before = ids(&drop);
    std::mem::drop(drop);
    assert_eq!(ids(&place.open()), before);
}

#[test]
fn a_second_session_is_refused_and_a_delivery_is_not() {
    let place = Place::with(&mbox(&[1]));
    let first = place.open();
    let second = Maildrop::open(&place.location, NO_WAIT);
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    let (folder, name) = Folder::open_parent(&place.location.path).unwrap();
    let file = folder
        .open_file(&name, OpenMode::Append, place.location.owner)
        .unwrap();
    MboxLock::acquire(&folder, &name, &file, LockKind::Exclusive, NO_WAIT).unwrap();
    drop(first);
    place.open();
}

#[test]
fn mail_that_comes_meanwhile_stays() {
    for (doomed, left) in [
        (&[0][..], &[2, 3, 4][..]),
        (&[1], &[1, 3, 4]),
        (&[2], &[1, 2, 4]),
        (&[0, 1, 2], &[4]),
        (&[0, 2], &[2, 4]),
    ] {
        let place = Place::with(&mbox(&[1, 2, 3]));
        let mut drop = place.open();
        place.append(&message(4));
        drop.remove(doomed).unwrap();
        assert_eq!(place.text(), mbox(left), "{doomed:?}");
        assert_eq!(
            fs::read_dir(place.folder.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }
}

#[test]
fn the_end_is_cut_off_in_place() {
    let place = Place::with(&mbox(&[1, 2, 3]));
    let inode = place.inode();
    let mut drop = place.open();
    drop.remove(&[1, 2]).unwrap();
    assert_eq!((place.text(), place.inode()), (mbox(&[1]), inode));
    std::mem::drop(drop);
    place.open().remove(&[0]).unwrap();
    assert_eq!((place.text(), place.inode()), (String::new(), inode));
}

#[test]
fn a_new_file_has_the_mode_of_the_old() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with(&mbox(&[1, 2]));
    let path = &place.location.path;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).unwrap();
    let inode = place.inode();
    place.open().remove(&[0]).unwrap();
    assert_ne!(place.inode(), inode);
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o660);
}

#[test]
fn what_others_do_to_the_file_is_followed() {
    let place = Place::with(&mbox(&[1, 2, 3]));
    let mut drop = place.open();
    // Another reader removes the first, marks the last as read, and writes in place.
    let marked = message(3).replace("Subject", "Status: RO\nSubject");
    fs::write(&place.location.path, message(2) + &marked).unwrap();
    assert_eq!(content(&mut drop, 0), None);
    assert!(content(&mut drop, 1).unwrap().contains("body 2"));
    assert!(content(&mut drop, 2).unwrap().contains("body 3"));
    drop.remove(&[0, 2]).unwrap();
    assert_eq!(place.text(), message(2));
}

#[test]
fn a_message_that_moves_while_it_is_read_is_not_mixed_with_another() {
    let long = format!(
        "{FROM}Subject: long\n\n{}\n",
        "0123456789abcde\n".repeat(20_000)
    );
    let place = Place::with(&(message(1) + &long));
    let mut drop = place.open();
    let Found::Message(mut reader) = drop.message(1).unwrap() else {
        panic!("not found");
    };
    let mut block = Vec::new();
    assert!(reader.next_block(&mut block).unwrap());
    // A delivery does not disturb.
    place.append(&message(2));
    assert!(reader.next_block(&mut block).unwrap());
    fs::write(&place.location.path, long + &message(2)).unwrap();
    let mut result = Ok(true);
    while matches!(result, Ok(true)) {
        result = reader.next_block(&mut block);
    }
    assert!(result.is_err());
}

#[test]
fn equal_messages_are_removed_by_number() {
    let place = Place::with(&mbox(&[1, 1, 1, 2]));
    place.open().remove(&[0, 2]).unwrap();
    assert_eq!(place.text(), mbox(&[1, 2]));
}

#[test]
fn what_is_no_mbox_is_left_alone() {
    let place = Place::with("root:x:0:0\n");
    let error = Maildrop::open(&place.location, NO_WAIT).unwrap_err();
    assert!(error.to_string().contains("no mbox"), "{error}");
}

proptest! {
    // Each case syncs two files.
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn moving_down_and_replacing_leave_the_same(
        numbers in proptest::collection::vec((1u32..2000, any::<bool>()), 1..12),
    ) {
        let text = |(number, _): &(u32, bool)| format!("{FROM}\n{}\n\n", "x".repeat(*number as usize * 97));
        let all: String = numbers.iter().map(text).collect();
        let left: String = numbers.iter().filter(|(_, stays)| *stays).map(text).collect();
        let (mut ranges, mut at) = (Vec::new(), 0);
        for entry in &numbers {
            let end = at + text(entry).len() as u64;
            if !entry.1 {
                ranges.push(at..end);
            }
            at = end;
        }
        for may_replace in [false, true] {
            let place = Place::with(&all);
            let (folder, name) = Folder::open_parent(&place.location.path).unwrap();
            let file = folder.open_file(&name, OpenMode::ReadWrite, place.location.owner).unwrap();
            remove_ranges(&Mbox { folder, name, file }, &ranges, may_replace).unwrap();
            prop_assert_eq!(&place.text(), &left);
        }
    }
}
