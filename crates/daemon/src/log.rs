//! What every service logs about itself.

use std::fmt::Display;

use config::Config;
use config::settings::{LogFormat, LogLevel, LogTo};
use telemetry::{Format, Level, Options, Target, catalogue, event};

use crate::{Error, Role};

/// How the configuration wants a program to log.
#[must_use]
pub fn log_options(program: &'static str, config: &Config) -> Options {
    Options {
        program,
        target: match config.log.to {
            LogTo::Stderr => Target::Stderr,
            LogTo::Journald => Target::Journald,
            LogTo::Syslog => Target::Syslog,
        },
        format: match config.log.format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        level: match config.log.level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
        },
    }
}

/// Starts the log of this program.
pub(crate) fn start_log(role: Role, config: &Config) -> Result<(), Error> {
    telemetry::init(&log_options(role.name(), config))?;
    Ok(())
}

/// Says once what the kernel could not enforce.
pub(crate) fn log_jail(missing: &[String]) {
    for feature in missing {
        event!(catalogue::SANDBOX_INCOMPLETE, feature = feature.as_str());
    }
}

/// Says why the program ends.
pub(crate) fn log_failure(error: &dyn Display) {
    event!(catalogue::PROGRAM_FAILED, reason = %error);
}

/// Says that the service serves.
pub(crate) fn log_ready() {
    event!(
        catalogue::PROGRAM_READY,
        version = env!("CARGO_PKG_VERSION")
    );
}

/// Says that the service takes nothing new.
pub(crate) fn log_draining(reason: &str) {
    event!(catalogue::PROGRAM_DRAINING, reason = reason);
}
