//! mbox, in its reversible form mboxrd: all messages in one file, each after a line that begins `From `.
//!
//! A line of a message that is `From ` after any number of `>` gets one `>` more when stored and loses it
//! when read. Between messages is a blank line. See <https://www.rfc-editor.org/rfc/rfc4155> and
//! <https://doc.dovecot.org/latest/core/config/mailbox/formats/mbox.html>.

mod append;
mod from_line;
mod lock;
mod quote;

pub(crate) use append::{append_batch, usage};
pub use from_line::from_line;
pub(crate) use lock::DotLock;
pub use lock::{LockKind, LockOptions, MboxLock};
pub use quote::Quoter;
