//! seccomp: which system calls a program may make at all.
//!
//! The filters are allow-lists put together from groups, one group per kind of work. An allow-list was chosen
//! over a list of dangerous calls because calls that do not exist yet, and the x32 doubles of all calls on
//! x86-64, are then denied without anybody thinking of them.
//!
//! What is not allowed fails with ENOSYS, not EPERM, and does not kill: libraries answer "this kernel does not
//! have that call" by falling back to an older one (glibc does so for `clone3`, whose flags a filter cannot
//! see), and a mail server that refuses one operation is worth more than a dead one.
//!
//! Absent on purpose: filters on paths and addresses, which seccomp cannot see; Landlock has those.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::syscalls;

/// A kind of work whose system calls a program may make. The memory, thread, time, signal and descriptor calls
/// that every program needs are always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Accept connections and talk over sockets that exist.
    Sockets,
    /// Make Unix sockets and connect them; no other kind.
    UnixSockets,
    /// Open, change, sync, rename and remove files.
    Files,
    /// Map executable memory, as loading a shared library does.
    ExecutableMemory,
    /// Fork and exec programs, signal and reap them, and change identity on the way.
    Processes,
    /// Put further jails on itself.
    Jails,
}

/// One condition on an argument: its index, its low 32 bits under a mask, and the value they must have.
#[derive(Clone, Copy)]
struct Check {
    index: u8,
    mask: u64,
    value: u64,
}

impl Check {
    const fn equals(index: u8, value: u64) -> Self {
        Self {
            index,
            mask: u32::MAX as u64,
            value,
        }
    }
}

/// Allowed calls; a call without rules is allowed with any arguments.
type Allowed = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs the filter for the given groups on this thread and all that it starts.
///
/// Call it as the last step, before there is a second thread. Sets no_new_privs. Answers `false` if the kernel
/// has no seccomp filters; then nothing is restricted.
pub fn install(groups: &[Group]) -> io::Result<bool> {
    let program = compile(groups)?;
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(true),
        // EINVAL is the answer of a kernel without CONFIG_SECCOMP_FILTER, ENOSYS of one without seccomp(2).
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            Ok(false)
        }
        Err(error) => Err(io::Error::other(format!("seccomp: {error}"))),
    }
}

/// Translates the groups into a BPF program for this machine.
fn compile(groups: &[Group]) -> io::Result<BpfProgram> {
    let failed = |error: seccompiler::BackendError| io::Error::other(format!("seccomp: {error}"));
    let target = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let allowed = allowed(groups).map_err(failed)?;
    let filter = SeccompFilter::new(
        allowed,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
        target,
    )
    .map_err(failed)?;
    BpfProgram::try_from(filter).map_err(failed)
}

/// All calls that the groups allow.
fn allowed(groups: &[Group]) -> Result<Allowed, seccompiler::BackendError> {
    let has = |group| groups.contains(&group);
    let mut allowed = Allowed::new();
    add(&mut allowed, syscalls::BASE);
    add_ioctls(&mut allowed)?;
    add_memory(
        &mut allowed,
        has(Group::ExecutableMemory) || has(Group::Processes),
    )?;
    add_threads(&mut allowed, has(Group::Processes))?;
    if has(Group::Sockets) || has(Group::UnixSockets) {
        add(&mut allowed, syscalls::SOCKETS);
        only_unix(&mut allowed, libc::SYS_socketpair)?;
    }
    if has(Group::UnixSockets) {
        add(&mut allowed, &[libc::SYS_connect]);
        only_unix(&mut allowed, libc::SYS_socket)?;
    }
    if has(Group::Files) {
        add(&mut allowed, syscalls::FILES);
    }
    if has(Group::Processes) {
        add(&mut allowed, syscalls::PROCESSES);
    }
    if has(Group::Jails) {
        add(&mut allowed, syscalls::JAILS);
    }
    Ok(allowed)
}

fn add(allowed: &mut Allowed, calls: &[i64]) {
    allowed.extend(calls.iter().map(|call| (*call, Vec::new())));
}

