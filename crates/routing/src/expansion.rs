//! Alias expansion: from one accepted address to every place where its mail goes.
//!
//! The result is the set of targets that can be reached, each at its least depth: it does not
//! depend on the order of lines in a table. An alias is followed once, so a loop ends by itself;
//! a loop that leads nowhere else is a failure (RFC 5321 §6.3, status 5.4.6). An alias that names
//! itself means the mailbox behind it.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;

use mail_types::{Address, Deferral, EnhancedStatus, Failure, LocalPart, Target};

/// "Mailing list expansion problem" (RFC 3463 §3.3).
const LIST_PROBLEM: (u16, u16) = (2, 4);
/// "Routing loop detected" (RFC 3463 §3.5).
const LOOP: (u16, u16) = (4, 6);
/// Members looked at per target allowed: an alias that names the same target often costs time only.
const STEPS_PER_TARGET: usize = 10;

/// One member of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// `name`, to be completed with a local domain.
    Name(LocalPart),
    /// `name@domain`.
    Address(Address),
    /// `\name`: the mailbox, whatever alias there is of this name.
    Mailbox(LocalPart),
    /// `/path`
    File(PathBuf),
    /// `|command`
    Command(String),
    /// Members that could not be read (an `:include:`), and why.
    Unreadable(String),
}

/// An alias as the tables have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias<'a> {
    /// Identifies it: the lookup key of its name in the domain that was asked for.
    pub id: String,
    /// Its members.
    pub members: &'a [Member],
    /// `owner-name` in that domain, when there is one.
    pub owner: Option<Address>,
}

/// What an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An alias.
    Alias(Alias<'a>),
    /// A user, by its own address: without extension.
    Mailbox(Address),
    /// Not of our domains.
    Remote,
    /// A user who moved away.
    Moved(Address),
    /// In one of our domains, but nobody.
    Unknown,
    /// The tables cannot be read just now.
    Unavailable,
}

/// Whether aliases count in a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliasing {
    /// Aliases come before users.
    Follow,
    /// Users only.
    Skip,
}

/// The tables that an expansion walks.
pub trait Lookup {
    /// What is this address?
    fn find(&self, address: &Address, aliasing: Aliasing) -> Found<'_>;

    /// Completes a bare name found in an alias that mail for `beside` came through.
    fn complete(&self, name: &LocalPart, beside: &Address) -> Address;
}

/// How far an expansion may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Targets of one address.
    pub targets: usize,
    /// Aliases within aliases.
    pub depth: usize,
}

/// One end of an expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What it is.
    pub end: End,
    /// The owner of the innermost alias on the way that has one.
    pub owner: Option<Address>,
}

/// Where an expansion ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Mail can go there.
    Target(Target),
    /// It fails for good, for the sender's report.
    Failed(Failure),
    /// The tables cannot say it now.
    Deferred(Deferral),
}

/// Follows every alias from `address` to the ends: at least one, each once.
///
/// Over a limit nothing is delivered rather than a part: the whole is one failure, that names the
/// limit.
pub fn expand(lookup: &impl Lookup, address: &Address, limits: Limits) -> Vec<Leaf> {
    let mut walk = Walk {
        lookup,
        limits,
        ahead: VecDeque::new(),
        followed: HashSet::new(),
        ends: HashSet::new(),
        leaves: Vec::new(),
        steps: 0,
    };
    let alone = match walk.run(address) {
        Ok(()) if !walk.leaves.is_empty() => return walk.leaves,
        Ok(()) => {
            let text = format!("the aliases of {address} lead only back to themselves");
            failure(LOOP, text)
        }
        Err(OverLimit) => {
            let most = limits.targets;
            let text = format!("the aliases of {address} lead to more than {most} targets");
            failure(LIST_PROBLEM, text)
        }
    };
    vec![Leaf {
        end: alone,
        owner: None,
    }]
}

/// The walk came to more targets, or looked at more members, than it may.
struct OverLimit;

/// An alias whose members are to be looked at.
struct Ahead<'a> {
    alias: Alias<'a>,
    /// The address that led to it, with the domain that bare members are completed with.
    of: Address,
    depth: usize,
}

/// Breadth first, so that an alias is met at its least depth.
struct Walk<'a, L> {
    lookup: &'a L,
    limits: Limits,
    ahead: VecDeque<Ahead<'a>>,
    followed: HashSet<String>,
    ends: HashSet<Result<Target, String>>,
    leaves: Vec<Leaf>,
    steps: usize,
}

