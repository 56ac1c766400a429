//! Locks on an mbox: `fcntl` first, then the dotlock, as Debian's policy (§11.6) orders them.
//!
//! Neither is waited for while the other is held: two programs that lock in different orders would wait
//! for each other. Where the folder does not let us make a file, the `fcntl` lock alone must do, as in
//! Postfix.
//!
//! A dotlock older than [`LockOptions::stale_after`] was left by a crash and is removed. Ours need not get
//! that old: their makers hold an `fcntl` lock on them, too, which the kernel drops with the process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::error::MailboxError;
use crate::safe_open::{Folder, OpenMode};

/// Ends the text of a dotlock whose maker holds an `fcntl` lock on it.
const MARK: &[u8] = b" posthouse\n";
const RETRY: Duration = Duration::from_millis(200);

/// How long to wait for locks.
#[derive(Clone, Copy, Debug)]
pub struct LockOptions {
    /// For other programs to finish.
    pub timeout: Duration,
    /// Before a dotlock counts as left over.
    pub stale_after: Duration,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            stale_after: Duration::from_secs(500),
        }
    }
}

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may read, too; no dotlock, which knows no readers.
    Shared,
    /// Nobody else may.
    Exclusive,
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct MboxLock<'m> {
    file: &'m File,
    dotlock: Option<DotLock<'m>>,
}

impl<'m> MboxLock<'m> {
    /// Locks the open mbox `file`, which is `name` in `folder`.
    ///
    /// # Errors
    /// [`MailboxError::Locked`] when another program holds it beyond the time-out.
    pub fn acquire(
        folder: &'m Folder,
        name: &OsStr,
        file: &'m File,
        kind: LockKind,
        options: LockOptions,
    ) -> Result<Self, MailboxError> {
        let begin = Instant::now();
        loop {
            let busy = match Self::attempt(folder, name, file, kind, options)? {
                Ok(lock) => return Ok(lock),
                Err(busy) => busy,
            };
            if begin.elapsed() + RETRY > options.timeout {
                return Err(MailboxError::Locked {
                    path: folder.path_of(name),
                    lock: busy.to_string_lossy().into_owned(),
                    waited_seconds: begin.elapsed().as_secs(),
                });
            }
            thread::sleep(RETRY);
        }
    }

    /// One attempt: the lock, or the name of the lock that somebody else has.
    fn attempt(
        folder: &'m Folder,
        name: &OsStr,
        file: &'m File,
        kind: LockKind,
        options: LockOptions,
    ) -> Result<Result<Self, OsString>, MailboxError> {
        let failed = |errno| MailboxError::io("lock", folder.path_of(name), errno);
        if !lock_file(file, kind).map_err(failed)? {
            return Ok(Err("fcntl".into()));
        }
        // From here on dropping it unlocks the file.
        let mut lock = Self {
            file,
            dotlock: None,
        };
        if kind == LockKind::Shared {
            return Ok(Ok(lock));
        }
        match DotLock::attempt(folder, name, options.stale_after)? {
            Dot::Made(dotlock) => lock.dotlock = Some(dotlock),
            Dot::NotPossible => {}
            Dot::Busy(name) => return Ok(Err(name)),
        }
        Ok(Ok(lock))
    }

    /// Whether there is a dotlock, too; otherwise the folder let us make none.
    #[must_use]
    pub fn has_dotlock(&self) -> bool {
        self.dotlock.is_some()
    }
}

impl Drop for MboxLock<'_> {
    fn drop(&mut self) {
        self.dotlock = None;
        // Closing the file unlocks it anyway.
        let _ = fcntl(
            self.file.as_fd(),
            FcntlArg::F_OFD_SETLK(&flock(libc::F_UNLCK)),
        );
    }
}

/// Locks belong to the open file, not to the process: closing another descriptor of it does not lose them.
fn lock_file(file: &File, kind: LockKind) -> Result<bool, Errno> {
    let kind = match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&flock(kind))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn flock(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The file `NAME.lock`, made by us; dropping it lets go.
#[derive(Debug)]
pub(crate) struct DotLock<'m> {
    folder: &'m Folder,
    name: OsString,
    file: File,
}

