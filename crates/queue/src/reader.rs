//! Reading the queue while the commit thread writes.

use mail_types::{QueueId, Timestamp};

use crate::error::StorageError;
use crate::types::{
    Content, Counts, Due, DueKind, MessageState, RecipientState, StoredMessage, StoredRecipient,
};

/// One connection for reading. Its calls block on the disk at most for some pages; a program may
/// call it on its own thread, or give it one.
///
/// A message that cannot be decoded gives [`StorageError::Corrupt`] and is set aside by itself.
pub struct Reader {}

impl Reader {
    /// Messages due at `now`, longest due first, at most `limit`, after the place `after`.
    ///
    /// Active messages are among them (that they are active, only memory knows): go on from the
    /// last place given, skip those in memory, and begin again from `None` when a page came
    /// back short and new work is wanted, or after a flush.
    ///
    /// # Errors
    /// When reading fails.
    pub fn due(
        &self,
        kind: DueKind,
        now: Timestamp,
        after: Option<Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StorageError> {
        let _ = (kind, now, after, limit);
        Ok(Vec::new())
    }

    /// The first moment after `now` at which a deferred message becomes due.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        let _ = now;
        Ok(None)
    }

    /// One message; `None` when there is none of this name.
    ///
    /// # Errors
    /// When reading fails, or the message is corrupt.
    pub fn message(&self, queue_id: QueueId) -> Result<Option<StoredMessage>, StorageError> {
        let _ = queue_id;
        Ok(None)
    }

    /// A page of a message's recipients, in order of their number.
    ///
    /// # Errors
    /// When reading fails, or the message is corrupt.
    pub fn recipients(
        &self,
        queue_id: QueueId,
        page: RecipientPage,
    ) -> Result<Vec<StoredRecipient>, StorageError> {
        let _ = (queue_id, page);
        Ok(Vec::new())
    }

    /// A message's content; `None` when there is no such message.
    ///
    /// # Errors
    /// When reading fails, or the content is not there.
    pub fn content(&self, queue_id: QueueId) -> Result<Option<Content>, StorageError> {
        let _ = queue_id;
        Ok(None)
    }

    /// Names of messages in a state (or in any), in order, above `after`, at most `limit`.
    ///
    /// # Errors
    /// When reading fails.
    pub fn list(
        &self,
        state: Option<MessageState>,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<QueueId>, StorageError> {
        let _ = (state, after, limit);
        Ok(Vec::new())
    }

    /// Incoming and deferred messages accepted before `before`, in order, above `after`.
    ///
    /// # Errors
    /// When reading fails.
    pub fn accepted_before(
        &self,
        before: Timestamp,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<QueueId>, StorageError> {
        let _ = (before, after, limit);
        Ok(Vec::new())
    }

    /// How many messages are in each state. Costs the same however many they are.
    ///
    /// # Errors
    /// When reading fails.
    pub fn counts(&self) -> Result<Counts, StorageError> {
        Ok(Counts::default())
    }
}

/// Which recipients of a message.
#[derive(Clone, Copy, Debug)]
pub struct RecipientPage {
    /// Only in this state.
    pub state: Option<RecipientState>,
    /// Only those due at this time.
    pub due_by: Option<Timestamp>,
    /// Only numbers above this one.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}
