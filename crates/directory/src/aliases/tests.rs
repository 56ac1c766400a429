//! Aliases files, good and bad.

use proptest::prelude::*;

use super::*;

fn parse_in(text: &str, folder: &Path) -> Result<(AliasTable, Vec<Problem>), Vec<Problem>> {
    let folders = [folder.to_owned()];
    let including = Including {
        folders: &folders,
        last: None,
    };
    AliasTable::parse(text, Path::new("aliases"), including)
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn parse(text: &str) -> Result<AliasTable, String> {
    let result = parse_in(text, Path::new("/none"));
    result
        .map(|(table, _)| table)
        .map_err(|problems| lines(&problems))
}

fn show(members: &[Member]) -> Vec<String> {
    let show = |member: &Member| match member {
        Member::Name(name) => name.as_str().to_owned(),
        Member::Mailbox(name) => format!("\\{}", name.as_str()),
        Member::Address(address) => address.to_string(),
        Member::File(path) => format!("file {}", path.display()),
        Member::Command(command) => format!("run {command}"),
        Member::Unreadable(why) => format!("unreadable: {why}"),
    };
    members.iter().map(show).collect()
}

#[test]
fn names_and_members_are_read() {
    for (text, key, members) in [
        ("a: b", "a@", &["b"][..]),
        ("Info: Alice, bob@x ,", "info@", &["Alice", "bob@x"]),
        ("a@Example.ORG: b", "a@example.org", &["b"]),
        ("@Example.org: b", "@example.org", &["b"]),
        ("@[IPv6:2001:DB8::1]: b", "@[IPv6:2001:db8::1]", &["b"]),
        ("a@[IPv6:2001:db8::1]: b", "a@[IPv6:2001:db8::1]", &["b"]),
        ("\"Big Boss\": alice", "big boss@", &["alice"]),
        ("\"a:b\": alice", "a:b@", &["alice"]),
        ("\"a@b\": alice", "a@b@", &["alice"]),
        ("\"a b\"@x: alice", "a b@x", &["alice"]),
        ("a :b", "a@", &["b"]),
        ("a: b,\n\tc,\n  # between\n\n  d", "a@", &["b", "c", "d"]),
        ("a: \"b c\"", "a@", &["b c"]),
        ("a: \"b c\"@x", "a@", &["\"b c\"@x"]),
        ("a: \"b@x\"", "a@", &["b@x"]),
        ("a: \\a, /var/m", "a@", &["\\a", "file /var/m"]),
        ("a: \"/var/my mail\"", "a@", &["file /var/my mail"]),
        ("a: /dev/null", "a@", &["file /dev/null"]),
        ("a: |/bin/x", "a@", &["run /bin/x"]),
        ("a: |/bin/x -a b, c", "a@", &["run /bin/x -a b", "c"]),
        (
            "a: \"|/bin/x \\\"1, 2\\\" \\\\n\"",
            "a@",
            &["run /bin/x \"1, 2\" \\n"],
        ),
        (
            "jürgen: b@münchen.example",
            "jürgen@",
            &["b@münchen.example"],
        ),
    ] {
        let table = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = table.get(key).unwrap_or_else(|| panic!("{text}: no {key}"));
        assert_eq!(show(found), members, "{text}");
    }
}

#[test]
fn every_bad_line_is_named() {
    for (text, problem) in [
        (
            "alice",
            "there is no colon after the name: an alias is \"name: member, member\"",
        ),
        (": b", "there is no name before the colon"),
        ("  a: b", "the first line cannot continue another"),
        ("a:", "the alias \"a\" has no members"),
        ("a: ,,", "the alias \"a\" has no members"),
        ("a: b c", "\"b c\" has two words: is a comma missing?"),
        ("a: \"b", "a quote is opened and not closed"),
        ("a: \"b\"c", "\"\\\"b\\\"c\" goes on after its quotes"),
        ("a: |", "there is no command after |"),
        ("a: b@", "\"b@\" is no address: the domain is empty"),
        (
            "a: <b@x>",
            "\"<b@x>\" is no address: the local-part has a character that is not allowed there",
        ),
        (
            "a: /x/../y",
            "\"/x/../y\" is not an absolute path without . and ..",
        ),
        ("a: /", "\"/\" is not an absolute path without . and .."),
        (
            "a: :include:list",
            "\"list\" is not an absolute path without . and ..",
        ),
        (
            "a: :include:/etc/passwd",
            "/etc/passwd is in none of the folders of directory.include_folders",
        ),
        (
            "a: :fail: gone",
            "\":fail: gone\" is not supported: of the special forms only :include:/path is",
        ),
        (
            "a: \"error:5.7.1 no\"",
            "\"error:5.7.1 no\" is not supported: of the special forms only :include:/path is",
        ),
        ("@: b", "\"@\" is no name for an alias: the domain is empty"),
        (
            "a@b@c: b",
            "\"a@b@c\" is no name for an alias: the domain or one of its labels",
        ),
    ] {
        let error = parse(text).unwrap_err();
        if text == "a@b@c: b" {
            assert!(
                error.starts_with("aliases:1: \"a@b@c\" is no name"),
                "{error}"
            );
        } else {
            assert_eq!(error, format!("aliases:1: {problem}"), "{text}");
        }
    }
    let error = parse("a: b\nb:\n\nA: c,\n  d\n").unwrap_err();
    assert_eq!(
        error,
        "aliases:2: the alias \"b\" has no members\naliases:4: the alias \"A\" is already on line 1"
    );
}

#[test]
fn lists_are_included_once_and_may_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    std::fs::write(&list, "# members\nalice, bob@x\n\n  carol\n").unwrap();
    std::fs::write(dir.path().join("empty"), "# nobody yet\n").unwrap();
    let folder = dir.path().display();
    let text = format!(
        "a: x, :include:{folder}/list\nb: \":include:{folder}/list\"\nc: :include:{folder}/empty\n"
    );
    let (table, odd) = parse_in(&text, dir.path()).unwrap();
    assert_eq!(odd, []);
    assert_eq!(
        show(table.get("a@").unwrap()),
        ["x", "alice", "bob@x", "carol"]
    );
    assert_eq!(show(table.get("b@").unwrap()), ["alice", "bob@x", "carol"]);
    assert!(table.get("c@").unwrap().is_empty());
    assert_eq!(table.includes().count(), 2);
}

