//! `posthouse queue`: look into the queue and move mail.
//!
//! All of it is asked of queue-manager over its socket; who may ask, is its decision. A listing comes page by
//! page, so that one of a million messages needs no memory. Text that came from others is shown without
//! control characters: it must not steer a terminal.

mod render;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use ipc::protocol::{
    MessageState, QueueControl, QueueControlReply, QueueControlRequest, QueueStatus, Selection,
};
use ipc::{BlockingClient, ConnectError};
use mail_types::{QueueId, Timestamp};
use serde_json::json;

use crate::{Failure, load_config};
use render::{clean, message_json, plural, write_message};

/// Messages asked for at a time.
const PAGE: u32 = 100;
/// How long queue-manager may take to answer; it may be deleting a million messages.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The subcommands of `posthouse queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List messages with their recipients, oldest first.
    List {
        /// Only messages in this state.
        #[arg(long)]
        state: Option<StateName>,
        /// One JSON object per line and message.
        #[arg(long)]
        json: bool,
        /// Only these messages.
        #[arg(value_name = "ID", conflicts_with = "state")]
        ids: Vec<QueueId>,
    },
    /// Write a message's content to standard output.
    Show {
        /// Which.
        #[arg(value_name = "ID")]
        id: QueueId,
    },
    /// Put messages on hold: they wait until they are released.
    Hold(Which),
    /// Release messages from hold. Corrupt ones are tried to be read again.
    Release(Which),
    /// Remove messages. Nobody is told.
    Delete(Which),
    /// Try deferred messages now; all of them when none is named.
    Flush {
        /// Only these.
        #[arg(value_name = "ID")]
        ids: Vec<QueueId>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Count messages by state.
    Status {
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Which messages to change: at least one way to say it is needed.
#[derive(Debug, Args)]
pub struct Which {
    #[command(flatten)]
    selection: WhichOnes,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// One way to name messages.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhichOnes {
    /// These.
    #[arg(value_name = "ID")]
    ids: Vec<QueueId>,
    /// Every message in a state.
    #[arg(long)]
    state: Option<StateName>,
    /// Every message.
    #[arg(long)]
    all: bool,
}

/// [`MessageState`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// Accepted, not yet looked at.
    Incoming,
    /// Being delivered, or about to be.
    Active,
    /// Waiting for the next attempt.
    Deferred,
    /// Waiting for the administrator.
    Hold,
    /// Unreadable, and set aside.
    Corrupt,
}

impl From<StateName> for MessageState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Incoming => Self::Incoming,
            StateName::Active => Self::Active,
            StateName::Deferred => Self::Deferred,
            StateName::Hold => Self::Hold,
            StateName::Corrupt => Self::Corrupt,
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// queue-manager cannot be reached, refuses, or knows no such message; or the output cannot be written.
pub fn run(command: &QueueCommand, file: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let mut asker = Asker::connect(file)?;
    match command {
        QueueCommand::List { state, json, ids } => {
            let selections = match state {
                Some(state) => vec![Selection::State((*state).into())],
                None if ids.is_empty() => vec![Selection::All],
                None => ids.iter().copied().map(Selection::Message).collect(),
            };
            asker.list(&selections, *json, out)
        }
        QueueCommand::Show { id } => asker.show(*id, out),
        QueueCommand::Hold(which) => asker.change(which, QueueControlRequest::Hold, "held", out),
        QueueCommand::Release(which) => {
            asker.change(which, QueueControlRequest::Release, "released", out)
        }
        QueueCommand::Delete(which) => {
            asker.change(which, QueueControlRequest::Delete, "deleted", out)
        }
        QueueCommand::Flush { ids, json } => {
            let selection = WhichOnes {
                all: ids.is_empty(),
                ids: ids.clone(),
                state: None,
            };
            let which = Which {
                selection,
                json: *json,
            };
            asker.change(&which, QueueControlRequest::Flush, "flushed", out)
        }
        QueueCommand::Status { json } => asker.status(*json, out),
    }
}

/// What to do when there is no connection.
fn advice(error: &ConnectError) -> &'static str {
    let kind = match error {
        ConnectError::Io { source, .. } => source.kind(),
        ConnectError::Greeting { .. } => io::ErrorKind::Other,
    };
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "does the suite run, and with this configuration?"
        }
        io::ErrorKind::PermissionDenied => {
            "only root and the user of users.queue may administer the queue"
        }
        _ => "queue-manager starts just now, or cannot: see the log",
    }
}

/// The connection to queue-manager.
struct Asker(BlockingClient<QueueControl>);

impl Asker {
    fn connect(file: &Path) -> Result<Self, Failure> {
        let config = load_config(file)?;
        let socket = config.paths.run_dir.join("ipc/queue.sock");
        BlockingClient::connect(socket, Duration::from_secs(10))
            .map(Self)
            .map_err(|error| Failure::Failed(format!("{error}; {}", advice(&error))))
    }

