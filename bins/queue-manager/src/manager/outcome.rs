//! What attempts came to, and what follows for their recipients.

use ipc::protocol::{LeaseId, WorkOutcome};
use mail_types::{EnhancedStatus, Outcome, QueueId, ReversePath, Timestamp};
use queue::LastReply;
use schedule::{Health, Retry};

use super::message::{Ending, Message, Recipient, Stage};
use super::{AgentId, Manager};
use crate::log;

/// Of what was said, so much is kept.
const MAX_TEXT: usize = 2000;

impl Message {
    /// Whether another recipient of the message goes to the same target, or has been there, and reports in the
    /// same way. One whose delivery is on record already is not known any more.
    pub(super) fn has_twin_of(&self, number: u64) -> bool {
        let Some(one) = self.recipients.get(&number) else {
            return false;
        };
        self.recipients.iter().any(|(&other_number, other)| {
            other_number != number
                && matches!(
                    other.stage,
                    Stage::Waiting
                        | Stage::Leased
                        | Stage::Ended(Ending::Delivered(_))
                        | Stage::Recording(Ending::Delivered(_))
                )
                && other.target == one.target
                && other.owner == one.owner
                && other.notify == one.notify
        })
    }
}

impl Manager {
    pub(super) fn with_recipient(
        &mut self,
        queue_id: QueueId,
        number: u64,
        change: impl FnOnce(&mut Recipient),
    ) {
        let recipient = self
            .messages
            .get_mut(&queue_id)
            .and_then(|message| message.recipients.get_mut(&number));
        if let Some(recipient) = recipient {
            change(recipient);
        }
    }

    /// An agent is done with a work.
    pub(super) fn agent_done(
        &mut self,
        agent: AgentId,
        id: LeaseId,
        outcomes: Vec<WorkOutcome>,
        now: Timestamp,
    ) {
        let Some(lease) = self.agents.end(Some(agent), id) else {
            // What was delivered under it will be delivered again: at least once.
            log::late_outcome(id, outcomes.len());
            return;
        };
        let queue_id = lease.queue_id;
        self.close_lease(&lease, health_of(&outcomes), now);
        for &number in &lease.recipients {
            let outcome = outcomes
                .iter()
                .find(|outcome| outcome.recipient == number)
                .map_or_else(
                    || Outcome::deferred(3, 0, "the delivery service gave no outcome"),
                    |outcome| outcome.outcome.clone(),
                );
            self.take_outcome(queue_id, number, outcome, now);
        }
        self.take_postponed(now);
        self.settle(queue_id, now);
    }

    fn take_outcome(&mut self, queue_id: QueueId, number: u64, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Delivered(delivered) => {
                let text = shortened(delivered.text);
                let Some(message) = self.messages.get_mut(&queue_id) else {
                    return;
                };
                let Some(recipient) = message.recipients.get_mut(&number) else {
                    return;
                };
                log::delivered(queue_id, recipient, &message.facts, &text, now);
                recipient.end(Ending::Delivered(text), now);
            }
            Outcome::Deferred(deferral) => {
                let reply = reply(4, deferral.status, deferral.text);
                self.defer(queue_id, number, reply, true, now);
            }
            Outcome::Failed(failure) => {
                let reply = reply(5, failure.status, failure.text);
                self.fail(queue_id, number, reply, now);
            }
        }
    }

    /// Later, or never, if its time is over.
    pub(super) fn defer(
        &mut self,
        queue_id: QueueId,
        number: u64,
        reply: LastReply,
        attempted: bool,
        now: Timestamp,
    ) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let Some(recipient) = message.recipients.get_mut(&number) else {
            return;
        };
        let nobody = recipient.reverse_path(&message.facts) == ReversePath::Null;
        let policy = self.settings.policy_for(nobody);
        let attempts = recipient.attempts.saturating_add(u32::from(attempted));
        let seed = queue_id.0 ^ number.rotate_left(48) ^ u64::from(attempts).rotate_left(32);
        match policy.retry(message.facts.accepted, attempts, now, seed) {
            Retry::Expired => {
                log::expired(queue_id, recipient, &message.facts, &reply, now);
                recipient.end(Ending::Expired(reply), now);
            }
            Retry::At(due) => {
                log::deferred(queue_id, recipient, &message.facts, &reply, due, now);
                let ending = Ending::Deferred {
                    due,
                    reply,
                    attempted,
                };
                recipient.end(ending, now);
            }
        }
    }

    /// Never.
    pub(super) fn fail(
        &mut self,
        queue_id: QueueId,
        number: u64,
        reply: LastReply,
        now: Timestamp,
    ) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let Some(recipient) = message.recipients.get_mut(&number) else {
            return;
        };
        log::failed(queue_id, recipient, &message.facts, &reply, now);
        recipient.end(Ending::Failed(reply), now);
    }
}

/// What an agent's outcomes say of their destination: it is failing if nobody was served for now.
fn health_of(outcomes: &[WorkOutcome]) -> Health {
    let deferred = |outcome: &WorkOutcome| matches!(outcome.outcome, Outcome::Deferred(_));
    if outcomes.is_empty() {
        Health::Unknown
    } else if outcomes.iter().all(deferred) {
        Health::Failing
    } else {
        Health::Alive
    }
}

/// A reply whose status is of the class that its outcome has, whatever the agent said.
fn reply(class: u8, status: EnhancedStatus, text: String) -> LastReply {
    LastReply {
        status: EnhancedStatus { class, ..status },
        text: shortened(text),
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_fails_only_if_it_served_nobody() {
        let outcome = |outcome| WorkOutcome {
            recipient: 1,
            outcome,
        };
        let later = || outcome(Outcome::deferred(2, 2, "full"));
        let never = || outcome(Outcome::failed(1, 1, "no"));
        let done = || outcome(Outcome::delivered("INBOX"));
        for (outcomes, health) in [
            (vec![], Health::Unknown),
            (vec![later(), later()], Health::Failing),
            (vec![later(), done()], Health::Alive),
            (vec![never()], Health::Alive),
        ] {
            assert_eq!(health_of(&outcomes), health);
        }
    }

    #[test]
    fn replies_have_the_class_of_their_outcome_and_a_bounded_text() {
        let wrong = EnhancedStatus::new(2, 1, 5);
        let said = reply(5, wrong, "ä".repeat(MAX_TEXT));
        assert_eq!(said.status, EnhancedStatus::new(5, 1, 5));
        assert_eq!(said.text.len(), MAX_TEXT);
    }
}
