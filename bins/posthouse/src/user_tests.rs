//! The commands on a site in a temporary folder; passwords from standard input are in the suites.

use clap::Parser as _;

use super::*;
use crate::{Arguments, Command};

struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = dir.path().join("users");
        let text = format!(
            "[domains]\nlocal = [\"example.org\"]\n[users]\ndir = 64103\ngroup = 64100\n\
             [directory]\nusers_file = {users:?}\nmail_root = \"/m\"\n{settings}"
        );
        std::fs::write(dir.path().join("posthouse.toml"), text).unwrap();
        Self { dir }
    }

    fn run(&self, arguments: &str) -> Result<String, String> {
        let words = format!("posthouse user {arguments}");
        let parsed = Arguments::try_parse_from(words.split(' ')).map_err(|e| e.to_string())?;
        let Command::User(command) = parsed.command else {
            panic!("{words} is not a user command");
        };
        let mut out = Vec::new();
        run(&command, &self.dir.path().join("posthouse.toml"), &mut out)
            .map(|()| String::from_utf8(out).unwrap())
            .map_err(|failure| failure.to_string())
    }
}

#[test]
fn users_are_added_listed_and_removed() {
    let site = Site::new("default_quota = \"1GiB\"\n");
    assert_eq!(site.run("add alice --no-password").unwrap(), "");
    let bob = "add bob@example.org --no-password --quota 500M --messages 10 --mailbox /srv/bob --format mbox";
    assert_eq!(site.run(bob).unwrap(), "");
    let note = site
        .run("add c@else.example --no-password --quota 0 --moved c@there.example")
        .unwrap();
    assert!(
        note.starts_with("Note: else.example is not in domains.local"),
        "{note}"
    );
    assert_eq!(
        site.run("list").unwrap(),
        "alice@example.org    1G   -  /m/example.org/alice/Maildir  cannot log in\n\
         bob@example.org    500M  10  /srv/bob  mbox  cannot log in\n\
         c@else.example        -   -  /m/else.example/c/Maildir  cannot log in  moved to c@there.example\n"
    );
    assert_eq!(site.run("passwd alice --no-password").unwrap(), "");
    assert_eq!(site.run("del alice@example.org").unwrap(), "");
    assert_eq!(site.run("list").unwrap().lines().count(), 2);
}

#[test]
fn what_cannot_be_done_is_said() {
    let site = Site::new("");
    site.run("add alice --no-password").unwrap();
    for (arguments, expected) in [
        (
            "add alice --no-password",
            "there is a user alice@example.org already",
        ),
        ("del bob", "there is no user bob@example.org"),
        (
            "passwd bob --no-password",
            "there is no user bob@example.org",
        ),
        (
            "add @x --no-password",
            "\"@x\" is no address: the local-part is empty",
        ),
        (
            "add b --no-password --mailbox here",
            "mailbox=\"here\" must be an absolute path",
        ),
        ("add b --no-password --quota much", "is not a size"),
        (
            "add b --no-password --password-stdin",
            "cannot be used with",
        ),
        ("add b secret", "unexpected argument 'secret'"),
    ] {
        let error = site.run(arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    std::fs::write(site.dir.path().join("users"), "broken\n").unwrap();
    let error = site.run("list").unwrap_err();
    assert!(
        error.contains("users:1: the line does not begin with an address"),
        "{error}"
    );
}

#[test]
fn both_files_are_checked() {
    let site = Site::new("");
    let path = |name: &str| site.dir.path().join(name);
    let settings = std::fs::read_to_string(path("posthouse.toml")).unwrap();
    let aliases = format!("{settings}aliases_file = {:?}\n", path("aliases"));
    std::fs::write(path("posthouse.toml"), aliases).unwrap();
    let folder = format!("{}/", site.dir.path().display());
    let shown = |text: String| text.replace(&folder, "");

    let error = shown(site.run("check").unwrap_err());
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("users: there is no such file: \"posthouse user add\" makes it"));

    site.run("add alice --no-password").unwrap();
    std::fs::write(path("aliases"), "info: alice\n").unwrap();
    let odd = shown(site.run("check").unwrap());
    assert!(
        odd.starts_with("aliases: nobody is postmaster of example.org"),
        "{odd}"
    );
    std::fs::write(path("aliases"), "postmaster: alice\n").unwrap();
    assert_eq!(site.run("check").unwrap(), "users and aliases: no faults\n");
    std::fs::write(path("aliases"), "postmaster alice\n").unwrap();
    assert!(shown(site.run("check").unwrap_err()).starts_with("aliases:1: there is no colon"));
}

#[test]
fn a_site_may_have_no_users_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("posthouse.toml");
    std::fs::write(&file, "[directory]\nusers_file = \"\"\n").unwrap();
    let error = run(&UserCommand::List, &file, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("has no virtual users"));
}

#[test]
fn the_hashes_never_belong_to_the_shared_group() {
    if !sandbox::ids::is_root() {
        return;
    }
    let site = Site::new("");
    site.run("add alice --no-password").unwrap();
    use std::os::unix::fs::MetadataExt as _;
    let users = std::fs::metadata(site.dir.path().join("users")).unwrap();
    assert_eq!(
        (users.uid(), users.gid(), users.mode() & 0o777),
        (0, 64103, 0o640)
    );
}
