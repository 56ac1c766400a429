//! What the session asks, and what becomes of the answers.

use mail_types::{Address, QueueId, Recipient};

use super::{Asked, Phase, Session, Subject};
use crate::command::Verb;
use crate::replies::{self, Reply};

/// What the driver is to ask the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this recipient be accepted?
    Recipient {
        /// Whom RCPT named.
        address: Address,
        /// The declared size of the message; 0 when not declared.
        size: u64,
    },
    /// Who is this? (VRFY)
    Verify(String),
    /// Who is behind this alias? (EXPN)
    Expand(String),
}

/// What the directory said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Recipient`].
    Recipient(Verdict),
    /// To [`Question::Verify`].
    Verify(VerifyAnswer),
    /// To [`Question::Expand`].
    Expand(ExpandAnswer),
}

/// What a recipient is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ours.
    Local,
    /// Of a domain that we relay for.
    RelayDomain,
    /// Of none of our domains: taken only from clients with a [`crate::RelayPermit`].
    Remote,
    /// Of a domain of ours, but nobody.
    Unknown,
    /// Moved away.
    Moved(Address),
    /// No room in the mailbox.
    OverQuota,
    /// The directory cannot say just now, or cannot be asked.
    Unavailable,
}

/// What VRFY is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyAnswer {
    /// This one.
    Deliverable(Address),
    /// One of these.
    Ambiguous(Vec<Address>),
    /// Moved away.
    Moved(Address),
    /// None of ours.
    Remote,
    /// Nobody.
    Unknown,
    /// Cannot be said just now.
    Unavailable,
}

/// What EXPN is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandAnswer {
    /// These.
    Members(Vec<Address>),
    /// No such alias.
    Unknown,
    /// Cannot be said just now.
    Unavailable,
}

/// Why a message could not be made durable. All are temporary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The disk is too full.
    DiskFull,
    /// Writing or syncing failed.
    StorageFailed,
    /// Too much waits already.
    Overloaded,
    /// The queue cannot be reached, or was lost before it answered.
    Unavailable,
}

impl Session {
    /// Brings the answer to the last [`super::Step::Ask`].
    pub fn answer(&mut self, answer: Answer, replies: &mut Vec<u8>) {
        let asked = match std::mem::replace(&mut self.phase, Phase::Commands) {
            Phase::Asked(asked) => asked,
            other => {
                self.phase = other;
                return;
            }
        };
        match (asked, answer) {
            (Asked::Recipient(recipient), Answer::Recipient(verdict)) => {
                self.judge(*recipient, &verdict, replies);
            }
            (Asked::Verify { smtputf8 }, Answer::Verify(answer)) => {
                self.tell(Verb::Vrfy, replies::verified(&answer, smtputf8), replies);
            }
            (Asked::Expand { smtputf8 }, Answer::Expand(answer)) => {
                self.tell(Verb::Expn, replies::expanded(&answer, smtputf8), replies);
            }
            // The driver mixed answers up.
            _ => replies::INTERNAL.write(replies),
        }
        self.end_if_hopeless(replies);
    }

    /// Who asks for many names that are not there is not after one of them.
    fn tell(&mut self, verb: Verb, reply: Reply, replies: &mut Vec<u8>) {
        match reply.is_permanent() {
            true => self.refuse_command(verb, reply, replies),
            false => self.say(reply, replies),
        };
    }

    fn judge(&mut self, recipient: Recipient, verdict: &Verdict, replies: &mut Vec<u8>) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let settings = &self.server.settings;
        let refusal = match (verdict, &self.permit) {
            (Verdict::Local | Verdict::RelayDomain, _) | (Verdict::Remote, Some(_)) => None,
            (Verdict::Remote, None) => Some(replies::NO_RELAY),
            (Verdict::Unknown, _) => Some(replies::NO_SUCH_USER),
            (Verdict::Moved(to), _) => {
                Some(replies::moved(to, transaction.mail.parameters.smtputf8))
            }
            (Verdict::OverQuota, _) => Some(replies::over_quota(settings.over_quota)),
            (Verdict::Unavailable, _) => Some(replies::DIRECTORY_DOWN),
        };
        match refusal {
            None => {
                transaction.recipients.push(recipient);
                self.say(replies::RECIPIENT_OK, replies);
            }
            Some(reply) => {
                transaction.refused += 1;
                self.refuse(Subject::Recipient(Some(recipient.address)), reply, replies);
            }
        }
    }

    /// Tells what became of the last [`super::Step::Store`]: only a message that is on disk has a queue id.
    pub fn stored(&mut self, outcome: Result<QueueId, NotStored>, replies: &mut Vec<u8>) {
        let from = match std::mem::replace(&mut self.phase, Phase::Commands) {
            Phase::Storing(from) => from,
            other => {
                self.phase = other;
                return;
            }
        };
        match outcome {
            Ok(id) => {
                self.counters.errors = 0;
                self.counters.without_mail = 0;
                replies::queued(id).write(replies);
            }
            Err(why) => {
                let subject = Subject::Message(*from);
                self.refuse(subject, replies::not_stored(why), replies);
            }
        }
    }

    /// Tells that the content of the open transaction cannot be kept: the rest is read and dropped, and then refused.
    pub fn content_lost(&mut self, why: NotStored) {
        if let Some(transaction) = &mut self.transaction {
            transaction.not_stored.get_or_insert(why);
        }
    }
}
