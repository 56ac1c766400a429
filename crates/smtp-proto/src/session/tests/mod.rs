//! A driver in memory, and what sessions say to it.

mod dialogs;
mod framing;

use std::num::NonZeroU32;

use mail_types::QueueId;

use super::*;
use crate::content::{ContentRules, NewlinePolicy, NulPolicy};
use crate::permit::RelayGround;
use crate::settings::{OverQuotaReply, Settings};

fn settings() -> Settings {
    Settings {
        hostname: "mail.example".to_owned(),
        greeting: "Posthouse".to_owned(),
        postmaster: Address::parse("postmaster@home.example").unwrap(),
        recipient_limit: 3,
        message_limit: NonZeroU32::new(5),
        command_line_limit: 200,
        content: ContentRules {
            newlines: NewlinePolicy::Refuse,
            nul: NulPolicy::Refuse,
            size_limit: 500,
            line_limit: 200,
            hop_limit: 2,
        },
        soft_error_limit: 3,
        hard_error_limit: 6,
        junk_command_limit: 5,
        commands_without_mail_limit: 12,
        smtputf8: true,
        verify: true,
        expand: true,
        strict_pipelining: true,
        over_quota: OverQuotaReply::Temporary,
    }
}

/// A driver in memory: a directory of a few names, a queue that numbers what it gets.
struct Driver {
    session: Session,
    pending: Vec<u8>,
    replies: Vec<u8>,
    content: Vec<u8>,
    stored: Vec<(Envelope, String)>,
    reports: Vec<String>,
    outcome: Result<(), NotStored>,
    closed: bool,
}

impl Driver {
    fn new(settings: Settings, trusted: bool) -> Self {
        let permit = trusted.then(|| RelayPermit::because(RelayGround::TrustedNetwork));
        let server = Arc::new(Server::new(settings));
        let mut session = Session::new(server, permit);
        let mut replies = Vec::new();
        session.greet(false, &mut replies);
        assert_eq!(replies, b"220 mail.example ESMTP Posthouse\r\n");
        Self {
            session,
            pending: Vec::new(),
            replies: Vec::new(),
            content: Vec::new(),
            stored: Vec::new(),
            reports: Vec::new(),
            outcome: Ok(()),
            closed: false,
        }
    }

    fn greeted() -> Self {
        let mut driver = Self::new(settings(), false);
        driver.say("EHLO client.example\r\n");
        driver
    }

    fn say(&mut self, input: impl AsRef<[u8]>) -> String {
        let mut input_with_rest = std::mem::take(&mut self.pending);
        input_with_rest.extend_from_slice(input.as_ref());
        let mut input = input_with_rest.as_slice();
        while !self.closed {
            match self
                .session
                .advance(&mut input, &mut self.content, &mut self.replies)
            {
                Step::NeedInput => break,
                Step::Ask(question) => self.session.answer(answer(&question), &mut self.replies),
                Step::BeginContent => assert!(self.content.is_empty()),
                Step::DropContent => self.content.clear(),
                Step::Store(envelope) => {
                    let content = String::from_utf8(std::mem::take(&mut self.content)).unwrap();
                    self.stored.push((*envelope, content));
                    let id = QueueId(self.stored.len() as u64);
                    self.session
                        .stored(self.outcome.map(|()| id), &mut self.replies);
                }
                Step::Report(report) => {
                    self.reports
                        .push(format!("{}: {}", name(&report.subject), report.reply))
                }
                Step::Close => self.closed = true,
            }
        }
        self.pending = input.to_vec();
        String::from_utf8(std::mem::take(&mut self.replies)).unwrap()
    }

    /// Each line of `dialog` is `> command` or the start of a reply line.
    fn dialog(&mut self, dialog: &str) {
        let mut expected = dialog
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .peekable();
        while let Some(line) = expected.next() {
            let command = line
                .strip_prefix("> ")
                .unwrap_or_else(|| panic!("not a command: {line}"));
            let replies = self.say(
                format!("{command}\r\n")
                    .replace("\\r\\n", "\r\n")
                    .replace("\\n", "\n"),
            );
            for reply in replies.lines() {
                let wanted = expected.next_if(|line| !line.starts_with("> "));
                let wanted = wanted.unwrap_or_else(|| panic!("{command}: not expected: {reply}"));
                assert!(
                    reply.starts_with(wanted),
                    "{command}: {reply}, not {wanted}"
                );
            }
            if let Some(missing) = expected.next_if(|line| !line.starts_with("> ")) {
                panic!("{command}: no reply {missing}");
            }
        }
    }
}

fn name(subject: &Subject) -> String {
    match subject {
        Subject::Recipient(Some(address)) => format!("<{address}>"),
        other => format!("{other:?}"),
    }
}

fn answer(question: &Question) -> Answer {
    let address = |text| Address::parse(text).unwrap();
    match question {
        Question::Recipient { address: asked, .. } => {
            Answer::Recipient(match asked.to_string().as_str() {
                "moved@home.example" => Verdict::Moved(address("new@there.example")),
                "full@home.example" => Verdict::OverQuota,
                "broken@home.example" => Verdict::Unavailable,
                "nobody@home.example" => Verdict::Unknown,
                name if name.ends_with("@home.example") => Verdict::Local,
                name if name.ends_with("@relay.example") => Verdict::RelayDomain,
                _ => Verdict::Remote,
            })
        }
        Question::Verify(name) => Answer::Verify(match name.as_str() {
            "alice" => VerifyAnswer::Deliverable(address("alice@home.example")),
            "jürgen" => VerifyAnswer::Deliverable(address("jürgen@home.example")),
            "a" => VerifyAnswer::Ambiguous(vec![address("a@x.example"), address("a@y.example")]),
            "moved" => VerifyAnswer::Moved(address("new@there.example")),
            "broken" => VerifyAnswer::Unavailable,
            "x@y.example" => VerifyAnswer::Remote,
            _ => VerifyAnswer::Unknown,
        }),
        Question::Expand(name) => Answer::Expand(match name.as_str() {
            "list" => ExpandAnswer::Members(vec![address("a@x.example"), address("b@x.example")]),
            _ => ExpandAnswer::Unknown,
        }),
    }
}
