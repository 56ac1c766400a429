//! Giving a message to a command of an alias, as Postfix's local(8) does.
//!
//! The command runs as the alias user, in a process group of its own, in the folder `/`, with a small
//! environment and for a bounded time. It gets the message on its standard input, lines ending in LF, after
//! a `From ` line and the fields of final delivery. Its exit status decides (sysexits.h).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use ipc::Frame;
use mail_types::{Address, Outcome};
use mailbox::mbox::from_line;

use super::batch::Answers;
use super::head::{DeliveredTo, Source, prefix, sender};
use crate::worker_protocol::{Parcel, ParcelRecipient, Place, WorkerReply, WorkerRequest};

/// How much of a command's output goes into the outcome.
const MAX_OUTPUT: u64 = 512;
/// How long output is waited for once the command has ended: what it started may keep the pipe open.
const OUTPUT_TIME: Duration = Duration::from_secs(1);
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const SHELL: &str = "/bin/sh";

/// Runs the commands of all frames, one after the other.
pub fn answer(
    frames: Vec<Frame<WorkerRequest>>,
    time_limit: Duration,
    answer: &mut dyn FnMut(u32, WorkerReply),
) {
    for frame in frames {
        let WorkerRequest::Deliver(parcel) = frame.message else {
            continue;
        };
        let source = Source::of(parcel.content, parcel.size, frame.payload, frame.fds);
        let mut answers = Answers::new(frame.id, parcel.recipients.len());
        let limit = time_limit.min(parcel.time_limit);
        for recipient in &parcel.recipients {
            let (outcome, problem) = match &source {
                Ok(source) => deliver(&parcel, recipient, source, limit),
                Err(error) => failed("read the message", error),
            };
            answers.report(recipient.number, outcome, problem, answer);
        }
    }
}

type Told = (Outcome, Option<String>);

fn deliver(parcel: &Parcel, recipient: &ParcelRecipient, source: &Source, limit: Duration) -> Told {
    let Place::Command(command) = &recipient.place else {
        return (Outcome::deferred(3, 5, "only commands are run here"), None);
    };
    match DeliveredTo::of(source.content()).map(|before| before.loop_to(&recipient.address)) {
        Ok(None) => {}
        Ok(Some(looped)) => return (looped, None),
        Err(error) => return failed("read the message", &error),
    }
    let sender = sender(&parcel.reverse_path);
    let mut head = from_line(&sender, SystemTime::now()).into_bytes();
    head.extend_from_slice(&prefix(&parcel.reverse_path, &recipient.address));
    let content = match source.try_clone() {
        Ok(content) => content,
        Err(error) => return failed("share the message", &error),
    };
    let mut process = prepare(command);
    process
        .env_clear()
        .envs(environment(&sender, &recipient.address));
    match run(process, head, content, limit) {
        Ok(ended) => ended.outcome(limit),
        Err(error) => {
            let outcome = Outcome::deferred(3, 5, "the command could not be started");
            (
                outcome,
                Some(format!("cannot start the command {command:?}: {error}")),
            )
        }
    }
}

fn failed(doing: &str, error: &io::Error) -> Told {
    let outcome = Outcome::deferred(3, 0, "message could not be given to the command");
    (outcome, Some(format!("cannot {doing}: {error}")))
}

/// The command without a shell, if no character of it needs one (Postfix's `exec_command`).
fn prepare(command: &str) -> Command {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!@%-_=+:,./ \t".contains(c);
    let mut words = command.split([' ', '\t']).filter(|word| !word.is_empty());
    match words.next() {
        // Only a path: a bare word may be a command of the shell's own.
        Some(program) if command.chars().all(plain) && program.contains('/') => {
            let mut process = Command::new(program);
            process.args(words);
            process
        }
        _ => {
            let mut process = Command::new(SHELL);
            process.arg("-c").arg(command);
            process
        }
    }
}

/// What a command may know (local(8), "EXTERNAL COMMAND DELIVERY").
fn environment(sender: &str, recipient: &Address) -> Vec<(&'static str, String)> {
    let local_part = recipient.local_part.as_str();
    let extension = local_part
        .split_once('+')
        .map_or("", |(_, extension)| extension);
    vec![
        ("PATH", PATH.to_owned()),
        ("SHELL", SHELL.to_owned()),
        ("SENDER", sender.to_owned()),
        ("RECIPIENT", recipient.to_string()),
        ("ORIGINAL_RECIPIENT", recipient.to_string()),
        ("LOCAL", local_part.to_owned()),
        ("EXTENSION", extension.to_owned()),
        ("DOMAIN", recipient.host.to_string()),
    ]
}

