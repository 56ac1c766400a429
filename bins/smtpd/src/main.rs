//! Receives mail over SMTP.

fn main() {}
