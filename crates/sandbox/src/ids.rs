//! Users and groups: looking them up, and becoming one for good.
//!
//! Invariants: after [`become_permanently`] real, effective and saved ids are all the new ones, the
//! supplementary groups are exactly those asked for, and an attempt to go back has been seen to fail.
//! Nothing here ever becomes uid 0 or gid 0.

use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid};

/// The ids that a process runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id; never 0.
    pub uid: u32,
    /// Primary group id; never 0.
    pub gid: u32,
    /// The supplementary groups, all of them.
    pub groups: Vec<u32>,
}

/// An entry of the user database, or a bare number standing for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name; for a number without an entry, the number.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group; unknown for a number without an entry.
    pub gid: Option<u32>,
    /// Home folder; unknown for a number without an entry.
    pub home: Option<PathBuf>,
}

/// Looks up a user by name, or takes a decimal number as the uid itself (which needs no entry).
pub fn user(name_or_number: &str) -> io::Result<User> {
    let entry = match name_or_number.parse::<u32>() {
        Ok(uid) => match nix::unistd::User::from_uid(Uid::from_raw(uid))? {
            Some(entry) => entry,
            None => {
                let name = name_or_number.to_owned();
                return Ok(User {
                    name,
                    uid,
                    gid: None,
                    home: None,
                });
            }
        },
        Err(_) => nix::unistd::User::from_name(name_or_number)?
            .ok_or_else(|| missing("user", name_or_number))?,
    };
    Ok(User {
        name: entry.name,
        uid: entry.uid.as_raw(),
        gid: Some(entry.gid.as_raw()),
        home: Some(entry.dir),
    })
}

/// Looks up a group by name, or takes a decimal number as the gid itself.
pub fn group(name_or_number: &str) -> io::Result<u32> {
    if let Ok(gid) = name_or_number.parse::<u32>() {
        return Ok(gid);
    }
    nix::unistd::Group::from_name(name_or_number)?
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| missing("group", name_or_number))
}

/// All groups of a user by the group database, `primary` among them.
pub fn groups_of(user_name: &str, primary: u32) -> io::Result<Vec<u32>> {
    let name = std::ffi::CString::new(user_name)?;
    let groups = nix::unistd::getgrouplist(&name, Gid::from_raw(primary))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

fn missing(kind: &str, name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "there is no {kind} {name:?} on this system: create it, or name another in the configuration"
        ),
    )
}

/// The effective user id.
pub fn effective_uid() -> u32 {
    Uid::effective().as_raw()
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    Gid::effective().as_raw()
}

/// Whether this process may become other users.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Becomes `identity` for good: groups, gids and uids are set, read back, and the way back is tried.
///
/// Without root this succeeds only if the process has that uid and gid already; the supplementary groups are
/// then left as they are, since dropping them takes a privilege.
pub fn become_permanently(identity: &Identity) -> io::Result<()> {
    take_on(identity).map_err(|error| {
        let (uid, gid) = (identity.uid, identity.gid);
        io::Error::new(
            error.kind(),
            format!("cannot become user {uid}, group {gid}: {error}"),
        )
    })
}

/// [`become_permanently`] for the moment between fork and exec: system calls only, no allocation.
pub(crate) fn take_on(identity: &Identity) -> io::Result<()> {
    if identity.uid == 0 || identity.gid == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if is_root() {
        set_groups(&identity.groups)?;
        nix::unistd::setresgid(gid, gid, gid)?;
        nix::unistd::setresuid(uid, uid, uid)?;
    }
    verify(uid, gid)
}

/// `setgroups(2)` straight from our list: nix would need a list of its own type, and thus an allocation.
fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one live slice of gid_t, which is u32.
    let result = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Checks that the process is `uid` and `gid` through and through, and that it cannot be root again.
///
/// Only system calls and no allocation: it runs between fork and exec too.
fn verify(uid: Uid, gid: Gid) -> io::Result<()> {
    let uids = nix::unistd::getresuid()?;
    let gids = nix::unistd::getresgid()?;
    let is_that = uids.real == uid && uids.effective == uid && uids.saved == uid;
    let in_that = gids.real == gid && gids.effective == gid && gids.saved == gid;
    if !is_that || !in_that {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let root = Uid::from_raw(0);
    let back = nix::unistd::setresuid(root, root, root).is_ok()
        || nix::unistd::seteuid(root).is_ok()
        || nix::unistd::setegid(Gid::from_raw(0)).is_ok();
    if back {
        Err(io::ErrorKind::PermissionDenied.into())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(user("root").unwrap().uid, 0);
        assert_eq!(user("0").unwrap().name, "root");
        let bare = user("3999999999").unwrap();
        assert_eq!((bare.uid, bare.gid), (3_999_999_999, None));
        assert_eq!(group("root").unwrap(), 0);
        assert_eq!(group("4711").unwrap(), 4711);
        assert_eq!(
            user("no such user").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            group("no such group").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(groups_of("root", 0).unwrap().contains(&0));
    }

    #[test]
    fn root_is_never_a_target() {
        for (uid, gid) in [(0, 5), (5, 0), (0, 0)] {
            let error = become_permanently(&Identity {
                uid,
                gid,
                groups: vec![],
            })
            .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
