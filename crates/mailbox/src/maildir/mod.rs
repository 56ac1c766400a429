//! Maildir++: one file per message in `new` and `cur`, made in `tmp`.
//!
//! Messages are stored with LF line ends, as every reader of Maildirs expects; content reaches us with
//! CRLF only, so that nothing is lost and POP3 sends what was received.

mod folder;
mod name;

pub use folder::Maildir;
pub use name::{MessageName, NameMaker, Sizes, with_sizes};
