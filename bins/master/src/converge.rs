//! From the processes that a service has to those it should have: what to start and what to end. Pure.
//!
//! The same rules start the suite, replace the dead and carry out a reload: each turn of the loop compares and
//! takes the next steps, so that there is no state of its own that could be lost in between.

use crate::table::Reload;

/// A process of a service, as far as these rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its process id.
    pub pid: u32,
    /// Which of the service's processes it is.
    pub slot: usize,
    /// The configuration it was started with.
    pub generation: u64,
    /// It serves.
    pub ready: bool,
    /// It was asked to make way. One that ends for any other reason keeps its slot until it is gone, so that
    /// its death can delay its successor.
    pub ending: bool,
}

/// What a service should be like now.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// How many processes.
    pub processes: usize,
    /// With which configuration.
    pub generation: u64,
    /// How the old make way for the new.
    pub reload: Reload,
    /// Whether the delay after the last death is over.
    pub may_start: bool,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start a process for this slot.
    Start(usize),
    /// Tell this process to end.
    End(u32),
}

/// The next steps of one service.
#[must_use]
pub fn steps(wanted: Wanted, seen: &[Seen]) -> Vec<Step> {
    let is_current = |child: &&Seen| child.generation == wanted.generation && !child.ending;
    let current: Vec<&Seen> = seen.iter().filter(is_current).collect();
    let serving = current.iter().filter(|child| child.ready).count();
    let (make_way, room) = match wanted.reload {
        Reload::Overlap => (serving >= wanted.processes, true),
        Reload::StopFirst => (true, seen.len() == current.len()),
    };
    let mut steps = Vec::new();
    if make_way {
        let old = seen
            .iter()
            .filter(|child| child.generation != wanted.generation && !child.ending);
        steps.extend(old.map(|child| Step::End(child.pid)));
    }
    if room && wanted.may_start {
        let missing =
            (0..wanted.processes).filter(|slot| current.iter().all(|child| child.slot != *slot));
        steps.extend(missing.map(Step::Start));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(pid: u32, slot: usize, generation: u64) -> Seen {
        Seen {
            pid,
            slot,
            generation,
            ready: true,
            ending: false,
        }
    }

    #[test]
    fn each_situation_has_its_steps() {
        use Step::{End, Start};
        let starting = |seen: Seen| Seen {
            ready: false,
            ..seen
        };
        let ending = |seen: Seen| Seen {
            ending: true,
            ..seen
        };
        let (old, new) = (child(1, 0, 1), child(2, 0, 2));
        let (old1, new1) = (child(3, 1, 1), child(4, 1, 2));
        let overlap = |processes, may_start| Wanted {
            processes,
            generation: 2,
            reload: Reload::Overlap,
            may_start,
        };
        let stop_first = |may_start| Wanted {
            processes: 1,
            generation: 2,
            reload: Reload::StopFirst,
            may_start,
        };
        let cases: [(&str, Wanted, Vec<Seen>, Vec<Step>); 14] = [
            (
                "the first start",
                overlap(2, true),
                vec![],
                vec![Start(0), Start(1)],
            ),
            ("one died", overlap(2, true), vec![new1], vec![Start(0)]),
            (
                "one died, to be delayed",
                overlap(2, false),
                vec![new1],
                vec![],
            ),
            ("reload begins", overlap(1, true), vec![old], vec![Start(0)]),
            (
                "the new one starts up",
                overlap(1, true),
                vec![old, starting(new)],
                vec![],
            ),
            (
                "the new one is ready",
                overlap(1, true),
                vec![old, new],
                vec![End(1)],
            ),
            (
                "the old one drains",
                overlap(1, true),
                vec![ending(old), new],
                vec![],
            ),
            (
                "one of two is ready",
                overlap(2, true),
                vec![old, old1, new, starting(new1)],
                vec![],
            ),
            (
                "the service is switched off",
                overlap(0, true),
                vec![old, old1],
                vec![End(1), End(3)],
            ),
            (
                "a single one is asked to go",
                stop_first(true),
                vec![old],
                vec![End(1)],
            ),
            (
                "it is on its way",
                stop_first(true),
                vec![ending(old)],
                vec![],
            ),
            ("it is gone", stop_first(true), vec![], vec![Start(0)]),
            ("gone, to be delayed", stop_first(false), vec![], vec![]),
            (
                "the new one drains too",
                stop_first(true),
                vec![ending(new)],
                vec![],
            ),
        ];
        for (what, wanted, seen, expected) in cases {
            assert_eq!(steps(wanted, &seen), expected, "{what}");
        }
    }
}
