//! From `tracing` to the sink.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::line::{Line, Origin};
use crate::sink::{Encoding, Format, Sink, Target};
use crate::{TARGET, catalogue};

const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
const SYSLOG_SOCKET: &str = "/dev/log";

/// How a program logs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The name of the program in each line.
    pub program: &'static str,
    /// Where the log goes.
    pub target: Target,
    /// How a line is written.
    pub format: Format,
    /// The least important events that are logged.
    pub level: Level,
}

/// Logging was set up before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logging was set up twice")]
pub struct InitError;

/// The open log of this program.
#[derive(Clone, Debug)]
pub struct Handle {
    log: Arc<Log>,
}

impl Handle {
    /// The descriptor that must stay open when the jail closes all others, besides standard error.
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.log.sink.socket()
    }
}

/// Opens the log and makes it that of the whole process. Panics are logged from now on, by place only.
///
/// If the journal or syslog cannot be reached, the log goes to standard error, and says so.
///
/// # Errors
/// It was called before.
pub fn init(options: &Options) -> Result<Handle, InitError> {
    let (encoding, path) = match options.target {
        Target::Stderr => (Encoding::Stream(options.format), None),
        Target::Journald => (Encoding::Journal, Some(JOURNAL_SOCKET)),
        Target::Syslog => (Encoding::Syslog(options.format), Some(SYSLOG_SOCKET)),
    };
    let opened = path.map_or(Ok(Sink::Stderr), |path| Sink::connect(Path::new(path)));
    let (sink, encoding, failed) = match opened {
        Ok(sink) => (sink, encoding, None),
        Err(error) => (Sink::Stderr, Encoding::Stream(options.format), Some(error)),
    };
    let log = Arc::new(Log::new(options, sink, encoding));
    let reporter = Reporter(Arc::clone(&log));
    tracing::subscriber::set_global_default(reporter).map_err(|_| InitError)?;
    std::panic::set_hook(Box::new(|panic| {
        // The message of a panic could have content; the place is enough to find the fault.
        let at = panic.location().map(tracing::field::display);
        crate::event!(catalogue::PROGRAM_PANICKED, at = at);
    }));
    if let Some(reason) = failed {
        let target = options.target.name();
        crate::event!(catalogue::LOG_UNAVAILABLE, target = target, reason = %reason);
    }
    Ok(Handle { log })
}

/// The state behind the subscriber and the handle.
#[derive(Debug)]
struct Log {
    sink: Sink,
    encoding: Encoding,
    fallback: Format,
    level: Level,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    line: Line,
    clock: Clock,
}

impl Log {
    fn new(options: &Options, sink: Sink, encoding: Encoding) -> Self {
        let origin = Origin {
            program: options.program,
            pid: std::process::id(),
        };
        Self {
            sink,
            encoding,
            fallback: options.format,
            level: options.level,
            writer: Mutex::new(Writer {
                line: Line::new(encoding, origin),
                clock: Clock::new(),
            }),
        }
    }

    fn write(&self, event: &Event<'_>) {
        // A panic inside would leave half a line in a buffer that the next event clears.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self
            .write_to(&self.sink, self.encoding, &mut writer, event)
            .is_err()
            && self.sink.socket().is_some()
        {
            // The daemon is gone and cannot be reached from inside the jail. If standard error fails as
            // well there is nobody left to tell.
            let encoding = Encoding::Stream(self.fallback);
            let _ = self.write_to(&Sink::Stderr, encoding, &mut writer, event);
        }
    }

    fn write_to(
        &self,
        sink: &Sink,
        encoding: Encoding,
        writer: &mut Writer,
        event: &Event<'_>,
    ) -> std::io::Result<()> {
        let Writer { line, clock } = writer;
        let time = clock.now(encoding);
        let bytes = line.build(encoding, time, event.metadata(), |visit| {
            event.record(visit)
        });
        sink.write(bytes)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET && *metadata.level() <= self.level
    }
}

/// Times as text; the part that changes once a second is kept.
#[derive(Debug)]
struct Clock {
    zone: TimeZone,
    second: i64,
    seconds: String,
    text: String,
}

impl Clock {
    /// Reads the time zone, which is out of reach once the jail is closed.
    fn new() -> Self {
        Self {
            zone: TimeZone::system(),
            second: i64::MIN,
            seconds: String::new(),
            text: String::new(),
        }
    }

    fn now(&mut self, encoding: Encoding) -> &str {
        self.at(Timestamp::now(), encoding)
    }

    fn at(&mut self, now: Timestamp, encoding: Encoding) -> &str {
        use std::fmt::Write;
        self.text.clear();
        // Writing to a String cannot fail.
        let _ = match encoding {
            Encoding::Journal => Ok(()),
            Encoding::Syslog(_) => {
                let local = now.to_zoned(self.zone.clone());
                write!(self.text, "{}", local.strftime("%b %e %H:%M:%S"))
            }
            Encoding::Stream(_) => {
                if now.as_second() != self.second {
                    self.second = now.as_second();
                    self.seconds = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
                }
                let milliseconds = now.subsec_millisecond();
                write!(self.text, "{}.{milliseconds:03}Z", self.seconds)
            }
        };
        &self.text
    }
}

/// The subscriber.
#[derive(Debug)]
struct Reporter(Arc<Log>);

impl Subscriber for Reporter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        self.0.write(event);
    }

    // Spans are not used; libraries that make some get the same id for all of them.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
#[path = "subscriber_tests.rs"]
mod tests;
