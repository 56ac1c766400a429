//! The folders of the suite and who owns them; and the locks that keep a second master away.
//!
//! Invariant: root writes no file into a folder that belongs to a service user.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::ids;
use sandbox::pidlock::{FolderLock, PidLock};

/// Who a folder must belong to: uid and gid.
pub type Owner = (u32, u32);

/// The locks on the run folder and on the queue, held as long as master lives.
#[derive(Debug)]
pub struct Locks {
    _run: PidLock,
    queue: FolderLock,
}

impl Locks {
    /// A descriptor that holds the lock on the queue, for the one who works in it.
    pub fn share_queue(&self) -> io::Result<OwnedFd> {
        self.queue.share()
    }
}

/// What the folders are and whose, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Holds the pid file, and the folder with the Unix sockets.
    pub run: PathBuf,
    /// Holds the queue.
    pub queue: PathBuf,
    /// Holds the mailboxes of virtual users.
    pub mail: PathBuf,
    /// Owner of the queue folder.
    pub queue_owner: Owner,
    /// Owner of the mail folder.
    pub mail_owner: Owner,
    /// The group of all services.
    pub group: u32,
}

impl Folders {
    /// The folder with the Unix sockets, which is the root folder of the programs that read the network.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.run.join("ipc")
    }

    /// Makes what is missing, corrects owners and modes, and takes both locks.
    ///
    /// The lock on the queue is waited for: the queue-manager of a master that was killed may still finish.
    pub fn prepare(&self, patience: Duration) -> io::Result<Locks> {
        let root = (0, self.group);
        make(&self.run, 0o755, Some((0, 0)))?;
        make(&self.sockets(), 0o750, Some(root))?;
        let run = PidLock::take(&self.run.join("master.pid"))?;
        make(&self.queue, 0o700, Some(self.queue_owner))?;
        let queue = patiently(patience, io::ErrorKind::WouldBlock, || {
            FolderLock::take(&self.queue)
        })?;
        if !self.mail.exists() {
            // One that exists is the administrator's: mailboxes of several owners may be in it.
            make(&self.mail, 0o711, Some(self.mail_owner))?;
        }
        Ok(Locks { _run: run, queue })
    }
}

/// Tries again while it fails in this way, until the patience is over. Only for the start, before there is anybody
/// to wait for master.
pub fn patiently<T>(
    patience: Duration,
    kind: io::ErrorKind,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Err(error) if error.kind() == kind && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            outcome => return outcome,
        }
    }
}

/// Makes what is missing above a folder, for everybody to pass: the programs do so as users of their own, whatever
/// master's umask is.
fn make_way(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_way(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a folder with all above it, or corrects the owner and mode of one that is there.
fn make(path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let context = |error: io::Error| {
        io::Error::new(error.kind(), format!("folder {}: {error}", path.display()))
    };
    if let Some(parent) = path.parent() {
        make_way(parent).map_err(context)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(context(error)),
        _ => {}
    }
    // One open folder for all that follows, so that nobody can put another in its place in between.
    let folder = File::open(path).map_err(context)?;
    let found = folder.metadata().map_err(context)?;
    if !found.is_dir() {
        return Err(context(io::ErrorKind::NotADirectory.into()));
    }
    if let Some((uid, gid)) = owner.filter(|_| ids::is_root())
        && (found.uid(), found.gid()) != (uid, gid)
    {
        fchown(&folder, Some(uid), Some(gid)).map_err(context)?;
    }
    if found.permissions().mode() & 0o7777 != mode {
        folder
            .set_permissions(fs::Permissions::from_mode(mode))
            .map_err(context)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_with_their_modes_and_locked() {
        sandbox::process::set_private_umask();
        let base = tempfile::tempdir().unwrap();
        let own = (ids::effective_uid(), ids::effective_gid());
        let folders = Folders {
            run: base.path().join("a/run"),
            queue: base.path().join("b/queue"),
            mail: base.path().join("mail"),
            queue_owner: own,
            mail_owner: own,
            group: own.1,
        };
        let locks = folders.prepare(Duration::ZERO).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&folders.queue), 0o700);
        assert_eq!(mode(&folders.sockets()), 0o750);
        assert_eq!(mode(&base.path().join("b")), 0o755, "all may pass");
        let pid = fs::read_to_string(folders.run.join("master.pid")).unwrap();
        assert_eq!(pid.trim(), std::process::id().to_string());

        let other_run = Folders {
            run: base.path().join("c"),
            ..folders.clone()
        };
        let error = other_run.prepare(Duration::ZERO).unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::WouldBlock,
            "one queue, two masters: {error}"
        );
        drop(locks);
        fs::set_permissions(&folders.queue, fs::Permissions::from_mode(0o777)).unwrap();
        let _locks = folders.prepare(Duration::ZERO).unwrap();
        assert_eq!(mode(&folders.queue), 0o700);
        if ids::is_root() {
            let theirs = Folders {
                queue_owner: (45_001, 45_002),
                run: base.path().join("d"),
                ..folders
            };
            let queue = base.path().join("q2");
            let _other = Folders {
                queue: queue.clone(),
                ..theirs
            }
            .prepare(Duration::ZERO)
            .unwrap();
            let found = fs::metadata(queue).unwrap();
            assert_eq!((found.uid(), found.gid()), (45_001, 45_002));
        }
    }
}
