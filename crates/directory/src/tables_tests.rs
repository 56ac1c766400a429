//! One set of tables, and all questions about it.

use std::path::{Path, PathBuf};

use mail_types::AddressHost;
use routing::{Domains, Limits};

use super::*;
use crate::Verified;
use crate::aliases::Including;

const USERS: &str = "first@example.org:*\n\
                     alice@example.org:*:quota=1M\n\
                     Bob@Example.org:*\n\
                     alice@other.example:*\n\
                     gone@example.org:*:moved=new@elsewhere.example\n\
                     only@other.example:*\n\
                     a+b@example.org:*\n";

const ALIASES: &str = "info: alice, only, x@elsewhere.example\n\
                       sales@example.org: bob\n\
                       alice+spam: /dev/null\n\
                       dead: nobody, gone\n\
                       team: \\team, bob\n\
                       list: x@elsewhere.example\n\
                       owner-list: bob\n\
                       mixed: bob, |archive, /var/x\n\
                       @other.example: first@example.org\n";

pub(crate) fn sources() -> Sources {
    let host = |text| AddressHost::parse(text).unwrap();
    Sources {
        users_file: Some("/users".into()),
        aliases_file: Some("/aliases".into()),
        include_folders: Vec::new(),
        domains: Domains::new(
            vec![host("example.org"), host("other.example")],
            vec![mail_types::Domain::parse("relayed.example").unwrap()],
        ),
        delimiters: "+".into(),
        mail_root: "/m".into(),
        default_quota: 0,
        limits: Limits {
            targets: 100,
            depth: 50,
        },
        system: None,
    }
}

pub(crate) fn tables_of(sources: Sources, users: &str, aliases: &str) -> Tables {
    let users = UserTable::parse(users, Path::new("users")).unwrap();
    let including = Including {
        folders: &[],
        last: None,
    };
    let (aliases, _) = AliasTable::parse(aliases, Path::new("aliases"), including).unwrap();
    let system = SystemTable::parse("ann:x:1000:100::/home/ann:/bin/sh", 1000);
    let system = if sources.system.is_some() {
        system
    } else {
        SystemTable::default()
    };
    Tables::new(
        Arc::new(sources),
        Some(users.into()),
        Some(aliases.into()),
        Some(system.into()),
    )
}

