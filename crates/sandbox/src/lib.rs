//! Identities, capabilities, Landlock, seccomp, limits, process start and descriptor passing: the mechanisms by
//! which programs get, hand over and give up authority on Linux.
//!
//! Invariants: this is the only crate with unsafe code, and every unsafe block says why it is sound. Nothing
//! here decides policy: which program gets which rights is in the crate `daemon`. What a kernel lacks is
//! reported to the caller, who logs it; what a kernel has and refuses is an error.
//!
//! Absent on purpose: other systems than Linux, logging, configuration.

pub mod caps;
pub mod events;
pub mod fds;
pub mod ids;
pub mod landlock;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod pidlock;
pub mod process;
pub mod seccomp;
mod syscalls;
