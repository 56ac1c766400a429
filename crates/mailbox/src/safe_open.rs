//! Opening a user's files so that nobody can make mail go astray (after Postfix's `safe_open`).
//!
//! Purpose: a mailbox lies in folders that other users may write. Everything here goes step by step from
//! the root folder, each step relative to the folder that was opened before it, so that a folder that is
//! swapped for a link in between diverts nothing.
//!
//! Invariants:
//! - A file is never reached through a symbolic link of its own name. A link that stands for a folder is
//!   followed only if root owns it and it lies in a folder that only root can write (`/home` → `/data/home`).
//! - A file is used only if it is a regular file with one link and belongs to the expected user; it is
//!   opened without blocking, so that a pipe put in its place holds up nobody.
//! - A file that is made must not exist before (`O_EXCL`).
//!
//! Deliberately absent: changing identity. The process already is the mailbox's owner, which is what
//! keeps it from files of others; these rules keep the owner's files from being misused by others.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, RenameFlags};
use nix::libc;
use nix::sys::stat::{self, FileStat, Mode, SFlag};
use nix::unistd::{self, UnlinkatFlags};

use crate::error::{MailboxError, UnsafePath};

/// The most links that are followed on the way to one folder (`ELOOP` in Linux comes at 40).
const MAX_LINKS: usize = 10;

/// Only the owner may use what is made here.
pub const FOLDER_MODE: Mode = Mode::S_IRWXU;
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// An open folder: a place to reach files by plain names, whatever happens to the path that led here.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// To read.
    Read,
    /// To read and to write anywhere.
    ReadWrite,
    /// To write behind its end.
    Append,
}

impl OpenMode {
    fn flags(self) -> OFlag {
        match self {
            Self::Read => OFlag::O_RDONLY,
            Self::ReadWrite => OFlag::O_RDWR,
            // Reading too: a writer must be able to look at what it appends to.
            Self::Append => OFlag::O_RDWR | OFlag::O_APPEND,
        }
    }
}

impl Folder {
    /// Opens a folder by its absolute path.
    pub fn open(path: &Path) -> Result<Self, MailboxError> {
        let mut walk = Walk::new(path)?;
        while let Some(name) = walk.left.pop_front() {
            walk.step(&name)?;
        }
        walk.folder.readable()
    }

    /// Opens a folder by its absolute path; it and the folders above that are missing are made, durably.
    pub fn open_or_create(path: &Path) -> Result<Self, MailboxError> {
        let mut walk = Walk::new(path)?;
        while let Some(name) = walk.left.pop_front() {
            match walk.step(&name) {
                Err(error) if error.is_not_found() => {
                    walk.folder = walk.folder.readable()?;
                    walk.folder.make_folder(&name)?;
                    walk.folder.sync()?;
                    walk.step(&name)?;
                }
                stepped => stepped?,
            }
        }
        walk.folder.readable()
    }

    /// Opens the folder that `path` lies in; answers it and the last name of `path`.
    pub fn open_parent(path: &Path) -> Result<(Self, OsString), MailboxError> {
        let refuse = || MailboxError::refuse(path, UnsafePath::NotPlain);
        let name = path.file_name().ok_or_else(refuse)?;
        let parent = path.parent().ok_or_else(refuse)?;
        Ok((Self::open(parent)?, name.to_owned()))
    }

    /// Where it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it, for messages.
    #[must_use]
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a folder in it; a link is refused.
    pub fn folder(&self, name: &OsStr) -> Result<Self, MailboxError> {
        self.open_folder(name, OFlag::O_RDONLY)
    }

