//! `cargo xtask test`: everything that decides whether a change may land.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::{steps, tools};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only tests whose names have one of these in them; format, lints and docs are left out then.
    filters: Vec<String>,
}

/// What passed and what did not.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn count(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(why) => {
                eprintln!("{why}");
                self.failed += 1;
            }
        }
    }
}

/// Runs the checks in order of how soon they fail; all of them, whatever fails.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    tools::debian_packages(tools::TEST_PACKAGES)?;
    tools::cargo_tool("cargo-nextest", &["nextest", "--version"])?;
    let mut tally = Tally::default();
    if arguments.filters.is_empty() {
        tally.count(steps::run(
            "format",
            &mut steps::cargo(&["fmt", "--all", "--check"]),
        ));
        tally.count(lints());
        tally.count(docs());
    }
    match steps::build_programs() {
        Ok(()) => tests(&arguments.filters, &mut tally)?,
        Err(why) => tally.count(Err(why)),
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 {
        Ok(())
    } else {
        Err("not everything passed".to_owned())
    }
}

fn lints() -> Result<(), String> {
    let arguments = [
        "clippy",
        "--release",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    steps::run("lints", &mut steps::cargo(&arguments))
}

fn docs() -> Result<(), String> {
    let arguments = [
        "doc",
        "--release",
        "--locked",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    steps::run(
        "docs",
        steps::cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Runs nextest and adds what its closing line counts.
fn tests(filters: &[String], tally: &mut Tally) -> Result<(), String> {
    eprintln!("==> tests");
    let mut nextest = steps::cargo(&["nextest", "run", "--release", "--locked", "--workspace"]);
    nextest
        .args(["--no-fail-fast", "--color", "never"])
        .args(filters);
    let mut child = nextest
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run cargo nextest: {error}"))?;
    let mut summary = None;
    for line in BufReader::new(child.stderr.take().ok_or("nextest has no output")?).lines() {
        let line = line.map_err(|error| format!("cannot read what nextest says: {error}"))?;
        eprintln!("{line}");
        if line.trim_start().starts_with("Summary") {
            summary = Some(counts(&line));
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("cargo nextest: {error}"))?;
    let (passed, failed) = summary.unwrap_or_default();
    tally.passed += passed;
    tally.failed += failed;
    if !status.success() && failed == 0 {
        tally.count(Err(format!("cargo nextest: {status}")));
    }
    Ok(())
}

/// `Summary [ 1.2s] 9 tests run: 6 passed (1 slow), 1 failed, 1 timed out, 1 skipped`
fn counts(summary: &str) -> (u64, u64) {
    let tail = summary.rsplit_once(" run: ").map_or("", |(_, tail)| tail);
    let (mut passed, mut failed) = (0, 0);
    for part in tail.split(", ") {
        let number = part
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
        if part.contains("passed") {
            passed += number;
        } else if !part.contains("skipped") {
            failed += number;
        }
    }
    (passed, failed)
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn closing_lines_are_counted() {
        for (line, expected) in [
            (
                "     Summary [   0.012s] 2 tests run: 2 passed, 0 skipped",
                (2, 0),
            ),
            (
                "Summary [ 9s] 9 tests run: 6 passed (1 slow), 1 failed, 1 timed out, 3 skipped",
                (6, 2),
            ),
            (
                "Summary [ 9s] 3/9 tests run: 2 passed, 1 failed, 6 skipped",
                (2, 1),
            ),
            ("Summary", (0, 0)),
        ] {
            assert_eq!(counts(line), expected, "{line}");
        }
    }
}