fn tables() -> Tables {
    tables_of(sources(), USERS, ALIASES)
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn show(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Local { limited: None } => "local".into(),
        Resolution::Local {
            limited: Some(mailbox),
        } => format!("local, limited {}", mailbox.user),
        Resolution::Moved(new) => format!("moved {new}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn recipients_are_resolved() {
    let tables = tables();
    for (recipient, resolution) in [
        ("bob@example.org", "local"),
        ("BOB@EXAMPLE.org", "local"),
        ("bob+lists@example.org", "local"),
        ("alice@example.org", "local, limited alice@example.org"),
        ("alice+x@example.org", "local, limited alice@example.org"),
        ("alice+spam@example.org", "local"),
        ("alice@other.example", "local"),
        ("a+b@example.org", "local"),
        ("a+b+c@example.org", "unknown"),
        ("nobody@example.org", "unknown"),
        ("nobody@other.example", "local"),
        ("gone@example.org", "moved new@elsewhere.example"),
        ("info@example.org", "local"),
        ("info+x@other.example", "local"),
        ("sales@example.org", "local"),
        ("sales@other.example", "local"),
        ("dead@example.org", "unknown"),
        ("team@example.org", "local"),
        ("postmaster@example.org", "local"),
        ("PostMaster@other.example", "local"),
        ("a@relayed.example", "relay"),
        ("a@elsewhere.example", "remote"),
        ("a@[192.0.2.1]", "remote"),
    ] {
        for _ in 0..2 {
            assert_eq!(
                show(&tables.resolve(&address(recipient))),
                resolution,
                "{recipient}"
            );
        }
    }
}

fn ends(tables: &Tables, recipient: &str) -> Vec<String> {
    let show = |leaf: &Leaf| {
        let end = match &leaf.end {
            End::Target(target) => target.to_string(),
            End::Failed(failure) => failure.status.to_string(),
            End::Deferred(deferral) => deferral.status.to_string(),
        };
        match &leaf.owner {
            Some(owner) => format!("{end} for {owner}"),
            None => end,
        }
    };
    tables
        .expand(&address(recipient))
        .iter()
        .map(show)
        .collect()
}

#[test]
fn recipients_are_expanded() {
    let tables = tables();
    let cases: &[(&str, &[&str])] = &[
        ("bob+x@example.org", &["Bob@example.org"]),
        (
            "info@example.org",
            &[
                "alice@example.org",
                "only@other.example",
                "x@elsewhere.example",
            ],
        ),
        (
            "info@other.example",
            &[
                "alice@other.example",
                "only@other.example",
                "x@elsewhere.example",
            ],
        ),
        ("nobody@other.example", &["first@example.org"]),
        ("dead@example.org", &["5.1.1", "5.1.6"]),
        ("team@example.org", &["5.1.1", "Bob@example.org"]),
        (
            "mixed@example.org",
            &["Bob@example.org", "|archive", "/var/x"],
        ),
        (
            "list@example.org",
            &["x@elsewhere.example for owner-list@example.org"],
        ),
        (
            "list+x@other.example",
            &["x@elsewhere.example for owner-list@other.example"],
        ),
        ("a@elsewhere.example", &["a@elsewhere.example"]),
        // The catch-all of other.example takes it before the first user does.
        ("postmaster@example.org", &["first@example.org"]),
    ];
    for (recipient, expected) in cases {
        assert_eq!(ends(&tables, recipient), *expected, "{recipient}");
    }
}

#[test]
fn postmaster_always_ends_somewhere() {
    for (users, aliases, end) in [
        ("a@example.org:*\n", "", "a@example.org"),
        (
            "gone@example.org:*:moved=x@y\nb@example.org:*\n",
            "",
            "b@example.org",
        ),
        (
            "a@example.org:*\npostmaster@example.org:*\n",
            "",
            "postmaster@example.org",
        ),
        (
            "a@example.org:*\npostmaster@other.example:*\n",
            "",
            "postmaster@other.example",
        ),
        (
            "a@example.org:*\nb@example.org:*\n",
            "postmaster: b\n",
            "b@example.org",
        ),
        ("a@example.org:*\n", "postmaster: nobody\n", "a@example.org"),
        (
            "a@example.org:*\n",
            "postmaster: x@elsewhere.example\n",
            "x@elsewhere.example",
        ),
        ("", "", "5.1.1"),
    ] {
        let tables = tables_of(sources(), users, aliases);
        assert_eq!(
            ends(&tables, "Postmaster@example.org"),
            [end],
            "{users}{aliases}"
        );
    }
    let tables = tables_of(
        sources(),
        "a@example.org:*\n",
        "@example.org: nobody@example.org\n",
    );
    for (recipient, resolution) in [
        ("other@example.org", "unknown"),
        ("postmaster@example.org", "local"),
        ("other@example.org", "unknown"),
    ] {
        assert_eq!(
            show(&tables.resolve(&address(recipient))),
            resolution,
            "{recipient}"
        );
    }
    let tables = tables_of(
        sources(),
        "a@example.org:*\n",
        "postmaster@other.example: a@example.org\n",
    );
    assert_eq!(tables.domains_without_postmaster(), ["example.org"]);
}

#[test]
fn names_are_verified_and_listed() {
    let tables = tables();
    let user = |text| Verified::Deliverable(address(text));
    for (query, verified) in [
        ("bob@example.org", user("bob@example.org")),
        ("<bob@example.org>", user("bob@example.org")),
        ("bob", user("bob@example.org")),
        ("info", user("info@example.org")),
        ("only", user("only@other.example")),
        ("alice", {
            let both = ["alice@example.org", "alice@other.example"];
            Verified::Ambiguous(both.map(address).to_vec())
        }),
        ("gone", Verified::Moved(address("new@elsewhere.example"))),
        ("nobody", Verified::Unknown),
        ("", Verified::Unknown),
        ("x@elsewhere.example", Verified::Remote),
    ] {
        assert_eq!(tables.verify(query), verified, "{query}");
    }
    for (query, members) in [
        (
            "info",
            Some(
                &[
                    "alice@example.org",
                    "only@other.example",
                    "x@elsewhere.example",
                ][..],
            ),
        ),
        ("mixed@example.org", Some(&["bob@example.org"])),
        ("bob", None),
        ("nobody", None),
        ("x@elsewhere.example", None),
    ] {
        let members = members.map(|members| members.iter().map(|text| address(text)).collect());
        assert_eq!(tables.members(query), Ok(members), "{query}");
    }
}

#[test]
fn what_could_not_be_read_is_not_unknown() {
    let full = tables();
    let cut = |users: bool, aliases: bool| {
        let users = full.users.clone().filter(|_| users);
        let aliases = full.aliases.clone().filter(|_| aliases);
        Tables::new(Arc::new(sources()), users, aliases, full.system.clone())
    };
    let without_aliases = cut(true, false);
    let without_users = cut(false, true);
    let bob = address("bob@example.org");
    for (tables, mailbox) in [(&without_aliases, true), (&without_users, false)] {
        assert_eq!(tables.resolve(&bob), Resolution::Unavailable);
        assert_eq!(ends(tables, "bob@example.org"), ["4.3.0"]);
        assert_eq!(tables.verify("bob"), Verified::Unavailable);
        assert_eq!(
            tables.resolve(&address("a@elsewhere.example")),
            Resolution::Remote
        );
        assert_eq!(tables.mailbox(&bob).is_ok(), mailbox);
        assert_eq!(tables.login("bob").is_some(), mailbox);
    }
    // What the aliases say without users is said.
    assert_eq!(
        show(&without_users.resolve(&address("info@example.org"))),
        "local"
    );
    assert_eq!(without_aliases.members("info"), Err(Unreadable));
}

#[test]
fn mailboxes_have_owner_path_and_quota() {
    let mut sources = sources();
    sources.system = Some(crate::SystemSource {
        passwd: PathBuf::new(),
        shadow: PathBuf::new(),
        first_uid: 1000,
        mailbox: crate::SystemMailbox::Spool("/var/mail".into()),
    });
    let tables = tables_of(sources, USERS, "ops: ann\n");
    let alice = tables
        .mailbox(&address("Alice@example.org"))
        .unwrap()
        .unwrap();
    assert_eq!((alice.owner, alice.quota.bytes), (Owner::Virtual, 1 << 20));
    assert_eq!(alice.path, Path::new("/m/example.org/alice/Maildir"));
    for recipient in [
        "ann@example.org",
        "Ann+x@other.example",
        "ops@other.example",
    ] {
        assert_eq!(ends(&tables, recipient), ["ann@example.org"], "{recipient}");
    }
    let ann = tables
        .mailbox(&address("ann@example.org"))
        .unwrap()
        .unwrap();
    let owner = Owner::System {
        uid: 1000,
        gid: 100,
    };
    assert_eq!(
        (ann.owner, ann.path.as_path()),
        (owner, Path::new("/var/mail/ann"))
    );
    let namesake = tables_of(tables.sources().clone(), "ann@example.org:*\n", "");
    for (recipient, user, owner) in [
        ("ann@example.org", "ann@example.org", Owner::Virtual),
        ("ann@other.example", "ann@other.example", owner),
    ] {
        assert_eq!(ends(&namesake, recipient), [user]);
        let mailbox = namesake.mailbox(&address(user)).unwrap().unwrap();
        assert_eq!(mailbox.owner, owner, "{recipient}");
    }
    assert_eq!(tables.mailbox(&address("nobody@example.org")), Ok(None));
    assert_eq!(tables.mailbox(&address("ann@elsewhere.example")), Ok(None));
}
