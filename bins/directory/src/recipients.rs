//! `Recipients`: RCPT, VRFY and EXPN for smtpd.

use std::sync::Arc;
use std::time::Duration;

use directory::{Resolution, Tables, UserMailbox, Verified};
use ipc::protocol::{ExpnReply, RecipientReply, RecipientVerdict, RecipientsRequest, VrfyReply};
use ipc::{Frame, Sender};
use mail_types::Address;

use crate::state::State;

/// How long smtpd may go on accepting a recipient that was good: shorter than the tables take to change
/// (`directory.check_interval`), long enough for a burst.
const VERDICT_HOLDS: Duration = Duration::from_secs(1);

/// Answers one request: at once from the tables, or later where local-delivery has to be asked.
pub fn answer(
    state: &Arc<State>,
    frame: Frame<RecipientsRequest>,
    sender: &Sender<RecipientReply>,
) {
    let tables = state.tables();
    let reply = match frame.message {
        RecipientsRequest::Resolve { address, size } => match verdict(&tables, &address) {
            Ok(verdict) => RecipientReply::Verdict {
                holds_for: holds_for(&verdict),
                verdict,
            },
            Err(limited) => return answer_limited(state, frame.id, limited, size, sender),
        },
        RecipientsRequest::Vrfy { query } => RecipientReply::Vrfy(verified(tables.verify(&query))),
        RecipientsRequest::Expn { query } => RecipientReply::Expn(match tables.members(&query) {
            Ok(Some(members)) => ExpnReply::Members(members),
            Ok(None) => ExpnReply::Unknown,
            Err(_) => ExpnReply::Unavailable,
        }),
    };
    send(sender, frame.id, &reply);
}

/// Good news may be repeated for a moment; bad news is asked for each time, so that a new user is known at once.
fn holds_for(verdict: &RecipientVerdict) -> Duration {
    match verdict {
        RecipientVerdict::Local | RecipientVerdict::RelayDomain | RecipientVerdict::Remote => {
            VERDICT_HOLDS
        }
        _ => Duration::ZERO,
    }
}

/// The verdict, or the mailbox whose fill decides it.
fn verdict(tables: &Tables, address: &Address) -> Result<RecipientVerdict, UserMailbox> {
    Ok(match tables.resolve(address) {
        Resolution::Local { limited: None } => RecipientVerdict::Local,
        Resolution::Local {
            limited: Some(mailbox),
        } => return Err(mailbox),
        Resolution::Relay => RecipientVerdict::RelayDomain,
        Resolution::Remote => RecipientVerdict::Remote,
        Resolution::Unknown => RecipientVerdict::Unknown,
        Resolution::Moved(new) => RecipientVerdict::Moved(new),
        Resolution::Unavailable => RecipientVerdict::Unavailable,
    })
}

fn answer_limited(
    state: &Arc<State>,
    id: u32,
    mailbox: UserMailbox,
    size: u64,
    sender: &Sender<RecipientReply>,
) {
    let verdict = |has_room: bool| {
        let verdict = match has_room {
            true => RecipientVerdict::Local,
            false => RecipientVerdict::OverQuota,
        };
        RecipientReply::Verdict {
            verdict,
            holds_for: Duration::ZERO,
        }
    };
    let spec = state.spec(mailbox);
    if let Some(has_room) = state.quota.known(&spec, size) {
        return send(sender, id, &verdict(has_room));
    }
    let (state, sender) = (Arc::clone(state), sender.clone());
    tokio::spawn(async move {
        let has_room = state.quota.ask(spec, size).await;
        send(&sender, id, &verdict(has_room));
    });
}

fn verified(verified: Verified) -> VrfyReply {
    match verified {
        Verified::Deliverable(address) => VrfyReply::Deliverable(address),
        Verified::Ambiguous(addresses) => VrfyReply::Ambiguous(addresses),
        Verified::Moved(new) => VrfyReply::Moved(new),
        Verified::Remote => VrfyReply::Remote,
        Verified::Unknown => VrfyReply::Unknown,
        Verified::Unavailable => VrfyReply::Unavailable,
    }
}

fn send(sender: &Sender<RecipientReply>, id: u32, reply: &RecipientReply) {
    if let Err(ipc::SendError::Closed) | Ok(()) = sender.send(id, reply) {
        // Whoever asked and is gone asks again.
        return;
    }
    // A list of members that fits no reply: smtpd must not wait for it.
    let _ = sender.send(id, &RecipientReply::Expn(ExpnReply::Unavailable));
}
