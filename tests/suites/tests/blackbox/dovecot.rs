//! A mailbox that goes from Dovecot to us and back: clients must not fetch anything twice.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{PATIENCE, Pop3Client, Site, eventually};

const DOVECOT: &str = "/usr/lib/dovecot/pop3";

fn maildir(site: &Site) -> PathBuf {
    site.dir().join("mail/posthouse.test/bob/Maildir")
}

/// Delivers a letter without reading it.
fn deliver(site: &Site, number: usize) {
    let letter = format!("Subject: letter {number}\r\n\r\nbody\r\n");
    let mut smtp = site.smtp_client().unwrap();
    smtp.deliver(
        "alice@posthouse.test",
        &["bob@posthouse.test"],
        letter.as_bytes(),
    )
    .unwrap();
    let count = |part: &str| fs::read_dir(maildir(site).join(part)).map_or(0, Iterator::count);
    eventually(PATIENCE, || {
        (count("new") + count("cur") == number).then_some(())
    })
    .unwrap();
}

/// The second words of a listing's lines.
fn ids(listing: &str) -> Vec<String> {
    let id = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    listing.lines().filter_map(id).collect()
}

fn our_ids(site: &Site) -> Vec<String> {
    let bob = site.bob();
    let mut client = Pop3Client::login(site.pop3(), &bob.address, &bob.password).unwrap();
    let listing = client.multiline("UIDL").unwrap();
    client.quit().unwrap();
    ids(&String::from_utf8(listing).unwrap())
}

/// What Dovecot's POP3 server, run by hand as the mailbox's owner, says to UIDL.
fn dovecot_ids(site: &Site) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let owner = fs::metadata(maildir(site)).unwrap();
    let config = dovecot_config(place.path(), &maildir(site), owner.uid(), owner.gid());
    std::os::unix::fs::chown(place.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
    let mut command = Command::new(DOVECOT);
    command
        .arg("-c")
        .arg(config)
        .current_dir(place.path())
        .env_clear()
        .env("HOME", place.path())
        .env("USER", "bob")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if nix::unistd::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"UIDL\r\nQUIT\r\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let listing = said
        .split_once("+OK\r\n")
        .and_then(|(_, rest)| rest.split_once(".\r\n"));
    match listing {
        Some((listing, _)) => ids(listing),
        None => panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn dovecot_config(place: &Path, maildir: &Path, uid: u32, gid: u32) -> PathBuf {
    let path = place.join("dovecot.conf");
    let (place, maildir) = (place.display(), maildir.display());
    let text = format!(
        "log_path = /dev/stderr\nmail_location = maildir:{maildir}\nssl = no\nprotocols = pop3\n\
         base_dir = {place}/run\nstate_dir = {place}/state\nmail_uid = {uid}\nmail_gid = {gid}\n\
         first_valid_uid = {uid}\nfirst_valid_gid = {gid}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn unique_ids_survive_the_way_from_dovecot_and_back() {
    let site = Site::running().unwrap();
    deliver(&site, 1);
    deliver(&site, 2);
    let before = dovecot_ids(&site);
    assert_eq!(before.len(), 2);
    // Taken over.
    assert_eq!(our_ids(&site), before);
    deliver(&site, 3);
    let taken_over = our_ids(&site);
    assert_eq!(taken_over[..2], before);
    // Given back, and taken over again with what came meanwhile.
    assert_eq!(dovecot_ids(&site), taken_over);
    deliver(&site, 4);
    let again = dovecot_ids(&site);
    assert_eq!(our_ids(&site), again);
    assert_eq!(again[..3], taken_over);
    // The list is lost: what came while we served keeps its id.
    fs::remove_file(maildir(&site).join("dovecot-uidlist")).unwrap();
    assert_eq!(our_ids(&site)[2], taken_over[2]);
}
