//! `cargo xtask bench idle`.

use std::fs;

use harness::{Site, SmtpClient};

use crate::steps;

/// Options of `cargo xtask bench idle`.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many connections are held.
    #[arg(long, default_value_t = 1000)]
    connections: u32,
}

/// Holds greeted connections and compares smtpd's memory before and after.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    steps::build_programs()?;
    let limit = (arguments.connections * 2).to_string();
    let mut builder = Site::builder();
    for name in [
        "smtpd.connection_limit",
        "smtpd.connection_limit_per_client",
    ] {
        builder = builder
            .set(name, &limit)
            .map_err(|error| error.to_string())?;
    }
    let site = builder.start().map_err(|error| error.to_string())?;
    let greeted = || SmtpClient::greeted(site.smtp()).map_err(|error| error.to_string());
    // The first few pay for what is made once.
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(greeted()?);
    }
    let before = memory(&site)?;
    for _ in 0..arguments.connections {
        held.push(greeted()?);
    }
    let after = memory(&site)?;
    let each = after.saturating_sub(before) / u64::from(arguments.connections);
    println!(
        "{} idle connections: {} KiB before, {} KiB after, {each} octets each",
        arguments.connections,
        before / 1024,
        after / 1024
    );
    drop(held);
    Ok(())
}

/// Octets that smtpd's processes hold for themselves (Pss: shared pages by their share).
fn memory(site: &Site) -> Result<u64, String> {
    let mut sum = 0;
    for pid in site.pids_of("smtpd") {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find(|line| line.starts_with("Pss:"));
        let kib = line
            .and_then(|line| line.split_whitespace().nth(1))
            .and_then(|kib| kib.parse::<u64>().ok());
        sum += kib.ok_or_else(|| format!("{path}: no Pss"))? * 1024;
    }
    Ok(sum)
}
