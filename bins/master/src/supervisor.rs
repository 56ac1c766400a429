//! The loop: one thread, one `poll(2)`, everything that happens goes through here.
//!
//! Invariants: each turn first brings the processes closer to what they should be, then waits for the next
//! signal, message or deadline; nothing in here blocks; no fault of a child ends the loop.
//!
//! Absent on purpose: bytes from the network. master holds the sockets and never reads one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ipc::protocol::ChildMessage;
use ipc::{Frame, Status};
use sandbox::events::{Event, Interest, Ready, Signals, poll};
use sandbox::process::{self, Ended};

use crate::backoff::Backoff;
use crate::children::{Child, Children, Kind};
use crate::converge::{Step, Wanted, steps};
use crate::folders::{Locks, patiently};
use crate::notify::Notifier;
use crate::plan::{Plan, Source};
use crate::sessions::Sessions;
use crate::sockets::Sockets;
use crate::stop::Stop;
use crate::table::{Reload, SERVICES, Says};
use crate::{log, start};

/// How long a process that was replaced may go on with the transactions it has. Its own time-outs end each of
/// them much earlier; this is for one that hangs.
const DRAIN_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long a start waits for addresses that are in use.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// What the loop knows about a service beyond its processes.
#[derive(Debug, Default)]
struct Pace {
    backoff: Backoff,
    not_before: Option<Instant>,
}

/// master at work.
#[derive(Debug)]
pub struct Supervisor {
    source: Source,
    plan: Plan,
    generation: u64,
    sockets: Sockets,
    children: Children,
    paces: Vec<Pace>,
    sessions: Sessions,
    signals: Signals,
    notifier: Notifier,
    stop: Option<Stop>,
    announced: bool,
    locks: Locks,
}

impl Supervisor {
    /// Makes the folders, takes the locks and binds everything; starts nothing yet.
    pub fn new(source: Source, plan: Plan) -> io::Result<Self> {
        let signals = Signals::new()?;
        let notifier = Notifier::from_environment(Instant::now())?;
        let locks = plan.folders.prepare(plan.stop_timeout)?;
        let mut sockets = Sockets::default();
        // As with the lock: what a killed master has left behind may hold the sockets a moment longer.
        let bind = || sockets.listen_on(&plan.addresses);
        log::listening(&patiently(START_PATIENCE, io::ErrorKind::AddrInUse, bind)?);
        let owner = sandbox::ids::is_root().then_some((0, plan.folders.group));
        for name in SERVICES.iter().filter_map(|service| service.socket) {
            sockets.listen_local(name, &plan.folders.sockets(), owner)?;
        }
        Ok(Self {
            source,
            plan,
            generation: 1,
            sockets,
            children: Children::default(),
            paces: SERVICES.iter().map(|_| Pace::default()).collect(),
            sessions: Sessions::default(),
            signals,
            notifier,
            stop: None,
            announced: false,
            locks,
        })
    }

