//! The jail of each program, tried from inside: a process puts on exactly the jail of the table, then tries
//! what it must not be able to do, and what it needs to do.
//!
//! The probes run in copies of this test program, as a jail cannot be taken off. As root each probe runs twice:
//! as a service that master started as root, and as an ordinary user would run it.

#![cfg(test)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use daemon::Role;
use daemon::jail::{self, Account, Root, Site};
use sandbox::ids::{self, Identity};
use sandbox::seccomp::Group;

const PROBE: &str = "JAIL_PROBE";
const BASE: &str = "JAIL_BASE";
const ADDRESS: &str = "JAIL_ADDRESS";
const AS_USER: &str = "JAIL_AS_USER";

/// Service users without entries in the user database; nothing else uses them.
const NET: u32 = 46_001;
const QUEUE: u32 = 46_002;
const DIRECTORY: u32 = 46_003;
const OWNER: u32 = 46_004;
const GROUP: u32 = 46_005;

fn site(base: &Path) -> Site {
    Site {
        socket_folder: base.join("ipc"),
        queue_folder: base.join("queue"),
        user_tables: vec![base.join("tables")],
        net: NET.to_string(),
        queue: QUEUE.to_string(),
        dir: DIRECTORY.to_string(),
        group: GROUP.to_string(),
    }
}

/// Makes the places of the site, each open to everybody, so that only the jail can deny anything.
fn make_places(base: &Path) {
    for name in ["", "ipc", "queue", "tables", "mailbox", "outside"] {
        let folder = base.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    }
    fs::write(base.join("outside/private"), "x").unwrap();
    fs::set_permissions(
        base.join("outside/private"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    std::os::unix::fs::chown(base.join("outside/private"), Some(OWNER), Some(OWNER)).ok();
}

fn run(role: Role, as_user: bool) {
    let base = tempfile::tempdir().unwrap();
    make_places(base.path());
    let socket = base.path().join("ipc/other.sock");
    let _other = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "probe", "--nocapture", "--test-threads=1"])
        .env(PROBE, role.name())
        .env(BASE, base.path())
        .env(ADDRESS, listener.local_addr().unwrap().to_string())
        .env(AS_USER, if as_user { "1" } else { "" })
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{} {as_user}: {:?}\n{text}",
        role.name(),
        output.status
    );
    assert!(
        text.contains("probed"),
        "{} did not run\n{text}",
        role.name()
    );
}

/// Not a test by itself: the body of the child processes.
#[test]
fn probe() -> ExitCode {
    let Ok(name) = std::env::var(PROBE) else {
        return ExitCode::SUCCESS;
    };
    let role = Role::ALL
        .into_iter()
        .find(|role| role.name() == name)
        .unwrap();
    let base = PathBuf::from(std::env::var_os(BASE).unwrap());
    let address = std::env::var(ADDRESS).unwrap();
    let as_user = std::env::var(AS_USER).as_deref() == Ok("1");
    let as_owner = jail::spec(role).account == Account::AsStarted;
    if ids::is_root() && (as_user || as_owner) {
        let identity = Identity {
            uid: OWNER,
            gid: GROUP,
            groups: vec![GROUP],
        };
        ids::become_permanently(&identity).unwrap();
    }
    inside(role, &base, &address);
    println!("probed");
    ExitCode::SUCCESS
}

/// Puts the jail on and tries everything.
fn inside(role: Role, base: &Path, address: &str) {
    let was_root = ids::is_root();
    let spec = jail::spec(role);
    let other = UnixStream::connect(base.join("ipc/other.sock")).unwrap();
    let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    let owner = fs::metadata(base.join("outside/private")).unwrap().uid();
    let missing = jail::apply(spec, &site(base), &[base.join("mailbox")]).unwrap();
    println!("{} lacks {missing:?}", role.name());

    who_it_is(role, was_root);
    no_way_out(address);
    programs(role);
    if sandbox::landlock::kernel_version() >= 2 {
        files(role, base, owner);
    }
    unix_sockets(role, base, was_root);
    // What was opened before goes on working, and so do threads.
    (&other).write_all(b"x").unwrap();
    inherited.local_addr().unwrap();
    std::thread::spawn(|| ()).join().unwrap();
}

