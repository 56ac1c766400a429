//! Measures the queue alone: durable submits, then deliveries (updates that remove), with a
//! number of callers that each wait for their reply, as SMTP sessions do.
//!
//! `cargo run --release -p queue --example rate -- [MESSAGES] [CALLERS] [OCTETS] [FOLDER]`
//!
//! Content above 64 KiB goes through spool files. Prints rates and CPU time per message of the
//! whole process.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail_types::{Envelope, QueueId, Recipient, ReversePath};
use queue::{
    Change, Command, Done, Event, Fate, NewContent, NewMessage, Origin, Queue, Settings, SpoolId,
    Update,
};

/// Each caller has at most one command under way; the tag is the caller.
struct Bench {
    queue: Queue<usize>,
    events: Receiver<Vec<Event<usize>>>,
    wakeups: u64,
    /// When each caller's command was sent, and how long the answers took.
    sent: std::cell::RefCell<Vec<Instant>>,
    waits: Vec<Duration>,
}

enum Step {
    Accepted(QueueId),
    Spool(SpoolId, File),
    Gone,
}

impl Bench {
    fn steps(&mut self) -> Result<Vec<(usize, Step)>, Box<dyn std::error::Error>> {
        self.wakeups += 1;
        let mut steps = Vec::new();
        for event in self.events.recv()? {
            let Event::Done { tag, result } = event else {
                continue;
            };
            self.waits.push(self.sent.borrow()[tag].elapsed());
            steps.push(match result? {
                Done::Accepted(id) => (tag, Step::Accepted(id.into_inner())),
                Done::Spool { spool, file } => (tag, Step::Spool(spool, file)),
                _ => (tag, Step::Gone),
            });
        }
        Ok(steps)
    }

    fn send(&self, caller: usize, command: Command) -> Result<(), Box<dyn std::error::Error>> {
        self.sent.borrow_mut()[caller] = Instant::now();
        self.queue
            .send(caller, command)
            .map_err(|refused| refused.error.into())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| match arguments.next() {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let (messages, callers, octets) = (number(40_000)?, number(20)?, number(4096)?);
    let folder = tempfile::tempdir_in(arguments.next().unwrap_or_else(|| "/var/tmp".to_owned()))?;
    let (sink, events): (Sender<Vec<Event<usize>>>, _) = channel();
    let queue = Queue::open(folder.path(), Settings::default(), move |batch| {
        let _ = sink.send(batch);
    })?;
    let mut bench = Bench {
        queue,
        events,
        wakeups: 0,
        sent: vec![Instant::now(); callers].into(),
        waits: Vec::new(),
    };
    let content = Bytes::from(vec![b'x'; octets]);

    let (before, cpu) = (Instant::now(), cpu_time()?);
    let ids = submit(&mut bench, messages, callers, &content)?;
    report("submit", messages, before, cpu, &mut bench)?;
    sizes(folder.path())?;

    let (before, cpu) = (Instant::now(), cpu_time()?);
    deliver(&mut bench, &ids, callers)?;
    report("deliver", messages, before, cpu, &mut bench)?;
    sizes(folder.path())?;
    let before = Instant::now();
    drop(bench);
    println!("close: {:?}", before.elapsed());
    sizes(folder.path())
}

fn submit(
    bench: &mut Bench,
    messages: usize,
    callers: usize,
    content: &Bytes,
) -> Result<Vec<QueueId>, Box<dyn std::error::Error>> {
    let begin = |bench: &Bench, caller| {
        if content.len() > 64 << 10 {
            return bench.send(caller, Command::OpenSpool { expected: 0 });
        }
        let content = NewContent::Inline(content.clone());
        bench.send(caller, Command::Submit(message(caller, content)?))
    };
    let mut ids = Vec::with_capacity(messages);
    let mut begun = 0;
    for caller in 0..callers.min(messages) {
        begin(bench, caller)?;
        begun += 1;
    }
    while ids.len() < messages {
        for (caller, step) in bench.steps()? {
            match step {
                Step::Spool(spool, mut file) => {
                    file.write_all(content)?;
                    let size = content.len() as u64;
                    let content = NewContent::Spooled { spool, size };
                    bench.send(caller, Command::Submit(message(caller, content)?))?;
                }
                Step::Accepted(id) => {
                    ids.push(id);
                    if begun < messages {
                        begin(bench, caller)?;
                        begun += 1;
                    }
                }
                Step::Gone => {}
            }
        }
    }
    Ok(ids)
}

fn deliver(
    bench: &mut Bench,
    ids: &[QueueId],
    callers: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut left = ids.iter();
    let mut under_way = 0;
    let mut begin = |bench: &Bench, caller| match left.next() {
        None => Ok(0),
        Some(&queue_id) => {
            let change = Change {
                recipient: 0,
                fate: Fate::Gone,
            };
            let update = Update {
                queue_id,
                changes: vec![change],
                reports: vec![],
                park: false,
            };
            bench
                .send(caller, Command::Update(Box::new(update)))
                .map(|()| 1)
        }
    };
    for caller in 0..callers {
        under_way += begin(bench, caller)?;
    }
    while under_way > 0 {
        for (caller, _) in bench.steps()? {
            under_way -= 1;
            under_way += begin(bench, caller)?;
        }
    }
    Ok(())
}

fn message(
    caller: usize,
    content: NewContent,
) -> Result<Box<NewMessage>, Box<dyn std::error::Error>> {
    let sender = "alice@sender.example.org".parse()?;
    let recipient = format!("user{caller}@recipient.example.org").parse()?;
    let recipients = vec![Recipient::new(recipient)];
    Ok(Box::new(NewMessage {
        envelope: Envelope::new(ReversePath::Address(sender), recipients),
        origin: Origin {
            session: Some(mail_types::SessionId(caller as u64)),
            client: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            protocol: "ESMTP".to_owned(),
        },
        content,
        hold: false,
    }))
}

/// User and system time of this process, from the kernel's scheduler statistics.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::new(value.tv_sec() as u64, value.tv_usec() as u32 * 1000)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

fn report(
    what: &str,
    messages: usize,
    before: Instant,
    cpu: Duration,
    bench: &mut Bench,
) -> Result<(), Box<dyn std::error::Error>> {
    let (wall, cpu) = (before.elapsed(), cpu_time()? - cpu);
    bench.waits.sort();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / messages as f64;
    println!(
        "{what}: {:.0}/s, {:.1} us CPU each, {:.1} messages per wake-up, waits {:?} median, {:?} longest",
        messages as f64 / wall.as_secs_f64(),
        each(cpu),
        messages as f64 / bench.wakeups as f64,
        bench.waits[bench.waits.len() / 2],
        bench.waits[bench.waits.len() - 1],
    );
    bench.wakeups = 0;
    bench.waits.clear();
    Ok(())
}

fn sizes(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for name in ["queue.sqlite", "queue.sqlite-wal"] {
        let size = std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
        print!("  {name}: {:.1} MiB", size as f64 / f64::from(1 << 20));
    }
    println!();
    Ok(())
}
