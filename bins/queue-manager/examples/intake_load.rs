//! How fast the queue-manager takes mail, and what it costs it: `intake_load [messages] [outstanding] [octets]`.
//!
//! The queue-manager runs in this process, on a thread of its own; a child process hands mail in. Printed are
//! messages per second and CPU time per message of the queue-manager with its commit thread.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipc::protocol::{Intake, IntakeReply, IntakeRequest, Origin};
use ipc::{Caller, connect};
use mail_types::{Address, Domain, Envelope, Recipient, ReversePath};
use queue_manager::{Access, Settings};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("load") => load(&arguments[1..]),
        _ => measure(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("intake_load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(arguments: &[String], at: usize, default: usize) -> usize {
    let given = arguments.get(at).and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

fn settings(folder: &Path) -> Result<Settings, Box<dyn std::error::Error>> {
    Ok(Settings {
        hostname: Domain::parse("mx.example.org")?,
        postmaster: Address::parse("postmaster@example.org")?,
        queue_directory: folder.join("queue"),
        store: queue::Settings::default(),
        hold_new: true,
        bounce_size_limit: 50 << 10,
        notify_postmaster: false,
        bounce_lifetime: Duration::from_secs(3600),
        drain_time: Duration::from_secs(1),
        limits: schedule::Limits::default(),
        content_memory: 32 << 20,
        policy: schedule::Policy::default(),
        attempt_time: Duration::from_secs(60),
        directory_socket: folder.join("directory.sock"),
        directory_time: Duration::from_secs(1),
        agent_time: Duration::from_secs(60),
        access: Access {
            intake: vec![sandbox::ids::effective_uid()],
            ..Access::default()
        },
    })
}

fn measure(arguments: &[String]) -> Outcome {
    let (messages, outstanding) = (number(arguments, 0, 40_000), number(arguments, 1, 20));
    let octets = number(arguments, 2, 4096);
    let folder = tempfile::tempdir_in(".")?;
    let socket = folder.path().join("queue.sock");
    let listening = OwnedFd::from(UnixListener::bind(&socket)?);
    let (stop, drain) = daemon::drain_channel();
    let settings = settings(folder.path())?;
    let manager = std::thread::spawn(move || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let zone = jiff::tz::TimeZone::UTC;
        let serve = queue_manager::serve(settings, listening, zone, drain, || Ok(()));
        runtime.block_on(serve).map_err(|error| error.to_string())
    });
    let before = cpu_time()?;
    let start = Instant::now();
    let status = Command::new(std::env::current_exe()?)
        .arg("load")
        .arg(&socket)
        .args([messages, outstanding, octets].map(|n| n.to_string()))
        .status()?;
    let (wall, cpu) = (start.elapsed(), cpu_time()? - before);
    stop.send_replace(true);
    manager.join().map_err(|_| "the queue-manager panicked")??;
    let per_message = cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(messages)?);
    let rate = f64::from(u32::try_from(messages)?) / wall.as_secs_f64();
    println!(
        "{messages} messages of {octets} octets, {outstanding} outstanding: {rate:.0}/s, {per_message:.0} µs CPU each"
    );
    if status.success() {
        Ok(())
    } else {
        Err("the load failed".into())
    }
}

/// CPU time of this process, without its children.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    // utime and stime are fields 14 and 15; the first two went with the name. A tick is 10 ms.
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn load(arguments: &[String]) -> Outcome {
    let socket = Path::new(&arguments[0]).to_owned();
    let (messages, outstanding) = (number(arguments, 1, 1), number(arguments, 2, 1));
    let content = Bytes::from(vec![b'x'; number(arguments, 3, 4096)]);
    let from = ReversePath::Address(Address::parse("alice@example.org")?);
    let to = Recipient::new(Address::parse("bob@example.org")?);
    let request = Arc::new(IntakeRequest::Submit {
        envelope: Envelope::new(from, vec![to]),
        origin: Origin {
            session: Some(mail_types::SessionId(7)),
            client: Some("192.0.2.1".parse()?),
            protocol: "ESMTP".to_owned(),
        },
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let caller = Arc::new(Caller::<Intake>::new(
            connect::<Intake>(&socket).await?,
            |_| {},
        ));
        let tasks: Vec<_> = (0..outstanding)
            .map(|_| {
                let (caller, request, content) =
                    (Arc::clone(&caller), Arc::clone(&request), content.clone());
                tokio::spawn(async move {
                    for _ in 0..messages / outstanding {
                        let patience = Duration::from_secs(30);
                        let reply = caller.call(&request, content.clone(), Vec::new(), patience);
                        match reply.await.map_err(|error| error.to_string())?.message {
                            IntakeReply::Durable { .. } => {}
                            other => return Err(format!("{other:?}")),
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}
