//! `Mailboxes`: where a user's mail is, for local-delivery.

use std::sync::Arc;

use ipc::protocol::{MailboxReply, MailboxRequest};
use ipc::{Frame, Sender};

use crate::state::State;

/// Answers one request.
pub fn answer(state: &Arc<State>, frame: Frame<MailboxRequest>, sender: &Sender<MailboxReply>) {
    let reply = match state.tables().mailbox(&frame.message.user) {
        Ok(Some(mailbox)) => MailboxReply::Mailbox(state.spec(mailbox)),
        Ok(None) => MailboxReply::Unknown,
        Err(_) => MailboxReply::Unavailable,
    };
    // Whoever asked and is gone asks again.
    let _ = sender.send(frame.id, &reply);
}
