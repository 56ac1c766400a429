//! Resource limits of a process (`setrlimit(2)`).
//!
//! Absent on purpose: RLIMIT_NPROC, which counts every process of the user on the machine (several services
//! share one), and RLIMIT_AS, which counts address space that is never touched. That a jailed program cannot
//! fork is the seccomp filter's part.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Fixes the number of open descriptors, soft and hard, at `wanted` or at the present hard limit if that is
/// lower; answers which it is. Switches core dumps off: they would spill mail and passwords to disk.
pub fn apply(wanted: u64) -> io::Result<u64> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let open_files = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, open_files, open_files)?;
    Ok(open_files)
}

/// Raises the soft limit of open descriptors to `wanted`, as far as the hard limit allows; answers the new one.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let target = wanted.min(hard).max(soft);
    setrlimit(Resource::RLIMIT_NOFILE, target, hard)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lowered_for_good() {
        // nextest runs every test in a process of its own.
        assert_eq!(apply(100).unwrap(), 100);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (100, 100));
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert_eq!(raise_open_files(5000).unwrap(), 100);
    }
}
