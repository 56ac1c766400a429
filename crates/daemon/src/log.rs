//! What every service logs about itself.

use std::fmt::Display;

use config::Config;

use crate::{Error, Role};

/// Starts the log of this program.
pub(crate) fn start_log(_role: Role, _config: &Config) -> Result<(), Error> {
    Ok(())
}

/// Says once what the kernel could not enforce.
pub(crate) fn log_jail(role: Role, missing: &[String]) {
    for feature in missing {
        tracing::warn!(
            program = role.name(),
            feature,
            "the jail is weaker on this kernel"
        );
    }
}

/// Says why the program ends.
pub(crate) fn log_failure(role: Role, error: &dyn Display) {
    tracing::error!(program = role.name(), %error, "the program ends");
}