enum Dot<'m> {
    Made(DotLock<'m>),
    NotPossible,
    Busy(OsString),
}

impl<'m> DotLock<'m> {
    /// Locks `name` in `folder` by a dotlock alone, as the index files of a Maildir are.
    pub(crate) fn acquire(
        folder: &'m Folder,
        name: &OsStr,
        options: LockOptions,
    ) -> Result<Self, MailboxError> {
        let begin = Instant::now();
        loop {
            let busy = match Self::attempt(folder, name, options.stale_after)? {
                Dot::Made(lock) => return Ok(lock),
                Dot::NotPossible => {
                    return Err(MailboxError::io(
                        "lock",
                        folder.path_of(name),
                        Errno::EACCES,
                    ));
                }
                Dot::Busy(busy) => busy,
            };
            if begin.elapsed() + RETRY > options.timeout {
                return Err(MailboxError::Locked {
                    path: folder.path_of(name),
                    lock: busy.to_string_lossy().into_owned(),
                    waited_seconds: begin.elapsed().as_secs(),
                });
            }
            thread::sleep(RETRY);
        }
    }

    fn attempt(
        folder: &'m Folder,
        mbox: &OsStr,
        stale_after: Duration,
    ) -> Result<Dot<'m>, MailboxError> {
        let mut name = mbox.to_owned();
        name.push(".lock");
        match folder.create_file(&name) {
            Ok(file) => {
                sign(&file);
                Ok(Dot::Made(Self { folder, name, file }))
            }
            Err(error) => match error.errno() {
                Some(Errno::EEXIST) => {
                    remove_stale(folder, &name, stale_after)?;
                    Ok(Dot::Busy(name))
                }
                Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => Ok(Dot::NotPossible),
                _ => Err(error),
            },
        }
    }
}

/// Writes who holds a dotlock: for people, for liblockfile, which asks whether the process lives, and for us.
///
/// An empty dotlock locks as well, so that nothing here can fail the lock.
fn sign(mut file: &File) {
    let mut text = std::process::id().to_string().into_bytes();
    if lock_file(file, LockKind::Exclusive) == Ok(true) {
        text.extend_from_slice(MARK);
    }
    let _ = file.write_all(&text);
}

/// Removes a left-over lock, so that the next attempt finds none.
fn remove_stale(folder: &Folder, name: &OsStr, stale_after: Duration) -> Result<(), MailboxError> {
    let Some(stat) = folder.examine(name)? else {
        return Ok(());
    };
    let made = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + made);
    if age.is_ok_and(|age| age > stale_after) {
        return folder.remove_file(name);
    }
    let Some(file) = open_abandoned(folder, name) else {
        return Ok(());
    };
    // It is ours now; but somebody else may have made a new one before that.
    let there = folder.examine(name)?;
    if identity(&file).is_some_and(|ours| there.is_some_and(|it| (it.st_dev, it.st_ino) == ours)) {
        folder.remove_file(name)?;
    }
    Ok(())
}

/// A dotlock of ours whose maker is dead; locked, so that one process only takes it away.
fn open_abandoned(folder: &Folder, name: &OsStr) -> Option<File> {
    let owner = nix::unistd::geteuid().as_raw();
    let mut file = folder.open_file(name, OpenMode::ReadWrite, owner).ok()?;
    let mut text = Vec::new();
    (&mut file).take(64).read_to_end(&mut text).ok()?;
    let abandoned = text.ends_with(MARK) && lock_file(&file, LockKind::Exclusive) == Ok(true);
    abandoned.then_some(file)
}

fn identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|it| (it.dev(), it.ino()))
}

