//! The commands as an administrator and a newcomer type them: what they say, how they end, what they leave.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use harness::{PATIENCE, eventually, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAMS: &[&str] = &[
    "smtpd",
    "queue-manager",
    "directory",
    "local-delivery",
    "pop3d",
    "pop3-session",
];

fn workspace(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// Runs a program to its end; its exit code, output and what it said on standard error.
fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program(name).unwrap());
    told(
        command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap(),
    )
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn exit_codes_tell_a_fault_from_a_wrong_use() {
    for (name, arguments, code, said) in [
        ("posthouse", &["--version"][..], 0, "posthouse 0."),
        ("posthouse", &["--help"], 0, "Usage: posthouse"),
        (
            "posthouse",
            &["queue", "list", "--help"],
            0,
            "Usage: posthouse queue list",
        ),
        (
            "posthouse",
            &["config", "show", "--defaults"],
            0,
            "[smtpd]\n",
        ),
        (
            "posthouse",
            &["config", "chekc"],
            2,
            "a similar subcommand exists: 'check'",
        ),
        ("posthouse", &["queue", "delete"], 2, "--all"),
        (
            "posthouse",
            &["--config", "/nonexistent/c", "queue", "list"],
            1,
            "name another with --config",
        ),
        ("master", &["--version"], 0, "posthouse master 0."),
        ("master", &["--help"], 0, "--check"),
        ("master", &["--chekc"], 2, "unknown argument \"--chekc\""),
        (
            "master",
            &["--config", "/nonexistent/c", "--check"],
            1,
            "/nonexistent/c: cannot be read",
        ),
    ] {
        let (status, out, err) = run(name, arguments);
        assert_eq!(status, Some(code), "{name} {arguments:?}: {err}");
        let stream = if code == 0 { &out } else { &err };
        assert!(stream.contains(said), "{name} {arguments:?}: {stream}");
    }
}

#[test]
fn a_queue_that_nobody_serves_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    let run_dir = folder.path().join("run");
    fs::write(&config, format!("[paths]\nrun_dir = {run_dir:?}\n")).unwrap();
    let (status, _, err) = run(
        "posthouse",
        &["--config", config.to_str().unwrap(), "queue", "list"],
    );
    assert_eq!(status, Some(1), "{err}");
    assert!(err.contains("/run/ipc/queue.sock: No such file"), "{err}");
    assert!(err.contains("does the suite run"), "{err}");
}

#[test]
fn a_program_started_by_hand_says_who_starts_it() {
    for name in PROGRAMS {
        for arguments in [&[][..], &["--help"]] {
            let (status, _, err) = run(name, arguments);
            assert!(status.is_some_and(|code| code != 0), "{name}: {status:?}");
            assert!(err.contains("master"), "{name} {arguments:?}: {err}");
        }
    }
}

#[test]
fn every_fault_of_a_configuration_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    for (text, faults) in [
        (
            &b"[smtpd]\nworkers = 1\nworkers = 2\n"[..],
            &[":3: duplicate key"][..],
        ),
        (b"hello world\n", &[":1: "]),
        (b"[log]\n# \xff\n", &[":2: this is not UTF-8 text"]),
        (
            b"[smtpd]\nworker = 1\nworkers = \"two\"\nmessage_size_limit = 5\n[nope]\n",
            &[
                ":2: unknown setting smtpd.worker (did you mean workers?)",
                ":3: smtpd.workers: expected a whole number, found the string \"two\"",
                ":4: smtpd.message_size_limit: \"5B\" is out of range",
                ":5: unknown section [nope]",
            ],
        ),
    ] {
        fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let (status, out, err) = run("posthouse", &["config", "check", path]);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{err}");
        let lines: Vec<_> = err.lines().collect();
        assert_eq!(lines.len(), faults.len(), "{err}");
        for (line, fault) in lines.iter().zip(faults) {
            let fault = format!("{path}{fault}");
            assert!(line.starts_with(&fault), "{line}, not {fault}");
        }
        assert_eq!(run("master", &["--check", "--config", path]).0, Some(1));
    }
}

