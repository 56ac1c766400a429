//! From accepted addresses to where their mail goes: questions to the directory, and what its answers mean.

use std::collections::VecDeque;

use bytes::Bytes;
use ipc::protocol::{
    DeliveryTransport, Expansion, ExpansionLeaf, ExpansionReply, ExpansionRequest, LeafEnd,
};
use ipc::{CallError, Client};
use mail_types::{Address, EnhancedStatus, QueueId, Target, Timestamp};
use queue::{LastReply, NewTarget};
use schedule::Destination;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Duration, Instant};

use super::message::{Ending, FailedMember, Recipient, Stage};
use super::{Hop, Input, Manager};
use crate::log;

/// Addresses in one question (as [`ExpansionRequest`] has it).
const QUESTION: usize = 100;
/// Questions under way at a time.
const QUESTIONS: usize = 4;
/// After a question that was not answered, the next is asked after this.
const PAUSE: Duration = Duration::from_secs(1);

/// What the directory says of an address whose answer found no room beside others ("mailing list expansion
/// problem", RFC 3463 §3.3).
const TOO_MANY: EnhancedStatus = EnhancedStatus::new(4, 2, 4);

/// What is said of mail for elsewhere.
const NO_TRANSPORT: &str = "mail transport unavailable: no smtp-out service is configured";

/// One address to ask for.
struct Question {
    queue_id: QueueId,
    number: u64,
    address: Address,
    /// It was asked together with others, which did not go well.
    alone: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The directory is not there.
    Unavailable(String),
    /// It began, perhaps, and did not end: one of the addresses may be more than it can take.
    Lost(String),
}

/// The questions that wait, and those under way.
pub(super) struct Expander {
    directory: Client<Expansion>,
    inbox: UnboundedSender<Input>,
    time_limit: Duration,
    waiting: VecDeque<Question>,
    under_way: usize,
    /// The question under way is one that is asked alone.
    lone: bool,
    not_before: Option<Instant>,
}

impl Expander {
    pub(super) fn new(
        directory: Client<Expansion>,
        inbox: UnboundedSender<Input>,
        time_limit: Duration,
    ) -> Self {
        Self {
            directory,
            inbox,
            time_limit,
            waiting: VecDeque::new(),
            under_way: 0,
            lone: false,
            not_before: None,
        }
    }

    /// Asks for a recipient's targets; bounded by the recipients in memory.
    pub(super) fn ask(&mut self, queue_id: QueueId, number: u64, address: Address) {
        self.waiting.push_back(Question {
            queue_id,
            number,
            address,
            alone: false,
        });
    }

    fn ask_alone(&mut self, queue_id: QueueId, number: u64, address: Address) {
        self.waiting.push_front(Question {
            queue_id,
            number,
            address,
            alone: true,
        });
    }

    /// Recipients that wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.under_way * QUESTION
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.waiting.is_empty())
    }

    /// What is asked alone has the directory for itself: what kills it must not look like another's fault.
    fn may_ask(&self) -> bool {
        self.waiting.front().is_some_and(|next| match next.alone {
            true => self.under_way == 0,
            false => self.under_way < QUESTIONS && !self.lone,
        })
    }

    /// Sends what waits, many addresses in one question.
    pub(super) fn pump(&mut self, instant: Instant) {
        if self.not_before.is_some_and(|at| instant < at) {
            return;
        }
        self.not_before = None;
        while self.may_ask() {
            let together = self.waiting.iter().take_while(|question| !question.alone);
            let batch = match together.take(QUESTION).count() {
                0 => {
                    self.lone = true;
                    1
                }
                batch => batch,
            };
            let mut asked = Vec::with_capacity(batch);
            let mut addresses = Vec::with_capacity(batch);
            for question in self.waiting.drain(..batch) {
                asked.push((question.queue_id, question.number));
                addresses.push(question.address);
            }
            self.under_way += 1;
            tokio::spawn(question(
                self.directory.clone(),
                self.inbox.clone(),
                self.time_limit,
                asked,
                ExpansionRequest { addresses },
            ));
        }
    }
}

async fn question(
    directory: Client<Expansion>,
    inbox: UnboundedSender<Input>,
    time_limit: Duration,
    asked: Vec<(QueueId, u64)>,
    request: ExpansionRequest,
) {
    let answer = directory
        .call(&request, Bytes::new(), Vec::new(), time_limit)
        .await;
    let answer = match answer {
        Ok(frame) if frame.message.leaves.len() == asked.len() => Ok(frame.message),
        Ok(_) => Err(Unanswered::Lost(
            "it did not answer for every address".to_owned(),
        )),
        Err(error @ CallError::Lost { .. }) => Err(Unanswered::Lost(error.to_string())),
        Err(error) => Err(Unanswered::Unavailable(error.to_string())),
    };
    // Without a manager there is nobody to tell.
    let _ = inbox.send(Input::Expanded { asked, answer });
}