/// How a command ended, and what it said.
struct Ended {
    /// `None` when its time was over.
    status: Option<ExitStatus>,
    output: String,
}

fn run(mut process: Command, head: Vec<u8>, content: Source, limit: Duration) -> io::Result<Ended> {
    let (output, output_end) = io::pipe()?;
    process
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(output_end.try_clone()?)
        .stderr(output_end);
    let mut child = process.spawn()?;
    // It keeps copies of the pipe's end, without which the output would never end.
    drop(process);
    let group = child.id();
    feed(&mut child, head, content);
    let output = collect(OwnedFd::from(output).into());
    let ended = watch(child);
    let status = match ended.recv_timeout(limit) {
        Ok(status) => Some(status?),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            sandbox::process::kill_group(group)?;
            None
        }
    };
    let output = output.recv_timeout(OUTPUT_TIME).unwrap_or_default();
    Ok(Ended { status, output })
}

/// Writes the message to the command. One that does not read all of it is free not to.
fn feed(child: &mut Child, head: Vec<u8>, content: Source) {
    if let Some(stdin) = child.stdin.take() {
        let stdin = File::from(OwnedFd::from(stdin));
        thread::spawn(move || mailbox::copy_lines(&stdin, &head, content.content()).ok());
    }
}

/// Reads the command's output to its end, and gives what is kept of it.
fn collect(mut output: File) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = (&mut output).take(MAX_OUTPUT).read_to_end(&mut kept);
        // The rest is read, too, so that the command is not stopped by a full pipe.
        let _ = io::copy(&mut output, &mut io::sink());
        let _ = tell.send(on_one_line(&kept));
    });
    told
}

fn watch(mut child: Child) -> Receiver<io::Result<ExitStatus>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait()));
    told
}

fn on_one_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let clean = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    clean.collect()
}

impl Ended {
    fn outcome(&self, limit: Duration) -> Told {
        let Some(status) = self.status else {
            let text = format!("the command took longer than {} s", limit.as_secs());
            return (Outcome::deferred(3, 0, self.with_output(text)), None);
        };
        if let Some(signal) = status.signal() {
            let text = format!("the command was killed by signal {signal}");
            return (Outcome::deferred(3, 0, self.with_output(text)), None);
        }
        (self.by_code(status.code().unwrap_or(-1)), None)
    }

    fn with_output(&self, text: String) -> String {
        match self.output.as_str() {
            "" => text,
            output => format!("{text}: {output}"),
        }
    }

