//! `cargo xtask try`: the whole suite, at once, without root or configuration.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Account, MADE_HERE, Pop3Client, Site, SiteError, SmtpClient, eventually};
use nix::unistd::Uid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::steps;

/// Options of `cargo xtask try`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Stop after the check: exit 0 when the mail came through, 1 when not.
    #[arg(long)]
    once: bool,
    /// Use this folder and keep it: mail, queue, users and aliases are there again at the next start. The
    /// configuration in it is written anew each time.
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Override a setting; may be given several times.
    #[arg(long = "set", value_name = "section.key=value", value_parser = assignment)]
    settings: Vec<(String, String)>,
    /// Write shell variables to this file once everything answers. A file of that name is removed first.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("this is not section.key=value")?;
    match name.trim().split_once('.') {
        Some((section, key)) if !section.is_empty() && !key.is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("a setting is named section.key".to_owned()),
    }
}

/// Ctrl-C, the end of the terminal, or a request to end.
struct Interrupt {
    came: Arc<AtomicBool>,
    pipe: UnixStream,
}

impl Interrupt {
    fn watch() -> io::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        let (pipe, on_signal) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&came))?;
            signal_hook::low_level::pipe::register(signal, on_signal.try_clone()?)?;
        }
        Ok(Self { came, pipe })
    }

    fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }

    fn wait(&mut self) {
        // Any byte, or the end of the pair, says that it is time.
        let _ = self.pipe.read(&mut [0]);
    }
}

/// Builds, starts, sends, fetches, explains, and waits for Ctrl-C.
pub fn run(arguments: Arguments) -> Result<(), String> {
    let mut interrupt =
        Interrupt::watch().map_err(|error| format!("cannot watch for signals: {error}"))?;
    if let Some(file) = &arguments.env {
        remove_stale(file)?;
    }
    if let Some(folder) = &arguments.dir {
        check_folder(folder)?;
    }
    build()?;
    let text = |error: SiteError| error.to_string();
    let mut site = prepare(&arguments, &interrupt).map_err(text)?;
    eprintln!("==> start master with {}", site.config().display());
    let outcome = serve(&mut site, &arguments, &mut interrupt);
    if site.master_pid().is_none() {
        return outcome;
    }
    eprintln!("==> stopping");
    let stopped = site.stop().map_err(text);
    outcome?;
    let status = stopped?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("master ended with {status}"))
    }
}

/// Everything between the start of master and its stop.
fn serve(site: &mut Site, arguments: &Arguments, interrupt: &mut Interrupt) -> Result<(), String> {
    site.start().map_err(|error| error.to_string())?;
    check(site, interrupt).map_err(|error| error.to_string())?;
    if let Some(file) = &arguments.env {
        write_environment(site, file)?;
    }
    if !arguments.once {
        explain(site);
        interrupt.wait();
        eprintln!();
    }
    Ok(())
}

/// Builds the programs; a copy of this program that cargo did not start takes those beside itself.
fn build() -> Result<(), String> {
    if std::env::var_os("CARGO").is_some() {
        return steps::build_programs();
    }
    let folder = harness::programs_folder()?;
    eprintln!(
        "==> not started by cargo: nothing is built, the programs are those in {}",
        folder.display()
    );
    Ok(())
}

/// What is made in the folder.
const OURS: &[&str] = &["posthouse.toml", "aliases", "users", "queue", "run", "mail"];

/// A folder of the user's is not to be overwritten, nor one in which a suite runs.
fn check_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    let configuration = fs::read_to_string(folder.join("posthouse.toml")).unwrap_or_default();
    if !configuration.starts_with(MADE_HERE)
        && let Some(name) = OURS.iter().find(|name| folder.join(name).exists())
    {
        return Err(format!(
            "--dir {shown}: there is a {name} in it that no earlier try made; name another folder"
        ));
    }
    if let Ok(lock) = File::open(folder.join("run/master.pid"))
        && matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
    {
        return Err(format!(
            "--dir {shown}: a suite runs in it; stop that one first"
        ));
    }
    check_parents(folder)
}

/// The programs leave root behind and must still reach what is below the folder.
fn check_parents(folder: &Path) -> Result<(), String> {
    let full = std::path::absolute(folder).map_err(|error| error.to_string())?;
    let closed = full.ancestors().skip(1).find(|parent| {
        fs::metadata(parent).is_ok_and(|found| found.permissions().mode() & 0o001 == 0)
    });
    match closed.filter(|_| Uid::effective().is_root()) {
        Some(closed) => Err(format!(
            "--dir {}: only its owner may enter {}, and started by root the programs run as users of their own; \
             name a folder elsewhere, such as /var/tmp/posthouse",
            folder.display(),
            closed.display()
        )),
        None => Ok(()),
    }
}

fn prepare(arguments: &Arguments, interrupt: &Interrupt) -> Result<Site, SiteError> {
    let mut builder = Site::builder().give_up_when(&interrupt.came);
    if let Some(folder) = &arguments.dir {
        builder = builder.folder(folder);
    }
    for (name, value) in &arguments.settings {
        builder = builder.set(name, value)?;
    }
    eprintln!("==> make a folder, a configuration, and the users alice and bob");
    builder.prepare()
}

