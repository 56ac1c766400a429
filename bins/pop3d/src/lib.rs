//! The login half of POP3.
