//! The services behind the sessions.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipc::protocol::{
    ExpnReply, Intake, RecipientReply, RecipientVerdict, Recipients, RecipientsRequest, VrfyReply,
};
use ipc::{CallError, Client};
use smtp_proto::{Answer, ExpandAnswer, Question, Verdict, VerifyAnswer};

use crate::log;
use crate::throttle::Throttle;

/// A service that stays away is in the log at most this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Who is asked and who keeps the mail.
pub struct Backends {
    directory: Client<Recipients>,
    pub(crate) queue: Client<Intake>,
    lookup_timeout: Duration,
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
            directory_complaints: Throttle::new(COMPLAINT_INTERVAL),
            queue_complaints: Throttle::new(COMPLAINT_INTERVAL),
        }
    }

    /// Asks the directory; whatever goes wrong is "cannot say just now".
    pub(crate) async fn ask(&self, question: Question) -> Answer {
        let (request, unavailable) = match question {
            Question::Recipient { address, size } => (
                RecipientsRequest::Resolve { address, size },
                Answer::Recipient(Verdict::Unavailable),
            ),
            Question::Verify(query) => (
                RecipientsRequest::Vrfy { query },
                Answer::Verify(VerifyAnswer::Unavailable),
            ),
            Question::Expand(query) => (
                RecipientsRequest::Expn { query },
                Answer::Expand(ExpandAnswer::Unavailable),
            ),
        };
        let call = self
            .directory
            .call(&request, Bytes::new(), Vec::new(), self.lookup_timeout);
        match call.await {
            Ok(frame) => answer(frame.message),
            Err(error) => {
                complain(&self.directory_complaints, "directory", &error);
                unavailable
            }
        }
    }

    /// The queue could not be asked, or did not answer.
    pub(crate) fn complain_about_queue(&self, error: &CallError) {
        complain(&self.queue_complaints, "queue-manager", error);
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
        RecipientReply::Verdict(verdict) => Answer::Recipient(match verdict {
            RecipientVerdict::Local => Verdict::Local,
            RecipientVerdict::RelayDomain => Verdict::RelayDomain,
            RecipientVerdict::Remote => Verdict::Remote,
            RecipientVerdict::Unknown => Verdict::Unknown,
            RecipientVerdict::Moved(to) => Verdict::Moved(to),
            RecipientVerdict::OverQuota => Verdict::OverQuota,
            RecipientVerdict::Unavailable => Verdict::Unavailable,
        }),
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
