//! The system calls of each seccomp group.
//!
//! Calls that only x86-64 has (the old ones without `at` or flags) are listed apart and added there; other
//! machines reach the same through the newer calls.

/// Adds the calls that only x86-64 has to the end of a list.
macro_rules! calls {
    ($name:ident, $doc:literal, [$($common:ident),* $(,)?], x86_64: [$($old:ident),* $(,)?]) => {
        #[doc = $doc]
        #[cfg(target_arch = "x86_64")]
        pub(crate) const $name: &[i64] = &[$(libc::$common,)* $(libc::$old,)*];
        #[doc = $doc]
        #[cfg(not(target_arch = "x86_64"))]
        pub(crate) const $name: &[i64] = &[$(libc::$common,)*];
    };
}

calls!(
    BASE,
    "Memory, threads, time, signals to itself, descriptors that are open already, and facts about itself.",
    [
        SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_membarrier, SYS_futex, SYS_set_robust_list,
        SYS_get_robust_list, SYS_rseq, SYS_sched_yield, SYS_sched_getaffinity, SYS_getcpu, SYS_exit,
        SYS_exit_group, SYS_restart_syscall, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
        SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_sigaltstack, SYS_clock_gettime, SYS_clock_getres,
        SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom, SYS_getpid, SYS_getppid,
        SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid,
        SYS_getgroups, SYS_capget, SYS_getrusage, SYS_times, SYS_uname, SYS_sysinfo, SYS_prlimit64, SYS_read, SYS_readv,
        SYS_pread64, SYS_preadv, SYS_preadv2, SYS_write, SYS_writev, SYS_pwrite64, SYS_pwritev,
        SYS_pwritev2, SYS_lseek, SYS_close, SYS_close_range, SYS_dup, SYS_dup3, SYS_fcntl,
        SYS_fstat, SYS_newfstatat, SYS_statx, SYS_pipe2, SYS_ppoll, SYS_pselect6, SYS_epoll_create1,
        SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd2, SYS_timerfd_create,
        SYS_timerfd_settime, SYS_timerfd_gettime, SYS_signalfd4,
    ],
    x86_64: [
        SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_epoll_create, SYS_epoll_wait, SYS_time, SYS_pause,
        SYS_getrlimit, SYS_getpgrp,
    ]
);

calls!(
    SOCKETS,
    "Accepting connections and talking over sockets that exist.",
    [
        SYS_accept, SYS_accept4, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg,
        SYS_recvmmsg, SYS_shutdown, SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_setsockopt,
    ],
    x86_64: []
);

calls!(
    FILES,
    "Files and folders by path, and what is done to open files beyond reading and writing.",
    [
        SYS_openat, SYS_openat2, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_getcwd,
        SYS_chdir, SYS_fchdir, SYS_mkdirat, SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_fchmod,
        SYS_fchmodat, SYS_umask, SYS_utimensat, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_fadvise64,
        SYS_fsync, SYS_fdatasync, SYS_syncfs, SYS_sync_file_range, SYS_statfs, SYS_fstatfs, SYS_flock,
        SYS_copy_file_range, SYS_sendfile, SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
        SYS_msync, SYS_memfd_create,
    ],
    x86_64: [
        SYS_open, SYS_creat, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_mkdir,
        SYS_rmdir, SYS_unlink, SYS_rename, SYS_renameat, SYS_link, SYS_chmod, SYS_utimes, SYS_utime,
        SYS_inotify_init,
    ]
);

calls!(
    PROCESSES,
    "Starting, signalling and reaping other programs, and what a program needs to come up.",
    [
        SYS_execve, SYS_execveat, SYS_wait4, SYS_waitid, SYS_kill, SYS_pidfd_open, SYS_pidfd_send_signal,
        SYS_setsid, SYS_setpgid, SYS_getpgid, SYS_getsid, SYS_set_tid_address, SYS_setresuid,
        SYS_setresgid, SYS_setuid, SYS_setgid, SYS_setgroups, SYS_fchown, SYS_fchownat,
    ],
    x86_64: [SYS_arch_prctl, SYS_fork, SYS_vfork, SYS_chown]
);

calls!(
    JAILS,
    "Putting on further jails, each of which only takes rights away.",
    [
        SYS_capset, SYS_seccomp, SYS_landlock_create_ruleset, SYS_landlock_add_rule,
        SYS_landlock_restrict_self, SYS_setrlimit,
    ],
    x86_64: []
);
