//! An active message and the stages of its recipients in memory.
//!
//! | stage | on disk | leaves it by |
//! |---|---|---|
//! | expanding | pending | the directory's answer |
//! | ready | pending | room in the scheduler |
//! | waiting | pending | a lease |
//! | leased | pending | an outcome, or the lease's end |
//! | ended | pending | an update |
//! | recording | pending | COMMIT (an error leads back to ended) |
//! | owed | delivered or failed | the update that enqueues the report |

use std::collections::BTreeMap;

use bytes::Bytes;
use mail_types::{
    Address, BodyKind, Notify, OriginalRecipient, ReturnContent, ReversePath, Target, Timestamp,
};
use queue::{LastReply, NewTarget, RecipientState, StoredMessage, StoredRecipient};
use schedule::Kind;

use crate::admission::Place;

/// `protocol` of the origin of a notice to postmaster about a report that failed. When the notice fails
/// too, that is the end.
pub(crate) const NOTICE: &str = "notice";
/// `protocol` of the origin of a report.
pub(crate) const REPORT: &str = "report";

/// What does not change about a message.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) accepted: Timestamp,
    pub(crate) size: u64,
    pub(crate) reverse_path: ReversePath,
    pub(crate) body: BodyKind,
    pub(crate) smtputf8: bool,
    pub(crate) return_content: Option<ReturnContent>,
    pub(crate) envelope_id: Option<String>,
    /// See [`NOTICE`].
    pub(crate) is_notice: bool,
}

impl Facts {
    pub(crate) fn of(stored: StoredMessage) -> Self {
        Self {
            accepted: stored.accepted,
            size: stored.size,
            is_notice: stored.origin.session.is_none() && stored.origin.protocol == NOTICE,
            reverse_path: stored.reverse_path,
            body: stored.body,
            smtputf8: stored.smtputf8,
            return_content: stored.return_content,
            envelope_id: stored.envelope_id,
        }
    }
}

impl Facts {
    /// The reverse-path, unless an alias has an owner.
    pub(crate) fn reverse_path_with(&self, owner: Option<&Address>) -> ReversePath {
        match owner {
            Some(owner) => ReversePath::Address(owner.clone()),
            None => self.reverse_path.clone(),
        }
    }
}

/// An active message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) facts: Facts,
    /// The stream it came from.
    pub(crate) kind: Kind,
    /// Kept from acceptance, with its place.
    pub(crate) content: Option<(Bytes, Place)>,
    pub(crate) recipients: BTreeMap<u64, Recipient>,
    /// The highest recipient number that was read from the store.
    pub(crate) read_to: Option<u64>,
    /// The store has no more recipients of it that are due.
    pub(crate) read_all: bool,
    /// An update of it is with the store.
    pub(crate) recording: bool,
    /// That update also takes it out of memory.
    pub(crate) parking: bool,
    /// The last update failed, and that was said.
    pub(crate) unrecorded: bool,
    /// An administrator moved it: nothing new is begun.
    pub(crate) withdrawn: bool,
}

impl Message {
    pub(crate) fn new(facts: Facts, kind: Kind) -> Self {
        Self {
            facts,
            kind,
            content: None,
            recipients: BTreeMap::new(),
            read_to: None,
            read_all: false,
            recording: false,
            unrecorded: false,
            parking: false,
            withdrawn: false,
        }
    }

    /// Recipients that wait for the directory or for room in the scheduler.
    pub(crate) fn outside(&self) -> usize {
        let outside = |stage: &Stage| matches!(stage, Stage::Expanding | Stage::Ready);
        self.recipients
            .values()
            .filter(|recipient| outside(&recipient.stage))
            .count()
    }

    /// Recipients whose attempt is not over.
    pub(crate) fn open(&self) -> usize {
        self.recipients
            .values()
            .filter(|recipient| recipient.stage.is_open())
            .count()
    }
}

/// One recipient of an active message.
#[derive(Debug)]
pub(crate) struct Recipient {
    pub(crate) accepted_as: Address,
    pub(crate) notify: Option<Notify>,
    pub(crate) original: Option<OriginalRecipient>,
    /// Known once it was expanded.
    pub(crate) target: Option<Target>,
    pub(crate) owner: Option<Address>,
    pub(crate) attempts: u32,
    /// When it came to its end.
    pub(crate) ended: Option<Timestamp>,
    /// Leases of it that ended without an outcome, since it came into memory.
    pub(crate) lapses: u32,
    pub(crate) stage: Stage,
}

impl Recipient {
    pub(crate) fn of(stored: StoredRecipient) -> Self {
        let recorded = |reply: Option<LastReply>| {
            reply.unwrap_or_else(|| LastReply {
                status: mail_types::EnhancedStatus::new(5, 0, 0),
                text: "no reason was recorded".to_owned(),
            })
        };
        let stage = match stored.state {
            RecipientState::Pending if stored.target.is_some() => Stage::Ready,
            RecipientState::Pending => Stage::Expanding,
            RecipientState::Delivered => Stage::Owed(Ending::Delivered(
                stored
                    .last_reply
                    .map(|reply| reply.text)
                    .unwrap_or_default(),
            )),
            RecipientState::Failed => {
                let reply = recorded(stored.last_reply);
                // The class tells why it ended: 4 is a temporary reason that lasted too long.
                Stage::Owed(if reply.status.class == 4 {
                    Ending::Expired(reply)
                } else {
                    Ending::Failed(reply)
                })
            }
        };
        let ended = matches!(stage, Stage::Owed(_)).then_some(stored.due);
        Self {
            accepted_as: stored.accepted_as,
            notify: stored.notify,
            original: stored.original,
            target: stored.target,
            owner: stored.owner,
            attempts: stored.attempts,
            ended,
            lapses: 0,
            stage,
        }
    }

    /// Whom its reports go to, and its Return-Path.
    pub(crate) fn reverse_path(&self, facts: &Facts) -> ReversePath {
        facts.reverse_path_with(self.owner.as_ref())
    }

    pub(crate) fn end(&mut self, ending: Ending, now: Timestamp) {
        self.ended = Some(now);
        self.stage = Stage::Ended(ending);
    }
}

/// See the table above.
#[derive(Debug)]
pub(crate) enum Stage {
    Expanding,
    Ready,
    Waiting,
    Leased,
    Ended(Ending),
    Recording(Ending),
    Owed(Ending),
}

impl Stage {
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Expanding | Self::Ready | Self::Waiting | Self::Leased
        )
    }
}

/// How it went on for a recipient.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// It is in its mailbox.
    Delivered(String),
    /// Never.
    Failed(LastReply),
    /// Its time is over.
    Expired(LastReply),
    /// Later.
    Deferred {
        due: Timestamp,
        reply: LastReply,
        attempted: bool,
    },
    /// It stood for others. Those that failed are reported with the same step.
    Replaced {
        targets: Vec<NewTarget>,
        failures: Vec<FailedMember>,
    },
    /// The message goes there for another recipient anyway.
    Merged,
}

/// A member of an alias that cannot be reached.
#[derive(Clone, Debug)]
pub(crate) struct FailedMember {
    pub(crate) reply: LastReply,
    /// Who is told, when the alias has an owner.
    pub(crate) owner: Option<Address>,
}
