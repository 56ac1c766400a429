//! What the jail denies is denied: each property is tried in a process of its own, which jails itself first.
//!
//! The probes run in a copy of this test program, started with the probe's name in the environment, because
//! a jail cannot be taken off again.
#![cfg(test)]

use std::fs::File;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use sandbox::landlock::{PathRule, Rights, Rules, Signals};
use sandbox::seccomp::{self, Group};
use sandbox::{caps, ids};

const PROBE: &str = "SANDBOX_PROBE";
const ARGUMENT: &str = "SANDBOX_ARGUMENT";

/// Starts the named probe with one argument and asserts that it found what it expects.
fn run(probe: &str, argument: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "probe", "--nocapture", "--test-threads=1"])
        .env(PROBE, probe)
        .env(ARGUMENT, argument)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{probe}: {:?}\n{text}",
        output.status
    );
    assert!(text.contains("probed"), "{probe} did not run\n{text}");
}

/// Not a test by itself: the body of the child processes.
#[test]
fn probe() -> ExitCode {
    let Ok(name) = std::env::var(PROBE) else {
        return ExitCode::SUCCESS;
    };
    let argument = std::env::var(ARGUMENT).unwrap();
    let (_, body) = PROBES.iter().find(|(known, _)| *known == name).unwrap();
    body(&argument);
    println!("probed");
    ExitCode::SUCCESS
}

type Probe = fn(&str);

const PROBES: &[(&str, Probe)] = &[
    ("files", probe_files),
    ("landlock-tcp", probe_landlock_tcp),
    ("no-files", probe_no_files),
    ("unix-only", probe_unix_only),
    ("no-programs", probe_no_programs),
    ("programs", probe_programs),
    ("capabilities", probe_capabilities),
    ("identity", probe_identity),
];

fn jail(groups: &[Group]) {
    assert!(
        seccomp::install(groups).unwrap(),
        "this kernel has no seccomp"
    );
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn probe_files(folder: &str) {
    let inside = std::path::Path::new(folder).join("inside");
    let outside = std::path::Path::new(folder).join("outside");
    for path in [inside.join("tmp"), inside.join("new"), outside.clone()] {
        std::fs::create_dir_all(path).unwrap();
    }
    std::fs::write(outside.join("secret"), "x").unwrap();
    let paths = [
        PathRule::new(&inside, Rights::ReadWrite),
        PathRule::optional("/nowhere", Rights::Read),
    ];
    let missing = Rules::prepare(&paths, Signals::Inside)
        .unwrap()
        .enforce()
        .unwrap();
    if sandbox::landlock::kernel_version() < 2 {
        assert!(!missing.is_empty());
        return;
    }
    std::fs::write(inside.join("tmp/mail"), "x").unwrap();
    std::fs::rename(inside.join("tmp/mail"), inside.join("new/mail")).unwrap();
    assert_eq!(std::fs::read(inside.join("new/mail")).unwrap(), b"x");
    assert_eq!(
        errno(File::open(outside.join("secret"))),
        Some(libc::EACCES)
    );
    assert_eq!(
        errno(std::fs::write(outside.join("new"), "x")),
        Some(libc::EACCES)
    );
    assert_eq!(errno(std::fs::read_dir("/")), Some(libc::EACCES));
    let link = inside.join("link");
    std::os::unix::fs::symlink(outside.join("secret"), &link).unwrap();
    assert_eq!(errno(File::open(link)), Some(libc::EACCES));
    let moved = std::fs::rename(inside.join("new/mail"), outside.join("mail"));
    assert!(moved.is_err());
    assert!(Command::new("/bin/true").spawn().is_err());
}

fn probe_landlock_tcp(address: &str) {
    let accepted = TcpStream::connect(address).unwrap();
    let missing = Rules::prepare(&[], Signals::Inside)
        .unwrap()
        .enforce()
        .unwrap();
    if sandbox::landlock::kernel_version() < 4 {
        assert!(!missing.is_empty());
        return;
    }
    assert_eq!(errno(TcpStream::connect(address)), Some(libc::EACCES));
    assert_eq!(errno(TcpListener::bind("127.0.0.1:0")), Some(libc::EACCES));
    accepted.set_nodelay(true).unwrap();
}

fn probe_no_files(_: &str) {
    let mut zero = File::open("/dev/zero").unwrap();
    jail(&[Group::Sockets]);
    assert_eq!(errno(File::open("/dev/zero")), Some(libc::ENOSYS));
    assert_eq!(
        errno(std::fs::write("/tmp/posthouse-never", "x")),
        Some(libc::ENOSYS)
    );
    assert_eq!(
        errno(std::fs::remove_file("/tmp/posthouse-never")),
        Some(libc::ENOSYS)
    );
    assert_eq!(
        errno(UnixStream::connect("/tmp/posthouse-never")),
        Some(libc::ENOSYS)
    );
    zero.read_exact(&mut [0; 8]).unwrap();
    UnixStream::pair().unwrap();
    std::thread::spawn(|| ()).join().unwrap();
    assert!(std::time::SystemTime::now() > std::time::UNIX_EPOCH);
}

fn probe_unix_only(address: &str) {
    jail(&[Group::Sockets, Group::UnixSockets]);
    assert_eq!(errno(TcpStream::connect(address)), Some(libc::ENOSYS));
    assert_eq!(
        errno(std::net::UdpSocket::bind("127.0.0.1:0")),
        Some(libc::ENOSYS)
    );
    let missing = UnixStream::connect("/nowhere/at/all").unwrap_err();
    assert_eq!(
        missing.kind(),
        io::ErrorKind::NotFound,
        "Unix sockets may be connected"
    );
}

fn probe_no_programs(_: &str) {
    jail(&[Group::Sockets, Group::UnixSockets, Group::Files]);
    assert_eq!(errno(Command::new("/bin/true").spawn()), Some(libc::ENOSYS));
    let parent = std::os::unix::process::parent_id();
    // SAFETY: plain numbers; the calls must fail.
    unsafe {
        assert_eq!(libc::kill(parent.cast_signed(), 0), -1);
        assert_eq!(libc::syscall(libc::SYS_clone3, 0, 0), -1);
        assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), -1);
        let (none, size) = (std::ptr::null_mut(), 4096);
        let (exec, flags) = (
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        assert_eq!(libc::mmap(none, size, exec, flags, -1, 0), libc::MAP_FAILED);
    }
    std::thread::spawn(|| ()).join().unwrap();
}

