//! Users files, good and bad.

use proptest::prelude::*;

use super::*;

const HASH: &str = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";

fn parse(text: &str) -> Result<UserTable, String> {
    let text = text.replace("HASH", HASH);
    UserTable::parse(&text, Path::new("users")).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

#[test]
fn lines_become_users() {
    let table = parse(
        "# comment\n\
         \n\
         alice@example.org:HASH\r\n\
         Bob@Example.org:*:quota=500M:messages=1000:mailbox=/srv/mail%3Abob:format=mbox\n\
         carol@example.org:!HASH:moved=carol@elsewhere.example\n\
         a%25b@example.org:HASH:quota=0:\u{6d}ailbox=/srv/x/\n",
    )
    .unwrap();
    let users: Vec<_> = table.iter().collect();
    let lines: Vec<_> = users.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 6]);
    assert_eq!(
        table.first().unwrap().address.to_string(),
        "alice@example.org"
    );

    let bob = table.get("bob@example.org").unwrap();
    let limits = Quota {
        bytes: 500 << 20,
        messages: 1000,
    };
    assert_eq!((bob.quota(7), bob.format), (limits, MailboxFormat::Mbox));
    assert_eq!(bob.mailbox.as_deref(), Some(Path::new("/srv/mail:bob")));
    assert_eq!(
        table
            .get("alice@example.org")
            .unwrap()
            .path(Path::new("/m")),
        Path::new("/m/example.org/alice/Maildir")
    );
    let moved = table.get("carol@example.org").unwrap().moved.as_ref();
    assert_eq!(moved.unwrap().to_string(), "carol@elsewhere.example");
    assert!(table.get("a%b@example.org").is_some());
}

#[test]
fn every_bad_line_is_named() {
    for (line, problem) in [
        (
            "alice",
            "the line does not begin with an address: there is no @ after the local-part",
        ),
        (
            "alice@x",
            "there is no password hash: a line is address:hash[:key=value]…",
        ),
        (
            "alice@x:",
            "the password hash is empty: write * for a user who cannot log in",
        ),
        (
            "alice@x:HASH:quota",
            "\"quota\" is not of the form key=value",
        ),
        (
            "alice@x:HASH:quota=lots",
            "\"lots\" is not a size: write a number of octets, or 500M, 2G",
        ),
        (
            "alice@x:HASH:messages=-1",
            "messages=\"-1\" is not a number",
        ),
        (
            "alice@x:HASH:mailbox=mail/a",
            "mailbox=\"mail/a\" must be an absolute path without empty parts, . or ..",
        ),
        (
            "alice@x:HASH:mailbox=/m/../../etc",
            "mailbox=\"/m/../../etc\" must be an absolute path without empty parts, . or ..",
        ),
        (
            "alice@x:HASH:mailbox=/",
            "mailbox=\"/\" must be an absolute path without empty parts, . or ..",
        ),
        (
            "alice@x:HASH:format=mh",
            "format=\"mh\" is neither maildir nor mbox",
        ),
        (
            "alice@x:HASH:moved=away",
            "moved=\"away\" is no address: there is no @ after the local-part",
        ),
        (
            "alice@x:HASH:home=/home/a",
            "\"home\" is not a known key: quota, messages, mailbox, format and moved are",
        ),
        ("alice@x:HASH:quota=1:quota=2", "quota is given twice"),
        (
            "al%ice@x:HASH",
            "a % is followed by two hexadecimal digits; write %25 for the sign itself",
        ),
    ] {
        assert_eq!(
            parse(line).unwrap_err(),
            format!("users:1: {problem}"),
            "{line}"
        );
    }
    let errors = parse("a@x:HASH\nb@x:*\nA@X:HASH\n\nc@x:\n").unwrap_err();
    assert_eq!(
        errors,
        "users:3: A@x is already on line 1\n\
         users:5: the password hash is empty: write * for a user who cannot log in"
    );
}

#[test]
fn plain_passwords_are_not_shown() {
    for line in ["$6$hunter2", "alice@x hunter2", "alice:{PLAIN}hunter2"] {
        let error = parse(line).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = parse("alice@x:{PLAIN}hunter2").unwrap_err();
    assert!(
        error.contains("of no known kind") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn the_check_for_unknown_users_costs_what_most_cost() {
    let rounds = format!("$5$rounds=1000$saltstring${}", ".".repeat(43));
    let file = format!("a@x:HASH\nb@x:*\nc@x:{rounds}\nd@x:*\ne@x:{rounds}\nf@x:*\n");
    let table = parse(&file).unwrap();
    assert_eq!(table.hash_for_unknown().unwrap().cost(), "$5$rounds=1000");
    assert!(parse("a@x:*\n").unwrap().hash_for_unknown().is_none());
}

proptest! {
    #[test]
    fn any_file_parses_or_not_without_panic(text in "(\\PC{0,20}|[ab]@x:\\*(:(quota|messages|mailbox|moved)=[0-9MK/@ax%3A]{0,6}){0,3}|\n){0,12}") {
        fuzz_users(text.as_bytes());
    }

    #[test]
    fn any_user_survives_writing(
        local in "[ -~äß]{1,20}",
        quota in any::<Option<u64>>(),
        messages in any::<u64>(),
        path in prop::option::of("/[a-z%: #é]{1,10}/[a-z]{1,3}"),
        mbox: bool,
    ) {
        let domain = mail_types::Domain::parse("x.example").unwrap();
        let mut user = User::new(Address::at(&local, &domain).unwrap(), PasswordHash::locked());
        user.quota = quota;
        user.messages = messages;
        user.mailbox = path.map(PathBuf::from);
        user.moved = Some(user.address.clone());
        if mbox {
            user.format = MailboxFormat::Mbox;
        }
        let table = parse(&format!("{}\n", user.to_line())).unwrap();
        prop_assert_eq!(table.iter().next(), Some((1, &user)));
    }
}
