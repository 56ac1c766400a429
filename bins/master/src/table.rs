//! The services that master runs, as data: what each is given, how it is replaced, when it is stopped.

/// How a service takes on a new configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The new processes start on the same sockets, and when they are ready the old ones drain.
    Overlap,
    /// The old process ends first: it alone may own what it owns. Callers wait in the backlog of its socket.
    StopFirst,
}

/// What a service may say to master beside `Ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Nothing.
    Nothing,
    /// That a login was right.
    ConfirmSession,
    /// That a client shows a ticket.
    StartSession,
}

/// How many processes a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// One.
    One,
    /// As many as the setting `smtpd.workers` says.
    SmtpdWorkers,
    /// As many as the setting `pop3.workers` says.
    Pop3Workers,
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Its name in the log and in `ps`, and the file name of its program.
    pub name: &'static str,
    /// The TCP addresses it serves, handed down as `listen.NAME.0` and so on.
    pub listens: Option<&'static str>,
    /// The Unix socket it serves, `NAME.sock`, handed down as `ipc`.
    pub socket: Option<&'static str>,
    /// It works in the queue folder, and shares the lock on it (`lock`), so that no other master gives the queue
    /// to somebody else before this one has ended.
    pub works_in_queue: bool,
    /// How many processes it has.
    pub processes: Processes,
    /// How it takes on a new configuration.
    pub reload: Reload,
    /// What it may say.
    pub says: Says,
    /// When it is stopped: stage 0 first; a stage begins when the one before is over.
    pub stop_stage: usize,
}

/// Session halves are told to end together with those who accept clients.
pub const SESSION_STOP_STAGE: usize = 0;
/// The number of stages of an ordered stop.
pub const STOP_STAGES: usize = 4;

/// All services. Those that others ask are started first, though nobody needs them to be up: callers wait.
pub const SERVICES: &[Service] = &[
    Service {
        name: "directory",
        listens: None,
        socket: Some("directory"),
        works_in_queue: false,
        processes: Processes::One,
        reload: Reload::StopFirst,
        says: Says::ConfirmSession,
        stop_stage: 3,
    },
    Service {
        name: "queue-manager",
        listens: None,
        socket: Some("queue"),
        works_in_queue: true,
        processes: Processes::One,
        reload: Reload::StopFirst,
        says: Says::Nothing,
        stop_stage: 2,
    },
    Service {
        name: "local-delivery",
        listens: None,
        socket: Some("delivery"),
        works_in_queue: false,
        processes: Processes::One,
        reload: Reload::StopFirst,
        says: Says::Nothing,
        stop_stage: 1,
    },
    Service {
        name: "smtpd",
        listens: Some("smtp"),
        socket: None,
        works_in_queue: false,
        processes: Processes::SmtpdWorkers,
        reload: Reload::Overlap,
        says: Says::Nothing,
        stop_stage: 0,
    },
    Service {
        name: "pop3d",
        listens: Some("pop3"),
        socket: None,
        works_in_queue: false,
        processes: Processes::Pop3Workers,
        reload: Reload::Overlap,
        says: Says::StartSession,
        stop_stage: 0,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_feeds_others_is_stopped_before_them() {
        let stage = |name: &str| {
            SERVICES
                .iter()
                .find(|service| service.name == name)
                .unwrap()
                .stop_stage
        };
        assert!(stage("smtpd") < stage("queue-manager"));
        assert!(stage("pop3d") < stage("directory"));
        assert!(stage("local-delivery") < stage("queue-manager"));
        assert!(
            stage("queue-manager") < stage("directory"),
            "expansion asks directory"
        );
        assert!(
            SERVICES
                .iter()
                .all(|service| service.stop_stage < STOP_STAGES)
        );
    }

    #[test]
    fn names_and_sockets_are_unique_and_only_listeners_overlap() {
        for (index, service) in SERVICES.iter().enumerate() {
            for other in &SERVICES[index + 1..] {
                assert_ne!(service.name, other.name);
                assert!(service.socket.is_none() || service.socket != other.socket);
            }
            assert_eq!(service.reload == Reload::Overlap, service.listens.is_some());
        }
    }
}
