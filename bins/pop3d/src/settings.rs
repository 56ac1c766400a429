//! What pop3d needs of the configuration.

use std::io;
use std::time::Duration;

use config::Config;
use pop3_proto::{Capabilities, LoginOptions};

/// The settings of one process.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Our own name, for the greeting.
    pub host: String,
    pub login: LoginOptions,
    pub login_timeout: Duration,
    pub failure_delay: Duration,
    pub login_delay: Duration,
    pub connections: usize,
    pub connections_per_client: u32,
}

impl Settings {
    /// To be asked before the jail closes, as the system's name may be needed.
    pub fn of(config: &Config) -> io::Result<Self> {
        let pop3 = &config.pop3;
        Ok(Self {
            host: config.domains.host_name()?.to_string(),
            login: LoginOptions {
                capabilities: Capabilities {
                    login_delay: pop3.login_delay.as_secs(),
                },
                max_errors: pop3.error_limit,
                max_failures: pop3.login_failure_limit,
            },
            login_timeout: pop3.login_timeout,
            failure_delay: pop3.login_failure_delay,
            login_delay: pop3.login_delay,
            connections: usize::try_from(pop3.connection_limit).unwrap_or(usize::MAX),
            connections_per_client: pop3.connection_limit_per_client,
        })
    }
}
