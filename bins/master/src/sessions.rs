//! Sessions of clients that have logged in: from the two halves of a login to a process as the mailbox owner.
//!
//! Invariants: a session half is started only for a login that directory confirmed and a login half showed the
//! ticket of, never as root and never as a user of the suite itself, and never more at a time than the setting
//! allows.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use bytes::Bytes;
use ipc::PUSH;
use ipc::protocol::{MasterMessage, SessionTicket, Ticket};

use crate::children::{Children, Kind};
use crate::plan::Plan;
use crate::tickets::{Outcome, Tickets};
use crate::{log, start};

/// What a login half sends along with a ticket.
#[derive(Debug)]
pub struct Request {
    /// The login half's process id, for the answer.
    pub asker: u32,
    /// The client's address.
    pub client: IpAddr,
    /// The client's socket.
    pub socket: OwnedFd,
    /// What the client had sent ahead.
    pub sent_ahead: Bytes,
}

/// The logins on their way.
#[derive(Debug, Default)]
pub struct Sessions {
    tickets: Tickets<Request>,
    closed: bool,
}

impl Sessions {
    /// directory says that a login was right.
    pub fn confirm(&mut self, session: SessionTicket, plan: &Plan, children: &mut Children) {
        let ticket = session.ticket;
        let outcome = self.tickets.confirm(session, Instant::now());
        self.settle(ticket, outcome, plan, children);
    }

    /// A login half shows a ticket.
    pub fn request(
        &mut self,
        ticket: Ticket,
        request: Request,
        plan: &Plan,
        children: &mut Children,
    ) {
        let outcome = self.tickets.request(ticket, request, Instant::now());
        self.settle(ticket, outcome, plan, children);
    }

    /// Refuses what has waited too long.
    pub fn expire(&mut self, children: &mut Children, now: Instant) {
        for (ticket, request) in self.tickets.expire(now) {
            let reason = "the login was not confirmed in time";
            log::session_refused(Some(request.client), None, reason);
            answer(
                request.asker,
                &MasterMessage::SessionRefused { ticket },
                children,
            );
        }
    }

    /// From now on every session is refused.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Starts the session of a login that is complete, and tells the login half how it went.
    fn settle(
        &self,
        ticket: Ticket,
        outcome: Outcome<Request>,
        plan: &Plan,
        children: &mut Children,
    ) {
        let (asker, client, result) = match outcome {
            Outcome::Waiting => return,
            Outcome::TurnedAway(None) => {
                log::session_refused(
                    None,
                    None,
                    "too many logins wait, or one was confirmed twice",
                );
                return;
            }
            Outcome::TurnedAway(Some(request)) => {
                let reason = "too many logins wait, or a ticket was shown twice".to_owned();
                (request.asker, request.client, Err(reason))
            }
            Outcome::Matched(session, request) => {
                let (asker, client) = (request.asker, request.client);
                let result = match self.closed {
                    true => Err("the suite is stopping".to_owned()),
                    false => begin(session, request, plan, children),
                };
                (asker, client, result)
            }
        };
        let message = match result {
            Ok(()) => MasterMessage::SessionStarted { ticket },
            Err(reason) => {
                log::session_refused(Some(client), None, &reason);
                MasterMessage::SessionRefused { ticket }
            }
        };
        answer(asker, &message, children);
    }

    /// When [`Self::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.tickets.next_deadline()
    }
}

/// Starts a session half and tells it what it is for.
fn begin(
    session: SessionTicket,
    request: Request,
    plan: &Plan,
    children: &mut Children,
) -> Result<(), String> {
    if children.sessions() >= plan.max_sessions {
        return Err(format!(
            "{} sessions run already, as many as allowed",
            plan.max_sessions
        ));
    }
    plan.may_own_mail(session.mailbox.uid, session.mailbox.gid)?;
    let now = Instant::now();
    let (pid, mut control) =
        start::session(&session, request.socket, plan).map_err(|error| error.to_string())?;
    let (user, uid) = (session.mailbox.user.to_string(), session.mailbox.uid);
    let assignment = MasterMessage::Session {
        mailbox: session.mailbox,
        client: request.client,
    };
    let told = control.send(PUSH, &assignment, request.sent_ahead, Vec::new());
    // Added even if it could not be told: it has to be reaped, and ends by itself without its assignment.
    children.add(pid, Kind::Session, control, now, plan.start_timeout);
    told.map_err(|error| error.to_string())?;
    log::session_started(Kind::Session.name(), pid, uid, &user, request.client);
    Ok(())
}

/// Tells a login half; if it has died meanwhile there is nobody to tell.
fn answer(asker: u32, message: &MasterMessage, children: &mut Children) {
    let control = children
        .get_mut(asker)
        .and_then(|child| child.control.as_mut());
    if let Some(control) = control
        && let Err(error) = control.send(PUSH, message, Bytes::new(), Vec::new())
    {
        log::not_told(asker, &error.to_string());
    }
}
