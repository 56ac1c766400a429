//! Content within a session: DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030).

use super::{Phase, Session, Step, Subject};
use crate::command::Verb;
use crate::replies;

impl Session {
    pub(super) fn data(
        &mut self,
        input: &mut &[u8],
        content: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Option<Step> {
        let transaction = self.transaction.as_mut()?;
        let decoded = transaction.content.as_mut()?.decode(input, content);
        transaction.drop_if_lost(content);
        *input = &input[decoded.used..];
        if let Some(step) = self.drop_if_faulty() {
            // The end may have been seen: the phase must know before the driver comes back.
            if decoded.ended {
                self.end_content(replies);
            }
            return Some(step);
        }
        match decoded.ended {
            true => self.end_content(replies),
            false => Some(Step::NeedInput),
        }
    }

    pub(super) fn chunk(
        &mut self,
        input: &mut &[u8],
        content: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Option<Step> {
        let Phase::Chunk { size, left, last } = &mut self.phase else {
            return None;
        };
        let (size, last) = (*size, *last);
        let (now, rest) = input.split_at(
            usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(input.len()),
        );
        *input = rest;
        *left -= now.len() as u64;
        let complete = *left == 0;
        let transaction = self.transaction.as_mut()?;
        let decoder = transaction.content.as_mut()?;
        decoder.decode(now, content);
        if complete && last {
            decoder.finish(content);
        }
        transaction.drop_if_lost(content);
        let step = self.drop_if_faulty();
        if !complete {
            return step.or(Some(Step::NeedInput));
        }
        let refused = self.refusal_is_known();
        let end = if last || refused {
            self.end_content(replies)
        } else {
            self.phase = Phase::Commands;
            self.say(replies::chunk_received(size), replies);
            self.end_if_hopeless(replies);
            None
        };
        step.or(end)
    }

    /// A failed transaction's chunk: its octets are consumed, then the reply comes.
    pub(super) fn refused_chunk(
        &mut self,
        input: &mut &[u8],
        replies: &mut Vec<u8>,
    ) -> Option<Step> {
        let Phase::RefusedChunk { left, reply, .. } = &mut self.phase else {
            return None;
        };
        let used = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(input.len());
        *input = &input[used..];
        *left -= used as u64;
        if *left > 0 {
            return Some(Step::NeedInput);
        }
        let reply = (**reply).clone();
        self.phase = Phase::Commands;
        let step = self.refuse_command(Verb::Bdat, reply, replies);
        self.end_if_hopeless(replies);
        step
    }

    fn refusal_is_known(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.refusal(&self.server.settings).is_some())
    }

    /// Has the driver drop what it keeps, once, when the content turns out to be refused.
    fn drop_if_faulty(&mut self) -> Option<Step> {
        let transaction = self.transaction.as_mut()?;
        let faulty = transaction.fault().is_some() && !transaction.dropped;
        transaction.dropped |= faulty;
        faulty.then_some(Step::DropContent)
    }

    /// The content was read to its end: it is stored or refused, and the transaction is over either way.
    fn end_content(&mut self, replies: &mut Vec<u8>) -> Option<Step> {
        let transaction = self.transaction.take()?;
        if let Some(reply) = transaction.refusal(&self.server.settings) {
            self.phase = Phase::Commands;
            let subject = Subject::Message(transaction.mail.reverse_path);
            self.refuse(subject, reply, replies);
            self.end_if_hopeless(replies);
            return None;
        }
        self.phase = Phase::Storing(Box::new(transaction.mail.reverse_path.clone()));
        Some(Step::Store(Box::new(transaction.into_envelope())))
    }
}