    fn open_folder(&self, name: &OsStr, access: OFlag) -> Result<Self, MailboxError> {
        let flags = access | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match fcntl::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Self {
                fd,
                path: self.path_of(name),
            }),
            Err(Errno::ELOOP | Errno::ENOTDIR) => Err(self.not_a_folder(name)),
            Err(errno) => Err(self.error("open the folder", name, errno)),
        }
    }

    /// A folder that was only passed through, opened to be listed and synced.
    ///
    /// Where listing is not allowed, files in it can still be reached by name.
    fn readable(self) -> Result<Self, MailboxError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match fcntl::openat(&self.fd, ".", flags, Mode::empty()) {
            Ok(fd) => Ok(Self {
                fd,
                path: self.path,
            }),
            Err(Errno::EACCES) => Ok(self),
            Err(errno) => Err(MailboxError::io("open the folder", &self.path, errno)),
        }
    }

    /// Makes a folder in it for its owner alone; answers whether it was not there before.
    pub fn make_folder(&self, name: &OsStr) -> Result<bool, MailboxError> {
        match stat::mkdirat(&self.fd, name, FOLDER_MODE) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => Err(self.error("make the folder", name, errno)),
        }
    }

    /// Refuses the folder unless it belongs to `owner`.
    pub fn check_owner(&self, owner: u32) -> Result<(), MailboxError> {
        let stat = self.stat()?;
        check_uid(&stat, owner).map_err(|reason| MailboxError::refuse(&self.path, reason))
    }

    /// Opens a file in it that is there already, checking all rules.
    pub fn open_file(
        &self,
        name: &OsStr,
        mode: OpenMode,
        owner: u32,
    ) -> Result<File, MailboxError> {
        let flags = mode.flags() | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = fcntl::openat(&self.fd, name, flags | OFlag::O_CLOEXEC, Mode::empty()).map_err(
            |errno| match errno {
                Errno::ELOOP => self.refuse(name, UnsafePath::Symlink),
                Errno::EISDIR | Errno::ENXIO => self.refuse(name, UnsafePath::NotRegular),
                errno => self.error("open", name, errno),
            },
        )?;
        let stat = stat::fstat(&fd).map_err(|errno| self.error("examine", name, errno))?;
        check_file(&stat, owner).map_err(|reason| self.refuse(name, reason))?;
        Ok(File::from(fd))
    }

    /// Makes a file in it that must not be there yet, for its owner alone.
    pub fn create_file(&self, name: &OsStr) -> Result<File, MailboxError> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        fcntl::openat(&self.fd, name, flags | OFlag::O_CLOEXEC, FILE_MODE)
            .map(File::from)
            .map_err(|errno| self.error("create", name, errno))
    }

    /// Opens a file in it, making it when it is not there; answers whether it was made.
    pub fn open_or_create_file(
        &self,
        name: &OsStr,
        mode: OpenMode,
        owner: u32,
    ) -> Result<(File, bool), MailboxError> {
        match self.open_file(name, mode, owner) {
            Err(error) if error.is_not_found() => {}
            opened => return Ok((opened?, false)),
        }
        let flags = mode.flags() | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        match fcntl::openat(&self.fd, name, flags | OFlag::O_CLOEXEC, FILE_MODE) {
            Ok(fd) => Ok((File::from(fd), true)),
            // Somebody was quicker: then it must pass the rules of an existing file.
            Err(Errno::EEXIST) => Ok((self.open_file(name, mode, owner)?, false)),
            Err(errno) => Err(self.error("create", name, errno)),
        }
    }

    /// What it is itself.
    pub fn stat(&self) -> Result<FileStat, MailboxError> {
        stat::fstat(&self.fd).map_err(|errno| MailboxError::io("examine", &self.path, errno))
    }

    /// What `name` in it is, links not followed; `None` when nothing is there.
    pub fn examine(&self, name: &OsStr) -> Result<Option<FileStat>, MailboxError> {
        match stat::fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error("examine", name, errno)),
        }
    }

    /// Moves a file from here to a name in `to` that must not exist yet.
    pub fn move_new(&self, from: &OsStr, to: &Self, name: &OsStr) -> Result<(), MailboxError> {
        let flags = RenameFlags::RENAME_NOREPLACE;
        let result = match fcntl::renameat2(&self.fd, from, &to.fd, name, flags) {
            // The file system cannot refuse to replace (NFS, some FUSE): two steps can.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                unistd::linkat(&self.fd, from, &to.fd, name, AtFlags::empty())
                    .and_then(|()| unistd::unlinkat(&self.fd, from, UnlinkatFlags::NoRemoveDir))
            }
            result => result,
        };
        result.map_err(|errno| to.error("move a message to", name, errno))
    }

    /// Moves a file from here to a name in `to`, in place of what may be there.
    pub fn move_over(&self, from: &OsStr, to: &Self, name: &OsStr) -> Result<(), MailboxError> {
        fcntl::renameat(&self.fd, from, &to.fd, name)
            .map_err(|errno| to.error("replace", name, errno))
    }

    /// Removes a file; that it is gone already is as good.
    pub fn remove_file(&self, name: &OsStr) -> Result<(), MailboxError> {
        match unistd::unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.error("remove", name, errno)),
        }
    }

    /// Makes its names durable: what was made, moved and removed in it.
    pub fn sync(&self) -> Result<(), MailboxError> {
        unistd::fsync(&self.fd)
            .map_err(|errno| MailboxError::io("sync the folder", &self.path, errno))
    }

    /// The names in it, without `.` and `..`, in no order.
    pub fn names(&self) -> Result<Vec<OsString>, MailboxError> {
        let failed = |errno| MailboxError::io("list", &self.path, errno);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // A description of its own: listing moves the offset that all copies of one share.
        let mut listing =
            nix::dir::Dir::openat(&self.fd, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    fn error(&self, operation: &'static str, name: &OsStr, errno: Errno) -> MailboxError {
        MailboxError::io(operation, self.path_of(name), errno)
    }

    fn refuse(&self, name: &OsStr, reason: UnsafePath) -> MailboxError {
        MailboxError::refuse(self.path_of(name), reason)
    }

    fn not_a_folder(&self, name: &OsStr) -> MailboxError {
        let is_link = matches!(self.examine(name), Ok(Some(stat)) if kind(&stat) == SFlag::S_IFLNK);
        let reason = if is_link {
            UnsafePath::Symlink
        } else {
            UnsafePath::NotAFolder
        };
        self.refuse(name, reason)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The way from the root folder to a folder.
struct Walk {
    folder: Folder,
    left: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(path: &Path) -> Result<Self, MailboxError> {
        let refuse = || MailboxError::refuse(path, UnsafePath::NotPlain);
        let mut components = path.components();
        if components.next() != Some(Component::RootDir) {
            return Err(refuse());
        }
        let left = components
            .map(|component| match component {
                Component::Normal(name) => Ok(name.to_owned()),
                _ => Err(refuse()),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            folder: root()?,
            left,
            links: 0,
        })
    }

    fn step(&mut self, name: &OsStr) -> Result<(), MailboxError> {
        // Passing through a folder takes no right to list it, neither from its mode nor from Landlock.
        match self.folder.open_folder(name, OFlag::O_PATH) {
            Ok(folder) => {
                self.folder = folder;
                Ok(())
            }
            Err(MailboxError::Unsafe {
                reason: UnsafePath::Symlink,
                ..
            }) => self.follow(name),
            Err(error) => Err(error),
        }
    }

    /// Puts a trusted link's target in front of what is left of the way.
    fn follow(&mut self, name: &OsStr) -> Result<(), MailboxError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(self.folder.refuse(name, UnsafePath::TooManyLinks));
        }
        let around = self.folder.stat()?;
        let link = self.folder.examine(name)?;
        let trusted = link.is_some_and(|link| link.st_uid == 0)
            && around.st_uid == 0
            && around.st_mode & (libc::S_IWGRP | libc::S_IWOTH) == 0;
        if !trusted {
            return Err(self.folder.refuse(name, UnsafePath::Symlink));
        }
        let target = fcntl::readlinkat(&self.folder.fd, name)
            .map_err(|errno| self.folder.error("read the link", name, errno))?;
        for component in Path::new(&target).components().rev() {
            match component {
                Component::RootDir => self.folder = root()?,
                Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => self.left.push_front("..".into()),
                Component::Normal(name) => self.left.push_front(name.to_owned()),
            }
        }
        Ok(())
    }
}

fn root() -> Result<Folder, MailboxError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let path = PathBuf::from("/");
    match fcntl::open(&path, flags, Mode::empty()) {
        Ok(fd) => Ok(Folder { fd, path }),
        Err(errno) => Err(MailboxError::io("open the folder", path, errno)),
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT)
}

fn check_uid(stat: &FileStat, owner: u32) -> Result<(), UnsafePath> {
    if stat.st_uid == owner {
        return Ok(());
    }
    Err(UnsafePath::Owner {
        found: stat.st_uid,
        wanted: owner,
    })
}

fn check_file(stat: &FileStat, owner: u32) -> Result<(), UnsafePath> {
    if kind(stat) != SFlag::S_IFREG {
        return Err(UnsafePath::NotRegular);
    }
    if stat.st_nlink != 1 {
        return Err(UnsafePath::HardLinks(stat.st_nlink));
    }
    check_uid(stat, owner)
}
