//! Postfix's smtp-source(1) as the client, and the CPU time of the servers it meets.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::steps;

/// One load: what smtp-source is told.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Octets of each message.
    pub size: usize,
    /// Sessions at a time.
    pub sessions: usize,
    /// Whether a session carries one message after another.
    pub reused: bool,
    /// Messages in all.
    pub count: usize,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connection = if self.reused {
            "reused"
        } else {
            "a connection each"
        };
        write!(
            f,
            "{:>4} KiB, {:>3} sessions, {connection}",
            self.size / 1024,
            self.sessions
        )
    }
}

/// What a server made of a load.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Messages per second of wall clock.
    pub rate: f64,
    /// CPU seconds of all the server's processes per 1 000 messages.
    pub cpu: f64,
}

/// Sends a load to a server whose processes all descend from `master`.
pub fn measure(load: Load, to: SocketAddr, master: i32) -> Result<Measured, String> {
    let mut source = steps::command("smtp-source", &[]);
    if load.reused {
        source.arg("-d");
    }
    source.args([
        "-s",
        &load.sessions.to_string(),
        "-m",
        &load.count.to_string(),
    ]);
    source.args([
        "-l",
        &load.size.to_string(),
        "-f",
        "alice@posthouse.test",
        "-t",
        "bob@posthouse.test",
    ]);
    source.arg(format!("inet:{}:{}", to.ip(), to.port()));
    let before = cpu_of_tree(master)?;
    let start = Instant::now();
    let status = source
        .status()
        .map_err(|error| format!("cannot run smtp-source: {error}"))?;
    let wall = start.elapsed();
    let spent = cpu_of_tree(master)?.saturating_sub(before);
    if !status.success() {
        return Err(format!("smtp-source ({load}): {status}"));
    }
    let count = f64::from(u32::try_from(load.count).unwrap_or(u32::MAX));
    Ok(Measured {
        rate: count / wall.as_secs_f64(),
        cpu: spent.as_secs_f64() * 1000.0 / count,
    })
}

/// User and system time of a process and all below it, the ended ones included.
fn cpu_of_tree(root: i32) -> Result<Duration, String> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    let per_second = ticks
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok())
        .unwrap_or(100);
    let processes = processes()?;
    let mut tree = vec![root];
    let mut spent = 0;
    let mut at = 0;
    while at < tree.len() {
        let pid = tree[at];
        spent += processes.get(&pid).map_or(0, |process| process.ticks);
        tree.extend(
            processes
                .iter()
                .filter(|(_, other)| other.parent == pid)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    Ok(Duration::from_millis(spent * 1000 / per_second))
}

struct Process {
    parent: i32,
    ticks: u64,
}

/// proc_pid_stat(5): field 4 is the parent, 14 to 17 are its own and its waited-for children's times.
fn processes() -> Result<BTreeMap<i32, Process>, String> {
    let entries = fs::read_dir("/proc").map_err(|error| format!("cannot read /proc: {error}"))?;
    let read = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields
            .get(11..15)?
            .iter()
            .map(|field| field.parse::<u64>().unwrap_or(0))
            .sum();
        Some((
            pid,
            Process {
                parent: fields.get(1)?.parse().ok()?,
                ticks,
            },
        ))
    });
    Ok(read.collect())
}
