//! A queue in a temporary folder, with calls that wait.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use mail_types::{Envelope, QueueId, Recipient, ReversePath, Timestamp};
use queue::{
    Action, Change, Command, Counts, Done, Event, Fate, NewContent, NewMessage, NotTaken, Origin,
    Queue, Reader, RecipientPage, Selection, Settings, StorageError, StoredRecipient, Update,
    Updated,
};
use tempfile::TempDir;

/// A queue whose calls wait for their answer.
pub struct Fixture {
    pub queue: Queue<u64>,
    pub reader: Reader,
    events: Mutex<Receiver<Vec<Event<u64>>>>,
    /// Events that came while something else was awaited.
    pub others: Mutex<Vec<Event<u64>>>,
    pub folder: PathBuf,
    _temporary: Option<TempDir>,
}

/// Settings that do not depend on how full the machine's disk is.
pub fn settings() -> Settings {
    Settings {
        min_free: 0,
        ..Settings::default()
    }
}

impl Fixture {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut fixture = Self::at(temporary.path(), settings());
        fixture._temporary = Some(temporary);
        fixture
    }

    pub fn at(folder: &Path, settings: Settings) -> Self {
        let (sink, events) = channel();
        let queue = Queue::open(folder, settings, move |batch| {
            let _ = sink.send(batch);
        })
        .unwrap();
        let reader = queue.reader().unwrap();
        Self {
            queue,
            reader,
            events: Mutex::new(events),
            others: Mutex::default(),
            folder: folder.to_owned(),
            _temporary: None,
        }
    }

    /// Closes the queue and opens it again.
    pub fn reopen(self) -> Self {
        let Self {
            queue,
            reader,
            folder,
            _temporary,
            ..
        } = self;
        drop((queue, reader));
        let mut fixture = Self::at(&folder, settings());
        fixture._temporary = _temporary;
        fixture
    }

    /// Sends all commands before it waits, and answers in their order.
    pub fn call_all(&self, commands: Vec<Command>) -> Vec<Result<Done, StorageError>> {
        let mut results = HashMap::new();
        let mut awaited = 0;
        for (tag, command) in commands.into_iter().enumerate() {
            awaited += 1;
            if let Err(NotTaken { tag, error }) = self.queue.send(tag as u64, command) {
                results.insert(tag, Err(error));
            }
        }
        while results.len() < awaited {
            for event in self.events.lock().unwrap().recv().unwrap() {
                match event {
                    Event::Done { tag, result } => {
                        results.insert(tag, result);
                    }
                    other => self.others.lock().unwrap().push(other),
                }
            }
        }
        (0..awaited as u64)
            .map(|tag| results.remove(&tag).unwrap())
            .collect()
    }

    pub fn call(&self, command: Command) -> Result<Done, StorageError> {
        self.call_all(vec![command]).remove(0)
    }

    pub fn submit(&self, message: NewMessage) -> Result<QueueId, StorageError> {
        match self.call(Command::Submit(Box::new(message)))? {
            Done::Accepted(id) => Ok(id.into_inner()),
            other => panic!("{other:?}"),
        }
    }

    pub fn update(&self, update: Update) -> Updated {
        match self.call(Command::Update(Box::new(update))).unwrap() {
            Done::Updated(updated) => updated,
            other => panic!("{other:?}"),
        }
    }

    pub fn administer(&self, action: Action, selection: Selection) -> u64 {
        match self
            .call(Command::Administer { action, selection })
            .unwrap()
        {
            Done::Changed { messages } => messages,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for an event that is no answer.
    pub fn other(&self, wanted: impl Fn(&Event<u64>) -> bool) -> Event<u64> {
        loop {
            let mut others = self.others.lock().unwrap();
            if let Some(at) = others.iter().position(&wanted) {
                return others.remove(at);
            }
            others.extend(self.events.lock().unwrap().recv().unwrap());
        }
    }

    pub fn counts(&self) -> Counts {
        self.reader.counts().unwrap()
    }

    pub fn recipients(&self, id: QueueId) -> Vec<StoredRecipient> {
        self.reader.recipients(id, everyone()).unwrap()
    }

    /// Another connection, to look at or to spoil the tables.
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.join("queue.sqlite")).unwrap()
    }
}

pub fn everyone() -> RecipientPage {
    RecipientPage {
        state: None,
        due_by: None,
        after: None,
        limit: usize::MAX,
    }
}

/// A message of `content` for recipients `r0@example.org`, `r1@example.org`, …
pub fn message(recipients: usize, content: impl Into<Vec<u8>>) -> NewMessage {
    let recipients = (0..recipients)
        .map(|n| Recipient::new(format!("r{n}@example.org").parse().unwrap()))
        .collect();
    let sender = ReversePath::Address("alice@example.org".parse().unwrap());
    NewMessage {
        envelope: Envelope::new(sender, recipients),
        origin: Origin::local(),
        content: NewContent::Inline(Bytes::from(content.into())),
        hold: false,
    }
}

/// An update with nothing but changes.
pub fn changes(queue_id: QueueId, fates: Vec<(u64, Fate)>) -> Update {
    let change = |(recipient, fate)| Change { recipient, fate };
    Update {
        queue_id,
        changes: fates.into_iter().map(change).collect(),
        reports: Vec::new(),
        park: false,
    }
}

pub fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}
