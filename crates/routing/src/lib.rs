//! Where a recipient belongs: which domains are ours, which part of a local-part is its
//! extension, and where the mail of an alias goes in the end.
//!
//! Invariants: everything here is a function of its arguments; an expansion ends within its
//! [`Limits`] whatever the tables say, names each target once, and is never empty.
//!
//! Deliberately absent: files, clocks, the tables themselves (crate `directory`), and MX
//! lookups (a next hop is chosen where the DNS is).

mod delimiter;
mod domains;
mod expansion;

pub use delimiter::base_of;
pub use domains::{DomainClass, Domains};
pub use expansion::{Alias, Aliasing, End, Found, Leaf, Limits, Lookup, Member, expand};
