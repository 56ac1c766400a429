//! Help with misspelt words, and the checks that span several settings.

use crate::settings::Config;
use crate::types::quote;

/// How alike two words must be for a suggestion.
const ALIKE: f64 = 0.8;

/// The candidate that was probably meant.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The message for a word that is none of the known ones.
pub(crate) fn unknown_word(word: &str, known: &[&str]) -> String {
    let known: Vec<_> = known.iter().map(|known| quote(known)).collect();
    let hint = did_you_mean(&quote(word), known.iter().map(String::as_str))
        .map(|meant| format!(" (did you mean {meant}?)"))
        .unwrap_or_default();
    format!("{} is not one of {}{hint}", quote(word), known.join(", "))
}

/// The rules between settings: the name of the one to blame and the message.
pub(crate) fn across(config: &Config) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let mut rule = |holds: bool, name: &'static str, message: String| {
        if !holds {
            faults.push((name, message));
        }
    };
    let schedule = &config.schedule;
    rule(
        schedule.retry_min <= schedule.retry_max,
        "schedule.retry_min",
        "schedule.retry_min is longer than schedule.retry_max".to_owned(),
    );
    rule(
        schedule.initial_concurrency <= schedule.max_concurrency,
        "schedule.initial_concurrency",
        "schedule.initial_concurrency is higher than schedule.max_concurrency".to_owned(),
    );
    rule(
        schedule.max_messages <= schedule.max_recipients,
        "schedule.max_recipients",
        "schedule.max_recipients is lower than schedule.max_messages".to_owned(),
    );
    let master = &config.master;
    rule(
        master.restart_delay_min <= master.restart_delay_max,
        "master.restart_delay_min",
        "master.restart_delay_min is longer than master.restart_delay_max".to_owned(),
    );
    let smtpd = &config.smtpd;
    rule(
        smtpd.connection_limit_per_client <= smtpd.connection_limit,
        "smtpd.connection_limit_per_client",
        "smtpd.connection_limit_per_client is higher than smtpd.connection_limit".to_owned(),
    );
    let pop3 = &config.pop3;
    rule(
        pop3.connection_limit_per_client <= pop3.connection_limit,
        "pop3.connection_limit_per_client",
        "pop3.connection_limit_per_client is higher than pop3.connection_limit".to_owned(),
    );
    for domain in &config.domains.relay {
        rule(
            !config.domains.local.contains(domain),
            "domains.relay",
            format!("{domain} is both in domains.local and in domains.relay"),
        );
    }
    faults
}