impl<'a, L: Lookup> Walk<'a, L> {
    fn run(&mut self, address: &Address) -> Result<(), OverLimit> {
        self.visit(address, None, 0)?;
        while let Some(next) = self.ahead.pop_front() {
            if next.alias.members.is_empty() {
                let text = format!("the alias {} has no members", next.of);
                self.end(failure(LIST_PROBLEM, text), next.alias.owner.as_ref())?;
            }
            for member in next.alias.members {
                self.step()?;
                self.member(member, &next)?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), OverLimit> {
        self.steps += 1;
        if self.steps > self.limits.targets.saturating_mul(STEPS_PER_TARGET) {
            return Err(OverLimit);
        }
        Ok(())
    }

    fn member(&mut self, member: &Member, parent: &Ahead<'a>) -> Result<(), OverLimit> {
        let owner = parent.alias.owner.as_ref();
        let target = match member {
            Member::Name(name) => {
                let address = self.lookup.complete(name, &parent.of);
                return self.visit(&address, Some(&parent.alias), parent.depth);
            }
            Member::Address(address) => {
                return self.visit(address, Some(&parent.alias), parent.depth);
            }
            Member::Mailbox(name) => {
                let address = self.lookup.complete(name, &parent.of);
                return self.user(&address, owner);
            }
            Member::File(path) => Target::File(path.clone()),
            Member::Command(command) => Target::Command(command.clone()),
            Member::Unreadable(why) => {
                return self.end(deferral(LIST_PROBLEM, why.clone()), owner);
            }
        };
        self.end(End::Target(target), owner)
    }

    /// One address: an alias is put ahead once, anything else is an end.
    fn visit(
        &mut self,
        address: &Address,
        parent: Option<&Alias<'a>>,
        depth: usize,
    ) -> Result<(), OverLimit> {
        let inherited = parent.and_then(|alias| alias.owner.as_ref());
        let mut alias = match self.lookup.find(address, Aliasing::Follow) {
            Found::Alias(alias) => alias,
            other => return self.found(other, address, inherited),
        };
        if parent.is_some_and(|parent| parent.id == alias.id) {
            return self.user(address, inherited);
        }
        if !self.followed.insert(alias.id.clone()) {
            return Ok(());
        }
        if depth >= self.limits.depth {
            let text = format!(
                "the aliases nest deeper than {} at {address}",
                self.limits.depth
            );
            return self.end(failure(LIST_PROBLEM, text), inherited);
        }
        if alias.owner.is_none() {
            alias.owner = inherited.cloned();
        }
        self.ahead.push_back(Ahead {
            alias,
            of: address.clone(),
            depth: depth + 1,
        });
        Ok(())
    }

    fn user(&mut self, address: &Address, owner: Option<&Address>) -> Result<(), OverLimit> {
        let found = self.lookup.find(address, Aliasing::Skip);
        self.found(found, address, owner)
    }

    fn found(
        &mut self,
        found: Found<'_>,
        address: &Address,
        owner: Option<&Address>,
    ) -> Result<(), OverLimit> {
        let end = match found {
            Found::Mailbox(user) => End::Target(Target::Mailbox(user)),
            Found::Remote => End::Target(Target::Remote(address.clone())),
            Found::Moved(new) => failure((1, 6), format!("{address} has moved to {new}")),
            // Lookups that skip aliases find none.
            Found::Unknown | Found::Alias(_) => {
                failure((1, 1), format!("there is no user {address} here"))
            }
            Found::Unavailable => deferral(
                (3, 0),
                "the tables of users and aliases cannot be read just now".to_owned(),
            ),
        };
        self.end(end, owner)
    }

    fn end(&mut self, end: End, owner: Option<&Address>) -> Result<(), OverLimit> {
        let key = match &end {
            End::Target(target) => Ok(target.clone()),
            End::Failed(Failure { text, .. }) | End::Deferred(Deferral { text, .. }) => {
                Err(text.clone())
            }
        };
        if !self.ends.insert(key) {
            return Ok(());
        }
        if self.leaves.len() >= self.limits.targets {
            return Err(OverLimit);
        }
        let owner = owner.cloned();
        self.leaves.push(Leaf { end, owner });
        Ok(())
    }
}

fn failure((subject, detail): (u16, u16), text: String) -> End {
    let status = EnhancedStatus::new(5, subject, detail);
    End::Failed(Failure { status, text })
}

fn deferral((subject, detail): (u16, u16), text: String) -> End {
    let status = EnhancedStatus::new(4, subject, detail);
    End::Deferred(Deferral { status, text })
}

#[cfg(test)]
#[path = "expansion_tests.rs"]
mod tests;
