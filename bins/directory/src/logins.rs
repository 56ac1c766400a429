//! `Logins`: is this password right?
//!
//! Hashing runs on threads of its own, a bounded number at a time. An unknown user's password is hashed like
//! a known one's; what differs is only this program's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use directory::{LoginCheck, UserMailbox};
use ipc::protocol::{
    ChildMessage, LoginReply, LoginRequest, ServiceName, SessionProgram, SessionTicket, Ticket,
};
use ipc::{Frame, PUSH, Sender};
use telemetry::{catalogue, event};
use tokio::sync::Semaphore;

use crate::state::State;

const DAY: u64 = 86_400;

/// How many passwords are checked at a time, and how many may wait.
#[derive(Debug)]
pub struct LoginGate {
    turns: Semaphore,
    present: AtomicU32,
    most: u32,
}

impl LoginGate {
    /// Room for so many at a time, and so many who wait.
    #[must_use]
    pub fn new(at_a_time: u32, waiting: u32) -> Self {
        Self {
            turns: Semaphore::new(usize::try_from(at_a_time).unwrap_or(1)),
            present: AtomicU32::new(0),
            most: at_a_time.saturating_add(waiting),
        }
    }

    /// Comes in, unless there are too many already.
    fn enter(self: &Arc<Self>) -> Option<Place> {
        let present = self.present.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self));
        (present < self.most).then_some(place)
    }
}

/// Leaves when dropped.
#[derive(Debug)]
struct Place(Arc<LoginGate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one request, once its turn has come.
pub fn answer(state: &Arc<State>, frame: Frame<LoginRequest>, sender: &Sender<LoginReply>) {
    let (id, request) = (frame.id, frame.message);
    let Some(place) = state.logins.enter() else {
        unavailable(&request, "too many passwords are waiting to be checked");
        return reply(sender, id, &LoginReply::Unavailable);
    };
    let Some(check) = state.tables().login(&request.user) else {
        unavailable(&request, "the users cannot be read");
        return reply(sender, id, &LoginReply::Unavailable);
    };
    let (state, sender) = (Arc::clone(state), sender.clone());
    tokio::spawn(async move {
        let answer = check_password(&state, check, request).await;
        drop(place);
        reply(&sender, id, &answer);
    });
}

fn reply(sender: &Sender<LoginReply>, id: u32, reply: &LoginReply) {
    // Whoever asked and is gone asks again; a ticket that nobody shows lapses.
    let _ = sender.send(id, reply);
}

async fn check_password(
    state: &Arc<State>,
    check: LoginCheck,
    mut request: LoginRequest,
) -> LoginReply {
    let Ok(_turn) = state.logins.turns.acquire().await else {
        return LoginReply::Unavailable;
    };
    let exists = check.is_for_user();
    let password = std::mem::take(&mut request.password);
    let run = move || check.run(password.as_bytes(), today());
    let reason = match tokio::task::spawn_blocking(run).await {
        Ok(Ok(Some(mailbox))) => match accept(state, mailbox, &request) {
            Ok(reply) => return reply,
            Err(reason) => reason,
        },
        Ok(Ok(None)) => {
            refused(
                &request,
                if exists {
                    "wrong password"
                } else {
                    "no such user, or locked"
                },
            );
            return LoginReply::Refused;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    unavailable(&request, &reason);
    LoginReply::Unavailable
}

/// Makes a ticket and tells master of it; the client is told after that.
fn accept(
    state: &State,
    mailbox: UserMailbox,
    request: &LoginRequest,
) -> Result<LoginReply, String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    let ticket = Ticket(u128::from_ne_bytes(random));
    let user = mailbox.user.clone();
    let confirm = ChildMessage::ConfirmSession(SessionTicket {
        ticket,
        program: match request.service {
            ServiceName::Pop3 => SessionProgram::Pop3,
        },
        mailbox: state.spec(mailbox),
    });
    let master = state
        .master
        .as_ref()
        .ok_or("there is no channel to master")?;
    master
        .send_with(PUSH, &confirm, Bytes::new(), Vec::new())
        .map_err(|error| format!("master cannot be told: {error}"))?;
    event!(
        catalogue::LOGIN_ACCEPTED,
        client = %request.client,
        user = %user,
        service = service(request.service)
    );
    Ok(LoginReply::Accepted { ticket, user })
}

/// The client stands first, before anything that it chose: a pattern on the line cannot be misled.
fn refused(request: &LoginRequest, reason: &str) {
    event!(
        catalogue::LOGIN_REFUSED,
        client = %request.client,
        user = request.user,
        service = service(request.service),
        reason = reason
    );
}

fn unavailable(request: &LoginRequest, reason: &str) {
    event!(
        catalogue::LOGIN_UNAVAILABLE,
        client = %request.client,
        user = request.user,
        service = service(request.service),
        reason = reason
    );
}

fn service(name: ServiceName) -> &'static str {
    match name {
        ServiceName::Pop3 => "pop3",
    }
}

/// Days since 1970, as shadow(5) counts.
fn today() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs() / DAY).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_lets_in_so_many_and_again_when_they_leave() {
        let gate = Arc::new(LoginGate::new(1, 2));
        let places: Vec<_> = (0..5).map(|_| gate.enter()).collect();
        assert_eq!(places.iter().flatten().count(), 3);
        drop(places);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert!(today() > 20_000);
    }
}
