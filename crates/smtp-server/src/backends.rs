//! The services behind the sessions.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipc::protocol::{
    ExpnReply, Intake, RecipientReply, RecipientVerdict, Recipients, RecipientsRequest, VrfyReply,
};
use ipc::{CallError, Client};
use mail_types::Address;
use smtp_proto::{Answer, ExpandAnswer, Question, Verdict, VerifyAnswer};

use crate::log;
use crate::throttle::Throttle;
use crate::verdicts::Verdicts;

/// A service that stays away is in the log at most this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Who is asked and who keeps the mail.
pub struct Backends {
    directory: Client<Recipients>,
    pub(crate) queue: Client<Intake>,
    lookup_timeout: Duration,
    verdicts: Verdicts,
    directory_complaints: Throttle,
    queue_complaints: Throttle,
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

impl Backends {
    /// The services behind these sockets, which need not be there yet.
    #[must_use]
    pub fn new(
        directory: impl Into<PathBuf>,
        queue: impl Into<PathBuf>,
        lookup_timeout: Duration,
    ) -> Self {
        Self {
            directory: Client::new(directory),
            queue: Client::new(queue),
            lookup_timeout,
            verdicts: Verdicts::default(),
            directory_complaints: Throttle::new(COMPLAINT_INTERVAL),
            queue_complaints: Throttle::new(COMPLAINT_INTERVAL),
        }
    }

    /// Asks the directory; whatever goes wrong is "cannot say just now".
    pub(crate) async fn ask(&self, question: Question) -> Answer {
        let (request, unavailable) = match question {
            Question::Recipient { address, size } => {
                return Answer::Recipient(self.resolve(address, size).await);
            }
            Question::Verify(query) => (
                RecipientsRequest::Vrfy { query },
                Answer::Verify(VerifyAnswer::Unavailable),
            ),
            Question::Expand(query) => (
                RecipientsRequest::Expn { query },
                Answer::Expand(ExpandAnswer::Unavailable),
            ),
        };
        self.call(&request).await.map_or(unavailable, answer)
    }

    /// What a recipient is to us, from the directory or from what it said a moment ago.
    async fn resolve(&self, address: Address, size: u64) -> Verdict {
        if let Some(verdict) = self.verdicts.get(&address, Instant::now()) {
            return verdict;
        }
        let request = RecipientsRequest::Resolve {
            address: address.clone(),
            size,
        };
        match self.call(&request).await {
            Some(RecipientReply::Verdict { verdict, holds_for }) => {
                let verdict = judged(verdict);
                self.verdicts
                    .keep(address, &verdict, holds_for, Instant::now());
                verdict
            }
            _ => Verdict::Unavailable,
        }
    }

    async fn call(&self, request: &RecipientsRequest) -> Option<RecipientReply> {
        let call = self
            .directory
            .call(request, Bytes::new(), Vec::new(), self.lookup_timeout);
        match call.await {
            Ok(frame) => Some(frame.message),
            Err(error) => {
                complain(&self.directory_complaints, "directory", &error);
                None
            }
        }
    }

    /// The queue could not be asked, or did not answer.
    pub(crate) fn complain_about_queue(&self, error: &CallError) {
        complain(&self.queue_complaints, "queue-manager", error);
    }
}

/// "Cannot say just now", in the kind that was asked for.
pub(crate) fn unavailable(question: &Question) -> Answer {
    match question {
        Question::Recipient { .. } => Answer::Recipient(Verdict::Unavailable),
        Question::Verify(_) => Answer::Verify(VerifyAnswer::Unavailable),
        Question::Expand(_) => Answer::Expand(ExpandAnswer::Unavailable),
    }
}

/// Every client that suffers from it is in the log besides.
fn complain(throttle: &Throttle, service: &str, error: &CallError) {
    if throttle.pass(Instant::now()).is_some() {
        log::service_unavailable(service, error);
    }
}

/// A reply of another kind than asked for comes out as an answer of another kind, which the session refuses.
fn answer(reply: RecipientReply) -> Answer {
    match reply {
        RecipientReply::Verdict { verdict, .. } => Answer::Recipient(judged(verdict)),
        RecipientReply::Vrfy(reply) => Answer::Verify(match reply {
            VrfyReply::Deliverable(address) => VerifyAnswer::Deliverable(address),
            VrfyReply::Ambiguous(addresses) => VerifyAnswer::Ambiguous(addresses),
            VrfyReply::Moved(to) => VerifyAnswer::Moved(to),
            VrfyReply::Remote => VerifyAnswer::Remote,
            VrfyReply::Unknown => VerifyAnswer::Unknown,
            VrfyReply::Unavailable => VerifyAnswer::Unavailable,
        }),
        RecipientReply::Expn(reply) => Answer::Expand(match reply {
            ExpnReply::Members(members) => ExpandAnswer::Members(members),
            ExpnReply::Unknown => ExpandAnswer::Unknown,
            ExpnReply::Unavailable => ExpandAnswer::Unavailable,
        }),
    }
}

fn judged(verdict: RecipientVerdict) -> Verdict {
    match verdict {
        RecipientVerdict::Local => Verdict::Local,
        RecipientVerdict::RelayDomain => Verdict::RelayDomain,
        RecipientVerdict::Remote => Verdict::Remote,
        RecipientVerdict::Unknown => Verdict::Unknown,
        RecipientVerdict::Moved(to) => Verdict::Moved(to),
        RecipientVerdict::OverQuota => Verdict::OverQuota,
        RecipientVerdict::Unavailable => Verdict::Unavailable,
    }
}
