//! Maildir++ and mbox: safe delivery and the POP3 view.
