//! The fuzz targets' corpora, replayed: every seed, cut off anywhere, and with any octet changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

type Target = (&'static str, fn(&[u8]));

/// As in tests/fuzz/fuzz_targets.
const TARGETS: &[Target] = &[
    ("aliases_file", directory::fuzz_aliases),
    ("ipc_frames", |data| {
        let _ = ipc::fuzz_frames(data);
    }),
    ("mailbox_mbox", mailbox::maildrop::fuzz_mbox),
    ("mailbox_uid_list", mailbox::maildrop::fuzz_uid_list),
    ("message_header", mime::fuzz_header),
    ("pop3_content", pop3_proto::fuzz_content),
    ("pop3_login", pop3_proto::fuzz_login),
    ("pop3_session", pop3_proto::fuzz_session),
    ("smtp_command", smtp_proto::fuzz_command),
    ("smtp_content", smtp_proto::fuzz_content),
    ("smtp_session", smtp_proto::fuzz_session),
    ("users_file", directory::fuzz_users),
];

fn fuzz_folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz_folder().join(folder)).unwrap();
    entries
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn every_target_is_replayed() {
    let here: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("fuzz_targets"), here);
    assert_eq!(names_in("corpus"), here);
}

#[test]
fn no_seed_cut_or_changed_breaks_a_parser() {
    for (name, target) in TARGETS {
        for entry in fs::read_dir(fuzz_folder().join("corpus").join(name)).unwrap() {
            let seed = fs::read(entry.unwrap().path()).unwrap();
            for at in 0..=seed.len() {
                target(&seed[..at]);
            }
            for at in 0..seed.len() {
                for octet in [0, b'\r', b'\n', b'.', 0x7f, 0xff] {
                    let mut changed = seed.clone();
                    changed[at] = octet;
                    target(&changed);
                }
            }
        }
    }
}
