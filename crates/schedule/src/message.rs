//! An active message: whom of it we have in memory.

use std::collections::{HashMap, VecDeque};

use crate::destination::LaneId;

/// Which stream a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Never attempted.
    New,
    /// Attempted before.
    Deferred,
}

impl Kind {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::New => Self::Deferred,
            Self::Deferred => Self::New,
        }
    }
}

/// What a message needs from its caller now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: recipients of it wait or are leased.
    Busy,
    /// More of its recipients should be read, [`crate::Scheduler::recipients_room`] at most.
    LoadMore,
    /// All its recipients were dealt with: record its next due time, then
    /// [`crate::Scheduler::remove`] it.
    Park,
    /// It is not active (any more).
    Gone,
}

/// An active message.
pub(crate) struct Message<R> {
    pub(crate) kind: Kind,
    /// The caller has no more recipients to load.
    pub(crate) complete: bool,
    /// The caller took it out while leases were out; it stays until they end.
    pub(crate) removed: bool,
    /// Recipients that wait, by destination.
    pub(crate) pending: HashMap<LaneId, VecDeque<R>>,
    /// Destinations in `pending` that do not take part in the turns yet.
    pub(crate) backlog: VecDeque<LaneId>,
    /// Destinations in `pending` that do.
    pub(crate) released: usize,
    /// Recipients in memory: waiting, leased, or postponed and not yet taken.
    pub(crate) in_memory: usize,
    /// Leases that are out.
    pub(crate) leases: usize,
}

impl<R> Message<R> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            complete: false,
            removed: false,
            pending: HashMap::new(),
            backlog: VecDeque::new(),
            released: 0,
            in_memory: 0,
            leases: 0,
        }
    }

    /// Recipients in memory beyond the first, whose place is always kept.
    pub(crate) fn extra(&self) -> usize {
        self.in_memory.saturating_sub(1)
    }

    /// `half`: of what a message may have in memory; `room`: more would be taken.
    pub(crate) fn next(&self, half: usize, room: bool) -> Next {
        if self.removed {
            Next::Gone
        } else if !self.complete && self.in_memory <= half && room {
            Next::LoadMore
        } else if self.complete && self.in_memory == 0 {
            Next::Park
        } else {
            Next::Busy
        }
    }
}
