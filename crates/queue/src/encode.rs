//! Between columns and types.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

use mail_types::{
    Address, BodyKind, EnhancedStatus, Notify, OriginalRecipient, QueueId, ReturnContent,
    ReversePath, SessionId, Target, Timestamp,
};
use rusqlite::types::{FromSql, Value, ValueRef};
use rusqlite::{ErrorCode, Row};

use crate::types::{
    LastReply, MessageState, Origin, RecipientState, SpoolId, StoredMessage, StoredRecipient,
};

/// A row could not be read, or not understood.
#[derive(Debug)]
pub(crate) enum RowError {
    /// SQLite failed; not the row's fault.
    Sqlite(rusqlite::Error),
    /// The row is garbled.
    Garbled(String),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Self::Garbled(error.to_string()),
            error if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                Self::Garbled(error.to_string())
            }
            error => Self::Sqlite(error),
        }
    }
}

/// SQLite's integers are signed; ids use the positive half only.
pub(crate) fn id_column(id: QueueId) -> i64 {
    id.0.cast_signed()
}

pub(crate) const fn state_column(state: MessageState) -> i64 {
    match state {
        MessageState::Incoming => 0,
        MessageState::Deferred => 1,
        MessageState::Hold => 2,
        MessageState::Corrupt => 3,
    }
}

pub(crate) fn state(column: i64) -> Result<MessageState, RowError> {
    Ok(match column {
        0 => MessageState::Incoming,
        1 => MessageState::Deferred,
        2 => MessageState::Hold,
        3 => MessageState::Corrupt,
        other => return Err(garbled("state", other)),
    })
}

pub(crate) const fn recipient_state_column(state: RecipientState) -> i64 {
    match state {
        RecipientState::Pending => 0,
        RecipientState::Delivered => 1,
        RecipientState::Failed => 2,
    }
}

pub(crate) const fn body_column(body: BodyKind) -> i64 {
    match body {
        BodyKind::SevenBit => 0,
        BodyKind::EightBitMime => 1,
        BodyKind::BinaryMime => 2,
    }
}

pub(crate) const fn return_column(content: ReturnContent) -> &'static str {
    match content {
        ReturnContent::Full => "FULL",
        ReturnContent::Headers => "HDRS",
    }
}

pub(crate) fn reverse_path_column(path: &ReversePath) -> String {
    path.address().map(Address::to_string).unwrap_or_default()
}

pub(crate) fn notify_column(notify: Notify) -> i64 {
    i64::from(notify.success) | i64::from(notify.failure) << 1 | i64::from(notify.delay) << 2
}

/// Kind and value. A path is text when it can be, for the shell's sake.
pub(crate) fn target_columns(target: &Target) -> (i64, Value) {
    match target {
        Target::Mailbox(address) => (0, Value::Text(address.to_string())),
        Target::Remote(address) => (1, Value::Text(address.to_string())),
        Target::File(path) => match path.to_str() {
            Some(text) => (2, Value::Text(text.to_owned())),
            None => (2, Value::Blob(path.as_os_str().as_bytes().to_vec())),
        },
        Target::Command(command) => (3, Value::Text(command.clone())),
    }
}

fn garbled(column: &str, value: impl std::fmt::Debug) -> RowError {
    RowError::Garbled(format!("column {column} holds {value:?}"))
}

fn parsed<V: FromStr>(column: &str, text: &str) -> Result<V, RowError> {
    text.parse().map_err(|_| garbled(column, text))
}

fn number<V: TryFrom<i64>>(row: &Row<'_>, column: &str) -> Result<V, RowError> {
    let value: i64 = row.get(column)?;
    V::try_from(value).map_err(|_| garbled(column, value))
}

fn text<'row>(row: &'row Row<'_>, column: &str) -> Result<&'row str, RowError> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|_| garbled(column, value))
}

fn optional<'row>(row: &'row Row<'_>, column: &str) -> Result<Option<&'row str>, RowError> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

fn optional_parsed<V: FromStr>(row: &Row<'_>, column: &str) -> Result<Option<V>, RowError> {
    optional(row, column)?
        .map(|text| parsed(column, text))
        .transpose()
}

