//! A new message's rows.

use std::time::SystemTime;

use mail_types::{QueueId, Recipient, Timestamp};
use rusqlite::params;

use super::Store;
use crate::encode::{
    body_column, id_column, notify_column, return_column, reverse_path_column, state_column,
};
use crate::types::{FIRST_RECIPIENT, MessageState, NewContent, NewMessage};

impl Store {
    /// Adds a message in state incoming, due at once, or on hold.
    pub(crate) fn submit(&mut self, message: &NewMessage) -> rusqlite::Result<QueueId> {
        let now = Timestamp::from(SystemTime::now());
        let queue_id = self.new_id(now);
        let id = id_column(queue_id);
        let (size, spool) = match &message.content {
            NewContent::Inline(data) => {
                self.connection
                    .prepare_cached("INSERT INTO content VALUES (?1, ?2)")?
                    .execute(params![id, &data[..]])?;
                (data.len() as u64, None)
            }
            NewContent::Spooled { spool, size } => (*size, Some(spool.to_string())),
        };
        self.insert_message(id, now, message, size, spool)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO recipient (message, number, state, due, attempts, address, notify,
             orcpt_type, orcpt) VALUES (?1, ?2, 0, ?3, 0, ?4, ?5, ?6, ?7)",
        )?;
        for (number, recipient) in (FIRST_RECIPIENT..).zip(&message.envelope.recipients) {
            let Recipient {
                address,
                notify,
                original,
            } = recipient;
            insert.execute(params![
                id,
                number.cast_signed(),
                now.0,
                address.to_string(),
                notify.map(notify_column),
                original.as_ref().map(|original| &original.address_type),
                original.as_ref().map(|original| &original.address),
            ])?;
        }
        drop(insert);
        self.ledger.moved(None, Some(first_state(message)));
        Ok(queue_id)
    }

    fn insert_message(
        &self,
        id: i64,
        now: Timestamp,
        message: &NewMessage,
        size: u64,
        spool: Option<String>,
    ) -> rusqlite::Result<()> {
        let NewMessage {
            envelope, origin, ..
        } = message;
        let recipients = i64::try_from(envelope.recipients.len()).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(
                "INSERT INTO message (id, state, due, accepted, size, recipients, next_number,
                 reverse_path, body, smtputf8, ret, envid, session, client, protocol, spool)
                 VALUES (?1, ?2, ?3, ?15, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                id,
                state_column(first_state(message)),
                (!message.hold).then_some(now.0),
                size.cast_signed(),
                recipients,
                reverse_path_column(&envelope.reverse_path),
                body_column(envelope.body),
                envelope.smtputf8,
                envelope.return_content.map(return_column),
                envelope.envelope_id,
                origin.session.map(|session| session.0.cast_signed()),
                origin.client.map(|client| client.to_string()),
                origin.protocol,
                spool,
                now.0,
            ])?;
        Ok(())
    }
}

const fn first_state(message: &NewMessage) -> MessageState {
    if message.hold {
        MessageState::Hold
    } else {
        MessageState::Incoming
    }
}
