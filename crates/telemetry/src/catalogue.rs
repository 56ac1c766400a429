//! Every event that the suite logs.
//!
//! To add one, add it to its program's part below. Fields name what an administrator searches for; `session`
//! and `queue_id` join the lines of one session and of one message. No field ever has content of mail,
//! a password, or text of the peer that is not an address or a name.

use tracing::Level;

use crate::EventKind;

/// Declares the constants and [`ALL`].
macro_rules! events {
    ($($(#[doc = $doc:literal])+ $const:ident = $name:literal, $level:ident, [$($field:ident),*];)+) => {
        $(
            $(#[doc = $doc])+
            pub const $const: EventKind = EventKind {
                name: $name,
                level: Level::$level,
                fields: &[$(stringify!($field)),*],
                doc: concat!($($doc),+),
            };
        )+

        /// The whole catalogue, in the order of this file.
        pub const ALL: &[EventKind] = &[$($const),+];
    };
}

events! {
    // Every program.

    /// A program is jailed and serves.
    PROGRAM_READY = "program_ready", INFO, [version];
    /// A program takes nothing new and finishes what it has.
    PROGRAM_DRAINING = "program_draining", INFO, [reason];
    /// A program has ended in order.
    PROGRAM_ENDED = "program_ended", INFO, [reason];
    /// A program cannot go on; master will start it again.
    PROGRAM_FAILED = "program_failed", ERROR, [operation, path, reason];
    /// A program has a fault of its own: please report it.
    PROGRAM_PANICKED = "program_panicked", ERROR, [at];
    /// The kernel lacks a protection; the program runs without it.
    SANDBOX_INCOMPLETE = "sandbox_incomplete", WARN, [feature, reason];
    /// The log cannot be written where it should be; it goes to standard error.
    LOG_UNAVAILABLE = "log_unavailable", WARN, [target, reason];
    /// A program of the suite was refused by another: wrong user, protocol or version.
    CHANNEL_REFUSED = "channel_refused", WARN, [protocol, uid, pid, reason];
    /// A program of the suite broke the rules of a channel, which was closed.
    CHANNEL_FAULT = "channel_fault", ERROR, [protocol, uid, pid, reason];
    /// A program of the suite does not answer another; clients are told to come again.
    SERVICE_UNAVAILABLE = "service_unavailable", WARN, [service, session, queue_id, reason];
    /// A connection could not be accepted, for want of descriptors or memory.
    ACCEPT_FAILED = "accept_failed", WARN, [reason];

    // master

    /// The suite starts.
    MASTER_STARTED = "master_started", INFO, [version, config];
    /// Every program serves.
    MASTER_READY = "master_ready", INFO, [];
    /// The suite stops.
    MASTER_STOPPING = "master_stopping", INFO, [reason];
    /// The suite has stopped.
    MASTER_ENDED = "master_ended", INFO, [];
    /// A listening socket is open.
    LISTENING = "listening", INFO, [service, address];
    /// A listening socket was closed, as the configuration no longer has it.
    LISTENING_ENDED = "listening_ended", INFO, [service, address];
    /// A listening socket cannot be opened.
    LISTEN_FAILED = "listen_failed", ERROR, [service, address, reason];
    /// A program was started.
    CHILD_STARTED = "child_started", DEBUG, [service, pid];
    /// A program could not be started.
    CHILD_START_FAILED = "child_start_failed", ERROR, [service, path, reason];
    /// A program says that it serves.
    CHILD_READY = "child_ready", INFO, [service, pid];
    /// A program died without having been asked to.
    CHILD_DIED = "child_died", ERROR, [service, pid, status, lived_ms];
    /// A program that keeps dying is started again only after a pause.
    CHILD_DELAYED = "child_delayed", WARN, [service, delay_ms];
    /// A program was told to end.
    CHILD_STOPPING = "child_stopping", DEBUG, [service, pid];
    /// A program ended as it was told.
    CHILD_ENDED = "child_ended", DEBUG, [service, pid, status];
    /// A program did not do in time what it was told, and was killed.
    CHILD_KILLED = "child_killed", WARN, [service, pid, reason];
    /// A changed configuration is in force.
    CONFIG_RELOADED = "config_reloaded", INFO, [config];
    /// A changed configuration has faults; the old one stays in force. One event per fault.
    CONFIG_REFUSED = "config_refused", ERROR, [config, reason];
    /// A setting takes effect only after a restart.
    CONFIG_NEEDS_RESTART = "config_needs_restart", WARN, [setting];
    /// A session was started for a user who has logged in.
    SESSION_STARTED = "session_started", INFO, [service, pid, uid, user, client, session];
    /// A session program ended.
    SESSION_ENDED = "session_ended", INFO, [service, pid, status];
    /// A session was not started.
    SESSION_REFUSED = "session_refused", WARN, [service, client, user, reason];

    // smtpd

    /// A client was turned away at once. At most one event a second; `unlogged` counts the others since the last.
    SMTP_TURNED_AWAY = "smtp_turned_away", WARN, [client, reason, unlogged];
    /// We ended a client's session for what it did or failed to do.
    SMTP_CUT = "smtp_cut", INFO, [session, client, helo, from, reason];
    /// A client left without having brought mail or been refused anything.
    SMTP_WITHOUT_MAIL = "smtp_without_mail", INFO, [session, client, helo, reason, duration_ms];
    /// A client's session ended; what it brought and was refused has lines of its own.
    SMTP_DISCONNECTED = "smtp_disconnected", DEBUG,
        [session, client, reason, accepted, refused, duration_ms];
    /// Content could not be written to the file that the queue opened for it; the client is told to come again.
    SPOOL_WRITE_FAILED = "spool_write_failed", ERROR, [reason];
    /// A message was accepted: it is on disk, and the client was told so.
    MAIL_ACCEPTED = "mail_accepted", INFO,
        [session, queue_id, client, helo, from, recipients, size, protocol];
    /// A sender or a message was refused.
    MAIL_REFUSED = "mail_refused", INFO, [session, client, helo, from, reply];
    /// A recipient was refused.
    RECIPIENT_REFUSED = "recipient_refused", INFO, [session, client, helo, from, to, reply];
    /// Another command was refused.
    COMMAND_REFUSED = "command_refused", DEBUG, [session, client, command, reply];

    // queue-manager

    /// The queue is open.
    QUEUE_OPENED = "queue_opened", INFO, [path, messages, duration_ms];
    /// The queue could not be written; what was not acknowledged was not accepted.
    QUEUE_WRITE_FAILED = "queue_write_failed", ERROR, [reason];
    /// The queue can be written again.
    QUEUE_WRITABLE = "queue_writable", INFO, [];
    /// The queue could not be read; it is tried again.
    QUEUE_READ_FAILED = "queue_read_failed", ERROR, [queue_id, reason];
    /// New mail was refused for now, because it could not be stored.
    QUEUE_TURNED_AWAY = "queue_turned_away", DEBUG, [reason];
    /// There is too little room on the disk; mail is refused for the time being.
    QUEUE_FULL = "queue_full", ERROR, [reason];
    /// A recipient has the message.
    RECIPIENT_DELIVERED = "recipient_delivered", INFO,
        [queue_id, to, original_to, transport, destination, attempts, delay_ms, status, reason];
    /// A recipient could not be reached now.
    RECIPIENT_DEFERRED = "recipient_deferred", INFO,
        [queue_id, to, original_to, transport, destination, attempts, delay_ms, status, reason, next];
    /// A recipient cannot be reached; the sender is told.
    RECIPIENT_FAILED = "recipient_failed", INFO,
        [queue_id, to, original_to, transport, destination, attempts, delay_ms, status, reason];
    /// A recipient could not be reached within the lifetime; the sender is told.
    RECIPIENT_EXPIRED = "recipient_expired", INFO,
        [queue_id, to, original_to, transport, destination, attempts, delay_ms, status, reason];
    /// A recipient was replaced by others, as an alias says.
    RECIPIENT_EXPANDED = "recipient_expanded", DEBUG, [queue_id, to, recipients];
    /// A recipient's mail goes to the same place as another recipient's of the message, and goes there once.
    RECIPIENT_MERGED = "recipient_merged", INFO, [queue_id, to, destination];
    /// What became of a message could not be recorded yet. If the program ends before it can, deliveries that
    /// were made are made again.
    OUTCOME_UNRECORDED = "outcome_unrecorded", ERROR, [queue_id, reason];
    /// A message has left the queue.
    MESSAGE_DONE = "message_done", INFO, [queue_id, delay_ms, reason];
    /// A report to the sender is in the queue.
    BOUNCE_QUEUED = "bounce_queued", INFO, [queue_id, about, to, reason];
    /// A report has nobody to go to, and was dropped.
    BOUNCE_DROPPED = "bounce_dropped", WARN, [queue_id, to, reason];
    /// queue-manager ends while deliveries are under way; their recipients may get the mail twice.
    DRAIN_CUT = "drain_cut", WARN, [leases];
    /// A message is damaged, and was set aside.
    MESSAGE_CORRUPT = "message_corrupt", ERROR, [queue_id, reason];
    /// An administrator held, released, deleted or flushed mail.
    QUEUE_ADMINISTERED = "queue_administered", INFO, [action, selection, messages, uid];
    /// Files without a message were removed.
    ORPHANS_REMOVED = "orphans_removed", INFO, [files];
    /// A delivery took too long and will be made again.
    LEASE_LAPSED = "lease_lapsed", WARN, [queue_id, destination, reason];
    /// A delivery agent offers to work.
    AGENT_CONNECTED = "agent_connected", DEBUG, [transport, pid, capacity];
    /// A delivery agent is gone; what it had is tried again.
    AGENT_GONE = "agent_gone", WARN, [transport, pid, leases, reason];
    /// An agent reported something that it was not asked to do.
    OUTCOME_IGNORED = "outcome_ignored", WARN, [queue_id, reason];

    // directory

    /// A file of users or aliases is in force.
    TABLE_LOADED = "table_loaded", INFO, [path, entries];
    /// A file of users or aliases has faults and is not used. One `table_refused` per fault follows.
    TABLE_UNUSABLE = "table_unusable", ERROR, [path, problems, in_force];
    /// A fault in a file of users or aliases.
    TABLE_REFUSED = "table_refused", ERROR, [path, line, reason];
    /// Something in a file of users or aliases that is in force cannot be meant.
    TABLE_ODD = "table_odd", WARN, [path, line, reason];
    /// A login was right.
    LOGIN_ACCEPTED = "login_accepted", INFO, [user, client, service, session];
    /// A login was wrong.
    LOGIN_REFUSED = "login_refused", WARN, [user, client, service, session, reason];
    /// A login could not be checked; the client is told to come again.
    LOGIN_UNAVAILABLE = "login_unavailable", WARN, [user, client, service, session, reason];
    /// An address leads to itself or to too many others.
    ALIAS_REFUSED = "alias_refused", WARN, [address, reason];

    // local-delivery

    /// A message could not be put into a mailbox, file or command now.
    LOCAL_DEFERRED = "local_deferred", WARN, [queue_id, to, mailbox, status, reason];
    /// A message cannot be put there.
    LOCAL_FAILED = "local_failed", WARN, [queue_id, to, mailbox, status, reason];
    /// A mailbox had a fault that was repaired.
    MAILBOX_REPAIRED = "mailbox_repaired", WARN, [mailbox, user, reason];
    /// The process that writes for one user ended before its work was done.
    WORKER_DIED = "worker_died", ERROR, [uid, pid, status];
    /// It could not be told how full a mailbox is.
    USAGE_UNKNOWN = "usage_unknown", WARN, [user, mailbox, reason];

    // pop3d and pop3-session

    /// A client connected.
    POP3_CONNECTED = "pop3_connected", DEBUG, [session, client, port];
    /// A client was turned away at once.
    POP3_TURNED_AWAY = "pop3_turned_away", WARN, [client, reason];
    /// A client that has not logged in is gone.
    POP3_DISCONNECTED = "pop3_disconnected", INFO, [session, client, reason, duration_ms];
    /// A wrong login, with the number of tries on this connection.
    POP3_LOGIN_REFUSED = "pop3_login_refused", INFO, [session, client, user, tries];
    /// A mailbox is open.
    POP3_OPENED = "pop3_opened", INFO, [session, client, user, messages, bytes];
    /// A mailbox could not be opened.
    POP3_OPEN_FAILED = "pop3_open_failed", WARN, [session, client, user, mailbox, reason];
    /// Something about a mailbox is not as it should be; the session goes on.
    POP3_MAILBOX_FAULT = "pop3_mailbox_fault", WARN, [session, client, user, reason];
    /// A message could not be sent, or deleted messages could not be removed.
    POP3_MESSAGE_FAILED = "pop3_message_failed", ERROR, [session, client, user, reason];
    /// A session ended.
    POP3_CLOSED = "pop3_closed", INFO,
        [session, client, user, reason, retrieved, bytes, deleted, duration_ms];
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Words that the lines themselves use.
    const RESERVED: [&str; 6] = [
        "time",
        "level",
        "program",
        "program_pid",
        "event",
        "message",
    ];

    #[test]
    fn the_catalogue_is_consistent() {
        let mut names = HashSet::new();
        for event in ALL {
            assert!(names.insert(event.name), "{} twice", event.name);
            assert!(event.doc.trim().ends_with('.'), "{}", event.name);
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            for name in event.fields.iter().chain([&event.name]) {
                assert!(name.chars().all(word), "{name}");
                assert!(!RESERVED.contains(name), "{}: {name}", event.name);
            }
        }
    }
}
