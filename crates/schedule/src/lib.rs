//! What to attempt next: no I/O, no clock, no randomness.
//!
//! Purpose: of the messages that are *active* (in memory), say which recipients of which
//! message an agent should attempt now. Time comes in as [`mail_types::Timestamp`], randomness
//! as a seed; reading and recording is the caller's.
//!
//! How it decides, from the outside in:
//! 1. What to load: new mail alternates with deferred mail, and neither may fill more than
//!    three quarters of the places ([`Scheduler::next_kind`]).
//! 2. Which destination: the destinations of a transport take turns, each giving one lease per
//!    turn, as long as they have fewer leases than their concurrency limit.
//! 3. Which message of a destination: new alternates with deferred; within each, messages take
//!    turns, each giving at most [`Policy::max_lease_recipients`] recipients per turn. Of one
//!    message at most [`Limits::window`] destinations wait in the rings at a time. So a message
//!    of one recipient waits for a bounded number of turns of one of 100 000, not for its end.
//!
//! A destination's concurrency begins at 5 (say), grows by one after as many good leases as its
//! limit, falls by one with each that says the destination itself fails, and a failure at limit
//! one makes it *dead*: what waits for it is handed back by [`Scheduler::take_postponed`], to be
//! deferred without an attempt, and so is what comes for it before its pause is over.
//!
//! Invariants: no destination has more leases than its limit; no message is active twice, nor
//! loaded again while a lease of it is out; recipients in memory never exceed
//! [`Limits::max_recipients`], and every active message can have at least one of them; every
//! recipient given in comes out again in a lease or as postponed, unless its message is removed.
//!
//! Deliberately absent: lease deadlines (the caller's, who has the clock), preemption weights
//! after Postfix's manner (turns and the window do the same with less), persistence.

mod destination;
mod leases;
mod limits;
mod message;
mod policy;
mod scheduler;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod turns;

pub use destination::{Destination, Health};
pub use limits::Limits;
pub use message::{Kind, Next};
pub use policy::{Policy, Retry};
pub use scheduler::{Lease, LeaseId, Misuse, Postponed, Scheduler};
