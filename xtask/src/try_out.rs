//! `cargo xtask try`: the whole suite, at once, without root or configuration.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use harness::{Account, Pop3Client, Site, SiteError, SmtpClient, eventually};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::steps;

/// Options of `cargo xtask try`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Stop after the check: exit 0 when the mail came through, 1 when not.
    #[arg(long)]
    once: bool,
    /// Use this folder and keep it.
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Override a setting; may be given several times.
    #[arg(long = "set", value_name = "section.key=value")]
    settings: Vec<String>,
    /// Write shell variables to this file once everything answers.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
}

/// Builds, starts, sends, fetches, explains, and waits for Ctrl-C.
pub fn run(arguments: Arguments) -> Result<(), String> {
    let (mut interrupt, on_signal) =
        UnixStream::pair().map_err(|error| format!("cannot make a socket pair: {error}"))?;
    for signal in [SIGINT, SIGTERM] {
        let on_signal = on_signal.try_clone().map_err(|error| error.to_string())?;
        signal_hook::low_level::pipe::register(signal, on_signal)
            .map_err(|error| format!("cannot watch for signals: {error}"))?;
    }
    steps::build_programs()?;
    let mut site = start(&arguments).map_err(|error| error.to_string())?;
    check(&site).map_err(|error| error.to_string())?;
    if let Some(file) = &arguments.env {
        write_environment(&site, file)?;
    }
    if !arguments.once {
        explain(&site);
        // Any byte, or the end of the pair, says that it is time.
        let _ = std::io::Read::read(&mut interrupt, &mut [0]);
        eprintln!("\n==> stopping");
    }
    let status = site.stop().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("master ended with {status}"))
    }
}

fn start(arguments: &Arguments) -> Result<Site, SiteError> {
    let mut builder = Site::builder();
    if let Some(folder) = &arguments.dir {
        builder = builder.folder(folder);
    }
    for setting in &arguments.settings {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "true"));
        builder = builder.set(name.trim(), value.trim())?;
    }
    eprintln!("==> make a folder, a configuration, and the users alice and bob");
    let mut site = builder.prepare()?;
    eprintln!("==> start master with {}", site.config().display());
    site.start()?;
    Ok(site)
}

/// Sends a message from alice to bob and fetches it, showing both dialogs.
fn check(site: &Site) -> Result<(), SiteError> {
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
    let fetched = eventually(harness::PATIENCE, || fetch(site, bob, &mark).transpose());
    let (message, transcript) = fetched.unwrap_or_else(|| {
        Err(SiteError::from(harness::DialogError::Unexpected {
            wanted: "the message in bob's mailbox".to_owned(),
            got: format!("nothing; the log is {}", site.log_path().display()),
        }))
    })?;
    print!("{transcript}");
    println!("\n{}", String::from_utf8_lossy(&message));
    if !message.ends_with(content.as_bytes()) {
        return Err(SiteError::from(harness::DialogError::Unexpected {
            wanted: "the message as it was sent, behind the trace fields".to_owned(),
            got: "another one".to_owned(),
        }));
    }
    eprintln!("==> it arrived as it was sent");
    Ok(())
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

fn write_environment(site: &Site, file: &PathBuf) -> Result<(), String> {
    let mut text = String::new();
    for (name, value) in site.environment().map_err(|error| error.to_string())? {
        text.push_str(&format!("{name}='{}'\n", value.replace('\'', r"'\''")));
    }
    // Under its name only when whole: scripts wait for the file to appear.
    let draft = file.with_extension("new");
    let written = fs::File::create(&draft)
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, file));
    written.map_err(|error| format!("cannot write {}: {error}", file.display()))
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