impl Drop for DotLock<'_> {
    fn drop(&mut self) {
        let ours = identity(&self.file);
        let there = self.folder.examine(&self.name).ok().flatten();
        // Somebody may have taken it for stale and made their own.
        if ours.is_some() && ours == there.map(|there| (there.st_dev, there.st_ino)) {
            // It will be stale to others after a while if this fails.
            let _ = self.folder.remove_file(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const NO_WAIT: LockOptions = LockOptions {
        timeout: Duration::ZERO,
        stale_after: Duration::from_secs(500),
    };

    fn mbox() -> (TempDir, Folder, File) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        fs::write(place.path().join("mbox"), "").unwrap();
        let file = reopen(&folder);
        (place, folder, file)
    }

    fn reopen(folder: &Folder) -> File {
        let owner = nix::unistd::geteuid().as_raw();
        folder
            .open_file(OsStr::new("mbox"), OpenMode::Append, owner)
            .unwrap()
    }

    fn acquire<'m>(
        folder: &'m Folder,
        file: &'m File,
        kind: LockKind,
    ) -> Result<MboxLock<'m>, MailboxError> {
        MboxLock::acquire(folder, OsStr::new("mbox"), file, kind, NO_WAIT)
    }

    #[test]
    fn one_holder_at_a_time_by_both_locks() {
        let (place, folder, file) = mbox();
        let other = reopen(&folder);
        let lock = acquire(&folder, &file, LockKind::Exclusive).unwrap();
        assert!(lock.has_dotlock() && place.path().join("mbox.lock").exists());
        let refused = acquire(&folder, &other, LockKind::Exclusive).unwrap_err();
        assert!(refused.to_string().contains("fcntl"), "{refused}");
        drop(lock);
        assert!(!place.path().join("mbox.lock").exists());

        fs::write(place.path().join("mbox.lock"), "4711").unwrap();
        let refused = acquire(&folder, &other, LockKind::Exclusive).unwrap_err();
        assert!(refused.to_string().contains("mbox.lock"), "{refused}");
        // The attempt that failed on the dotlock let go of the other lock.
        drop(acquire(&folder, &file, LockKind::Shared).unwrap());
    }

    #[test]
    fn readers_share() {
        let (_place, folder, file) = mbox();
        let other = reopen(&folder);
        let first = acquire(&folder, &file, LockKind::Shared).unwrap();
        drop(acquire(&folder, &other, LockKind::Shared).unwrap());
        assert!(acquire(&folder, &other, LockKind::Exclusive).is_err());
        drop(first);
    }

    #[test]
    fn a_left_over_dotlock_is_removed() {
        let (place, folder, file) = mbox();
        let dotlock = place.path().join("mbox.lock");
        fs::write(&dotlock, "4711").unwrap();
        let old = SystemTime::now() - Duration::from_secs(501);
        File::options()
            .write(true)
            .open(&dotlock)
            .unwrap()
            .set_modified(old)
            .unwrap();
        let options = LockOptions {
            timeout: 2 * RETRY,
            ..NO_WAIT
        };
        let name = OsStr::new("mbox");
        MboxLock::acquire(&folder, name, &file, LockKind::Exclusive, options).unwrap();
    }

    #[test]
    fn a_dotlock_of_ours_is_known_to_be_left_over_when_its_maker_is_dead() {
        let (place, folder, file) = mbox();
        let dotlock = place.path().join("mbox.lock");
        let lock = acquire(&folder, &file, LockKind::Exclusive).unwrap();
        let text = fs::read(&dotlock).unwrap();
        assert!(text.ends_with(MARK), "{text:?}");
        let name = OsStr::new("mbox.lock");
        assert!(open_abandoned(&folder, name).is_none(), "its maker lives");
        drop(lock);
        // As after SIGKILL: the file is there and nobody holds it.
        fs::write(&dotlock, &text).unwrap();
        assert!(acquire(&folder, &file, LockKind::Exclusive).is_err());
        assert!(!dotlock.exists());
        acquire(&folder, &file, LockKind::Exclusive).unwrap();
        fs::write(&dotlock, "4711").unwrap();
        assert!(open_abandoned(&folder, name).is_none(), "another program's");
    }

    #[test]
    fn a_dotlock_that_somebody_else_replaced_is_left_alone() {
        let (place, folder, file) = mbox();
        let dotlock = place.path().join("mbox.lock");
        let lock = acquire(&folder, &file, LockKind::Exclusive).unwrap();
        fs::write(place.path().join("theirs"), "").unwrap();
        fs::rename(place.path().join("theirs"), &dotlock).unwrap();
        drop(lock);
        assert!(dotlock.exists());
    }
}
