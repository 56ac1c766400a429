//! Expansions over small tables, and over random ones with loops.

use std::collections::{BTreeMap, BTreeSet};

use mail_types::Domain;
use proptest::prelude::*;

use super::*;

/// Tables in memory: aliases by lookup key, users by lookup key.
#[derive(Default)]
struct Tables {
    aliases: BTreeMap<String, Vec<Member>>,
    users: BTreeSet<String>,
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn member(text: &str) -> Member {
    let name = |text| LocalPart::from_unquoted(text).unwrap();
    match text.split_at(1) {
        ("|", command) => Member::Command(command.into()),
        ("/", _) => Member::File(text.into()),
        ("\\", user) => Member::Mailbox(name(user)),
        ("!", why) => Member::Unreadable(why.into()),
        _ if text.contains('@') => Member::Address(address(text)),
        _ => Member::Name(name(text)),
    }
}

impl Tables {
    fn new(aliases: &[(&str, &[&str])], users: &[&str]) -> Self {
        let aliases = aliases
            .iter()
            .map(|(name, members)| {
                let members = members.iter().map(|text| member(text)).collect();
                (format!("{name}@here"), members)
            })
            .collect();
        let users = users.iter().map(|user| format!("{user}@here")).collect();
        Self { aliases, users }
    }

    fn expand(&self, of: &str, targets: usize, depth: usize) -> Vec<String> {
        let leaves = expand(self, &address(of), Limits { targets, depth });
        leaves.iter().map(show).collect()
    }
}

impl Lookup for Tables {
    fn find(&self, address: &Address, aliasing: Aliasing) -> Found<'_> {
        if address.host.to_string() != "here" {
            return Found::Remote;
        }
        let key = address.lookup_key();
        let base = key
            .split(['+', '@'])
            .next()
            .map(|base| format!("{base}@here"));
        let id = base.unwrap_or_default();
        if let (Some(members), Aliasing::Follow) = (self.aliases.get(&id), aliasing) {
            let owner = format!("owner-{id}");
            let owner = self
                .aliases
                .contains_key(&owner)
                .then(|| super::tests::address(&owner));
            return Found::Alias(Alias { id, members, owner });
        }
        match self.users.contains(&id) {
            true if id.starts_with("moved") => Found::Moved(super::tests::address("new@there")),
            true if id.starts_with("down") => Found::Unavailable,
            true => Found::Mailbox(super::tests::address(&id)),
            false => Found::Unknown,
        }
    }

    fn complete(&self, name: &LocalPart, beside: &Address) -> Address {
        Address::new(name.clone(), beside.host.clone())
    }
}

fn show(leaf: &Leaf) -> String {
    let end = match &leaf.end {
        End::Target(Target::Mailbox(user)) => format!("box {user}"),
        End::Target(target) => target.to_string(),
        End::Failed(failure) => failure.status.to_string(),
        End::Deferred(deferral) => format!("{} {}", deferral.status, deferral.text),
    };
    match &leaf.owner {
        Some(owner) => format!("{end} for {owner}"),
        None => end,
    }
}

#[test]
fn aliases_lead_to_their_ends() {
    let tables = Tables::new(
        &[
            ("team", &["alice", "Bob", "carol@there", "team2"]),
            ("team2", &["alice+x", "dave@there", "carol@there"]),
            ("alice", &["alice", "|archive", "/var/log/mail"]),
            ("exact", &["\\alice"]),
            ("redirect", &["bob+x@here"]),
            ("gone", &["nobody", "moved", "down"]),
            ("include", &["bob", "!cannot read it"]),
            ("empty", &[]),
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("d", &["a", "bob"]),
            ("self", &["self"]),
            ("list", &["bob", "sublist", "quiet"]),
            ("owner-list", &["alice"]),
            ("sublist", &["x@there"]),
            ("owner-sublist", &["bob"]),
            ("quiet", &["y@there"]),
        ],
        &["alice", "bob", "moved", "down"],
    );
    let unavailable = "4.3.0 the tables of users and aliases cannot be read just now";
    let cases: &[(&str, &[&str])] = &[
        ("bob@here", &["box bob@here"]),
        ("BOB+ext@here", &["box bob@here"]),
        ("x@there", &["x@there"]),
        ("nobody@here", &["5.1.1"]),
        ("moved@here", &["5.1.6"]),
        ("down@here", &[unavailable]),
        (
            "alice@here",
            &["box alice@here", "|archive", "/var/log/mail"],
        ),
        ("exact@here", &["box alice@here"]),
        ("redirect@here", &["box bob@here"]),
        (
            "team@here",
            &[
                "box bob@here",
                "carol@there",
                "box alice@here",
                "|archive",
                "/var/log/mail",
                "dave@there",
            ],
        ),
        ("gone@here", &["5.1.1", "5.1.6", unavailable]),
        ("include@here", &["box bob@here", "4.2.4 cannot read it"]),
        ("empty@here", &["5.2.4"]),
        ("a@here", &["5.4.6"]),
        ("d@here", &["box bob@here"]),
        ("self@here", &["5.1.1"]),
        (
            "list@here",
            &[
                "box bob@here for owner-list@here",
                "x@there for owner-sublist@here",
                "y@there for owner-list@here",
            ],
        ),
    ];
    for (of, ends) in cases {
        assert_eq!(tables.expand(of, 100, 50), *ends, "{of}");
    }
}

