//! Measures what opening a queue and looking into it costs, whatever it holds.
//!
//! `cargo run --release -p queue --example open -- FOLDER`

use std::path::Path;
use std::time::Instant;

use mail_types::Timestamp;
use queue::{DueKind, MessageState, Queue, RecipientPage, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: open FOLDER")?;
    let start = Instant::now();
    let queue = Queue::<()>::open(Path::new(&folder), Settings::default(), |_| {})?;
    let reader = queue.reader()?;
    println!("open: {:?}", start.elapsed());
    let timed = |what: &str, start: Instant, rows: usize| {
        println!("{what}: {:?}, {rows} rows", start.elapsed());
    };
    let start = Instant::now();
    println!("{:?} in {:?}", reader.counts()?, start.elapsed());
    let far = Timestamp(i64::MAX);
    let start = Instant::now();
    timed(
        "due, new",
        start,
        reader.due(DueKind::New, far, None, 100)?.len(),
    );
    let start = Instant::now();
    let due = reader.due(DueKind::Deferred, far, None, 100)?;
    timed("due, deferred", start, due.len());
    let start = Instant::now();
    let next = reader.due(DueKind::Deferred, far, due.last().copied(), 100)?;
    timed("due, next page", start, next.len());
    let start = Instant::now();
    timed(
        "next due",
        start,
        usize::from(reader.next_due(Timestamp(0))?.is_some()),
    );
    for state in [None, Some(MessageState::Deferred), Some(MessageState::Hold)] {
        let start = Instant::now();
        timed(
            &format!("list {state:?}"),
            start,
            reader.list(state, None, 100)?.len(),
        );
    }
    let start = Instant::now();
    for due in &next {
        reader.message(due.queue_id)?;
        let page = RecipientPage {
            state: None,
            due_by: Some(far),
            after: None,
            limit: 100,
        };
        reader.recipients(due.queue_id, page)?;
        reader.content(due.queue_id)?;
    }
    timed("messages with recipients and content", start, next.len());
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!(
        "{}",
        status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap_or("")
    );
    Ok(())
}