fn plain<V: FromSql>(row: &Row<'_>, column: &str) -> Result<V, RowError> {
    Ok(row.get(column)?)
}

/// A row of `message`, all columns.
pub(crate) fn message(row: &Row<'_>) -> Result<StoredMessage, RowError> {
    let reverse_path = match text(row, "reverse_path")? {
        "" => ReversePath::Null,
        address => ReversePath::Address(parsed("reverse_path", address)?),
    };
    let body = match plain::<i64>(row, "body")? {
        0 => BodyKind::SevenBit,
        1 => BodyKind::EightBitMime,
        2 => BodyKind::BinaryMime,
        other => return Err(garbled("body", other)),
    };
    let return_content = match optional(row, "ret")? {
        None => None,
        Some("FULL") => Some(ReturnContent::Full),
        Some("HDRS") => Some(ReturnContent::Headers),
        Some(other) => return Err(garbled("ret", other)),
    };
    let session: Option<i64> = plain(row, "session")?;
    Ok(StoredMessage {
        queue_id: QueueId(number(row, "id")?),
        state: state(plain(row, "state")?)?,
        due: plain::<Option<i64>>(row, "due")?.map(Timestamp),
        accepted: Timestamp(plain(row, "accepted")?),
        size: number(row, "size")?,
        reverse_path,
        body,
        smtputf8: plain(row, "smtputf8")?,
        return_content,
        envelope_id: optional(row, "envid")?.map(str::to_owned),
        origin: Origin {
            session: session.map(|session| SessionId(session.cast_unsigned())),
            client: optional_parsed(row, "client")?,
            protocol: text(row, "protocol")?.to_owned(),
        },
        recipients_left: number(row, "recipients")?,
        spooled: optional_parsed::<SpoolId>(row, "spool")?.is_some(),
    })
}

/// A row of `recipient`, all columns.
pub(crate) fn recipient(row: &Row<'_>) -> Result<StoredRecipient, RowError> {
    let state = match plain::<i64>(row, "state")? {
        0 => RecipientState::Pending,
        1 => RecipientState::Delivered,
        2 => RecipientState::Failed,
        other => return Err(garbled("state", other)),
    };
    let notify = match plain::<Option<i64>>(row, "notify")? {
        None => None,
        Some(bits @ 0..=7) => Some(Notify {
            success: bits & 1 != 0,
            failure: bits & 2 != 0,
            delay: bits & 4 != 0,
        }),
        Some(other) => return Err(garbled("notify", other)),
    };
    let original = match (optional(row, "orcpt_type")?, optional(row, "orcpt")?) {
        (Some(address_type), Some(address)) => Some(OriginalRecipient {
            address_type: address_type.to_owned(),
            address: address.to_owned(),
        }),
        _ => None,
    };
    let status: Option<EnhancedStatus> = optional_parsed(row, "status")?;
    let last_reply = match (status, optional(row, "reply")?) {
        (Some(status), Some(text)) => Some(LastReply {
            status,
            text: text.to_owned(),
        }),
        _ => None,
    };
    Ok(StoredRecipient {
        number: number(row, "number")?,
        state,
        accepted_as: parsed("address", text(row, "address")?)?,
        notify,
        original,
        target: target(row)?,
        owner: optional_parsed(row, "owner")?,
        attempts: number(row, "attempts")?,
        due: Timestamp(plain(row, "due")?),
        last_reply,
    })
}

fn target(row: &Row<'_>) -> Result<Option<Target>, RowError> {
    let Some(kind) = plain::<Option<i64>>(row, "target_kind")? else {
        return Ok(None);
    };
    Ok(Some(match kind {
        0 => Target::Mailbox(parsed("target", text(row, "target")?)?),
        1 => Target::Remote(parsed("target", text(row, "target")?)?),
        2 => match row.get_ref("target")? {
            ValueRef::Text(path) | ValueRef::Blob(path) => {
                Target::File(PathBuf::from(OsString::from_vec(path.to_vec())))
            }
            other => return Err(garbled("target", other)),
        },
        3 => Target::Command(text(row, "target")?.to_owned()),
        other => return Err(garbled("target_kind", other)),
    }))
}
