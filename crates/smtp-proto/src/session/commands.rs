//! What each command does.

use mail_types::{ForwardPath, Recipient};

use super::transaction::{Hello, Transaction};
use super::{Asked, HeloName, OVERSHOOT, Phase, Question, Session, Step, Subject};
use crate::command::{ChunkHeader, Command, MailCommand, Query, RcptCommand, Verb};
use crate::content::ContentDecoder;
use crate::replies::{self, Reply};

impl Session {
    pub(super) fn execute(&mut self, command: Command<'_>, replies: &mut Vec<u8>) -> Option<Step> {
        match command {
            Command::Helo(name) => self.hello(name, false, replies),
            Command::Ehlo(name) => self.hello(name, true, replies),
            Command::Mail(mail) => self.mail(*mail, replies),
            Command::Rcpt(rcpt) => self.rcpt(*rcpt, replies),
            Command::Data => self.begin_data(replies),
            Command::Bdat(header) => self.begin_chunk(header),
            Command::Rset => {
                let step = self.reset();
                self.say(replies::OK, replies);
                step
            }
            Command::Noop => self.say(replies::OK, replies),
            Command::Quit => {
                let step = self.reset();
                self.say(replies::BYE, replies);
                self.phase = Phase::Closing;
                step
            }
            Command::Vrfy(query) => self.vrfy(query, replies),
            Command::Expn(query) => self.expn(query, replies),
            Command::Help(verb) => self.say(replies::help(verb), replies),
            Command::NotOffered(verb) => {
                self.refuse_command(verb, replies::not_offered(verb), replies)
            }
        }
    }

    /// RFC 5321 §4.1.4: EHLO within a session is a RSET too.
    fn hello(&mut self, name: &str, extended: bool, replies: &mut Vec<u8>) -> Option<Step> {
        let Some(name) = HeloName::parse(name) else {
            let verb = if extended { Verb::Ehlo } else { Verb::Helo };
            return self.refuse_command(verb, replies::BAD_HELO_NAME, replies);
        };
        self.hello = Some(Hello { name, extended });
        let text = match extended {
            true => &self.server.ehlo,
            false => &self.server.helo,
        };
        replies.extend_from_slice(text.as_bytes());
        self.reset()
    }

    fn mail(&mut self, mail: MailCommand, replies: &mut Vec<u8>) -> Option<Step> {
        if let Some(reply) = self.refuse_mail(&mail) {
            let subject = Subject::Sender(Some(mail.reverse_path));
            return self.refuse(subject, reply, replies);
        }
        self.counters.transactions += 1;
        self.transaction = Some(Box::new(Transaction::new(mail)));
        self.say(replies::SENDER_OK, replies)
    }

    fn refuse_mail(&self, mail: &MailCommand) -> Option<Reply> {
        let settings = &self.server.settings;
        let spent = |limit: std::num::NonZeroU32| self.counters.transactions >= limit.get();
        if self.hello.is_none() {
            Some(replies::NEED_HELLO)
        } else if self.transaction.is_some() {
            Some(replies::NESTED_MAIL)
        } else if settings.message_limit.is_some_and(spent) {
            Some(replies::TOO_MANY_MESSAGES)
        } else if mail.parameters.smtputf8 && !settings.smtputf8 {
            Some(replies::UNKNOWN_PARAMETER)
        } else if mail.parameters.size.unwrap_or(0) > settings.content.size_limit {
            Some(replies::TOO_LARGE)
        } else {
            None
        }
    }

