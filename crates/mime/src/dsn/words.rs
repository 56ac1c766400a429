//! The part for people: who was not reached, what was said, what that means and what to do.

use mail_types::EnhancedStatus;

use super::{Action, Report, ReportRecipient};

/// Lines of words are broken here; what was said keeps its words whole.
const WIDTH: usize = 74;

/// The report's Subject.
pub(super) fn subject(recipients: &[ReportRecipient]) -> &'static str {
    let any = |wanted: fn(Action) -> bool| recipients.iter().any(|r| wanted(r.action));
    if any(|action| matches!(action, Action::Failed | Action::Expired)) {
        "Your message could not be delivered"
    } else if any(|action| action == Action::Delayed) {
        "Your message is delayed"
    } else {
        "Your message was delivered"
    }
}

pub(super) fn write(report: &Report<'_>, whole: bool) -> String {
    let mut out = String::new();
    let host = report.hostname;
    paragraph(&mut out, "", &format!("This is the mail system of {host}."));
    for (actions, opening) in [
        (
            &[Action::Failed, Action::Expired][..],
            "Your message could not be delivered to:",
        ),
        (
            &[Action::Delayed],
            "Your message could not be delivered yet. It will be tried further, and you need not \
             send it again. It is for:",
        ),
        (
            &[Action::Delivered],
            "As you asked to be told: your message was delivered to:",
        ),
        (
            &[Action::Relayed],
            "Your message was passed on to a system that will not report to you about:",
        ),
    ] {
        let mut recipients = report
            .recipients
            .iter()
            .filter(|recipient| actions.contains(&recipient.action))
            .peekable();
        if recipients.peek().is_some() {
            paragraph(&mut out, "", opening);
            recipients.for_each(|recipient| write_recipient(&mut out, recipient));
        }
    }
    let attached = if whole { "" } else { "The header of " };
    let your = if whole { "Your" } else { "your" };
    let help = format!(
        "{attached}{your} message is attached. If you need help, write to <{}> and add this report.",
        report.postmaster
    );
    paragraph(&mut out, "", &help);
    out
}

fn write_recipient(out: &mut String, recipient: &ReportRecipient) {
    out.push_str(&format!("  <{}>", recipient.final_recipient));
    if let Some(written) = &recipient.expanded_from {
        out.push_str(&format!(" (reached through <{written}>)"));
    }
    out.push_str("\r\n");
    if let Some(said) = &recipient.diagnostic {
        let who = match &recipient.remote_mta {
            Some(mta) => format!("{mta} said:"),
            None => "The reason given:".to_owned(),
        };
        lines(out, "    ", &who);
        lines(out, "        ", said);
    }
    if matches!(recipient.action, Action::Delivered | Action::Relayed) {
        out.push_str("\r\n");
        return;
    }
    let (means, remedy) = meaning(recipient.status);
    let means = if recipient.action == Action::Expired {
        "It was tried until the time for which mail is kept here was over; the reason is that of the \
         last attempt."
    } else {
        means
    };
    lines(out, "    ", &format!("What it means: {means}"));
    if recipient.action == Action::Expired {
        lines(
            out,
            "    ",
            "What you can do: find out by other means whether mail reaches this recipient, then \
             send the message again.",
        );
    } else if recipient.action != Action::Delayed {
        lines(out, "    ", &format!("What you can do: {remedy}"));
    }
    out.push_str("\r\n");
}

/// What an enhanced status means to the person who wrote the message (RFC 3463 §3).
fn meaning(status: EnhancedStatus) -> (&'static str, &'static str) {
    match (status.subject, status.detail) {
        (1, 1) => (
            "there is no mailbox of this name.",
            "look for a typing error before the @, correct it and send the message again.",
        ),
        (1, 2 | 10) => (
            "no mail system serves the part after the @.",
            "look for a typing error after the @, correct it and send the message again.",
        ),
        (1, 6) => (
            "the recipient has moved to another address.",
            "ask for the new address.",
        ),
        (2, 2) => (
            "the recipient's mailbox is full.",
            "tell the recipient by other means, and send the message again when there is room.",
        ),
        (2, 3) | (3, 4) => (
            "the message is larger than the recipient may receive.",
            "send it smaller, or give the recipient a link to what it holds.",
        ),
        (2, _) => (
            "the recipient's mailbox takes no mail.",
            "tell the recipient by other means.",
        ),
        (3, _) => (
            "a mail system on the way failed.",
            "send the message again later; if that fails too, ask the help address below.",
        ),
        (4, 6) => (
            "the message went round in a circle between mail systems or aliases.",
            "tell the help address below: an administrator must correct it.",
        ),
        (4, _) => (
            "the recipient's mail system could not be reached.",
            "send the message again later.",
        ),
        (5 | 6, _) => (
            "the recipient's mail system could not take the message in this form.",
            "send it as plain text, without unusual characters in addresses or attachments.",
        ),
        (7, _) => (
            "the message was refused because of a rule.",
            "ask the recipient by other means to allow your mail, or ask the help address below.",
        ),
        _ => (
            "the message was refused.",
            "the reason given may help you; else ask the help address below.",
        ),
    }
}

fn paragraph(out: &mut String, indent: &str, text: &str) {
    lines(out, indent, text);
    out.push_str("\r\n");
}

/// Appends text in lines, each with the indent. Control characters become spaces.
fn lines(out: &mut String, indent: &str, text: &str) {
    for line in text.lines() {
        let clean = line.replace(|c: char| c.is_control(), " ");
        let mut column = 0;
        for word in clean.split_whitespace() {
            if column > 0 && column + 1 + word.chars().count() > WIDTH {
                out.push_str("\r\n");
                column = 0;
            }
            column = push_word(out, indent, word, column);
        }
        out.push_str("\r\n");
    }
}

/// A word longer than any line is broken at the length that no line may exceed (RFC 5322 §2.1.1).
fn push_word(out: &mut String, indent: &str, word: &str, mut column: usize) -> usize {
    const LONGEST: usize = 900;
    out.push_str(if column == 0 { indent } else { " " });
    column += if column == 0 { indent.len() } else { 1 };
    let mut rest = word;
    while rest.len() > LONGEST {
        let (line, after) = rest.split_at(rest.floor_char_boundary(LONGEST));
        out.push_str(line);
        out.push_str("\r\n");
        out.push_str(indent);
        rest = after;
        column = indent.len();
    }
    out.push_str(rest);
    column + rest.chars().count()
}
