//! The queue from outside: its commands, its reads, its files, and what a crash leaves of them.

mod commands;
mod common;
mod opening;
mod spool;
