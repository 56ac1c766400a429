//! Removing messages from an mbox without a moment at which a crash loses another.
//!
//! In order of preference:
//! 1. What is removed is the end of the file: it is cut off.
//! 2. The rest is copied to a new file, which is synced and takes the old one's place by rename. Needs a folder
//!    that we may write, and its dotlock, so that nobody appends to the old file meanwhile.
//! 3. The rest is moved towards the file's beginning in pieces no longer than the way they move, so that every
//!    octet that stays is in the file at every moment: a killed process leaves repetitions, and no gap. (If the
//!    machine loses power just then, its file system decides.)

use std::ffi::OsString;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, fchown, ftruncate};

use super::mbox::Mbox;
use super::reader::{BLOCK, read};
use crate::error::MailboxError;

/// What a new file fails for that the old one does not need.
const NEEDS: [Errno; 5] = [
    Errno::ENOSPC,
    Errno::EDQUOT,
    Errno::EACCES,
    Errno::EPERM,
    Errno::EROFS,
];

/// Removes ascending ranges from the locked file, and syncs.
pub(super) fn remove_ranges(
    mbox: &Mbox,
    ranges: &[Range<u64>],
    may_replace: bool,
) -> Result<(), MailboxError> {
    let Some(first) = ranges.first() else {
        return Ok(());
    };
    let kept = complement(ranges, mbox.size()?);
    if kept.iter().all(|range| range.end <= first.start) {
        return cut(mbox, first.start);
    }
    if !may_replace {
        return move_down(mbox, &kept);
    }
    match replace(mbox, &kept) {
        // A full disk, or a group that we may not give: the other way needs neither.
        Err(error) if error.errno().is_some_and(|errno| NEEDS.contains(&errno)) => {
            move_down(mbox, &kept)
        }
        replaced => replaced,
    }
}

/// What is not in the ranges, without empty ones.
fn complement(ranges: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let starts = std::iter::once(0).chain(ranges.iter().map(|range| range.end));
    let ends = ranges.iter().map(|range| range.start).chain([size]);
    starts
        .zip(ends)
        .map(|(start, end)| start..end)
        .filter(|range| !range.is_empty())
        .collect()
}

fn cut(mbox: &Mbox, size: u64) -> Result<(), MailboxError> {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    ftruncate(mbox.file.as_fd(), size).map_err(|errno| mbox.error("cut off the end of", errno))?;
    mbox.file
        .sync_data()
        .map_err(|error| mbox.error("sync", error))
}

fn replace(mbox: &Mbox, kept: &[Range<u64>]) -> Result<(), MailboxError> {
    let mut name = OsString::from(".");
    name.push(&mbox.name);
    name.push(".posthouse-new");
    // Left over from a process that was killed: the lock says that nobody is at it now.
    mbox.folder.remove_file(&name)?;
    let new = mbox.folder.create_file(&name)?;
    let replaced = fill(mbox, &new, kept)
        .and_then(|()| mbox.folder.move_over(&name, &mbox.folder, &mbox.name));
    if let Err(error) = replaced {
        mbox.folder.remove_file(&name)?;
        return Err(error);
    }
    mbox.folder.sync()
}

fn fill(mbox: &Mbox, new: &File, kept: &[Range<u64>]) -> Result<(), MailboxError> {
    let old = mbox
        .file
        .metadata()
        .map_err(|error| mbox.error("examine", error))?;
    let made = new
        .metadata()
        .map_err(|error| mbox.error("examine", error))?;
    if old.gid() != made.gid() {
        fchown(new, None, Some(Gid::from_raw(old.gid())))
            .map_err(|errno| mbox.error("keep the group of", errno))?;
    }
    fchmod(new, Mode::from_bits_truncate(old.mode() & 0o666))
        .map_err(|errno| mbox.error("keep the mode of", errno))?;
    let (mut block, mut to) = (vec![0; BLOCK], 0);
    for range in kept {
        copy(&mbox.file, range.clone(), new, to, &mut block)
            .map_err(|error| mbox.error("copy", error))?;
        to += range.end - range.start;
    }
    new.sync_all()
        .map_err(|error| mbox.error("sync the new", error))
}

fn move_down(mbox: &Mbox, kept: &[Range<u64>]) -> Result<(), MailboxError> {
    let (mut block, mut to) = (vec![0; BLOCK], 0);
    for range in kept {
        let way = range.start - to;
        if way > 0 {
            let piece = usize::try_from(way).map_or(BLOCK, |way| way.min(BLOCK));
            copy(
                &mbox.file,
                range.clone(),
                &mbox.file,
                to,
                &mut block[..piece],
            )
            .map_err(|error| mbox.error("move messages in", error))?;
        }
        to += range.end - range.start;
    }
    // What was moved must be on disk before its old place is cut off.
    mbox.file
        .sync_data()
        .map_err(|error| mbox.error("sync", error))?;
    cut(mbox, to)
}

fn copy(
    from: &File,
    range: Range<u64>,
    to: &File,
    mut at: u64,
    block: &mut [u8],
) -> std::io::Result<()> {
    let mut start = range.start;
    while start < range.end {
        let wanted =
            usize::try_from(range.end - start).map_or(block.len(), |left| left.min(block.len()));
        let count = read(from, &mut block[..wanted], start)?;
        to.write_all_at(&block[..count], at)?;
        start += count as u64;
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
#[path = "mbox_tests.rs"]
mod tests;
