//! The tools that tests and benchmarks need, and how they come onto the machine.

use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::steps;

/// Debian packages of the clients and servers that the tests talk to.
pub const TEST_PACKAGES: &[&str] = &[
    "curl",
    "dovecot-pop3d",
    "fetchmail",
    "mandoc",
    "mpop",
    "msmtp",
    "mutt",
    "postfix",
    "python3",
    "strace",
    "swaks",
    "whois", // mkpasswd
];

/// Installs a cargo subcommand when asking for its version fails.
pub fn cargo_tool(package: &str, version: &[&str]) -> Result<(), String> {
    let there = steps::cargo(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    steps::run(
        &format!("install {package} (once; this compiles it)"),
        &mut steps::cargo(&["install", "--locked", package]),
    )
}

/// Makes sure that Debian packages are installed: with apt when root, else by saying what is missing.
pub fn debian_packages(packages: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|name| !is_installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(format!(
            "the tests need Debian packages that are missing here; as root, run:\n  apt-get install --no-install-recommends {}",
            missing.join(" ")
        ));
    }
    leave_postfix_unconfigured()?;
    steps::run("apt-get update", &mut apt(&["update", "--quiet=2"]))?;
    let mut arguments = vec!["install", "--yes", "--quiet=2", "--no-install-recommends"];
    arguments.extend(&missing);
    steps::run(
        &format!("apt-get install {}", missing.join(" ")),
        &mut apt(&arguments),
    )
}

fn apt(arguments: &[&str]) -> Command {
    let mut apt = steps::command("apt-get", arguments);
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    apt
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["-W", "-f=${Status}", package])
        .output();
    query.is_ok_and(|output| output.stdout.ends_with(b" installed"))
}

/// Without a configuration Debian's package starts no Postfix; the benchmarks bring their own.
fn leave_postfix_unconfigured() -> Result<(), String> {
    use std::io::Write as _;
    let mut child = steps::command("debconf-set-selections", &[])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run debconf-set-selections: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(
            input,
            "postfix postfix/main_mailer_type select No configuration"
        )
        .map_err(|error| format!("cannot preset postfix's questions: {error}"))?;
    }
    child
        .wait()
        .map_err(|error| format!("debconf-set-selections: {error}"))?;
    Ok(())
}
