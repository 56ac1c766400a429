//! Receives mail over SMTP.