#[test]
fn users_are_managed_and_refusals_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "[domains]\nlocal = [\"a.example\"]\n[users]\ndir = \"64103\"\ngroup = \"64100\"\n\
         [directory]\nusers_file = \"{}\"\naliases_file = \"{}\"\n",
        at("users"),
        at("aliases")
    );
    let config = at("c.toml");
    fs::write(&config, text).unwrap();
    fs::write(at("aliases"), "postmaster: alice\n").unwrap();
    for (arguments, input, code, said) in [
        (&["list"][..], "", 1, "\"posthouse user add\" makes it"),
        (&["add", "alice", "--password-stdin"], "secret\n", 0, ""),
        (
            &["add", "alice", "--no-password"],
            "",
            1,
            "there is a user alice@a.example already",
        ),
        (&["add", "bob", "--no-password", "--quota", "1G"], "", 0, ""),
        (
            &["add", "bob", "--no-password", "--quota", "1X"],
            "",
            2,
            "\"1X\" is not a size",
        ),
        (&["add", "a@b@c", "--no-password"], "", 1, "is no address"),
        (
            &["add", "x@b.example", "--no-password"],
            "",
            0,
            "not in domains.local",
        ),
        (
            &["passwd", "alice", "--password-stdin"],
            "",
            1,
            "1 to 1024 bytes",
        ),
        (
            &["passwd", "carol", "--no-password"],
            "",
            1,
            "there is no user carol@a.example",
        ),
        (&["del", "x@b.example"], "", 0, ""),
        (&["list"], "", 0, "bob@a.example    1G"),
        (&["check"], "", 0, "no faults"),
        (&["add", "dave"], "", 1, "--password-stdin"),
    ] {
        let mut command = Command::new(program("posthouse").unwrap());
        command.args(["--config", &config, "user"]).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Without a terminal to ask at.
        let mut child = in_session_of_its_own(command);
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let (status, out, err) = told(child.wait_with_output().unwrap());
        assert_eq!(status, Some(code), "{arguments:?}: {err}");
        assert!(
            format!("{out}{err}").contains(said),
            "{arguments:?}: {out}{err}"
        );
    }
}

fn in_session_of_its_own(command: Command) -> Child {
    let mut session = Command::new("setsid");
    session
        .arg("--wait")
        .arg(command.get_program())
        .args(command.get_args());
    session
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    session.spawn().unwrap()
}

#[test]
fn what_is_shipped_is_sound() {
    let sample = workspace("packaging/posthouse.toml");
    let (status, out, err) = run("posthouse", &["config", "check", sample.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{out}{err}");
    let (_, defaults, _) = run("posthouse", &["config", "show", "--defaults"]);
    let sysusers = fs::read_to_string(workspace("packaging/posthouse.sysusers")).unwrap();
    let lines = sysusers.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let name = line.split_whitespace().nth(1).unwrap();
        assert!(
            defaults.contains(&format!("= \"{name}\"\n")),
            "no setting is {name}"
        );
        let description = line.split('"').nth(1).unwrap_or_default();
        assert!(!description.contains(':'), "it ends the field: {line}");
    }
    let (_, page, _) = run("posthouse", &["config", "man"]);
    assert_eq!(
        page,
        fs::read_to_string(workspace("man/posthouse.toml.5")).unwrap()
    );
}

#[test]
fn manual_pages_are_well_formed() {
    for entry in fs::read_dir(workspace("man")).unwrap() {
        let page = entry.unwrap().path();
        let lint = Command::new("mandoc")
            .args(["-Tlint", "-Wwarning"])
            .arg(&page)
            .output();
        let (status, out, err) = told(lint.unwrap());
        assert_eq!(status, Some(0), "{out}{err}");
    }
}

/// `try` by the executable itself, as in a folder of built programs without cargo.
fn try_out(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("xtask").unwrap());
    command.env_remove("CARGO").arg("try").args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn try_keeps_its_folder_and_stops_when_told() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let [dir, env] = ["site", "env"].map(|name| folder.path().join(name).display().to_string());
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let (status, out, err) = told(try_out(&["--once", "--dir", &dir]).output().unwrap());
    assert_eq!(status, Some(0), "{out}{err}");

    fs::write(&env, "stale").unwrap();
    let child = try_out(&["--dir", &dir, "--env", &env]).spawn().unwrap();
    let variables = eventually(PATIENCE, || {
        let text = fs::read_to_string(&env).ok()?;
        text.contains("POSTHOUSE_MASTER_PID=").then_some(text)
    });
    let variables = variables.expect("the variables are written");
    assert!(
        variables.contains(&format!("POSTHOUSE_DIR='{dir}'\n")),
        "{variables}"
    );
    let second = told(try_out(&["--once", "--dir", &dir]).output().unwrap());
    assert!(
        second.0 == Some(1) && second.2.contains("a suite runs in it"),
        "{second:?}"
    );
    let master = variables.split("MASTER_PID='").nth(1).unwrap();
    let master: i32 = master.split('\'').next().unwrap().parse().unwrap();
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let (status, out, err) = told(child.wait_with_output().unwrap());
    assert_eq!(status, Some(0), "{err}");
    assert!(
        out.contains("S: +OK 2 "),
        "the first message is still there: {out}"
    );
    assert!(kill(Pid::from_raw(master), None).is_err(), "master is gone");
}

#[test]
fn try_refuses_what_it_cannot_do() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::write(folder.path().join("users"), "mine").unwrap();
    let dir = folder.path().to_str().unwrap();
    for (arguments, code, said) in [
        (&["--set", "nonsense"][..], 2, "not section.key=value"),
        (
            &["--set", "smtpd.worker=1", "--set", "smtpd.workers=0"],
            1,
            "\n  unknown setting smtpd.worker (did you mean workers?)\n  smtpd.workers: 0 is out of range",
        ),
        (
            &["--env", "/nonexistent/file"],
            1,
            "--env /nonexistent/file: No such file",
        ),
        (&["--dir", dir], 1, "no earlier try made"),
    ] {
        let (status, _, err) = told(try_out(arguments).arg("--once").output().unwrap());
        assert_eq!(status, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}