/// Sends a message from alice to bob and fetches it, showing both dialogs.
fn check(site: &Site, interrupt: &Interrupt) -> Result<(), SiteError> {
    let (alice, bob) = (site.alice(), site.bob());
    let mark = format!("{}-{}", std::process::id(), site.smtp().port());
    let content = format!(
        "From: Alice <{}>\r\nTo: Bob <{}>\r\nSubject: A letter by the mail coach {mark}\r\n\r\nDear Bob,\r\n\
         .this line begins with a dot.\r\nYours, Alice\r\n",
        alice.address, bob.address
    );
    eprintln!("==> alice sends a message to bob over SMTP");
    let mut smtp = SmtpClient::greeted(site.smtp())?;
    smtp.deliver(&alice.address, &[&bob.address], content.as_bytes())?;
    smtp.command("QUIT", 221)?;
    print!("{}", smtp.transcript());
    eprintln!("==> bob fetches it over POP3");
    let fetched = eventually(harness::PATIENCE, || match fetch(site, bob, &mark) {
        Ok(None) if interrupt.came() => Some(Err(unexpected("no interruption", "one"))),
        answer => answer.transpose(),
    });
    let (message, transcript) = fetched.unwrap_or_else(|| {
        let log = site.log_path();
        let got = format!("nothing; the log is {}", log.display());
        Err(unexpected("the message in bob's mailbox", &got))
    })?;
    print!("{transcript}");
    println!("\n{}", String::from_utf8_lossy(&message));
    if !message.ends_with(content.as_bytes()) {
        return Err(unexpected(
            "the message as it was sent, behind the trace fields",
            "another one",
        ));
    }
    eprintln!("==> it arrived as it was sent");
    Ok(())
}

fn unexpected(wanted: &str, got: &str) -> SiteError {
    SiteError::from(harness::DialogError::Unexpected {
        wanted: wanted.to_owned(),
        got: got.to_owned(),
    })
}

/// Looks once for the message with `mark` in it.
fn fetch(site: &Site, user: &Account, mark: &str) -> Result<Option<(Vec<u8>, String)>, SiteError> {
    let mut client = Pop3Client::login(site.pop3(), &user.address, &user.password)?;
    let (there, _) = client.stat()?;
    for number in (1..=there).rev() {
        let message = client.retrieve(number)?;
        if message
            .windows(mark.len())
            .any(|window| window == mark.as_bytes())
        {
            return Ok(Some((message, client.quit()?.to_string())));
        }
    }
    client.quit()?;
    Ok(None)
}

/// Scripts wait for the file to appear, so one of an earlier run must go; and better to hear now than after the build
/// that it cannot be written.
fn remove_stale(file: &Path) -> Result<(), String> {
    let cannot = |error: io::Error| format!("--env {}: {error}", file.display());
    File::create(draft(file)).map_err(cannot)?;
    fs::remove_file(draft(file)).map_err(cannot)?;
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(error)),
        _ => Ok(()),
    }
}

/// The name beside `file` under which it is written.
fn draft(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_environment(site: &Site, file: &Path) -> Result<(), String> {
    let mut text = String::new();
    for (name, value) in site.environment().map_err(|error| error.to_string())? {
        text.push_str(&format!("{name}='{}'\n", value.replace('\'', r"'\''")));
    }
    // Under its name only when whole.
    let draft = draft(file);
    let written = File::create(&draft)
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, file));
    written.map_err(|error| format!("--env {}: {error}", file.display()))
}

fn explain(site: &Site) {
    let (smtp, pop3) = (site.smtp(), site.pop3());
    let (alice, bob) = (site.alice(), site.bob());
    println!(
        "Posthouse runs (master is pid {}).",
        site.master_pid().map_or(0, nix::unistd::Pid::as_raw)
    );
    println!("  SMTP      {smtp}");
    println!("  POP3      {pop3}");
    for account in [alice, bob] {
        println!(
            "  user      {}   password  {}",
            account.address, account.password
        );
    }
    println!("  folder    {}", site.dir().display());
    println!("  log       {}", site.log_path().display());
    println!("\nSend a message:");
    println!(
        "  printf 'Subject: hello\\r\\n\\r\\nhello\\r\\n' | curl smtp://{smtp} --mail-from {} --mail-rcpt {} --upload-file -",
        alice.address, bob.address
    );
    println!(
        "  swaks --server {smtp} --from {} --to {}",
        alice.address, bob.address
    );
    println!("\nRead it:");
    println!(
        "  curl pop3://{pop3}/1 --user {}:{}",
        bob.address, bob.password
    );
    if let Ok(bin) = harness::programs_folder() {
        let config = site.config().display();
        println!("\nLook into the queue, and at the settings:");
        println!("  {}/posthouse --config {config} queue list", bin.display());
        println!(
            "  {}/posthouse --config {config} config show --changed",
            bin.display()
        );
    }
    println!("\nCtrl-C stops it.");
}
