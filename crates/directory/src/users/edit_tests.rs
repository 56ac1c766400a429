//! Edits: what stays, what is refused, and that none is lost.

use std::os::unix::fs::symlink;

use super::*;

fn user(address: &str) -> User {
    User::new(Address::parse(address).unwrap(), PasswordHash::locked())
}

fn folder_listing(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn edits_keep_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    std::fs::write(
        &path,
        "# ours\nb@x:*:quota=1M\n\n# theirs\na@x:!:messages=7",
    )
    .unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
    let file = UsersFile::new(&path, None);

    file.add(&user("c@x")).unwrap();
    file.set_hash(
        &Address::parse("A@X").unwrap(),
        PasswordHash::parse("!!").unwrap(),
    )
    .unwrap();
    file.remove(&Address::parse("b@x").unwrap()).unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "# ours\n\n# theirs\na@x:!!:messages=7\nc@x:*\n");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o604);
    assert_eq!(folder_listing(dir.path()), ["users", "users.lock"]);
}

#[test]
fn a_new_file_is_not_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    let file = UsersFile::new(&path, None);
    assert!(matches!(
        file.remove(&Address::parse("a@x").unwrap()),
        Err(EditError::Problems(_))
    ));
    file.add(&user("a@x")).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    assert_eq!(file.read().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    std::fs::write(&path, "a@x:*\n").unwrap();
    let file = UsersFile::new(&path, None);
    assert!(matches!(file.add(&user("A@x")), Err(EditError::Exists(_))));
    let nobody = Address::parse("b@x").unwrap();
    assert!(matches!(file.remove(&nobody), Err(EditError::Unknown(_))));
    assert!(matches!(
        file.set_hash(&nobody, PasswordHash::locked()),
        Err(EditError::Unknown(_))
    ));

    std::fs::write(&path, "a@x:*\nbroken\n").unwrap();
    let error = file.add(&user("c@x")).unwrap_err().to_string();
    assert!(
        error.contains("users:2: the line does not begin with an address"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a@x:*\nbroken\n");

    let error = UsersFile::new(&dir.path().join("no/users"), None)
        .add(&user("c@x"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does its folder exist?"), "{error}");
}

#[test]
fn a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("users"));
    std::fs::write(&real, "").unwrap();
    symlink(&real, &link).unwrap();
    UsersFile::new(&link, None).add(&user("a@x")).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "a@x:*\n");
}

#[test]
fn concurrent_edits_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let path = &path;
            scope.spawn(move || {
                for at in 0..10 {
                    let file = UsersFile::new(path, None);
                    file.add(&user(&format!("u{thread}-{at}@x"))).unwrap();
                }
            });
        }
    });
    assert_eq!(UsersFile::new(&path, None).read().unwrap().len(), 60);
}
