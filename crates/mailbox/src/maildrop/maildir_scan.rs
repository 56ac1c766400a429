//! The messages in `new` and `cur`, kept small: their names in one piece of memory, 40 octets beside each.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::unique_id::unique_part;
use crate::error::MailboxError;
use crate::maildir::{Maildir, MessageName};
use crate::safe_open::Folder;

/// A text in [`Scan::text`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    at: u32,
    len: u16,
}

/// Which of the two folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    New,
    Cur,
}

/// What a message is known by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Identity {
    /// Not in the list: by its name.
    Name,
    /// Its name's unique part is that of another message, too: by the digest of the whole.
    NameDigest,
    /// In the list, by uid and uid validity.
    Dovecot,
    /// In the list, by this text.
    Saved(Span),
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The file name.
    pub name: Span,
    pub part: Part,
    pub identity: Identity,
    /// 0 until it is in the list.
    pub uid: u32,
    /// Further extensions that the list has for it.
    pub others: Span,
    /// With CRLF line ends, once known.
    pub wire: Option<u64>,
    /// The list has `wire` already, or need not have it because the name does.
    pub wire_is_recorded: bool,
}

/// All messages of a Maildir, in the order of their base names.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub entries: Vec<Entry>,
    text: Vec<u8>,
}

impl Scan {
    /// Lists both folders: `new` first, so that a message that moves to `cur` meanwhile is not missed.
    pub fn of(maildir: &Maildir) -> Result<Self, MailboxError> {
        let mut scan = Self::default();
        for (folder, part) in folders(maildir) {
            for_each_name(folder, |name| scan.add(name, part, folder))?;
        }
        scan.put_in_order();
        Ok(scan)
    }

    /// Adds what was renamed just while its folder was listed, and so was not seen.
    pub fn add_missed(&mut self, maildir: &Maildir) -> Result<(), MailboxError> {
        let seen = self.entries.len();
        for (folder, part) in folders(maildir) {
            for_each_name(folder, |name| {
                let wanted = base(name);
                let is_seen = self.entries[..seen]
                    .binary_search_by(|entry| self.base(entry).cmp(wanted))
                    .is_ok();
                if is_seen {
                    Ok(())
                } else {
                    self.add(name, part, folder)
                }
            })?;
        }
        self.put_in_order();
        Ok(())
    }

    /// Forgets what a list said, except sizes, so that it can be asked again.
    pub fn forget_list(&mut self) {
        for entry in &mut self.entries {
            entry.identity = Identity::Name;
            entry.uid = 0;
            entry.others = Span::default();
        }
        self.tell_apart();
    }

    /// By base name, each once.
    fn put_in_order(&mut self) {
        let Self { entries, text } = self;
        entries.sort_unstable_by(|a, b| {
            let order = base(slice(text, a.name)).cmp(base(slice(text, b.name)));
            // One that moved meanwhile was found twice: its new place is kept.
            order.then((b.part == Part::Cur).cmp(&(a.part == Part::Cur)))
        });
        entries.dedup_by(|second, first| {
            base(slice(text, second.name)) == base(slice(text, first.name))
        });
        self.tell_apart();
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &[u8] {
        slice(&self.text, span)
    }

    /// The file name up to its flags.
    pub fn base(&self, entry: &Entry) -> &[u8] {
        base(self.text(entry.name))
    }

    /// Keeps a text.
    pub fn keep(&mut self, text: &[u8]) -> Option<Span> {
        let span = Span {
            at: u32::try_from(self.text.len()).ok()?,
            len: u16::try_from(text.len()).ok()?,
        };
        self.text.extend_from_slice(text);
        Some(span)
    }

    /// The message with a base name; for as long as the entries are in their first order.
    pub fn find(&self, wanted: &[u8]) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| self.base(entry).cmp(wanted))
            .ok()
    }

    fn add(&mut self, name: &[u8], part: Part, folder: &Folder) -> Result<(), MailboxError> {
        if name.is_empty() || name.starts_with(b".") {
            return Ok(());
        }
        let full = || MailboxError::io("list", folder.path(), Errno::EOVERFLOW);
        let wire = wire_in_name(name);
        let name = self.keep(name).ok_or_else(full)?;
        self.entries.push(Entry {
            name,
            part,
            identity: Identity::Name,
            uid: 0,
            others: Span::default(),
            wire,
            wire_is_recorded: wire.is_some(),
        });
        Ok(())
    }

    /// Names that differ only in what is not unique about them are rare, and must not share an id.
    fn tell_apart(&mut self) {
        let Self { entries, text } = self;
        let unique = |entry: &Entry| unique_part(base(slice(text, entry.name)));
        for at in 1..entries.len() {
            if unique(&entries[at - 1]) == unique(&entries[at]) {
                entries[at].identity = Identity::NameDigest;
            }
        }
    }
}

fn slice(text: &[u8], span: Span) -> &[u8] {
    let at = usize::try_from(span.at).unwrap_or(usize::MAX);
    text.get(at..at + usize::from(span.len)).unwrap_or_default()
}

pub(super) fn base(name: &[u8]) -> &[u8] {
    &name[..memchr::memchr(b':', name).unwrap_or(name.len())]
}

pub(super) fn folders(maildir: &Maildir) -> [(&Folder, Part); 2] {
    [(&maildir.new, Part::New), (&maildir.cur, Part::Cur)]
}

/// `W=`, if it can be right: line ends add at most one octet to each.
pub(super) fn wire_in_name(name: &[u8]) -> Option<u64> {
    let parsed = MessageName::parse(std::str::from_utf8(name).ok()?);
    let wire = parsed.wire?;
    let can_be = |stored: u64| (stored..=stored.saturating_mul(2)).contains(&wire);
    parsed.stored.is_none_or(can_be).then_some(wire)
}

/// `S=`: octets as stored.
pub(super) fn stored_in_name(name: &[u8]) -> Option<u64> {
    MessageName::parse(std::str::from_utf8(name).ok()?).stored
}

/// Gives every name in a folder to `take`.
pub(super) fn for_each_name(
    folder: &Folder,
    mut take: impl FnMut(&[u8]) -> Result<(), MailboxError>,
) -> Result<(), MailboxError> {
    let failed = |errno| MailboxError::io("list", folder.path(), errno);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // A description of its own: listing moves the offset that all copies of one share.
    let mut listing = Dir::openat(
        folder.as_fd(),
        OsStr::from_bytes(b"."),
        flags,
        Mode::empty(),
    )
    .map_err(failed)?;
    for entry in listing.iter() {
        let entry = entry.map_err(failed)?;
        // Folders, links and the like are not messages; where the file system does not tell, opening does.
        if matches!(entry.file_type(), None | Some(Type::File)) {
            take(entry.file_name().to_bytes())?;
        }
    }
    Ok(())
}
