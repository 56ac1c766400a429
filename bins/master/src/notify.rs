//! Telling systemd how things stand: the protocol of `sd_notify(3)`, which is one datagram per message.
//!
//! Absent on purpose: descriptor passing and everything else of that protocol that we do not use. Without
//! `NOTIFY_SOCKET` all of it does nothing.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The service manager, if there is one that wants to know.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
}

/// How often the service manager wants to hear from us, and when it is due next.
#[derive(Debug, Clone, Copy)]
struct Watchdog {
    every: Duration,
    due: Instant,
}

impl Notifier {
    /// Finds the service manager by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment(now: Instant) -> io::Result<Self> {
        let variable = |name: &str| std::env::var_os(name);
        let address = variable("NOTIFY_SOCKET")
            .map(|name| address(&name))
            .transpose()?;
        let socket = match address {
            None => None,
            Some(address) => {
                let socket = UnixDatagram::unbound()?;
                // A service manager that does not read must not stop the mail.
                socket.set_nonblocking(true)?;
                Some((socket, address))
            }
        };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")
            .filter(|_| meant && socket.is_some())
            .map(|microseconds| watchdog(Duration::from_micros(microseconds), now));
        Ok(Self { socket, watchdog })
    }

    /// Everything is up.
    pub fn ready(&self) {
        self.send("READY=1\n");
    }

    /// A reload has begun; [`Self::ready`] follows.
    pub fn reloading(&self) {
        let now = sandbox::events::monotonic_microseconds().unwrap_or_default();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    /// The ordered stop has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// When [`Self::feed`] wants to be called next.
    pub fn next_due(&self) -> Option<Instant> {
        self.watchdog.map(|watchdog| watchdog.due)
    }

    /// Tells the watchdog, if it is time, that the loop still turns.
    pub fn feed(&mut self, now: Instant) {
        let Some(watchdog) = &mut self.watchdog else {
            return;
        };
        if now < watchdog.due {
            return;
        }
        watchdog.due = now + watchdog.every;
        self.send("WATCHDOG=1\n");
    }

    /// Best effort: there is nobody else to tell if the service manager cannot be reached.
    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

/// Twice as often as asked for, so that one late turn is no reason to be killed.
fn watchdog(interval: Duration, now: Instant) -> Watchdog {
    let every = (interval / 2).max(Duration::from_millis(1));
    Watchdog {
        every,
        due: now + every,
    }
}

/// A path, or with a leading `@` a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "NOTIFY_SOCKET={} is neither a path nor an abstract name",
                name.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_paths_and_abstract_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("posthouse-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_address).unwrap();
        for (receiver, target) in [
            (by_path, path.into_os_string()),
            (by_name, format!("@{name}").into()),
        ] {
            let socket = Some((UnixDatagram::unbound().unwrap(), address(&target).unwrap()));
            let now = Instant::now();
            let watchdog = Some(watchdog(Duration::from_secs(10), now));
            let mut notifier = Notifier { socket, watchdog };
            let mut buffer = [0; 100];
            let mut next = || {
                let length = receiver.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            notifier.ready();
            assert_eq!(next(), "READY=1\n");
            notifier.reloading();
            assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
            notifier.feed(now);
            notifier.feed(now + Duration::from_secs(5));
            assert_eq!(next(), "WATCHDOG=1\n");
            assert_eq!(notifier.next_due(), Some(now + Duration::from_secs(10)));
        }
        assert!(address(OsStr::new("relative")).is_err());
    }
}
