//! The processes that live: what each is, its control channel, and by when it has to end.
//!
//! Invariants: a child that was told to end has a deadline, and is killed when it passes; only one that master
//! itself asked to make way ends without that being a death.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use ipc::PollConnection;
use ipc::protocol::Supervise;
use sandbox::process;

use crate::converge::Seen;
use crate::table::{SERVICES, SESSION_STOP_STAGE};

/// master's end of a control channel.
pub type Control = PollConnection<Supervise>;

/// What a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A process of a service of the table.
    Service {
        /// Its place in the table.
        index: usize,
        /// Which of the service's processes.
        slot: usize,
        /// The configuration it was started with.
        generation: u64,
    },
    /// A session half.
    Session,
}

impl Kind {
    /// The name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Service { index, .. } => SERVICES[index].name,
            Self::Session => "pop3-session",
        }
    }

    /// When it is stopped.
    #[must_use]
    pub fn stop_stage(self) -> usize {
        match self {
            Self::Service { index, .. } => SERVICES[index].stop_stage,
            Self::Session => SESSION_STOP_STAGE,
        }
    }
}

/// A living child.
#[derive(Debug)]
pub struct Child {
    /// What it is.
    pub kind: Kind,
    /// Its control channel, until one side closes it.
    pub control: Option<Control>,
    /// When it was started.
    pub started: Instant,
    /// It said so.
    pub ready: bool,
    /// master asked it to make way; its end is expected.
    pub retired: bool,
    /// It was told to end, by whatever reason.
    told: bool,
    /// When it is killed, unless it ends before; `None` again once that has happened.
    kill_at: Option<Instant>,
}

/// All living children by their process ids.
#[derive(Debug, Default)]
pub struct Children {
    by_pid: BTreeMap<u32, Child>,
}

impl Children {
    /// A child was started. If it does not say within `patience` that it serves, it is killed.
    pub fn add(
        &mut self,
        pid: u32,
        kind: Kind,
        control: Control,
        now: Instant,
        patience: Duration,
    ) {
        let kill_at = Some(now + patience);
        let child = Child {
            kind,
            control: Some(control),
            started: now,
            ready: false,
            retired: false,
            told: false,
            kill_at,
        };
        self.by_pid.insert(pid, child);
    }

    /// A child says that it serves; answers whether that is news.
    pub fn ready(&mut self, pid: u32) -> bool {
        let Some(child) = self.by_pid.get_mut(&pid) else {
            return false;
        };
        if !child.told {
            child.kill_at = None;
        }
        !std::mem::replace(&mut child.ready, true)
    }

    /// A child has ended.
    pub fn remove(&mut self, pid: u32) -> Option<Child> {
        self.by_pid.remove(&pid)
    }

    /// One child.
    pub fn get_mut(&mut self, pid: u32) -> Option<&mut Child> {
        self.by_pid.get_mut(&pid)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Child)> {
        self.by_pid.iter().map(|(pid, child)| (*pid, child))
    }

    /// The processes of one service.
    #[must_use]
    pub fn of_service(&self, wanted: usize) -> Vec<Seen> {
        self.iter()
            .filter_map(|(pid, child)| match child.kind {
                Kind::Service {
                    index,
                    slot,
                    generation,
                } if index == wanted => {
                    let (ready, ending) = (child.ready, child.retired);
                    Some(Seen {
                        pid,
                        slot,
                        generation,
                        ready,
                        ending,
                    })
                }
                _ => None,
            })
            .collect()
    }

