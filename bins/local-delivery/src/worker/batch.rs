//! The reports of one batch, gathered until each frame's are complete.

use mail_types::Outcome;

use crate::worker_protocol::{Report, WorkerReply};

/// One frame's reports.
pub struct Answers {
    id: u32,
    reports: Vec<Report>,
    missing: usize,
}

impl Answers {
    /// For the frame `id` with so many recipients.
    pub fn new(id: u32, recipients: usize) -> Self {
        Self {
            id,
            reports: Vec::with_capacity(recipients),
            missing: recipients,
        }
    }

    /// Takes one recipient's outcome; with the last one, answers the frame.
    pub fn report(
        &mut self,
        recipient: u64,
        outcome: Outcome,
        problem: Option<String>,
        answer: &mut dyn FnMut(u32, WorkerReply),
    ) {
        self.reports.push(Report {
            recipient,
            outcome,
            problem,
        });
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 {
            answer(
                self.id,
                WorkerReply::Reports(std::mem::take(&mut self.reports)),
            );
        }
    }
}
