//! The administrator's command.
