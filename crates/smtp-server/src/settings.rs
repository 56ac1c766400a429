//! From the configuration to what sessions need.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use config::settings::{BareNewlines, MailboxFull, NulOctets, Vrfy};
use config::types::Network;
use mail_types::Address;
use smtp_proto::{ContentRules, NewlinePolicy, NulPolicy, OverQuotaReply, Server};

/// Long enough for the pauses of an honest line.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// What all sessions of a listener share.
#[derive(Debug)]
pub struct Settings {
    /// What the sessions say and refuse.
    pub server: Arc<Server>,
    /// How long things may take.
    pub times: Times,
    /// Octets of content per second; 0 for any.
    pub min_data_rate: u64,
    /// Content up to this size goes to the queue in one message, larger content through a file.
    pub inline_limit: usize,
    /// Sessions at a time.
    pub connection_limit: usize,
    /// Sessions at a time from one client that is not in `mynetworks`.
    pub connection_limit_per_client: u32,
    /// Clients that may relay.
    pub mynetworks: Vec<Network>,
    /// For the dates of trace headers.
    pub time_zone: jiff::tz::TimeZone,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Nothing arrives.
    pub idle: Duration,
    /// From the first to the last octet of a command.
    pub command: Duration,
    /// Nothing arrives while content is due.
    pub data: Duration,
    /// The rate of content is measured over this time.
    pub rate_window: Duration,
    /// The directory.
    pub lookup: Duration,
    /// The queue.
    pub queue: Duration,
    /// Replies to a client that makes error after error are held back for so long.
    pub error_delay: Duration,
}

impl Settings {
    /// For smtpd. To be called before the jail closes: it reads the system's host name and time zone.
    ///
    /// # Errors
    /// The host has no usable name.
    pub fn for_smtpd(config: &Config) -> io::Result<Self> {
        let smtpd = &config.smtpd;
        Ok(Self {
            server: Arc::new(Server::new(protocol(config)?)),
            times: Times {
                idle: smtpd.idle_timeout,
                command: smtpd.command_timeout,
                data: smtpd.data_timeout,
                rate_window: RATE_WINDOW,
                lookup: smtpd.lookup_timeout,
                queue: smtpd.queue_timeout,
                error_delay: smtpd.error_delay,
            },
            min_data_rate: smtpd.min_data_rate.bytes(),
            inline_limit: config.queue.inline_limit.as_usize(),
            connection_limit: usize::try_from(smtpd.connection_limit).unwrap_or(usize::MAX),
            connection_limit_per_client: smtpd.connection_limit_per_client,
            mynetworks: smtpd.mynetworks.clone(),
            time_zone: jiff::tz::TimeZone::system(),
        })
    }
}

fn protocol(config: &Config) -> io::Result<smtp_proto::Settings> {
    let smtpd = &config.smtpd;
    let host_name = config.domains.host_name()?;
    let domain = config.domains.local.first().unwrap_or(&host_name);
    let postmaster = Address::at("postmaster", domain).map_err(io::Error::other)?;
    Ok(smtp_proto::Settings {
        hostname: host_name.as_ascii().to_owned(),
        greeting: smtpd
            .banner
            .chars()
            .filter(|c| (' '..='~').contains(c))
            .collect(),
        postmaster,
        recipient_limit: smtpd.recipient_limit,
        message_limit: NonZeroU32::new(smtpd.message_limit),
        command_line_limit: smtpd.command_length_limit.as_usize(),
        content: ContentRules {
            newlines: match smtpd.bare_newlines {
                BareNewlines::Refuse => NewlinePolicy::Refuse,
                BareNewlines::Normalize => NewlinePolicy::Normalize,
            },
            nul: match smtpd.nul_octets {
                NulOctets::Refuse => NulPolicy::Refuse,
                NulOctets::Keep => NulPolicy::Keep,
            },
            size_limit: smtpd.message_size_limit.bytes(),
            line_limit: smtpd.line_length_limit.bytes(),
            hop_limit: smtpd.max_hops,
        },
        soft_error_limit: smtpd.soft_error_limit,
        hard_error_limit: smtpd.error_limit,
        junk_command_limit: smtpd.junk_command_limit,
        commands_without_mail_limit: smtpd.commands_without_mail_limit,
        smtputf8: smtpd.smtputf8,
        verify: smtpd.vrfy == Vrfy::Full,
        expand: smtpd.expn,
        strict_pipelining: smtpd.strict_pipelining,
        over_quota: match config.local_delivery.mailbox_full {
            MailboxFull::Bounce => OverQuotaReply::Permanent,
            MailboxFull::Defer => OverQuotaReply::Temporary,
        },
    })
}
