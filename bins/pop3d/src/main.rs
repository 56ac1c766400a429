//! The login half of POP3.

fn main() {}
