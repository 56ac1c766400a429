//! Logins on their way to a session: directory confirms a ticket, a login half shows it, in either order.
//!
//! Pure: no clock, no descriptors of its own; `R` is what a login half sent along.
//!
//! Invariants: a ticket is redeemed at most once; an entry lives at most [`LIFETIME`]; there are at most
//! [`CAPACITY`] of each kind, and when they are full a newcomer is turned away, never an older one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ipc::protocol::{SessionTicket, Ticket};

/// How long one side waits for the other.
pub const LIFETIME: Duration = Duration::from_secs(10);
/// The most confirmations, and the most requests, that wait at a time.
pub const CAPACITY: usize = 1024;

/// What became of one half of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// Both halves are here: start the session.
    Matched(SessionTicket, R),
    /// The other half has not come yet.
    Waiting,
    /// Too many wait already, or the same half came twice; what came with it is given back.
    TurnedAway(Option<R>),
}

/// Both kinds of halves that wait.
#[derive(Debug)]
pub struct Tickets<R> {
    confirmed: HashMap<Ticket, (SessionTicket, Instant)>,
    requested: HashMap<Ticket, (R, Instant)>,
}

impl<R> Default for Tickets<R> {
    fn default() -> Self {
        Self {
            confirmed: HashMap::new(),
            requested: HashMap::new(),
        }
    }
}

impl<R> Tickets<R> {
    /// directory says that the login was right.
    pub fn confirm(&mut self, session: SessionTicket, now: Instant) -> Outcome<R> {
        let ticket = session.ticket;
        if let Some((request, _)) = self.requested.remove(&ticket) {
            return Outcome::Matched(session, request);
        }
        if self.confirmed.len() >= CAPACITY || self.confirmed.contains_key(&ticket) {
            return Outcome::TurnedAway(None);
        }
        self.confirmed.insert(ticket, (session, now + LIFETIME));
        Outcome::Waiting
    }

    /// A login half shows a ticket.
    pub fn request(&mut self, ticket: Ticket, request: R, now: Instant) -> Outcome<R> {
        if let Some((session, _)) = self.confirmed.remove(&ticket) {
            return Outcome::Matched(session, request);
        }
        if self.requested.len() >= CAPACITY || self.requested.contains_key(&ticket) {
            return Outcome::TurnedAway(Some(request));
        }
        self.requested.insert(ticket, (request, now + LIFETIME));
        Outcome::Waiting
    }

    /// Drops what has waited too long; answers the requests among it, to be refused.
    pub fn expire(&mut self, now: Instant) -> Vec<(Ticket, R)> {
        self.confirmed.retain(|_, (_, deadline)| *deadline > now);
        self.requested
            .extract_if(|_, (_, deadline)| *deadline <= now)
            .map(|(t, (r, _))| (t, r))
            .collect()
    }

    /// When [`Self::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let confirmed = self.confirmed.values().map(|(_, deadline)| *deadline);
        let requested = self.requested.values().map(|(_, deadline)| *deadline);
        confirmed.chain(requested).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::protocol::{MailboxFormat, MailboxSpec, SessionProgram};

    fn session(number: u128) -> SessionTicket {
        let mailbox = MailboxSpec {
            user: "alice@example.org".parse().unwrap(),
            uid: 1000,
            gid: 1000,
            format: MailboxFormat::Maildir,
            path: "/mail/alice".into(),
            quota_bytes: 0,
            quota_messages: 0,
        };
        SessionTicket {
            ticket: Ticket(number),
            program: SessionProgram::Pop3,
            mailbox,
        }
    }

    #[test]
    fn halves_match_in_either_order_and_only_once() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        assert_eq!(tickets.confirm(session(1), now), Outcome::Waiting);
        assert_eq!(
            tickets.request(Ticket(1), "a", now),
            Outcome::Matched(session(1), "a")
        );
        assert_eq!(tickets.request(Ticket(1), "again", now), Outcome::Waiting);
        assert_eq!(tickets.request(Ticket(2), "b", now), Outcome::Waiting);
        assert_eq!(
            tickets.confirm(session(2), now),
            Outcome::Matched(session(2), "b")
        );
        assert_eq!(tickets.confirm(session(2), now), Outcome::Waiting);
        assert_eq!(tickets.confirm(session(2), now), Outcome::TurnedAway(None));
        assert_eq!(
            tickets.request(Ticket(1), "c", now),
            Outcome::TurnedAway(Some("c"))
        );
    }

    #[test]
    fn nothing_waits_longer_than_its_lifetime() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        assert_eq!(tickets.next_deadline(), None);
        tickets.confirm(session(1), now);
        tickets.request(Ticket(2), "b", now + Duration::from_secs(1));
        assert_eq!(tickets.next_deadline(), Some(now + LIFETIME));
        assert_eq!(tickets.expire(now + LIFETIME), []);
        let end = now + LIFETIME + Duration::from_secs(1);
        assert_eq!(tickets.expire(end), [(Ticket(2), "b")]);
        assert_eq!(tickets.next_deadline(), None);
    }

    #[test]
    fn the_table_is_bounded_and_turns_newcomers_away() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        for number in 0..CAPACITY as u128 {
            assert_eq!(tickets.confirm(session(number), now), Outcome::Waiting);
            assert_eq!(
                tickets.request(Ticket(number + 5000), "", now),
                Outcome::Waiting
            );
        }
        assert_eq!(
            tickets.confirm(session(4000), now),
            Outcome::TurnedAway(None)
        );
        assert_eq!(
            tickets.request(Ticket(4001), "x", now),
            Outcome::TurnedAway(Some("x"))
        );
        assert_eq!(
            tickets.request(Ticket(0), "x", now),
            Outcome::Matched(session(0), "x")
        );
    }
}
