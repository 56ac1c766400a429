//! Keeping the tables fresh, and saying in the log what became of each file.

use std::sync::Arc;
use std::time::Duration;

use directory::{Event, Problem, Source};
use telemetry::{catalogue, event};

use crate::Error;
use crate::state::State;

/// Looks at the files from time to time, until it is dropped. They are read on a thread of their own: a
/// slow disk holds up no answer.
///
/// # Errors
/// That thread has ended.
pub async fn keep_fresh(
    state: Arc<State>,
    mut source: Source,
    interval: Duration,
) -> Result<(), Error> {
    loop {
        tokio::time::sleep(interval).await;
        let (back, events) = tokio::task::spawn_blocking(move || {
            let events = source.refresh();
            (source, events)
        })
        .await?;
        source = back;
        if !events.is_empty() {
            let old = state.replace_tables(source.current());
            // Freeing large tables takes a while, too.
            tokio::task::spawn_blocking(move || drop(old));
            log(&events);
        }
    }
}

/// Logs what became of the tables.
pub fn log(events: &[Event]) {
    for event in events {
        match event {
            Event::Loaded { file, entries } => {
                event!(catalogue::TABLE_LOADED, path = %file.display(), entries = *entries);
            }
            Event::Refused {
                file,
                problems,
                kept,
            } => {
                let in_force = match kept {
                    true => "the last good one stays in force",
                    false => "what depends on it is answered with 451",
                };
                event!(
                    catalogue::TABLE_UNUSABLE,
                    path = %file.display(),
                    problems = problems.len(),
                    in_force = in_force
                );
                problems.iter().for_each(log_refused);
            }
            Event::Odd(problem) => event!(
                catalogue::TABLE_ODD,
                path = %problem.file.display(),
                line = problem.line,
                reason = problem.text
            ),
        }
    }
}

fn log_refused(problem: &Problem) {
    event!(
        catalogue::TABLE_REFUSED,
        path = %problem.file.display(),
        line = problem.line,
        reason = problem.text
    );
}
