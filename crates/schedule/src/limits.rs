//! How much may be in memory.

/// How much may be in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Active messages.
    pub max_messages: usize,
    /// Recipients of all active messages; at least as many as messages.
    pub max_recipients: usize,
    /// Recipients of one message.
    pub max_message_recipients: usize,
    /// Destinations of one message that take part in the turns at a time.
    pub window: usize,
    /// Destinations without work whose concurrency or death is remembered.
    pub max_idle_destinations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_messages: 10_000,
            max_recipients: 30_000,
            max_message_recipients: 1_000,
            window: 20,
            max_idle_destinations: 10_000,
        }
    }
}

impl Limits {
    /// The same, with every bound at least what the scheduler needs to go on.
    pub(crate) fn sane(mut self) -> Self {
        self.max_messages = self.max_messages.max(4);
        self.max_recipients = self.max_recipients.max(self.max_messages);
        self.max_message_recipients = self.max_message_recipients.max(1);
        self.window = self.window.max(1);
        self
    }

    /// Messages of one kind: three quarters, so that the other always finds a place.
    pub(crate) fn max_of_kind(&self) -> usize {
        self.max_messages - self.max_messages / 4
    }

    /// Recipients beyond the first one of each message.
    pub(crate) fn max_extra(&self) -> usize {
        self.max_recipients - self.max_messages
    }
}