    fn rcpt(&mut self, rcpt: RcptCommand, replies: &mut Vec<u8>) -> Option<Step> {
        let Some(transaction) = &mut self.transaction else {
            return self.refuse_command(Verb::Rcpt, replies::NEED_MAIL, replies);
        };
        if transaction.content.is_some() {
            return self.refuse_command(Verb::Rcpt, replies::CHUNKS_BEGUN, replies);
        }
        let limit = usize::try_from(self.server.settings.recipient_limit).unwrap_or(usize::MAX);
        if transaction.recipients.len() >= limit {
            return self.one_too_many(replies);
        }
        let (address, ask) = match rcpt.forward_path {
            // RFC 5321 §4.5.1: always accepted.
            ForwardPath::Postmaster => (self.server.settings.postmaster.clone(), false),
            ForwardPath::Address(address) => (address, true),
        };
        if address.is_internationalized() && !transaction.mail.parameters.smtputf8 {
            transaction.refused += 1;
            let subject = Subject::Recipient(Some(address));
            return self.refuse(subject, replies::NON_ASCII, replies);
        }
        let question = ask.then(|| Question::Recipient {
            address: address.clone(),
            size: transaction.mail.parameters.size.unwrap_or(0),
        });
        let recipient = Recipient {
            address,
            notify: rcpt.parameters.notify,
            original: rcpt.parameters.original,
        };
        match question {
            Some(question) => {
                self.phase = Phase::Asked(Asked::Recipient(Box::new(recipient)));
                Some(Step::Ask(question))
            }
            None => {
                transaction.recipients.push(recipient);
                self.say(replies::RECIPIENT_OK, replies)
            }
        }
    }

    /// RFC 5321 §4.5.3.1.10: the client will send the others in another transaction. In the log once for each.
    fn one_too_many(&mut self, replies: &mut Vec<u8>) -> Option<Step> {
        let transaction = self.transaction.as_mut()?;
        transaction.overflow += 1;
        match transaction.overflow {
            1 => self.report(Subject::Recipient(None), &replies::TOO_MANY_RECIPIENTS),
            OVERSHOOT.. => self.count_error(),
            _ => {}
        }
        self.say(replies::TOO_MANY_RECIPIENTS, replies)
    }

    /// Why content cannot begin or go on, if it cannot.
    fn refuse_content(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(replies::NEED_MAIL),
            Some(transaction) if !transaction.recipients.is_empty() => None,
            // RFC 5321 §3.3: 554 when all were refused, 503 when there was none.
            Some(transaction) if transaction.refused > 0 => Some(replies::NO_RECIPIENTS),
            Some(_) => Some(replies::NEED_RECIPIENT),
        }
    }

    fn begin_data(&mut self, replies: &mut Vec<u8>) -> Option<Step> {
        if let Some(reply) = self.refuse_content() {
            return self.refuse_command(Verb::Data, reply, replies);
        }
        let transaction = self.transaction.as_mut()?;
        if transaction.content.is_some() {
            return self.refuse_command(Verb::Data, replies::CHUNKS_BEGUN, replies);
        }
        let rules = self.server.settings.content;
        transaction.content = Some(ContentDecoder::with_dots(rules));
        self.phase = Phase::Data;
        self.say(replies::GO_AHEAD, replies);
        Some(Step::BeginContent)
    }

    fn begin_chunk(&mut self, header: ChunkHeader) -> Option<Step> {
        let ChunkHeader { size, last } = header;
        if let Some(reply) = self.refuse_content() {
            // RFC 3030 §2: its octets come all the same.
            let reply = Box::new(reply);
            let left = size;
            self.phase = Phase::RefusedChunk { size, left, reply };
            return None;
        }
        let rules = self.server.settings.content;
        let transaction = self.transaction.as_mut()?;
        let first = transaction.content.is_none();
        let decoder = transaction
            .content
            .get_or_insert_with(|| ContentDecoder::without_dots(rules));
        decoder.expect(size);
        if size == 0 && !last {
            self.counters.without_mail += 1;
        }
        self.phase = Phase::Chunk {
            size,
            left: size,
            last,
        };
        first.then_some(Step::BeginContent)
    }

    fn vrfy(&mut self, query: Query<'_>, replies: &mut Vec<u8>) -> Option<Step> {
        if !self.server.settings.verify {
            return self.say(replies::VRFY_OFF, replies);
        }
        let smtputf8 = query.smtputf8 && self.server.settings.smtputf8;
        self.phase = Phase::Asked(Asked::Verify { smtputf8 });
        Some(Step::Ask(Question::Verify(query.text.to_owned())))
    }

    fn expn(&mut self, query: Query<'_>, replies: &mut Vec<u8>) -> Option<Step> {
        if !self.server.settings.expand {
            return self.refuse_command(Verb::Expn, replies::EXPN_OFF, replies);
        }
        let smtputf8 = query.smtputf8 && self.server.settings.smtputf8;
        self.phase = Phase::Asked(Asked::Expand { smtputf8 });
        Some(Step::Ask(Question::Expand(query.text.to_owned())))
    }
}
