//! `[log]`

use crate::record::settings;
use crate::types::words;

words! {
    /// Where the log goes.
    LogTo {
        /// Standard error.
        Stderr = "stderr",
        /// The journal of systemd, with one field per value.
        Journald = "journald",
        /// The syslog socket, facility mail.
        Syslog = "syslog",
    }
}

words! {
    /// How a log line is written.
    LogFormat {
        /// `event key=value …`
        Text = "text",
        /// One JSON object.
        Json = "json",
    }
}

words! {
    /// The least important events that are logged.
    LogLevel {
        /// Something is broken and needs the administrator.
        Error = "error",
        /// Something is wrong and the suite lives with it.
        Warn = "warn",
        /// What happened to each message, session and program.
        Info = "info",
        /// The steps in between.
        Debug = "debug",
    }
}

settings! {
    /// The log. One line per event; never any content of mail, never a password.
    log: Log {
        /// Where the log goes: standard error (as under a container or a terminal), the systemd journal, or
        /// the syslog socket. If the journal or syslog cannot be reached at start, standard error is used.
        to: LogTo {
            default: LogTo::Stderr,
            readers: ["all"],
        }
        /// How the lines on standard error and in syslog are written. The journal gets fields in any case.
        format: LogFormat {
            default: LogFormat::Text,
            readers: ["all"],
        }
        /// The least important events that are logged.
        level: LogLevel {
            default: LogLevel::Info,
            readers: ["all"],
        }
    }
}
