//! Logins of users that are there and that are not.

use super::*;
use crate::source::SystemSource;
use crate::tables::tests::{sources, tables_of};

const HASH: &str = "$5$rounds=1000$saltstring$";

/// `openssl passwd -5 -salt saltstring right`, and one of its cost.
const RIGHT: &str = "$5$saltstring$PH9/qgGmdjNzva2TJ8SOxB1k28j1/9rgeFVRvirPTzC";

fn users() -> String {
    let right = PasswordHash::parse(RIGHT).unwrap();
    let other = format!("{HASH}{}", ".".repeat(43));
    format!(
        "alice@example.org:{}\nalice@other.example:{other}\nbob@other.example:{}\nlocked@example.org:*\n",
        right.as_str(),
        right.as_str(),
    )
}

fn user(tables: &Tables, name: &str, password: &str) -> Option<String> {
    let check = tables.login(name).unwrap();
    let mailbox = check.run(password.as_bytes(), 20_000).unwrap();
    mailbox.map(|mailbox| mailbox.user.to_string())
}

#[test]
fn only_the_right_password_of_a_user_opens() {
    let tables = tables_of(sources(), &users(), "postmaster: alice\n");
    for (name, password, found) in [
        ("alice@example.org", "right", Some("alice@example.org")),
        ("Alice@EXAMPLE.org", "right", Some("alice@example.org")),
        ("alice", "right", Some("alice@example.org")),
        ("bob", "right", Some("bob@other.example")),
        ("alice", "wrong", None),
        ("alice@other.example", "right", None),
        ("locked", "right", None),
        ("postmaster", "right", None),
        ("nobody", "right", None),
        ("", "right", None),
        ("a b\n@", "right", None),
    ] {
        assert_eq!(user(&tables, name, password).as_deref(), found, "{name:?}");
    }
}

#[test]
fn unknown_users_cost_what_known_ones_cost() {
    let tables = tables_of(sources(), &users(), "");
    for name in ["nobody", "locked"] {
        let check = tables.login(name).unwrap();
        let HashSource::Known(hash) = check.hash else {
            panic!("{name} has no hash");
        };
        assert_eq!(hash.cost(), "$5");
    }
    let empty = tables_of(sources(), "", "");
    let HashSource::Known(hash) = empty.login("nobody").unwrap().hash else {
        panic!("nobody has no hash");
    };
    assert_eq!(hash, PasswordHash::nobody());
}

#[test]
fn system_users_are_checked_against_shadow() {
    let dir = tempfile::tempdir().unwrap();
    let shadow = dir.path().join("shadow");
    let mut sources = sources();
    sources.system = Some(SystemSource {
        passwd: PathBuf::new(),
        shadow: shadow.clone(),
        first_uid: 1000,
        mailbox: crate::SystemMailbox::Spool("/var/mail".into()),
    });
    let tables = tables_of(sources, "", "");
    let check = tables.login("ann").unwrap();
    let error = check.run(b"right", 20_000).unwrap_err().to_string();
    assert!(
        error.contains("without it no system user can log in"),
        "{error}"
    );

    std::fs::write(&shadow, format!("ann:{RIGHT}:1::::::\n")).unwrap();
    for (name, password, found) in [
        ("ann", "right", Some("ann@example.org")),
        ("Ann@other.example", "right", Some("ann@example.org")),
        ("ann", "wrong", None),
        ("ann@elsewhere.example", "right", None),
        ("root", "right", None),
    ] {
        assert_eq!(user(&tables, name, password).as_deref(), found, "{name}");
    }
    std::fs::write(&shadow, format!("ann:!{RIGHT}:1::::::\n")).unwrap();
    assert_eq!(user(&tables, "ann", "right"), None);
}
