//! What attackers and broken clients do to the real programs: nothing gets in that should not, nothing is lost, nothing
//! hangs, and whoever behaves well meanwhile is served.
//!
//! Every reply is held to the grammar of replies by the harness itself.

mod channels;
mod content;
mod forgery;
mod limits;
mod outages;

use harness::{PATIENCE, Site, SiteBuilder, SmtpClient, eventually};

const ALICE: &str = "alice@posthouse.test";
const BOB: &str = "bob@posthouse.test";

/// A site with these settings.
fn site_with(settings: &[(&str, &str)]) -> Site {
    configured(settings).start().unwrap()
}

fn configured(settings: &[(&str, &str)]) -> SiteBuilder {
    let builder = Site::builder();
    settings.iter().fold(builder, |builder, (name, value)| {
        builder.set(name, value).unwrap()
    })
}

/// A session with a transaction from alice to bob, ready for content.
fn transaction(site: &Site) -> SmtpClient {
    let mut client = site.smtp_client().unwrap();
    envelope(&mut client);
    client
}

fn envelope(client: &mut SmtpClient) {
    client
        .command(&format!("MAIL FROM:<{ALICE}>"), 250)
        .unwrap();
    client.command(&format!("RCPT TO:<{BOB}>"), 250).unwrap();
}

/// Sends octets and takes one reply.
fn say(client: &mut SmtpClient, octets: impl AsRef<[u8]>) -> String {
    client.send(octets).unwrap();
    client.reply().unwrap().1
}

/// One whole message by DATA; the reply to its end.
fn by_data(client: &mut SmtpClient, content: &[u8]) -> String {
    client.command("DATA", 354).unwrap();
    client.send_quietly(content).unwrap();
    client.send_quietly(b"\r\n.\r\n").unwrap();
    client.reply().unwrap().1
}

fn send_one(site: &Site) {
    let mut client = transaction(site);
    let reply = by_data(&mut client, b"Subject: one\r\n\r\nbody");
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
}

/// The connection is closed, with or without a word.
fn is_closed(client: &mut SmtpClient) -> bool {
    match client.rest() {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Waits until the queue holds nothing.
fn drained(site: &Site) {
    let empty = eventually(PATIENCE, || {
        let listing = site.run_posthouse(&["queue", "list", "--json"]).ok()?;
        (!listing.contains("queue_id")).then_some(())
    });
    assert!(
        empty.is_some(),
        "the queue does not drain: {}",
        site.run_posthouse(&["queue", "list"]).unwrap()
    );
}

/// How many messages bob has, once the queue is empty.
fn bobs_messages(site: &Site) -> Vec<Vec<u8>> {
    drained(site);
    site.fetch(site.bob(), 0).unwrap()
}
