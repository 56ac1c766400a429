//! What an event is, and how it is reported.

use tracing::Level;

/// One kind of event; all of them are in [`crate::catalogue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind {
    /// The name in the log.
    pub name: &'static str,
    /// How important it is.
    pub level: Level,
    /// The fields that it may have.
    pub fields: &'static [&'static str],
    /// What it means, in a line.
    pub doc: &'static str,
}

impl EventKind {
    /// May the event have this field? For the check at compile time in [`crate::event!`].
    #[must_use]
    pub const fn has(&self, field: &str) -> bool {
        let mut index = 0;
        while index < self.fields.len() {
            if same(self.fields[index], field) {
                return true;
            }
            index += 1;
        }
        false
    }
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Reports an event of the catalogue.
///
/// ```
/// use telemetry::{catalogue, event};
/// let (session, size) = ("3k9", 1204u64);
/// event!(catalogue::MAIL_ACCEPTED, session = %session, size = size, protocol = "ESMTP");
/// ```
///
/// `field = value` takes numbers, booleans and strings, `field = %value` anything with `Display`, and
/// `field = option.map(telemetry::display)` leaves the field out when there is none. A field that the
/// catalogue does not list for the event does not compile:
///
/// ```compile_fail
/// telemetry::event!(telemetry::catalogue::MAIL_REFUSED, password = "x");
/// ```
#[macro_export]
macro_rules! event {
    ($event:path $(,)?) => {
        $crate::tracing::event!(name: $event.name, target: $crate::TARGET, $event.level, {})
    };
    ($event:path, $($fields:tt)+) => {{
        $crate::event!(@check $event; $($fields)+);
        $crate::tracing::event!(
            name: $event.name, target: $crate::TARGET, $event.level, { $($fields)+ }
        )
    }};
    (@check $event:path;) => {};
    (@check $event:path; $field:ident = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::event!(@field $event, $field);
        $crate::event!(@check $event; $($($rest)*)?);
    };
    (@check $event:path; $field:ident = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::event!(@field $event, $field);
        $crate::event!(@check $event; $($($rest)*)?);
    };
    (@check $event:path; $field:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::event!(@field $event, $field);
        $crate::event!(@check $event; $($($rest)*)?);
    };
    (@field $event:path, $field:ident) => {
        const {
            assert!(
                $event.has(stringify!($field)),
                concat!("the catalogue has no field ", stringify!($field), " for this event")
            )
        }
    };
}