    /// Runs until the ordered stop is over.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            self.notifier.feed(now);
            if self.converge(now)? {
                log::stopped();
                return Ok(());
            }
            self.announce();
            let (pids, ready) = self.wait(now)?;
            if ready[0].readable {
                self.handle_signals()?;
            }
            for (pid, ready) in pids.into_iter().zip(ready.into_iter().skip(1)) {
                self.handle_control(pid, ready)?;
            }
        }
    }

    /// Takes the next steps towards what should be; answers whether the ordered stop is over.
    fn converge(&mut self, now: Instant) -> io::Result<bool> {
        for (pid, kind) in self.children.kill_overdue(now)? {
            log::overdue(kind.name(), pid);
        }
        self.sessions.expire(&mut self.children, now);
        if let Some(stop) = self.stop {
            return self.converge_to_stop(stop);
        }
        for (index, service) in SERVICES.iter().enumerate() {
            let pace = &mut self.paces[index];
            let wanted = Wanted {
                processes: self.plan.processes(service),
                generation: self.generation,
                reload: service.reload,
                may_start: pace.not_before.is_none_or(|time| time <= now),
            };
            for step in steps(wanted, &self.children.of_service(index)) {
                match step {
                    Step::End(pid) => {
                        let limit = match service.reload {
                            Reload::Overlap => DRAIN_LIMIT,
                            Reload::StopFirst => self.plan.stop_timeout,
                        };
                        log::told_to_end(service.name, pid);
                        self.children.retire(pid, now + limit)?;
                    }
                    Step::Start(slot) => self.start(index, slot, now),
                }
            }
        }
        Ok(false)
    }

    fn converge_to_stop(&mut self, stop: Stop) -> io::Result<bool> {
        let Some(stage) = stop.stage(
            self.children
                .iter()
                .map(|(_, child)| child.kind.stop_stage()),
        ) else {
            return Ok(true);
        };
        let in_stage = |child: &Child| child.kind.stop_stage() == stage;
        let pids: Vec<u32> = self
            .children
            .iter()
            .filter(|(_, child)| in_stage(child))
            .map(|(pid, _)| pid)
            .collect();
        for pid in pids {
            self.children.retire(pid, stop.deadline(stage))?;
        }
        // In a hurry the deadlines have passed already.
        let now = Instant::now();
        self.children.kill_overdue(now)?;
        Ok(now >= stop.give_up())
    }

    /// Starts a process; one that cannot be started counts as one that died at once.
    fn start(&mut self, index: usize, slot: usize, now: Instant) {
        let service = &SERVICES[index];
        let kind = Kind::Service {
            index,
            slot,
            generation: self.generation,
        };
        match start::service(service, &self.plan, &self.sockets, &self.locks) {
            Ok((pid, control)) => {
                log::started(service.name, pid);
                self.children
                    .add(pid, kind, control, now, self.plan.start_timeout);
            }
            Err(error) => {
                let pace = &mut self.paces[index];
                let delay = pace.backoff.after_failed_start(self.plan.delays);
                pace.not_before = Some(now + delay);
                log::not_started(service.name, &error);
                log::delayed(service.name, delay);
            }
        }
    }

    /// Tells the service manager, once per configuration, when everything serves.
    fn announce(&mut self) {
        if self.announced || self.stop.is_some() {
            return;
        }
        let serves = |index: usize| {
            let seen = self.children.of_service(index);
            let current = |child: &&crate::converge::Seen| {
                child.ready && !child.ending && child.generation == self.generation
            };
            seen.iter().filter(current).count() >= self.plan.processes(&SERVICES[index])
        };
        if (0..SERVICES.len()).all(serves) {
            self.announced = true;
            self.notifier.ready();
            log::all_ready();
        }
    }

    /// Waits for whatever comes next: a signal (first), a child (then, in the order of the answered pids), time.
    fn wait(&self, now: Instant) -> io::Result<(Vec<u32>, Vec<Ready>)> {
        let mut pids = Vec::new();
        let mut fds: Vec<(BorrowedFd<'_>, Interest)> =
            vec![(self.signals.as_fd(), Interest::Readable)];
        for (pid, child) in self.children.iter() {
            if let Some(control) = &child.control {
                let interest = match control.wants_write() {
                    true => Interest::ReadableOrWritable,
                    false => Interest::Readable,
                };
                pids.push(pid);
                fds.push((control.as_fd(), interest));
            }
        }
        let deadlines = [
            self.children.next_deadline(),
            self.sessions.next_deadline(),
            self.notifier.next_due(),
            self.next_start(now),
            self.stop.map(|stop| stop.give_up()),
        ];
        let timeout = deadlines
            .into_iter()
            .flatten()
            .min()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Ok((pids, poll(&fds, timeout)?))
    }

    /// When a service whose start was put off may start. One that may start already waits for something else.
    fn next_start(&self, now: Instant) -> Option<Instant> {
        if self.stop.is_some() {
            return None;
        }
        self.paces
            .iter()
            .filter_map(|pace| pace.not_before)
            .filter(|time| *time > now)
            .min()
    }

    fn handle_signals(&mut self) -> io::Result<()> {
        while let Some(event) = self.signals.next()? {
            match event {
                Event::ChildEnded => {
                    while let Some(pid) = process::next_dead()? {
                        // What it said last still counts: a drained directory may have confirmed a login.
                        self.hear(pid)?;
                        self.child_ended(pid, process::wait(pid)?);
                    }
                }
                Event::Reload if self.stop.is_none() => self.reload(),
                Event::Reload => {}
                Event::Stop => self.begin_stop(),
            }
        }
        Ok(())
    }

    fn begin_stop(&mut self) {
        let now = Instant::now();
        match &mut self.stop {
            Some(stop) => {
                if stop.hurry(now) {
                    log::stopping("asked once more: at once");
                }
            }
            None => {
                log::stopping("asked to");
                self.notifier.stopping();
                self.sessions.close();
                self.stop = Some(Stop::begin(now, self.plan.stop_timeout));
            }
        }
    }

    fn child_ended(&mut self, pid: u32, ended: Ended) {
        let Some(child) = self.children.remove(pid) else {
            return;
        };
        let (now, name) = (Instant::now(), child.kind.name());
        let lived = now.saturating_duration_since(child.started);
        match child.kind {
            Kind::Session => log::session_ended(name, pid, ended),
            Kind::Service { .. } if child.retired || self.stop.is_some() => {
                log::ended(name, pid, ended);
            }
            Kind::Service { index, .. } => {
                let pace = &mut self.paces[index];
                let delay = pace.backoff.after_death(lived, self.plan.delays);
                pace.not_before = Some(now + delay);
                log::died(name, pid, ended, lived);
                log::delayed(name, delay);
            }
        }
    }

    /// Reads the configuration again; only if all of it can be done, anything is done.
    fn reload(&mut self) {
        self.notifier.reloading();
        let outcome = self.source.plan().and_then(|plan| {
            self.plan.may_become(&plan)?;
            let change = self
                .sockets
                .listen_on(&plan.addresses)
                .map_err(|error| error.to_string())?;
            Ok((plan, change))
        });
        match outcome {
            Err(reason) => {
                log::reload_refused(&self.source.file, &reason);
                self.notifier.ready();
            }
            Ok((plan, change)) => {
                self.plan = plan;
                self.generation += 1;
                self.announced = false;
                self.paces
                    .iter_mut()
                    .for_each(|pace| *pace = Pace::default());
                log::listening(&change);
                log::reloaded(&self.source.file);
            }
        }
    }

    /// Moves bytes on a child's control channel.
    fn handle_control(&mut self, pid: u32, ready: Ready) -> io::Result<()> {
        let child = self.children.get_mut(pid);
        if ready.writable
            && let Some(control) = child.and_then(|child| child.control.as_mut())
        {
            // If it fails, the end of the channel is there to be read.
            let _ = control.write_available();
        }
        if ready.readable {
            self.hear(pid)
        } else {
            Ok(())
        }
    }

    /// Reads what a child says, and obeys.
    fn hear(&mut self, pid: u32) -> io::Result<()> {
        let Some(child) = self.children.get_mut(pid) else {
            return Ok(());
        };
        let kind = child.kind;
        let Some(control) = child.control.as_mut() else {
            return Ok(());
        };
        let status = control.read_available();
        let frames: Vec<_> = std::iter::from_fn(|| control.next_frame()).collect();
        for frame in frames {
            if let Err(fault) = self.obey(pid, kind, frame) {
                return self.punish(pid, kind, fault);
            }
        }
        match status {
            Ok(Status::Open) => Ok(()),
            Ok(Status::Ended) => self.channel_ended(pid),
            Err(error) => self.punish(pid, kind, &error.to_string()),
        }
    }

    /// A child without a channel cannot say that it is ready and does not hear us: it is ending, or has to.
    fn channel_ended(&mut self, pid: u32) -> io::Result<()> {
        if let Some(child) = self.children.get_mut(pid) {
            child.control = None;
        }
        self.children
            .end(pid, Instant::now() + self.plan.stop_timeout)
    }

    /// A child that does not keep to the protocol is ended at once, and replaced like any other that dies.
    fn punish(&mut self, pid: u32, kind: Kind, fault: &str) -> io::Result<()> {
        log::misbehaved(kind.name(), pid, fault);
        self.children.kill(pid)
    }

    /// Does what a child's message asks for, if that child may ask for it.
    fn obey(
        &mut self,
        pid: u32,
        kind: Kind,
        frame: Frame<ChildMessage>,
    ) -> Result<(), &'static str> {
        let says = match kind {
            Kind::Service { index, .. } => SERVICES[index].says,
            Kind::Session => Says::Nothing,
        };
        let Frame {
            message,
            payload,
            mut fds,
            ..
        } = frame;
        match (message, says) {
            (ChildMessage::Ready, _) => {
                if !self.children.ready(pid) {
                    return Err("Ready is said once");
                }
                if kind != Kind::Session {
                    log::ready(kind.name(), pid);
                }
                Ok(())
            }
            (ChildMessage::ConfirmSession(session), Says::ConfirmSession) => {
                self.sessions
                    .confirm(session, &self.plan, &mut self.children);
                Ok(())
            }
            (ChildMessage::StartSession { ticket, client }, Says::StartSession) => {
                let socket = fds
                    .pop()
                    .ok_or("StartSession without the client's socket")?;
                let request = crate::sessions::Request {
                    asker: pid,
                    client,
                    socket,
                    sent_ahead: payload,
                };
                self.sessions
                    .request(ticket, request, &self.plan, &mut self.children);
                Ok(())
            }
            (ChildMessage::ConfirmSession(_), _) => Err("ConfirmSession is directory's to say"),
            (ChildMessage::StartSession { .. }, _) => Err("StartSession is a login half's to say"),
        }
    }
}
