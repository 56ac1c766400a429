//! `[pop3]`

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::record::settings;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

settings! {
    /// Reading mail by POP3 (RFC 1939).
    pop3: Pop3 {
        /// The addresses and ports to listen on; an empty list switches the service off. An IPv6 address
        /// takes IPv6 connections only.
        listen: Vec<SocketAddr> {
            default: vec![
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, 110)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, 110)),
            ],
            readers: ["master"],
        }
        /// How many pop3d processes share the listening sockets. The limits below are per process.
        workers: u32 {
            default: 1,
            range: 1 => 64,
            readers: ["master"],
        }
        /// A session that says nothing for so long is closed, and nothing is deleted. RFC 1939 (3) asks for
        /// at least 10 minutes.
        idle_timeout: Duration {
            default: 600 * SECOND,
            range: SECOND => 24 * HOUR,
            readers: ["pop3-session"],
        }
        /// A client must have logged in so long after it connected.
        login_timeout: Duration {
            default: 60 * SECOND,
            range: SECOND => HOUR,
            readers: ["pop3d"],
        }
        /// The most connections at a time that have not logged in; one more is told so and closed.
        connection_limit: u32 {
            default: 500,
            range: 1 => 100_000,
            readers: ["pop3d"],
        }
        /// The same for one client: an IPv4 address, or an IPv6 network of 64 bits.
        connection_limit_per_client: u32 {
            default: 20,
            range: 1 => 100_000,
            readers: ["pop3d"],
        }
        /// The most sessions at a time that have logged in, each a process of its own.
        max_sessions: u32 {
            default: 1000,
            range: 1 => 100_000,
            readers: ["master"],
        }
        /// How long the answer to a wrong login is held back; it is the same for an unknown user and for a
        /// wrong password.
        login_failure_delay: Duration {
            default: 2 * SECOND,
            range: Duration::ZERO => 60 * SECOND,
            readers: ["pop3d"],
        }
        /// After so many wrong logins the connection is closed.
        login_failure_limit: u32 {
            default: 3,
            range: 1 => 100,
            readers: ["pop3d"],
        }
        /// After so many wrong commands the connection is closed: before the login in all, after it in a row.
        error_limit: u32 {
            default: 10,
            range: 1 => 10_000,
            readers: ["pop3d", "pop3-session"],
        }
        /// How long a user must wait between two logins, told to clients as LOGIN-DELAY (RFC 2449); 0 for no
        /// wait. Each pop3d process counts for itself, and forgets when it is replaced.
        login_delay: Duration {
            default: Duration::ZERO,
            range: Duration::ZERO => 24 * HOUR,
            readers: ["pop3d", "pop3-session"],
        }
    }
}
