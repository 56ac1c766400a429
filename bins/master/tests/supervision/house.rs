//! A folder with a configuration and stand-ins for all services, and a real master on it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The services by the names of their programs.
pub const SERVICES: [&str; 5] = [
    "directory",
    "queue-manager",
    "local-delivery",
    "smtpd",
    "pop3d",
];

/// One thing that happened to a service.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub pid: u32,
    pub text: String,
}

/// The house; master is killed when it is dropped.
#[derive(Debug)]
pub struct House {
    folder: tempfile::TempDir,
    pub smtp: SocketAddr,
    pub pop3: SocketAddr,
    master: Child,
}

/// An address that nobody listens on at the moment.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl House {
    /// Starts master with the given behaviours of services.
    pub fn start(behaviours: &[(&str, &str)]) -> Self {
        Self::start_with(behaviours, &[], &[])
    }

    /// The same with variables in the environment, and changed settings.
    pub fn start_with(
        behaviours: &[(&str, &str)],
        environment: &[(&str, &str)],
        changes: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Session halves run as another user, and tell their events here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let programs = folder.path().join("lib");
        fs::create_dir(&programs).unwrap();
        fs::set_permissions(&programs, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(programs.join("events"), "").unwrap();
        fs::set_permissions(programs.join("events"), fs::Permissions::from_mode(0o666)).unwrap();
        for name in SERVICES.into_iter().chain(["pop3-session"]) {
            fs::hard_link(stand_in(), programs.join(name))
                .or_else(|_| fs::copy(stand_in(), programs.join(name)).map(drop))
                .unwrap();
        }
        let (smtp, pop3) = (free_address(), free_address());
        let mut house = Self {
            smtp,
            pop3,
            // Replaced below, once there is a configuration.
            master: Command::new("/bin/true").spawn().unwrap(),
            folder,
        };
        house.master.wait().unwrap();
        house.write_configuration(&house.configuration(changes));
        for (name, behaviour) in behaviours {
            house.behave(name, behaviour);
        }
        house.run(environment);
        house
    }

    fn run(&mut self, environment: &[(&str, &str)]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        self.master = Command::new(env!("CARGO_BIN_EXE_master"))
            .arg("--config")
            .arg(self.path("posthouse.toml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
    }

    /// Kills master alone, as a fault of its own would.
    pub fn kill_master(&mut self) {
        self.master.kill().unwrap();
        self.master.wait().unwrap();
    }

    /// Starts master once more.
    pub fn start_again(&mut self) {
        self.run(&[]);
    }

    /// The configuration, with some settings changed (`section.key`, TOML).
    pub fn configuration(&self, changes: &[(&str, &str)]) -> String {
        let path = |name: &str| format!("{:?}", self.path(name));
        let mut settings = vec![
            ("paths.queue_dir", path("queue")),
            ("paths.run_dir", path("run")),
            ("paths.lib_dir", path("lib")),
            ("directory.users_file", path("users")),
            ("directory.aliases_file", path("aliases")),
            ("directory.mail_root", path("mail")),
            ("domains.hostname", "\"mail.example.org\"".to_owned()),
            ("domains.local", "[\"example.org\"]".to_owned()),
            ("smtpd.listen", format!("[\"{}\"]", self.smtp)),
            ("pop3.listen", format!("[\"{}\"]", self.pop3)),
            ("master.stop_timeout", "\"4s\"".to_owned()),
            ("master.start_timeout", "\"1s\"".to_owned()),
            ("master.restart_delay_min", "\"100ms\"".to_owned()),
            ("master.restart_delay_max", "\"400ms\"".to_owned()),
            ("users.net", "45301".to_owned()),
            ("users.queue", "45302".to_owned()),
            ("users.dir", "45303".to_owned()),
            ("users.vmail", "45304".to_owned()),
            ("users.group", "45305".to_owned()),
        ];
        for (name, value) in changes {
            settings.retain(|(known, _)| known != name);
            settings.push((name, (*value).to_owned()));
        }
        settings.sort();
        let (mut text, mut section) = (String::new(), "");
        for (name, value) in &settings {
            let (of, key) = name.split_once('.').unwrap();
            if of != section {
                text += &format!("[{of}]\n");
                section = of;
            }
            text += &format!("{key} = {value}\n");
        }
        text
    }

    pub fn write_configuration(&self, text: &str) {
        fs::write(self.path("posthouse.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn pid(&self) -> u32 {
        self.master.id()
    }

    /// What the service is to do from its next start on.
    pub fn behave(&self, name: &str, behaviour: &str) {
        fs::write(
            self.path("lib").join(format!("{name}.behaviour")),
            behaviour,
        )
        .unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn events(&self) -> Vec<Event> {
        let text = fs::read_to_string(self.path("lib/events")).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.splitn(3, ' ');
            Some(Event {
                name: words.next()?.to_owned(),
                pid: words.next()?.parse().ok()?,
                text: words.next()?.to_owned(),
            })
        };
        text.lines().filter_map(parse).collect()
    }

    pub fn count(&self, name: &str, text: &str) -> usize {
        let is_it = |event: &&Event| event.name == name && event.text.starts_with(text);
        self.events().iter().filter(is_it).count()
    }

    pub fn await_count(&self, name: &str, text: &str, count: usize) {
        self.eventually(&format!("{count} times {text:?} of {name}"), || {
            self.count(name, text) >= count
        });
    }

    pub fn await_event(&self, name: &str, text: &str) {
        self.await_count(name, text, 1);
    }

    pub fn await_all_ready(&self) {
        for name in SERVICES {
            self.await_event(name, "ready");
        }
    }

    pub fn await_log(&self, text: &str, count: usize) {
        self.eventually(&format!("{count} times {text:?} in the log"), || {
            self.log().matches(text).count() >= count
        });
    }

    fn eventually(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(
                Instant::now() < deadline,
                "never: {what}\n{:#?}\n{}",
                self.events(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The delays before the restarts of a service in milliseconds, as the log has them.
    pub fn delays_of(&self, name: &str) -> Vec<String> {
        let (log, service) = (self.log(), format!("service={name} "));
        let of_it = log
            .lines()
            .filter(|line| line.contains("child_delayed") && line.contains(&service));
        let delay = |line: &str| Some(line.split_once("delay_ms=")?.1.to_owned());
        of_it.filter_map(delay).collect()
    }

    /// Kills the newest process of a service.
    pub fn kill_service(&self, name: &str) {
        let events = self.events();
        let started = events
            .iter()
            .rfind(|e| e.name == name && e.text == "start")
            .unwrap();
        sandbox::process::kill(started.pid).unwrap();
    }

    pub fn reload(&self) {
        let status = Command::new("kill")
            .args(["-HUP", &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Asks master to stop and waits for it.
    pub fn stop(&mut self) -> ExitStatus {
        sandbox::process::terminate(self.pid()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.master.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "master does not stop\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a second master on the same configuration; answers what it said before it failed.
    pub fn run_second(&self, overrides: &[&str]) -> String {
        let (good, said) = self.run_once(&[], overrides);
        assert!(!good, "{said}");
        said
    }

    /// Lets master check the configuration; answers whether it is good, and what was said.
    pub fn check(&self, overrides: &[&str]) -> (bool, String) {
        self.run_once(&["--check"], overrides)
    }

    fn run_once(&self, arguments: &[&str], overrides: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_master"));
        command
            .arg("--config")
            .arg(self.path("posthouse.toml"))
            .args(arguments);
        for assignment in overrides {
            command.args(["--set", assignment]);
        }
        let output = command.output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Without master the stand-ins drain and end; stubborn ones are killed here.
        let _ = self.master.kill();
        let _ = self.master.wait();
        for event in self.events() {
            let command = fs::read(format!("/proc/{}/cmdline", event.pid)).unwrap_or_default();
            if command.starts_with(b"posthouse: ") {
                let _ = sandbox::process::kill(event.pid);
            }
        }
    }
}

/// The stand-in, which cargo builds beside the tests.
fn stand_in() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let built = own
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("examples/fake-service"))
        .unwrap();
    assert!(
        Path::new(&built).exists(),
        "{} is missing: cargo build --examples",
        built.display()
    );
    built
}