    /// The meaning of exit statuses: sysexits.h, with the statuses of Postfix's table.
    fn by_code(&self, code: i32) -> Outcome {
        let text = |meaning: &str| self.with_output(format!("{meaning} (exit status {code})"));
        match code {
            0 => Outcome::delivered("delivered to command"),
            64 => Outcome::failed(3, 5, text("the command was used wrongly")),
            65 => Outcome::failed(6, 0, text("data format error")),
            66 => Outcome::failed(3, 0, text("cannot open input")),
            67 => Outcome::failed(1, 1, text("user unknown")),
            68 => Outcome::failed(1, 2, text("host name unknown")),
            69 => Outcome::failed(3, 0, text("service unavailable")),
            70 => Outcome::failed(3, 0, text("internal software error")),
            // A machine in trouble: the mail is better kept (sendmail does so, too).
            71 => Outcome::deferred(3, 0, text("system resource problem")),
            72 => Outcome::failed(3, 0, text("a system file is missing")),
            73 => Outcome::failed(2, 0, text("cannot create output file")),
            74 => Outcome::deferred(3, 0, text("input or output error")),
            75 => Outcome::deferred(3, 0, text("temporary failure")),
            76 => Outcome::failed(5, 0, text("remote error in protocol")),
            77 => Outcome::failed(7, 0, text("permission denied")),
            78 => Outcome::failed(3, 5, text("local configuration error")),
            // What the shell says of a program that is missing, perhaps only while it is upgraded.
            126 => Outcome::deferred(3, 5, text("the command could not be run")),
            127 => Outcome::deferred(3, 5, text("the command was not found")),
            _ => Outcome::failed(3, 0, text("the command failed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::protocol::WorkContent;
    use mail_types::{QueueId, ReversePath};

    fn run_command(command: &str, limit: Duration) -> Told {
        let content = b"Subject: x\r\n\r\nhello\r\n";
        let recipient = ParcelRecipient {
            number: 1,
            address: Address::parse("list+ext@example.org").unwrap(),
            place: Place::Command(command.to_owned()),
        };
        let parcel = Parcel {
            queue_id: QueueId(1),
            reverse_path: ReversePath::Address(Address::parse("a@b.example").unwrap()),
            content: WorkContent::Payload,
            size: content.len() as u64,
            time_limit: limit,
            recipients: vec![recipient.clone()],
        };
        let source = Source::Bytes(bytes::Bytes::from_static(content));
        deliver(&parcel, &recipient, &source, limit)
    }

    fn told(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Delivered(delivered) => delivered.text.clone(),
            Outcome::Deferred(deferral) => format!("{} {}", deferral.status, deferral.text),
            Outcome::Failed(failure) => format!("{} {}", failure.status, failure.text),
        }
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn exit_statuses_become_outcomes() {
        let cases = [
            ("cat > /dev/null", "delivered to command"),
            ("exit 0", "delivered to command"),
            (
                "echo oops >&2; exit 1",
                "5.3.0 the command failed (exit status 1): oops",
            ),
            ("exit 67", "5.1.1 user unknown (exit status 67)"),
            ("exit 75", "4.3.0 temporary failure (exit status 75)"),
            ("kill -9 $$", "4.3.0 the command was killed by signal 9"),
            ("/bin/true with arguments", "delivered to command"),
            ("/bin/false", "5.3.0 the command failed (exit status 1)"),
            ("/no/such/program", "4.3.5 the command could not be started"),
        ];
        for (command, expected) in cases {
            assert_eq!(told(&run_command(command, LIMIT).0), expected, "{command}");
        }
        let (missing, _) = run_command("no-such-program-anywhere", LIMIT);
        assert!(
            told(&missing).starts_with("4.3.5 the command was not found"),
            "{missing:?}"
        );
    }

    #[test]
    fn the_command_gets_message_and_environment() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("out");
        let command = format!("(cat; env | sort) > {}", file.display());
        assert_eq!(
            told(&run_command(&command, LIMIT).0),
            "delivered to command"
        );
        let found = std::fs::read_to_string(file).unwrap();
        assert!(found.starts_with("From a@b.example "), "{found}");
        for part in [
            "\nReturn-Path: <a@b.example>\nDelivered-To: list+ext@example.org\nSubject: x\n\nhello\n",
            "\nSENDER=a@b.example\n",
            "\nRECIPIENT=list+ext@example.org\n",
            "\nEXTENSION=ext\n",
        ] {
            assert!(found.contains(part), "{part:?} is missing in {found}");
        }
        assert!(!found.contains('\r') && !found.contains("HOME="), "{found}");
    }

    #[test]
    fn a_command_is_killed_with_all_it_started_when_its_time_is_over() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("alive");
        let command = format!("(sleep 1.5; touch {}) & sleep 60", file.display());
        let (outcome, _) = run_command(&command, Duration::from_millis(300));
        assert!(
            told(&outcome).starts_with("4.3.0 the command took longer"),
            "{outcome:?}"
        );
        thread::sleep(Duration::from_secs(2));
        assert!(!file.exists(), "a child of the command outlived it");
    }

    #[test]
    fn much_output_neither_blocks_nor_fills_the_outcome() {
        let (outcome, _) = run_command("head -c 1000000 /dev/zero | tr '\\0' x; exit 1", LIMIT);
        let text = told(&outcome);
        assert!(
            text.starts_with("5.3.0 ") && text.len() < 700,
            "{} octets",
            text.len()
        );
    }

    #[test]
    fn a_command_that_leaves_a_child_behind_is_not_waited_for() {
        let begin = std::time::Instant::now();
        let (outcome, _) = run_command("sleep 30 & exit 0", LIMIT);
        assert_eq!(told(&outcome), "delivered to command");
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
}
