//! From the store into memory: new messages as they come, waiting messages page by page.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail_types::{QueueId, Timestamp};
use queue::{Due, DueKind, MessageState, RecipientPage, StorageError, StoredMessage};
use schedule::Kind;
use tokio::time::{Duration, Instant};

use super::message::{Facts, Message, Recipient, Stage};
use super::{Manager, STORE_PAUSE};
use crate::log;
use crate::sink::Fresh;

/// Messages read per turn: the event loop also serves others.
const PAGE: usize = 32;
/// Recipients read at a time.
const RECIPIENT_PAGE: usize = 200;
/// Both streams are read from their beginning this often, in case a clock went backwards.
const RESCAN: Duration = Duration::from_secs(300);

/// One stream of due messages. Its place is kept when the end is reached: what comes later is due later.
#[derive(Debug, Default)]
struct Stream {
    /// Read, and not yet looked at.
    page: VecDeque<Due>,
    /// The last place read.
    after: Option<Due>,
    /// There may be more on disk.
    waits: bool,
}

impl Stream {
    fn restart(&mut self) {
        *self = Self {
            waits: true,
            ..Self::default()
        };
    }
}

/// What is to be read next.
#[derive(Debug)]
pub(super) struct Loader {
    new: Stream,
    deferred: Stream,
    /// Set by the sink when it left a new message on disk.
    backlog: Arc<AtomicBool>,
    /// When the earliest deferred message is due, as far as known.
    next_due: Option<Timestamp>,
    /// The store failed: no reading before.
    not_before: Option<Instant>,
    rescan: Instant,
}

impl Loader {
    pub(super) fn new(backlog: Arc<AtomicBool>) -> Self {
        let mut loader = Self {
            new: Stream::default(),
            deferred: Stream::default(),
            backlog,
            next_due: None,
            not_before: None,
            rescan: Instant::now() + RESCAN,
        };
        loader.restart();
        loader
    }

    /// Reads both streams from their beginning.
    pub(super) fn restart(&mut self) {
        self.new.restart();
        self.deferred.restart();
        self.rescan = Instant::now() + RESCAN;
    }

    /// New messages wait on disk.
    pub(super) fn new_waits(&mut self) {
        self.backlog.store(false, Ordering::Release);
        self.new.waits = true;
    }

    /// A message was parked until `due`.
    pub(super) fn note_due(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        if self.not_before.is_some() {
            return self.not_before;
        }
        let now = Timestamp::from(std::time::SystemTime::now());
        let due = self
            .next_due
            .filter(|_| !self.deferred.waits)
            .map(|due| Instant::now() + due.since(now).min(RESCAN));
        [Some(self.rescan), due].into_iter().flatten().min()
    }

    fn stream(&mut self, kind: Kind) -> &mut Stream {
        match kind {
            Kind::New => &mut self.new,
            Kind::Deferred => &mut self.deferred,
        }
    }
}

impl Manager {
    /// Reads messages while there is room, a page at most; true if there is more to read.
    pub(super) fn load(&mut self, instant: Instant, now: Timestamp) -> bool {
        if self.loader.not_before.is_some_and(|at| instant < at) {
            return false;
        }
        self.loader.not_before = None;
        if instant >= self.loader.rescan {
            self.loader.restart();
        }
        if self.loader.next_due.is_some_and(|due| due <= now) {
            self.loader.next_due = None;
            self.loader.deferred.waits = true;
        }
        for _ in 0..PAGE {
            let waits = (self.loader.new.waits, self.loader.deferred.waits);
            let Some(kind) = self.scheduler.next_kind(waits.0, waits.1) else {
                return false;
            };
            if let Err(error) = self.load_next(kind, now) {
                log::read_failed(&error);
                self.loader.not_before = Some(instant + STORE_PAUSE);
                return false;
            }
        }
        true
    }

    /// Takes one place further in a stream.
    fn load_next(&mut self, kind: Kind, now: Timestamp) -> Result<(), StorageError> {
        if self.loader.stream(kind).page.is_empty() && !self.read_page(kind, now)? {
            return Ok(());
        }
        let Some(due) = self.loader.stream(kind).page.pop_front() else {
            return Ok(());
        };
        self.load_message(due.queue_id, now)
            .inspect_err(|_| self.loader.stream(kind).page.push_front(due))
    }

