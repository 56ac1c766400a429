//! Identities, capabilities, Landlock, seccomp, limits, process start and descriptor passing.

pub mod fds;
