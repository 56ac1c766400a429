//! Accepting channels and giving each to the handler of its protocol, if its user may speak that protocol.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use daemon::Drain;
use directory::Source;
use ipc::protocol::{Expansion, Logins, Mailboxes, Recipients};
use ipc::{
    Connection, Frame, Greeted, Listener, NewConnection, Peer, Protocol, ReceiveError, Sender,
};
use telemetry::{catalogue, event};
use tokio::task::JoinSet;

use crate::settings::Callers;
use crate::state::State;
use crate::{Error, expansion, logins, mailboxes, recipients, refresh};

/// Channels at a time; each program of the suite has one or two.
const MAX_CHANNELS: usize = 1024;
/// How long the last answers may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// Answers one request of a protocol, now or later.
type Answer<P> = fn(&Arc<State>, Frame<<P as Protocol>::Request>, &Sender<<P as Protocol>::Reply>);

/// What the service serves with.
#[derive(Debug)]
pub struct Serving {
    /// The bound socket.
    pub listening: OwnedFd,
    /// Who may ask.
    pub callers: Callers,
    /// The tables.
    pub source: Source,
    /// How often the tables' files are looked at.
    pub check_interval: Duration,
}

/// Serves until the drain is asked for; calls `ready` when the first channel can come.
///
/// # Errors
/// The socket fails, or the tables cannot be looked at any more.
pub async fn serve(
    serving: Serving,
    state: Arc<State>,
    drain: Drain,
    ready: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let listener = Listener::new(serving.listening, MAX_CHANNELS).map_err(Error::Serve)?;
    let fresh = refresh::keep_fresh(Arc::clone(&state), serving.source, serving.check_interval);
    tokio::pin!(fresh);
    let mut channels = JoinSet::new();
    ready()?;
    loop {
        tokio::select! {
            () = drain.requested() => break,
            ended = &mut fresh => return ended,
            Some(_) = channels.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(new) => {
                    channels.spawn(channel(new, Arc::clone(&state), serving.callers, drain.clone()));
                }
                Err(error) => {
                    event!(catalogue::ACCEPT_FAILED, reason = %error);
                    // Out of descriptors or memory: other channels must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let farewell = async { while channels.join_next().await.is_some() {} };
    // A peer that does not read its answers does not hold up the end.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    Ok(())
}

async fn channel(new: NewConnection, state: Arc<State>, callers: Callers, drain: Drain) {
    let peer = new.peer();
    let greeted = match new.greeting().await {
        Ok(greeted) => greeted,
        Err(error) => return fault("", peer, &error),
    };
    let protocol = greeted.protocol().to_owned();
    let served = match protocol.as_str() {
        Recipients::NAME if peer.uid == callers.net => {
            run::<Recipients>(greeted, drain, &state, recipients::answer).await
        }
        Logins::NAME if peer.uid == callers.net => {
            run::<Logins>(greeted, drain, &state, logins::answer).await
        }
        Expansion::NAME if peer.uid == callers.queue => {
            run::<Expansion>(greeted, drain, &state, expansion::answer).await
        }
        Mailboxes::NAME if peer.uid == callers.delivery => {
            run::<Mailboxes>(greeted, drain, &state, mailboxes::answer).await
        }
        other => {
            event!(
                catalogue::CHANNEL_REFUSED,
                protocol = other,
                uid = peer.uid,
                pid = peer.pid,
                reason = "this user may not use this protocol here"
            );
            return greeted.refuse();
        }
    };
    if let Err((protocol, error)) = served {
        fault(protocol, peer, &error);
    }
}

fn fault(protocol: &str, peer: Peer, error: &ReceiveError) {
    event!(
        catalogue::CHANNEL_FAULT,
        protocol = protocol,
        uid = peer.uid,
        pid = peer.pid,
        reason = %error
    );
}

/// Answers one channel's requests until its end, or says goodbye when the drain is asked for. What is
/// being worked on then is not answered and is asked again: nothing here is done twice by that.
async fn run<P: Protocol>(
    greeted: Greeted,
    drain: Drain,
    state: &Arc<State>,
    answer: Answer<P>,
) -> Result<(), (&'static str, ReceiveError)> {
    let failed = |error| (P::NAME, error);
    let Connection {
        sender,
        mut receiver,
    } = greeted.accept::<P>().await.map_err(failed)?;
    let requested = drain.requested();
    tokio::pin!(requested);
    loop {
        let frame = tokio::select! {
            biased;
            () = &mut requested => break,
            frame = receiver.receive() => frame.map_err(failed)?,
        };
        match frame {
            Some(frame) => answer(state, frame, &sender),
            None => return Ok(()),
        }
    }
    sender.goodbye();
    sender.written().await;
    Ok(())
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
