//! `[smtpd]`

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::record::settings;
use crate::types::{Network, Size, words};

words! {
    /// What is done with a CR or LF that stands alone.
    BareNewlines {
        /// The message is refused.
        Refuse = "refuse",
        /// Each LF becomes CRLF, each CR a space.
        Normalize = "normalize",
    }
}

words! {
    /// What is done with a NUL octet in content.
    NulOctets {
        /// The message is refused.
        Refuse = "refuse",
        /// It stays.
        Keep = "keep",
    }
}

words! {
    /// How much VRFY tells.
    Vrfy {
        /// 252 to everything that looks like an address.
        Neutral = "neutral",
        /// Whether the user exists, and the full address.
        Full = "full",
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

settings! {
    /// Receiving mail by SMTP from other hosts (RFC 5321).
    smtpd: Smtpd {
        /// What the greeting says behind the host name and ESMTP.
        banner: String {
            default: "Posthouse".to_owned(),
            readers: ["smtpd"],
        }
        /// The addresses and ports to listen on; an empty list switches the service off. An IPv6 address
        /// takes IPv6 connections only.
        listen: Vec<SocketAddr> {
            default: vec![
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, 25)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, 25)),
            ],
            readers: ["master"],
        }
        /// How many smtpd processes share the listening sockets. One serves thousands of sessions; more
        /// help only when it keeps a processor busy. All limits below are per process.
        workers: u32 {
            default: 1,
            range: 1 => 64,
            readers: ["master"],
        }
        /// The clients that may send to any domain. Everybody else may send only to domains.local and
        /// domains.relay.
        mynetworks: Vec<Network> {
            default: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            readers: ["smtpd"],
        }
        /// The largest message that is taken, told to clients as SIZE (RFC 1870) and checked at MAIL and
        /// while the content arrives.
        message_size_limit: Size {
            default: Size::mib(50),
            range: Size::kib(64) => Size::gib(2),
            readers: ["smtpd", "queue-manager"],
        }
        /// The most messages of one session, told to clients as MAILMAX (RFC 9422); 0 for no limit.
        message_limit: u32 {
            default: 0,
            range: 0 => 1_000_000,
            readers: ["smtpd"],
        }
        /// The most recipients of one message; one more gets 452 and can be sent in the next transaction.
        /// RFC 5321 (4.5.3.1.8) asks for at least 100.
        recipient_limit: u32 {
            default: 1000,
            range: 100 => 100_000,
            readers: ["smtpd"],
        }
        /// After so many refused commands and recipients in a row without an accepted message, replies are
        /// delayed by smtpd.error_delay.
        soft_error_limit: u32 {
            default: 10,
            range: 1 => 10_000,
            readers: ["smtpd"],
        }
        /// How long the replies to a client are delayed that is over smtpd.soft_error_limit.
        error_delay: Duration {
            default: SECOND,
            range: Duration::ZERO => 60 * SECOND,
            readers: ["smtpd"],
        }
        /// After so many refused commands and recipients in a row without an accepted message, the session
        /// ends with 421.
        error_limit: u32 {
            default: 20,
            range: 1 => 10_000,
            readers: ["smtpd"],
        }
        /// After so many commands that do not exist the session ends with 421.
        junk_command_limit: u32 {
            default: 10,
            range: 1 => 10_000,
            readers: ["smtpd"],
        }
        /// After so many commands without a message between them (NOOP, RSET, VRFY, EHLO and the like) the
        /// session ends with 421.
        commands_without_mail_limit: u32 {
            default: 100,
            range: 1 => 100_000,
            readers: ["smtpd"],
        }
        /// The most sessions at a time; one more is told 421.
        connection_limit: u32 {
            default: 2000,
            range: 1 => 100_000,
            readers: ["smtpd"],
        }
        /// The most sessions at a time from one client: an IPv4 address, or an IPv6 network of 64 bits.
        /// Clients in smtpd.mynetworks are not counted.
        connection_limit_per_client: u32 {
            default: 50,
            range: 1 => 100_000,
            readers: ["smtpd"],
        }
        /// A session that says nothing for so long is ended with 421. RFC 5321 (4.5.3.2.7) asks for at
        /// least 5 minutes.
        idle_timeout: Duration {
            default: 300 * SECOND,
            range: SECOND => 24 * HOUR,
            readers: ["smtpd"],
        }
        /// A command must be complete so long after its first byte.
        command_timeout: Duration {
            default: 60 * SECOND,
            range: SECOND => HOUR,
            readers: ["smtpd"],
        }
        /// While content is expected, the session ends with 421 when nothing comes for so long.
        data_timeout: Duration {
            default: 180 * SECOND,
            range: SECOND => HOUR,
            readers: ["smtpd"],
        }
        /// Content that arrives at fewer bytes a second than this, measured over a minute, ends the session
        /// with 421; 0 switches that off. What is over smtpd.message_size_limit does not count.
        min_data_rate: Size {
            default: Size::new(64),
            range: Size::new(0) => Size::mib(1),
            readers: ["smtpd"],
        }
        /// How long an answer of the directory is waited for before the client is told 451.
        lookup_timeout: Duration {
            default: 20 * SECOND,
            range: SECOND => HOUR,
            readers: ["smtpd"],
        }
        /// How long the queue is waited for before the client is told 451. The sender waits 10 minutes
        /// (RFC 5321, 4.5.3.2.6), and a message that is told 451 after it was queued arrives twice.
        queue_timeout: Duration {
            default: 300 * SECOND,
            range: SECOND => HOUR,
            readers: ["smtpd"],
        }
        /// The longest command line, with its CRLF. RFC 5321 (4.5.3.1.4) asks for 512; extensions add to it.
        command_length_limit: Size {
            default: Size::kib(2),
            range: Size::new(512) => Size::kib(64),
            readers: ["smtpd"],
        }
        /// The longest line of content, without its CRLF. RFC 5322 (2.1.1) allows 998; many senders exceed
        /// it. A longer line is refused, never broken.
        line_length_limit: Size {
            default: Size::mib(1),
            range: Size::new(998) => Size::gib(1),
            readers: ["smtpd"],
        }
        /// A CR or LF that stands alone is forbidden (RFC 5321, 2.3.8), and servers that disagree about it
        /// can be made to see different messages. `refuse` answers 550 after the content and ends a session
        /// whose command lines end in LF, `normalize` makes each LF a CRLF and each CR a space. The end of the
        /// content is CRLF.CRLF in any case.
        bare_newlines: BareNewlines {
            default: BareNewlines::Refuse,
            readers: ["smtpd"],
        }
        /// What is done with a message that has NUL octets, which no text may have (RFC 5321, 4.5.2).
        nul_octets: NulOctets {
            default: NulOctets::Refuse,
            readers: ["smtpd"],
        }
        /// Whether a session ends with 554 when the client sends something behind VRFY, EXPN or NOOP, or
        /// anything at all without EHLO, before it had the reply (RFC 2920, 3.1). Input behind EHLO, HELO and
        /// DATA ends it in any case: it is how messages are smuggled.
        strict_pipelining: bool {
            default: true,
            readers: ["smtpd"],
        }
        /// How much VRFY tells: with `full`, whether a user exists, to anybody who asks.
        vrfy: Vrfy {
            default: Vrfy::Neutral,
            readers: ["smtpd"],
        }
        /// Whether EXPN lists the members of an alias, to anybody who asks.
        expn: bool {
            default: false,
            readers: ["smtpd"],
        }
        /// A message with more Received fields than this is refused: it runs in a circle (RFC 5321, 6.3).
        max_hops: u32 {
            default: 50,
            range: 10 => 1000,
            readers: ["smtpd"],
        }
        /// Whether internationalized addresses are taken (SMTPUTF8, RFC 6531).
        smtputf8: bool {
            default: true,
            readers: ["smtpd"],
        }
    }
}
