//! Puts mail into mailboxes under the rights of their owners.

fn main() {}
