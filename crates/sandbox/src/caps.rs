//! Capabilities: keep a short list, or none, and make sure that exec cannot bring the others back.
//!
//! Absent on purpose: inheritable and ambient capabilities. No program of ours needs them, so they are
//! always emptied.

use std::io;

/// A capability that some program keeps (`capabilities(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// Give files away; master needs it to make folders and sockets for the services.
    Chown = 0,
    /// Pass over file permissions.
    DacOverride = 1,
    /// Change modes of files of other owners.
    Fowner = 3,
    /// Signal processes of other users.
    Kill = 5,
    /// Become another group.
    SetGid = 6,
    /// Become another user.
    SetUid = 7,
    /// Drop capabilities from the bounding set.
    SetPcap = 8,
    /// Bind ports below 1024.
    NetBindService = 10,
    /// Change the root folder.
    SysChroot = 18,
}

impl Capability {
    /// The bit of this capability in a set.
    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64-bit sets in two halves.
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: one half of the three sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Takes every capability but `kept` out of the bounding set, so that no exec can gain one of them.
///
/// Without `CAP_SETPCAP` the bounding set stays: such a process has nothing that exec could restore, and
/// [`set_no_new_privileges`] closes set-user-id programs. Answers whether it could be done.
pub fn bound(kept: &[Capability]) -> io::Result<bool> {
    let mask = mask(kept);
    // The kernel has at most 64 capabilities; EINVAL says that the last one it knows is behind us.
    for number in 0..64 {
        if mask & (1 << number) != 0 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, number) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Keeps only those of `kept` that the process holds, in effect and permitted; empties all other sets.
pub fn keep_only(kept: &[Capability]) -> io::Result<()> {
    // Kernels before 4.3 have no ambient set to empty.
    match prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong,
    ) {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
        _ => {}
    }
    let mask = mask(kept) & permitted()?;
    let half = |bits: u32| Half {
        effective: bits,
        permitted: bits,
        inheritable: 0,
    };
    let halves = [half(mask as u32), half((mask >> 32) as u32)];
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    // SAFETY: both pointers are to live structures of the layout that version 3 asks for.
    let result = unsafe { libc::syscall(libc::SYS_capset, &mut header, halves.as_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if permitted()? != mask {
        return Err(io::Error::other(
            "capabilities came back after they were dropped",
        ));
    }
    Ok(())
}

/// The permitted set of this thread.
pub fn permitted() -> io::Result<u64> {
    let mut halves = [Half::default(); 2];
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    // SAFETY: both pointers are to live structures of the layout that version 3 asks for.
    let result = unsafe { libc::syscall(libc::SYS_capget, &mut header, halves.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(halves[0].permitted) | u64::from(halves[1].permitted) << 32)
}

/// From now on exec never raises privileges: no set-user-id, no file capabilities (`PR_SET_NO_NEW_PRIVS`).
pub fn set_no_new_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    Ok(())
}

/// No core dumps, no ptrace by processes of the same user, `/proc/self` owned by root.
pub fn set_undumpable() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

fn mask(kept: &[Capability]) -> u64 {
    kept.iter()
        .fold(0, |mask, capability| mask | capability.bit())
}

/// `prctl(2)` with one argument that is a number.
fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used here take plain numbers and touch no memory.
    let result = unsafe { libc::prctl(option, argument, zero, zero, zero) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