#[test]
fn limits_end_an_expansion() {
    let chain: Vec<_> = (0..60)
        .map(|at| (format!("n{at}"), format!("n{}", at + 1)))
        .collect();
    let members: Vec<[&str; 1]> = chain.iter().map(|(_, next)| [next.as_str()]).collect();
    let aliases: Vec<(&str, &[&str])> = chain
        .iter()
        .zip(&members)
        .map(|((name, _), members)| (name.as_str(), members.as_slice()))
        .collect();
    let tables = Tables::new(&aliases, &["n60"]);
    assert_eq!(tables.expand("n0@here", 10, 60), ["box n60@here"]);
    assert_eq!(tables.expand("n0@here", 10, 59), ["5.2.4"]);

    let tables = Tables::new(
        &[("many", &["a@x", "b@x", "c@x"]), ("same", &["a@x"; 40])],
        &[],
    );
    assert_eq!(tables.expand("many@here", 3, 50), ["a@x", "b@x", "c@x"]);
    assert_eq!(tables.expand("many@here", 2, 50), ["5.2.4"]);
    assert_eq!(tables.expand("same@here", 4, 50), ["a@x"]);
    assert_eq!(tables.expand("same@here", 3, 50), ["5.2.4"]);
}

/// The users that can be reached, by another algorithm: repeat until nothing is added.
fn reachable(tables: &Tables, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::from([from.to_owned()]);
    loop {
        let more: BTreeSet<String> = seen
            .iter()
            .filter_map(|name| tables.aliases.get(name))
            .flatten()
            .map(|member| match member {
                Member::Name(name) => format!("{}@here", name.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        let before = seen.len();
        seen.extend(more);
        if seen.len() == before {
            seen.retain(|name| !tables.aliases.contains_key(name));
            return seen;
        }
    }
}

proptest! {
    #[test]
    fn random_graphs_give_each_reachable_target_once(
        edges in prop::collection::vec((0..12usize, 0..24usize), 0..60),
    ) {
        let mut tables = Tables::default();
        // Names below 12 are aliases, some without a member; the others are users.
        for (from, to) in edges {
            let member = Member::Name(LocalPart::from_unquoted(&format!("n{to}")).unwrap());
            if from != to {
                tables.aliases.entry(format!("n{from}@here")).or_default().push(member);
            }
        }
        tables.users = (0..24)
            .map(|at| format!("n{at}@here"))
            .filter(|name| !tables.aliases.contains_key(name))
            .collect();
        let domain = Domain::parse("here").unwrap();
        let from = Address::at("n0", &domain).unwrap();
        let leaves = expand(&tables, &from, Limits { targets: 100, depth: 50 });

        let shown: Vec<String> = leaves.iter().map(show).collect();
        let unique: BTreeSet<String> = shown.iter().cloned().collect();
        prop_assert_eq!(unique.len(), shown.len());
        let expected = reachable(&tables, "n0@here");
        if expected.is_empty() {
            prop_assert_eq!(shown, ["5.4.6"]);
        } else {
            let expected = expected.iter().map(|user| format!("box {user}")).collect();
            prop_assert_eq!(unique, expected);
        }
    }

    #[test]
    fn any_limit_holds(
        edges in prop::collection::vec((0..8usize, 0..30usize), 0..80),
        targets in 1..10usize,
        depth in 1..4usize,
    ) {
        let mut tables = Tables::default();
        for (from, to) in edges {
            let member = Member::Name(LocalPart::from_unquoted(&format!("n{to}")).unwrap());
            tables.aliases.entry(format!("n{from}@here")).or_default().push(member);
        }
        let leaves = expand(&tables, &address("n0@here"), Limits { targets, depth });
        prop_assert!((1..=targets).contains(&leaves.len()));
    }
}
