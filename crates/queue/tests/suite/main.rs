//! The queue from outside: its commands, its reads, its files, and what a crash leaves of them.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod common;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod spool;