    /// Reads the next page of a stream; false when there is none.
    fn read_page(&mut self, kind: Kind, now: Timestamp) -> Result<bool, StorageError> {
        let due_kind = match kind {
            Kind::New => DueKind::New,
            Kind::Deferred => DueKind::Deferred,
        };
        let after = self.loader.stream(kind).after;
        let page = self.reader.due(due_kind, now, after, 4 * PAGE)?;
        let next_due = match (page.is_empty(), kind) {
            (true, Kind::Deferred) => self.reader.next_due(now)?,
            _ => None,
        };
        let stream = self.loader.stream(kind);
        if page.is_empty() {
            stream.waits = false;
            if let Some(due) = next_due {
                self.loader.note_due(due);
            }
            return Ok(false);
        }
        stream.after = page.last().copied();
        stream.page = page.into();
        Ok(true)
    }

    /// Makes a message of the store active, if it is one to attempt and not active already.
    pub(super) fn load_message(
        &mut self,
        queue_id: QueueId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if self.messages.contains_key(&queue_id) || self.scheduler.is_active(queue_id) {
            return Ok(());
        }
        let stored = match self.reader.message(queue_id) {
            Ok(Some(stored)) => stored,
            // It was removed in between, or is being set aside, of which an event will tell.
            Ok(None) | Err(StorageError::Corrupt { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let kind = match stored.state {
            MessageState::Incoming => Kind::New,
            MessageState::Deferred => Kind::Deferred,
            MessageState::Hold | MessageState::Corrupt => return Ok(()),
        };
        if self.activate(queue_id, kind, stored) {
            self.settle(queue_id, now);
        }
        Ok(())
    }

    fn activate(&mut self, queue_id: QueueId, kind: Kind, stored: StoredMessage) -> bool {
        if self.scheduler.add(queue_id, kind).is_err() {
            // No room: it stays on disk and is found again.
            self.loader.stream(kind).restart();
            return false;
        }
        self.messages
            .insert(queue_id, Message::new(Facts::of(stored), kind));
        true
    }

    /// A new message comes with all that is needed, if there is room for it.
    pub(super) fn fresh(&mut self, queue_id: QueueId, fresh: Fresh) {
        if self.scheduler.add(queue_id, Kind::New).is_err() {
            self.loader.new_waits();
            return;
        }
        let envelope = fresh.envelope;
        let facts = Facts {
            accepted: Timestamp(i64::try_from(queue_id.0).unwrap_or(i64::MAX)),
            size: u64::try_from(fresh.content.len()).unwrap_or(u64::MAX),
            reverse_path: envelope.reverse_path,
            body: envelope.body,
            smtputf8: envelope.smtputf8,
            return_content: envelope.return_content,
            envelope_id: envelope.envelope_id,
            is_notice: false,
        };
        let mut message = Message::new(facts, Kind::New);
        message.content = Some((fresh.content, fresh.place));
        message.read_all = true;
        for (number, recipient) in (queue::FIRST_RECIPIENT..).zip(envelope.recipients) {
            message.read_to = Some(number);
            self.expander
                .ask(queue_id, number, recipient.address.clone());
            let recipient = Recipient {
                accepted_as: recipient.address,
                notify: recipient.notify,
                original: recipient.original,
                target: None,
                owner: None,
                attempts: 0,
                ended: None,
                lapses: 0,
                stage: Stage::Expanding,
            };
            message.recipients.insert(number, recipient);
        }
        self.messages.insert(queue_id, message);
    }

    /// Reads the next page of a message's due recipients; [`Manager::settle`] is to follow.
    pub(super) fn load_recipients(&mut self, queue_id: QueueId, now: Timestamp) {
        let room = self.scheduler.recipients_room(queue_id);
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let room = room.saturating_sub(message.outside());
        let asked = self.expander.waiting();
        let few = self.settings.limits.max_recipients / 4;
        let limit = match (asked < few, message.open()) {
            (true, _) => room.min(RECIPIENT_PAGE),
            // Much is outside of the scheduler's account: only what every message may always have.
            (false, 0) => 1,
            (false, _) => 0,
        };
        if limit == 0 || message.read_all || message.withdrawn {
            return;
        }
        let page = RecipientPage {
            state: None,
            due_by: Some(now),
            after: message.read_to,
            limit,
        };
        let recipients = match self.reader.recipients(queue_id, page) {
            Ok(recipients) => recipients,
            // It is being set aside, of which an event will tell.
            Err(StorageError::Corrupt { .. }) => return,
            Err(error) => {
                log::read_failed(&error);
                self.retry_later(queue_id);
                return;
            }
        };
        message.read_all = recipients.len() < limit;
        message.read_to = recipients.last().map(|r| r.number).or(message.read_to);
        for stored in recipients {
            let number = stored.number;
            let recipient = Recipient::of(stored);
            if matches!(recipient.stage, Stage::Expanding) {
                let address = recipient.accepted_as.clone();
                self.expander.ask(queue_id, number, address);
            }
            message.recipients.insert(number, recipient);
        }
    }
}