impl Manager {
    /// Takes the directory's answer, or that there was none.
    pub(super) fn expanded(
        &mut self,
        asked: Vec<(QueueId, u64)>,
        answer: Result<ExpansionReply, Unanswered>,
        now: Timestamp,
    ) {
        self.expander.under_way -= 1;
        self.expander.lone = false;
        let together = asked.len() > 1;
        let mut changed: Vec<QueueId> = asked.iter().map(|(queue_id, _)| *queue_id).collect();
        changed.dedup();
        match answer {
            Ok(reply) => {
                for ((queue_id, number), leaves) in asked.into_iter().zip(reply.leaves) {
                    self.take_leaves(queue_id, number, leaves, together, now);
                }
            }
            Err(Unanswered::Lost(reason)) if together => {
                log::directory_failed(&reason);
                for (queue_id, number) in asked {
                    self.ask_again_alone(queue_id, number);
                }
            }
            Err(Unanswered::Lost(reason) | Unanswered::Unavailable(reason)) => {
                log::directory_failed(&reason);
                self.expander.not_before = Some(Instant::now() + PAUSE);
                for (queue_id, number) in asked {
                    if self.is_expanding(queue_id, number) {
                        let reply = LastReply {
                            status: EnhancedStatus::new(4, 3, 0),
                            text: "the directory of addresses is not available".to_owned(),
                        };
                        self.defer(queue_id, number, reply, false, now);
                    }
                }
            }
        }
        for queue_id in changed {
            self.settle(queue_id, now);
        }
    }

    fn ask_again_alone(&mut self, queue_id: QueueId, number: u64) {
        if !self.is_expanding(queue_id, number) {
            return;
        }
        let message = self.messages.get(&queue_id);
        let recipient = message.and_then(|message| message.recipients.get(&number));
        if let Some(address) = recipient.map(|recipient| recipient.accepted_as.clone()) {
            self.expander.ask_alone(queue_id, number, address);
        }
    }

    /// Whether an answer about this recipient is still wanted.
    fn is_expanding(&self, queue_id: QueueId, number: u64) -> bool {
        self.messages
            .get(&queue_id)
            .filter(|message| !message.withdrawn)
            .and_then(|message| message.recipients.get(&number))
            .is_some_and(|recipient| {
                recipient.target.is_none() && matches!(recipient.stage, Stage::Expanding)
            })
    }

    fn take_leaves(
        &mut self,
        queue_id: QueueId,
        number: u64,
        leaves: Vec<ExpansionLeaf>,
        together: bool,
        now: Timestamp,
    ) {
        if !self.is_expanding(queue_id, number) {
            return;
        }
        match Leaves::sort(leaves) {
            Leaves::One(target) => {
                self.with_recipient(queue_id, number, |recipient| {
                    recipient.target = Some(target);
                    recipient.stage = Stage::Ready;
                });
            }
            // There was no room for it in an answer for many.
            Leaves::Deferred(reply) if together && reply.status == TOO_MANY => {
                self.ask_again_alone(queue_id, number);
            }
            Leaves::Deferred(reply) => self.defer(queue_id, number, reply, false, now),
            Leaves::Failed(member) => {
                self.with_recipient(queue_id, number, |recipient| recipient.owner = member.owner);
                self.fail(queue_id, number, member.reply, now);
            }
            Leaves::Many { targets, failures } => {
                self.replace(queue_id, number, targets, failures, now);
            }
        }
    }