fn probe_programs(address: &str) {
    jail(&[
        Group::Files,
        Group::Processes,
        Group::UnixSockets,
        Group::Sockets,
        Group::Jails,
    ]);
    assert!(Command::new("/bin/true").status().unwrap().success());
    assert_eq!(errno(TcpStream::connect(address)), Some(libc::ENOSYS));
}

fn probe_capabilities(_: &str) {
    if !ids::is_root() {
        return;
    }
    let kept = [caps::Capability::SetUid, caps::Capability::Kill];
    assert!(caps::bound(&kept).unwrap());
    caps::keep_only(&kept).unwrap();
    assert_eq!(caps::permitted().unwrap(), 1 << 7 | 1 << 5);
    assert!(std::os::unix::fs::chown("/proc/self/exe", Some(1), Some(1)).is_err());
    let status = Command::new("/bin/cat")
        .arg("/proc/self/status")
        .output()
        .unwrap()
        .stdout;
    let text = String::from_utf8(status).unwrap();
    let effective = text
        .lines()
        .find(|line| line.starts_with("CapEff"))
        .unwrap();
    assert!(
        effective.ends_with("00000000000000a0"),
        "exec brought back {effective}"
    );
    caps::keep_only(&[]).unwrap();
    assert_eq!(caps::permitted().unwrap(), 0);
}

fn probe_identity(_: &str) {
    let wanted = ids::Identity {
        uid: 45_001,
        gid: 45_002,
        groups: vec![45_003],
    };
    if !ids::is_root() {
        let error = ids::become_permanently(&wanted).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        return;
    }
    ids::become_permanently(&wanted).unwrap();
    assert_eq!(
        (ids::effective_uid(), ids::effective_gid()),
        (45_001, 45_002)
    );
    assert_eq!(caps::permitted().unwrap(), 0);
    assert_eq!(errno(File::open("/etc/shadow")), Some(libc::EACCES));
    let other = ids::Identity {
        uid: 45_004,
        ..wanted
    };
    assert!(ids::become_permanently(&other).is_err());
}

#[test]
fn files_outside_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    run("files", folder.path().to_str().unwrap());
}

#[test]
fn connecting_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for probe in ["landlock-tcp", "unix-only", "programs"] {
        run(probe, &address);
    }
}

#[test]
fn files_programs_and_privileges() {
    for probe in ["no-files", "no-programs", "capabilities", "identity"] {
        run(probe, "");
    }
}