/// Of the endless family of ioctls only those that set or ask for properties of a descriptor.
fn add_ioctls(allowed: &mut Allowed) -> Result<(), seccompiler::BackendError> {
    let requests = [libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, libc::TCGETS];
    let rules: Result<Vec<_>, _> = requests
        .iter()
        .map(|request| rule(&[Check::equals(1, *request)]))
        .collect();
    allowed.insert(libc::SYS_ioctl, rules?);
    Ok(())
}

/// Memory may be mapped and protected; executable only where asked for.
fn add_memory(allowed: &mut Allowed, executable: bool) -> Result<(), seccompiler::BackendError> {
    let calls = [libc::SYS_mmap, libc::SYS_mprotect];
    if executable {
        add(allowed, &calls);
        return Ok(());
    }
    let exec = libc::PROT_EXEC as u64;
    for call in calls {
        allowed.insert(
            call,
            vec![rule(&[Check {
                index: 2,
                mask: exec,
                value: 0,
            }])?],
        );
    }
    Ok(())
}

/// Threads may be started and this process may signal itself (abort does); only `Processes` may do more.
///
/// `clone3` is left out of the narrow case: its flags lie in memory, where a filter cannot see them.
fn add_threads(allowed: &mut Allowed, processes: bool) -> Result<(), seccompiler::BackendError> {
    if processes {
        add(
            allowed,
            &[
                libc::SYS_clone,
                libc::SYS_clone3,
                libc::SYS_tgkill,
                libc::SYS_prctl,
            ],
        );
        return Ok(());
    }
    let thread = libc::CLONE_THREAD as u64;
    allowed.insert(
        libc::SYS_clone,
        vec![rule(&[Check {
            index: 0,
            mask: thread,
            value: thread,
        }])?],
    );
    let own = u64::from(std::process::id());
    allowed.insert(libc::SYS_tgkill, vec![rule(&[Check::equals(0, own)])?]);
    let mut names = Vec::new();
    for option in [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA] {
        names.push(rule(&[Check::equals(0, option as u64)])?);
    }
    allowed.insert(libc::SYS_prctl, names);
    Ok(())
}

/// Allows a call that makes sockets for the Unix family only.
fn only_unix(allowed: &mut Allowed, call: i64) -> Result<(), seccompiler::BackendError> {
    allowed.insert(call, vec![rule(&[Check::equals(0, libc::AF_UNIX as u64)])?]);
    Ok(())
}

fn rule(checks: &[Check]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions: Result<Vec<_>, _> = checks
        .iter()
        .map(|check| {
            SeccompCondition::new(
                check.index,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::MaskedEq(check.mask),
                check.value,
            )
        })
        .collect();
    SeccompRule::new(conditions?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Group; 6] = [
        Group::Sockets,
        Group::UnixSockets,
        Group::Files,
        Group::ExecutableMemory,
        Group::Processes,
        Group::Jails,
    ];

    #[test]
    fn every_combination_compiles() {
        for bits in 0..1_u32 << ALL.len() {
            let groups: Vec<Group> = (0..ALL.len())
                .filter(|bit| bits & (1 << bit) != 0)
                .map(|bit| ALL[bit])
                .collect();
            compile(&groups).unwrap();
        }
    }

    #[test]
    fn no_group_allows_the_calls_that_break_out_of_jails() {
        let allowed = allowed(&ALL).unwrap();
        for call in [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_move_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_open_by_handle_at,
            libc::SYS_pidfd_getfd,
            libc::SYS_mknodat,
            libc::SYS_listen,
            libc::SYS_bind,
        ] {
            assert!(!allowed.contains_key(&call), "system call {call}");
        }
    }

    #[test]
    fn sockets_are_of_the_unix_family_or_not_made_at_all() {
        assert!(
            !allowed(&[Group::Sockets])
                .unwrap()
                .contains_key(&libc::SYS_socket)
        );
        assert!(
            !allowed(&[Group::Sockets])
                .unwrap()
                .contains_key(&libc::SYS_connect)
        );
        assert_eq!(allowed(&ALL).unwrap()[&libc::SYS_socket].len(), 1);
    }
}