#[test]
fn a_bad_list_spoils_only_its_alias() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    let text = format!("a: x, :include:{}\nb: c\n", list.display());
    let unreadable = format!("unreadable: {UNREADABLE}");

    let (table, odd) = parse_in(&text, dir.path()).unwrap();
    assert!(lines(&odd).ends_with("/list: there is no such file: aliases:1 includes it"));
    assert_eq!(show(table.get("a@").unwrap()), ["x", unreadable.as_str()]);
    assert_eq!(show(table.get("b@").unwrap()), ["c"]);

    std::fs::write(&list, "alice\n").unwrap();
    let (good, odd) = parse_in(&text, dir.path()).unwrap();
    assert!(odd.is_empty());

    std::fs::write(&list, "alice\n|/bin/sh\n/etc/x\n:include:/y\nb c\n").unwrap();
    let folders = [dir.path().to_owned()];
    let including = Including {
        folders: &folders,
        last: Some(&good),
    };
    let (table, odd) = AliasTable::parse(&text, Path::new("aliases"), including).unwrap();
    assert_eq!(show(table.get("a@").unwrap()), ["x", "alice"]);
    let shown = lines(&odd).replace(&dir.path().display().to_string(), "D");
    let refused =
        "an included file cannot name files or commands: write them into the aliases file";
    assert_eq!(
        shown,
        format!(
            "D/list:2: {refused}\nD/list:3: {refused}\n\
             D/list:4: an included file cannot include another\n\
             D/list:5: \"b c\" has two words: is a comma missing?"
        )
    );
}

proptest! {
    #[test]
    fn any_file_parses_or_not_without_panic(text in "([a-c@:,|/\"\\\\ #\t\nä\\[\\]]|:include:|\\PC){0,60}") {
        fuzz_aliases(text.as_bytes());
    }

    #[test]
    fn any_bytes_parse_or_not_without_panic(bytes: Vec<u8>) {
        fuzz_aliases(&bytes);
    }
}