    /// Asks, and takes away the answers that are the same for every question.
    fn ask(
        &mut self,
        request: &QueueControlRequest,
    ) -> Result<ipc::Frame<QueueControlReply>, Failure> {
        let frame = self
            .0
            .call(request, Bytes::new(), Vec::new(), TIMEOUT)
            .map_err(|error| Failure::Failed(format!("queue-manager: {error}")))?;
        match frame.message {
            QueueControlReply::Denied => Err(Failure::Failed(
                "queue-manager: only root and the suite's queue user may administer the queue"
                    .to_owned(),
            )),
            QueueControlReply::Failed(why) => {
                Err(Failure::Failed(format!("queue-manager: {}", clean(&why))))
            }
            _ => Ok(frame),
        }
    }

    fn list(
        &mut self,
        selections: &[Selection],
        json: bool,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let mut shown = 0u64;
        for selection in selections {
            let mut after = None;
            loop {
                let request = QueueControlRequest::List {
                    selection: selection.clone(),
                    after,
                    limit: PAGE,
                };
                let (messages, more) = match self.ask(&request)?.message {
                    QueueControlReply::Messages { messages, more } => (messages, more),
                    QueueControlReply::NotFound => return Err(not_found(selection)),
                    other => return Err(unexpected(&other)),
                };
                let now = Timestamp::from(SystemTime::now());
                for message in &messages {
                    if json {
                        writeln!(out, "{}", message_json(message))?;
                    } else {
                        write_message(message, now, shown == 0, out)?;
                    }
                    shown += 1;
                }
                after = messages.last().map(|message| message.queue_id);
                if !more || after.is_none() {
                    break;
                }
            }
        }
        if shown == 0 && !json {
            writeln!(out, "no messages")?;
        }
        Ok(())
    }

    fn show(&mut self, queue_id: QueueId, out: &mut impl Write) -> Result<(), Failure> {
        let frame = self.ask(&QueueControlRequest::Show { queue_id })?;
        match frame.message {
            QueueControlReply::Content => {}
            QueueControlReply::NotFound => return Err(not_found(&Selection::Message(queue_id))),
            other => return Err(unexpected(&other)),
        }
        out.write_all(&frame.payload)?;
        if let Some(content) = frame.fds.into_iter().next() {
            io::copy(&mut File::from(content), out)?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        which: &Which,
        request: impl Fn(Selection) -> QueueControlRequest,
        done: &str,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let WhichOnes { ids, state, .. } = &which.selection;
        let selections = match state {
            Some(state) => vec![Selection::State((*state).into())],
            None if ids.is_empty() => vec![Selection::All],
            None => ids.iter().copied().map(Selection::Message).collect(),
        };
        let (mut changed, mut missing) = (0, Vec::new());
        for selection in selections {
            match self.ask(&request(selection.clone()))?.message {
                QueueControlReply::Changed(count) => changed += count,
                QueueControlReply::NotFound => {
                    if let Selection::Message(queue_id) = selection {
                        missing.push(queue_id.to_string());
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
        if which.json {
            writeln!(
                out,
                "{}",
                json!({ "changed": changed, "not_found": missing })
            )?;
        } else {
            writeln!(out, "{changed} {} {done}", plural(changed, "message"))?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "not in the queue, or not in a state to be {done}: {}",
            missing.join(" ")
        )))
    }

    fn status(&mut self, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        let status = match self.ask(&QueueControlRequest::Status)?.message {
            QueueControlReply::Status(status) => status,
            other => return Err(unexpected(&other)),
        };
        let QueueStatus {
            incoming,
            active,
            deferred,
            hold,
            corrupt,
        } = status;
        if json {
            let object = json!({
                "incoming": incoming, "active": active, "deferred": deferred,
                "hold": hold, "corrupt": corrupt,
            });
            writeln!(out, "{object}")?;
            return Ok(());
        }
        for (name, count) in [
            ("incoming", incoming),
            ("active", active),
            ("deferred", deferred),
            ("hold", hold),
            ("corrupt", corrupt),
        ] {
            writeln!(out, "{name:<9}{count:>9}")?;
        }
        Ok(())
    }
}

fn not_found(selection: &Selection) -> Failure {
    Failure::Failed(match selection {
        Selection::Message(queue_id) => format!("there is no message {queue_id} in the queue"),
        Selection::All | Selection::State(_) => "there is no such message".to_owned(),
    })
}

fn unexpected(reply: &QueueControlReply) -> Failure {
    Failure::Failed(format!(
        "queue-manager gave an unexpected answer: {reply:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(subcommand)]
        command: QueueCommand,
    }

    #[test]
    fn nothing_is_changed_without_being_named() {
        for (line, right) in [
            ("x delete", false),
            ("x delete --all", true),
            ("x delete --all B4", false),
            ("x hold B4 B5", true),
            ("x release --state hold", true),
            ("x release --state nonsense", false),
            ("x delete not-an-id", false),
            ("x flush", true),
            ("x list --state active --json", true),
        ] {
            assert_eq!(
                Only::try_parse_from(line.split(' ')).is_ok(),
                right,
                "{line}"
            );
        }
    }
}
