//! Entry points for fuzzing; the corpora are replayed by the tests of the workspace.

use std::sync::Arc;

use mail_types::{Address, QueueId};

use crate::content::{ContentDecoder, ContentRules, NewlinePolicy, NulPolicy};
use crate::{
    Answer, ExpandAnswer, OverQuotaReply, Question, Server, Session, Settings, Step, Verdict,
    VerifyAnswer, parse_command,
};

const RULES: ContentRules = ContentRules {
    newlines: NewlinePolicy::Refuse,
    nul: NulPolicy::Refuse,
    size_limit: 1 << 16,
    line_limit: 1000,
    hop_limit: 5,
};

/// A command line.
pub fn fuzz_command(data: &[u8]) {
    let _ = parse_command(data);
}

/// Content: the first octet chooses the rules and where the rest is cut; both halves must mean what the whole means.
pub fn fuzz_content(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let rules = ContentRules {
        newlines: match choice & 1 {
            0 => NewlinePolicy::Refuse,
            _ => NewlinePolicy::Normalize,
        },
        ..RULES
    };
    let decoder = match choice & 2 {
        0 => ContentDecoder::with_dots(rules),
        _ => ContentDecoder::without_dots(rules),
    };
    let (mut whole, mut cut) = (decoder.clone(), decoder);
    let (mut whole_out, mut cut_out) = (Vec::new(), Vec::new());
    let all = whole.decode(data, &mut whole_out);
    let (head, tail) = data.split_at(data.len().min(usize::from(choice >> 2)));
    let mut used = cut.decode(head, &mut cut_out);
    if !used.ended {
        let rest = cut.decode(tail, &mut cut_out);
        used.used += rest.used;
        used.ended = rest.ended;
    }
    assert_eq!((used, cut.fault()), (all, whole.fault()));
    if whole.fault().is_none() {
        assert_eq!(cut_out, whole_out);
    }
}

/// A whole session: each piece of input is as long as its first octet says.
pub fn fuzz_session(data: &[u8]) {
    let Some(server) = server() else {
        return;
    };
    let mut session = Session::new(server, None);
    let (mut content, mut replies) = (Vec::new(), Vec::new());
    session.greet(false, &mut replies);
    let (mut pending, mut rest) = (Vec::new(), data);
    while let Some((&length, tail)) = rest.split_first() {
        let (piece, tail) = tail.split_at(tail.len().min(usize::from(length)));
        rest = tail;
        pending.extend_from_slice(piece);
        let mut input = pending.as_slice();
        loop {
            match session.advance(&mut input, &mut content, &mut replies) {
                Step::NeedInput => break,
                Step::Close => return,
                Step::Ask(question) => session.answer(reply_to(&question), &mut replies),
                Step::Store(_) => session.stored(Ok(QueueId(1)), &mut replies),
                Step::DropContent => content.clear(),
                Step::BeginContent | Step::Report(_) => {}
            }
        }
        pending = input.to_vec();
        assert!(
            pending.len() < 512,
            "a session must not leave more than a line unread"
        );
    }
}

fn reply_to(question: &Question) -> Answer {
    match question {
        Question::Recipient { address, .. } => {
            Answer::Recipient(match address.to_string().len() % 5 {
                0 => Verdict::Remote,
                1 => Verdict::Unknown,
                2 => Verdict::Moved(address.clone()),
                _ => Verdict::Local,
            })
        }
        Question::Verify(_) => Answer::Verify(VerifyAnswer::Unknown),
        Question::Expand(_) => Answer::Expand(ExpandAnswer::Unavailable),
    }
}

fn server() -> Option<Arc<Server>> {
    Some(Arc::new(Server::new(Settings {
        hostname: "mail.example".to_owned(),
        greeting: String::new(),
        postmaster: Address::parse("postmaster@mail.example").ok()?,
        recipient_limit: 3,
        message_limit: None,
        command_line_limit: 512,
        content: RULES,
        soft_error_limit: 5,
        hard_error_limit: 20,
        junk_command_limit: 20,
        commands_without_mail_limit: 50,
        smtputf8: true,
        verify: true,
        expand: true,
        strict_pipelining: false,
        over_quota: OverQuotaReply::Temporary,
    })))
}