fn who_it_is(role: Role, was_root: bool) {
    let expected = match jail::spec(role).account {
        _ if !was_root => ids::effective_uid(),
        Account::Net => NET,
        Account::Queue => QUEUE,
        Account::Directory => DIRECTORY,
        Account::Root | Account::AsStarted => 0,
    };
    assert_eq!(ids::effective_uid(), expected);
    let capabilities = sandbox::caps::permitted().unwrap();
    let kept = if was_root {
        jail::spec(role).keeps.len()
    } else {
        0
    };
    assert_eq!(capabilities.count_ones() as usize, kept);
    if expected != 0 {
        let root = Identity {
            uid: 1,
            gid: 1,
            groups: vec![],
        };
        assert!(ids::become_permanently(&root).is_err());
    }
}

fn no_way_out(address: &str) {
    assert!(TcpStream::connect(address).is_err(), "connected out");
    assert!(TcpListener::bind("127.0.0.1:0").is_err(), "bound a port");
    assert!(
        std::net::UdpSocket::bind("127.0.0.1:0").is_err(),
        "made a UDP socket"
    );
}

fn programs(role: Role) {
    let started = Command::new("/bin/true").status();
    let may = jail::spec(role).calls.contains(&Group::Processes);
    assert_eq!(started.is_ok(), may, "{started:?}");
}

/// Tries to change and to read a folder.
fn may(folder: &Path) -> (bool, bool) {
    let change = || -> io::Result<()> {
        let temporary = folder.join("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(b"mail")?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join("new"))?;
        File::open(folder)?.sync_all()?;
        fs::remove_file(folder.join("new"))
    };
    (fs::read(folder.join("file")).is_ok(), change().is_ok())
}

fn files(role: Role, base: &Path, owner: u32) {
    let (nothing, read, all) = ((false, false), (true, false), (true, true));
    // Which of queue, tables, mailbox and the rest it may read and change.
    let expected = match role {
        Role::Smtpd | Role::Pop3Login => [nothing; 4],
        Role::QueueManager => [all, nothing, nothing, nothing],
        Role::Directory => [nothing, read, nothing, nothing],
        Role::DeliveryWorker | Role::Pop3Session => [nothing, nothing, all, nothing],
        Role::LocalDelivery | Role::CommandWorker => [all; 4],
    };
    let found = ["queue", "tables", "mailbox", "outside"].map(|name| may(&base.join(name)));
    assert_eq!(found, expected);
    if owner != ids::effective_uid() {
        assert!(
            fs::read(base.join("outside/private")).is_err(),
            "passed over permissions"
        );
    }
    assert_eq!(File::open("/etc/passwd").is_ok(), expected[3].0);
    assert!(File::open("/proc/1/environ").is_err());
}

fn unix_sockets(role: Role, base: &Path, was_root: bool) {
    let spec = jail::spec(role);
    let inside = was_root && spec.root == Root::SocketFolder;
    let path = if inside {
        PathBuf::from("/other.sock")
    } else {
        base.join("ipc/other.sock")
    };
    let connected = UnixStream::connect(path);
    assert_eq!(
        connected.is_ok(),
        spec.calls.contains(&Group::UnixSockets),
        "{connected:?}"
    );
}

/// One test per role and way to start, so that a failure says which.
macro_rules! jails {
    ($($name:ident: $role:ident;)+) => {
        $(
            mod $name {
                #[test]
                fn as_service() {
                    super::run(super::Role::$role, false);
                }

                #[test]
                fn as_ordinary_user() {
                    super::run(super::Role::$role, true);
                }
            }
        )+

        #[test]
        fn every_role_is_tried() {
            let tried = [$(Role::$role),+];
            assert!(Role::ALL.iter().all(|role| tried.contains(role)));
        }
    };
}

jails! {
    smtpd: Smtpd;
    queue_manager: QueueManager;
    directory: Directory;
    local_delivery: LocalDelivery;
    delivery_worker: DeliveryWorker;
    command_worker: CommandWorker;
    pop3_login: Pop3Login;
    pop3_session: Pop3Session;
}
