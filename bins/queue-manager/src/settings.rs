//! What the queue-manager needs to know, taken out of the configuration once.

use std::path::PathBuf;
use std::time::Duration;

use config::Config;
use config::types::Account;
use daemon::Service;
use ipc::protocol::DeliveryTransport;
use mail_types::{Address, Domain};
use sandbox::ids;
use schedule::{Limits, Policy};

use crate::Error;

/// How long the directory may take to answer: it may be restarted meanwhile.
const DIRECTORY_TIME: Duration = Duration::from_secs(30);
/// How long mail waits for a delivery agent that is not there: it may be restarted meanwhile.
const AGENT_TIME: Duration = Duration::from_secs(60);

/// What the queue-manager needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this host in reports.
    pub hostname: Domain,
    /// postmaster of the first local domain: helps people, and gets double bounces.
    pub postmaster: Address,
    /// `paths.queue_dir`
    pub queue_directory: PathBuf,
    /// The bounds of the store.
    pub store: queue::Settings,
    /// `queue.hold_new`
    pub hold_new: bool,
    /// `queue.bounce_size_limit`
    pub bounce_size_limit: u64,
    /// `queue.notify_postmaster`
    pub notify_postmaster: bool,
    /// `queue.bounce_lifetime`
    pub bounce_lifetime: Duration,
    /// `queue.drain_time`
    pub drain_time: Duration,
    /// How much may be in memory.
    pub limits: Limits,
    /// `schedule.content_memory`
    pub content_memory: usize,
    /// When to try again, and how much at a time; the lifetime is in it.
    pub policy: Policy,
    /// `schedule.attempt_time`
    pub attempt_time: Duration,
    /// The directory's socket.
    pub directory_socket: PathBuf,
    /// How long the directory may take to answer.
    pub directory_time: Duration,
    /// How long mail waits for a delivery agent that is not connected before it is deferred.
    pub agent_time: Duration,
    /// Who may use which protocol.
    pub access: Access,
}

/// Who may use which protocol, by user and group id. Root always may.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Users that may hand in mail.
    pub intake: Vec<u32>,
    /// Users that may deliver, by any of the transports.
    pub delivery: Vec<u32>,
    /// Users that may look into the queue and change it.
    pub control_users: Vec<u32>,
    /// Groups that may look into the queue and change it.
    pub control_groups: Vec<u32>,
}

impl Settings {
    /// Transports that agents may offer.
    pub(crate) const TRANSPORTS: [DeliveryTransport; 1] = [DeliveryTransport::Local];

    /// The policy for a message, whose lifetime depends on whether anybody is told about it.
    pub(crate) fn policy_for(&self, null_sender: bool) -> Policy {
        let mut policy = self.policy.clone();
        if null_sender {
            policy.lifetime = self.bounce_lifetime;
        }
        policy
    }
}

impl Settings {
    /// Takes them out of the configuration; names of users are looked up here, before the jail closes.
    pub(crate) fn of(service: &Service) -> Result<Self, Error> {
        let config = service.config();
        let hostname = config
            .domains
            .host_name()
            .map_err(|error| Error::Setting(error.to_string()))?;
        let domain = config.domains.local.first().unwrap_or(&hostname);
        let postmaster = Address::at("postmaster", domain)
            .map_err(|error| Error::Setting(format!("postmaster@{domain}: {error}")))?;
        let (queue, schedule) = (&config.queue, &config.schedule);
        Ok(Self {
            postmaster,
            hostname,
            queue_directory: config.paths.queue_dir.clone(),
            store: queue::Settings {
                min_free: queue.min_free.bytes(),
                max_waiting: count(queue.max_waiting),
                max_waiting_bytes: queue.max_waiting_bytes.as_usize(),
                sync_threads: count(queue.sync_threads),
                ..queue::Settings::default()
            },
            hold_new: queue.hold_new,
            bounce_size_limit: queue.bounce_size_limit.bytes(),
            notify_postmaster: queue.notify_postmaster,
            bounce_lifetime: queue.bounce_lifetime,
            drain_time: queue.drain_time,
            limits: Limits {
                max_messages: count(schedule.max_messages),
                max_recipients: count(schedule.max_recipients),
                max_message_recipients: count(schedule.max_message_recipients),
                ..Limits::default()
            },
            content_memory: schedule.content_memory.as_usize(),
            policy: Policy {
                initial_concurrency: schedule.initial_concurrency,
                max_concurrency: schedule.max_concurrency,
                min_retry: schedule.retry_min,
                max_retry: schedule.retry_max,
                lifetime: queue.lifetime,
                ..Policy::default()
            },
            attempt_time: schedule.attempt_time,
            directory_socket: service.socket("directory"),
            directory_time: DIRECTORY_TIME,
            agent_time: AGENT_TIME,
            access: Access::of(config)?,
        })
    }
}

impl Access {
    fn of(config: &Config) -> Result<Self, Error> {
        if !ids::is_root() {
            // Without root the whole suite is one user.
            let own = vec![ids::effective_uid()];
            return Ok(Self {
                intake: own.clone(),
                delivery: own.clone(),
                control_users: own,
                control_groups: Vec::new(),
            });
        }
        let user = |account: &Account| {
            ids::user(&account.to_string())
                .map(|user| user.uid)
                .map_err(|error| Error::Setting(format!("user {account}: {error}")))
        };
        Ok(Self {
            intake: vec![user(&config.users.net)?],
            delivery: Vec::new(),
            control_users: vec![user(&config.users.queue)?],
            control_groups: Vec::new(),
        })
    }
}

fn count(setting: u32) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}