    fn replace(
        &mut self,
        queue_id: QueueId,
        number: u64,
        targets: Vec<NewTarget>,
        failures: Vec<FailedMember>,
        now: Timestamp,
    ) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let Some(recipient) = message.recipients.get_mut(&number) else {
            return;
        };
        log::expanded(queue_id, &recipient.accepted_as, targets.len());
        for member in &failures {
            log::failed(queue_id, recipient, &message.facts, &member.reply, now);
        }
        recipient.end(Ending::Replaced { targets, failures }, now);
    }

    /// Lines up recipients whose target is known, as many as the scheduler has room for; of each message it
    /// always takes one, so the others follow when that one has ended.
    ///
    /// A second recipient for the same target is merged into the first, as the store does with those from an
    /// expansion.
    pub(super) fn line_up(&mut self, queue_id: QueueId, now: Timestamp) {
        let room = self.scheduler.recipients_room(queue_id);
        let Some(message) = self.messages.get(&queue_id) else {
            return;
        };
        let ready = |(_, recipient): &(&u64, &Recipient)| matches!(recipient.stage, Stage::Ready);
        let ready = message.recipients.iter().filter(ready);
        let numbers: Vec<u64> = ready.map(|(number, _)| *number).take(room).collect();
        let lined_up: Vec<_> = numbers
            .into_iter()
            .filter_map(|number| Some((number, self.place(queue_id, number, now)?)))
            .collect();
        if lined_up.is_empty() {
            return;
        }
        let complete = self.messages.get(&queue_id).is_some_and(|m| m.read_all);
        let added = self
            .scheduler
            .add_recipients(queue_id, lined_up, complete, now);
        if let Err(misuse) = added {
            // The store knows all of it: begin anew from there.
            log::misuse(queue_id, &misuse);
            self.withdraw(queue_id, now);
            self.loader.restart();
        }
        self.take_postponed(now);
    }

    /// Where a ready recipient lines up; `None` if it has come to an end instead.
    fn place(
        &mut self,
        queue_id: QueueId,
        number: u64,
        now: Timestamp,
    ) -> Option<Destination<DeliveryTransport, Hop>> {
        let message = self.messages.get_mut(&queue_id)?;
        let merged = message.recipients.len() > 1 && message.has_twin_of(number);
        let recipient = message.recipients.get_mut(&number)?;
        let target = recipient.target.clone()?;
        if merged {
            log::merged(queue_id, &recipient.accepted_as, &target);
            recipient.end(Ending::Merged, now);
            return None;
        }
        if matches!(target, Target::Remote(_)) {
            let reply = LastReply {
                status: EnhancedStatus::new(4, 3, 5),
                text: NO_TRANSPORT.to_owned(),
            };
            self.defer(queue_id, number, reply, true, now);
            return None;
        }
        recipient.stage = Stage::Waiting;
        let next_hop = Hop {
            target,
            owner: recipient.owner.clone(),
        };
        let transport = DeliveryTransport::Local;
        Some(Destination {
            transport,
            next_hop,
        })
    }
}

/// What an expansion means for its recipient.
enum Leaves {
    /// One target: expanding again costs less than storing it.
    One(Target),
    /// Not known just now.
    Deferred(LastReply),
    /// Nowhere.
    Failed(FailedMember),
    /// To be stored in the recipient's place.
    Many {
        targets: Vec<NewTarget>,
        failures: Vec<FailedMember>,
    },
}

impl Leaves {
    fn sort(leaves: Vec<ExpansionLeaf>) -> Self {
        let mut targets = Vec::new();
        let mut failures = Vec::new();
        for leaf in leaves {
            match leaf.end {
                LeafEnd::Target(target) => targets.push(NewTarget {
                    target,
                    owner: leaf.owner,
                }),
                LeafEnd::Failed(failure) => failures.push(FailedMember {
                    reply: LastReply {
                        status: failure.status,
                        text: failure.text,
                    },
                    owner: leaf.owner,
                }),
                // All of it again later: what is stored in part could not be told from all of it.
                LeafEnd::Deferred(deferral) => {
                    return Self::Deferred(LastReply {
                        status: deferral.status,
                        text: deferral.text,
                    });
                }
            }
        }
        match (targets.len(), failures.len()) {
            (0, 0) => Self::Deferred(LastReply {
                status: EnhancedStatus::new(4, 3, 0),
                text: "the directory named no target".to_owned(),
            }),
            (0, _) => Self::Failed(joined(failures)),
            (1, 0) if targets[0].owner.is_none() => Self::One(targets.remove(0).target),
            _ => Self::Many { targets, failures },
        }
    }
}

/// Several failures of one recipient are one failure, with every reason.
fn joined(failures: Vec<FailedMember>) -> FailedMember {
    let first = failures.first();
    let status = first.map_or(EnhancedStatus::new(5, 1, 0), |first| first.reply.status);
    let owner = first.and_then(|first| first.owner.clone());
    let texts: Vec<String> = failures
        .into_iter()
        .map(|failure| failure.reply.text)
        .collect();
    let text = texts.join("; ");
    FailedMember {
        reply: LastReply { status, text },
        owner,
    }
}