    /// How many session halves live.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.by_pid
            .values()
            .filter(|child| child.kind == Kind::Session)
            .count()
    }

    /// Asks a child to make way by `deadline` at the latest. Asked twice, the earlier deadline holds.
    pub fn retire(&mut self, pid: u32, deadline: Instant) -> io::Result<()> {
        if let Some(child) = self.by_pid.get_mut(&pid) {
            child.retired = true;
        }
        self.end(pid, deadline)
    }

    /// Tells a child to end by `deadline`, for a reason of its own: its end counts as a death.
    pub fn end(&mut self, pid: u32, deadline: Instant) -> io::Result<()> {
        let Some(child) = self.by_pid.get_mut(&pid) else {
            return Ok(());
        };
        if child.told {
            // No deadline any more means that it is being killed.
            child.kill_at = child.kill_at.map(|earlier| earlier.min(deadline));
            return Ok(());
        }
        (child.told, child.kill_at) = (true, Some(deadline));
        process::terminate(pid)
    }

    /// Kills one child now and listens to it no more.
    pub fn kill(&mut self, pid: u32) -> io::Result<()> {
        let Some(child) = self.by_pid.get_mut(&pid) else {
            return Ok(());
        };
        (child.told, child.kill_at, child.control) = (true, None, None);
        process::kill(pid)
    }

    /// Kills those whose deadline has passed; answers which.
    pub fn kill_overdue(&mut self, now: Instant) -> io::Result<Vec<(u32, Kind)>> {
        let mut killed = Vec::new();
        for (pid, child) in &mut self.by_pid {
            if child.kill_at.is_some_and(|deadline| deadline <= now) {
                (child.told, child.kill_at) = (true, None);
                killed.push((*pid, child.kind));
                process::kill(*pid)?;
            }
        }
        Ok(killed)
    }

    /// When [`Self::kill_overdue`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_pid.values().filter_map(|child| child.kill_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use sandbox::process::{Ended, Program, wait};

    fn sleeper(script: &str) -> u32 {
        Program::new("/bin/sh", "t")
            .argument("-c")
            .argument(script)
            .start()
            .unwrap()
    }

    fn control() -> Control {
        Control::from_fd(OwnedFd::from(UnixStream::pair().unwrap().0)).unwrap()
    }

    #[test]
    fn the_earlier_deadline_holds_and_who_misses_it_is_killed() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let pid = sleeper("trap '' TERM; exec sleep 100");
        let mut children = Children::default();
        children.add(pid, Kind::Session, control(), now, second);
        assert_eq!(children.sessions(), 1);
        assert_eq!(
            children.next_deadline(),
            Some(now + second),
            "until it is ready"
        );
        assert!(children.ready(pid));
        assert!(!children.ready(pid), "no news");
        assert_eq!(children.next_deadline(), None);
        children.end(pid, now + 5 * second).unwrap();
        assert!(!children.get_mut(pid).unwrap().retired);
        children.retire(pid, now + 3 * second).unwrap();
        assert!(children.get_mut(pid).unwrap().retired);
        children.end(pid, now + 9 * second).unwrap();
        assert_eq!(children.next_deadline(), Some(now + 3 * second));
        assert_eq!(children.kill_overdue(now).unwrap(), []);
        assert_eq!(
            children.kill_overdue(now + 3 * second).unwrap(),
            [(pid, Kind::Session)]
        );
        assert_eq!(
            children.kill_overdue(now + 9 * second).unwrap(),
            [],
            "killed once"
        );
        assert_eq!(children.next_deadline(), None);
        assert!(matches!(wait(pid).unwrap(), Ended::Killed(_)));
        assert!(children.remove(pid).is_some() && children.remove(pid).is_none());
    }

    #[test]
    fn processes_are_listed_by_service() {
        let (now, mut children) = (Instant::now(), Children::default());
        let kind = |index, slot| Kind::Service {
            index,
            slot,
            generation: 1,
        };
        for (pid, index, slot) in [(1_000_001, 3, 0), (1_000_002, 3, 1), (1_000_003, 0, 0)] {
            children.add(
                pid,
                kind(index, slot),
                control(),
                now,
                Duration::from_secs(60),
            );
        }
        assert!(children.ready(1_000_002));
        let seen = children.of_service(3);
        assert_eq!(seen.len(), 2);
        assert!(!seen[0].ready && seen[1].ready && seen[1].slot == 1);
        assert_eq!(children.sessions(), 0);
    }
}
