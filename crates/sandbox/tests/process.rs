//! Starting programs: what the child gets, and that it gets nothing else.
#![cfg(test)]

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use sandbox::ids::{self, Identity};
use sandbox::process::{Ended, Program, kill, next_dead, reap, terminate, wait};

/// Runs a shell command in a child whose descriptor `out` is the answer.
fn shell(command: &str, change: impl FnOnce(Program) -> Program) -> (String, Ended) {
    let (mut mine, theirs) = UnixStream::pair().unwrap();
    let number = theirs.as_raw_fd();
    let program = Program::new("/bin/sh", "posthouse: test")
        .argument("-c")
        .argument(format!("exec >&{number}; {command}"))
        .fd("out", OwnedFd::from(theirs));
    let pid = change(program).start().unwrap();
    let mut output = String::new();
    mine.read_to_string(&mut output).unwrap();
    (output, wait(pid).unwrap())
}

#[test]
fn the_environment_is_bare_and_the_title_is_set() {
    let (output, ended) = shell(
        "tr '\\0' '\\n' </proc/self/environ; tr '\\0' ' ' </proc/$$/cmdline; pwd",
        |p| p.variable("MARK", "1"),
    );
    assert!(ended.is_success());
    assert!(
        output.contains("MARK=1\n") && output.contains("POSTHOUSE_FDS=out:"),
        "{output}"
    );
    assert!(output.contains("posthouse: test -c"), "{output}");
    assert!(
        output.ends_with(" /bin\n") || output.ends_with(" /usr/bin\n"),
        "{output}"
    );
    assert!(!output.contains("CARGO"), "{output}");
}

#[test]
fn only_listed_descriptors_pass() {
    let file = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: clears a flag of a descriptor that lives until the end of this test.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
    let (output, _) = shell("exec ls /proc/self/fd", |p| p);
    // Standard input, output and error, `out`, and the folder that ls reads.
    assert_eq!(output.lines().count(), 5, "{output}");
}

#[test]
fn the_identity_is_taken_on_before_exec() {
    if !ids::is_root() {
        return;
    }
    let (output, _) = shell(
        "id -u; id -g; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status",
        |p| {
            p.identity(Identity {
                uid: 45_001,
                gid: 45_002,
                groups: vec![45_003],
            })
        },
    );
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..3], ["45001", "45002", "45002 45003"], "{output}");
    assert!(output.contains("NoNewPrivs:\t1") && output.contains("CapEff:\t0000000000000000"));
    let root = Program::new("/bin/true", "t").identity(Identity {
        uid: 0,
        gid: 0,
        groups: vec![],
    });
    assert!(root.start().is_err());
}

#[test]
fn ends_are_told_apart() {
    let start = |script: &str| {
        Program::new("/bin/sh", "t")
            .argument("-c")
            .argument(script)
            .start()
            .unwrap()
    };
    assert_eq!(wait(start("exit 3")).unwrap(), Ended::Exited(3));
    // Signals that are blocked or ignored here are neither there.
    let _signals = sandbox::events::Signals::new().unwrap();
    sandbox::events::ignore_terminal_signals().unwrap();
    assert_eq!(wait(start("kill -HUP $$")).unwrap(), Ended::Killed(1));
    let sleeper = start("exec sleep 100");
    terminate(sleeper).unwrap();
    assert_eq!(wait(sleeper).unwrap(), Ended::Killed(15));
    let sleeper = start("exec sleep 100");
    kill(sleeper).unwrap();
    assert_eq!(wait(sleeper).unwrap().to_string(), "killed by SIGKILL");
    let dead = start("exit 0");
    while next_dead().unwrap() != Some(dead) {
        std::thread::yield_now();
    }
    assert_eq!(next_dead().unwrap(), Some(dead), "not collected yet");
    assert_eq!(reap().unwrap(), Some((dead, Ended::Exited(0))));
    assert_eq!((next_dead().unwrap(), reap().unwrap()), (None, None));
    terminate(sleeper).unwrap();
    assert!(
        Program::new("/no/such/program", "t")
            .start()
            .unwrap_err()
            .to_string()
            .contains("/no/such")
    );
}
