//! The session half of POP3: one process, one mailbox.
