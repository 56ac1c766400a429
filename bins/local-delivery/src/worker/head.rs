//! What is put in front of a message, and whether it has been here before.

use std::io;
use std::os::fd::OwnedFd;

use ipc::protocol::WorkContent;
use mail_types::{Address, Outcome, ReversePath};
use mailbox::Content;
use mime::Header;

/// How much of a message is searched for its header's end.
const MAX_HEADER: u64 = 256 << 10;

/// The fields of final delivery (RFC 5321 §4.4, RFC 9228 §3).
pub fn prefix(reverse_path: &ReversePath, recipient: &Address) -> Vec<u8> {
    let mut fields = mime::trace::return_path(reverse_path);
    fields.extend_from_slice(&mime::trace::delivered_to(recipient));
    fields
}

/// The envelope sender as `From ` lines and commands have it: empty for `<>`.
pub fn sender(reverse_path: &ReversePath) -> String {
    reverse_path
        .address()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The recipients that a message says it was delivered to before.
pub struct DeliveredTo(Vec<String>);

impl DeliveredTo {
    /// Reads the message's header.
    pub fn of(content: Content<'_>) -> io::Result<Self> {
        let head;
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::File { file, size } => {
                let size = size.min(MAX_HEADER);
                let mut begin = Vec::new();
                Content::File { file, size }.for_each_block(|block| {
                    begin.extend_from_slice(block);
                    Ok(())
                })?;
                head = begin;
                &head[..]
            }
        };
        let fields = Header::of(bytes);
        let named = fields.all("Delivered-To").filter_map(|field| {
            let address = Address::parse(field.text().trim()).ok()?;
            Some(address.lookup_key())
        });
        Ok(Self(named.collect()))
    }

    /// The outcome for a recipient that the message has been to (RFC 9228 §4; 5.4.6 of RFC 3463).
    pub fn loop_to(&self, recipient: &Address) -> Option<Outcome> {
        self.0
            .contains(&recipient.lookup_key())
            .then(|| Outcome::failed(4, 6, format!("mail forwarding loop for {recipient}")))
    }
}

/// A frame's content, taken apart so that several deliveries can share it.
pub enum Source {
    /// In memory.
    Bytes(bytes::Bytes),
    /// In a file.
    File {
        /// Open for reading.
        file: std::fs::File,
        /// Octets in it.
        size: u64,
    },
}

impl Source {
    /// The content that came with a frame.
    pub fn of(
        content: WorkContent,
        size: u64,
        payload: bytes::Bytes,
        mut fds: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        match (content, fds.pop()) {
            (WorkContent::Payload, _) if payload.len() as u64 == size => Ok(Self::Bytes(payload)),
            (WorkContent::Payload, _) => {
                Err(io::Error::other("it is not of the size that was said"))
            }
            (WorkContent::Descriptor, Some(fd)) => Ok(Self::File {
                file: fd.into(),
                size,
            }),
            (WorkContent::Descriptor, None) => {
                Err(io::Error::other("its descriptor did not come along"))
            }
        }
    }

    /// Another handle on the same content.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::File { file, size } => Self::File {
                file: file.try_clone()?,
                size: *size,
            },
        })
    }

    /// The content, to be read as often as needed.
    pub fn content(&self) -> Content<'_> {
        match self {
            Self::Bytes(bytes) => Content::Bytes(bytes),
            Self::File { file, size } => Content::File { file, size: *size },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_recipient_named_before_is_a_loop() {
        let message = b"Delivered-To: Alice@Example.ORG\r\nDelivered-To: not an address\r\n\
            Subject: x\r\n\r\nDelivered-To: bob@example.org\r\n";
        let cases = [
            ("alice@example.org", true),
            ("bob@example.org", false),
            ("a@example.org", false),
        ];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(message).unwrap();
        let size = message.len() as u64;
        for content in [Content::Bytes(message), Content::File { file: &file, size }] {
            let delivered = DeliveredTo::of(content).unwrap();
            for (recipient, is_loop) in cases {
                let outcome = delivered.loop_to(&address(recipient));
                assert_eq!(outcome.is_some(), is_loop, "{recipient}");
                if let Some(Outcome::Failed(failure)) = outcome {
                    assert_eq!(failure.status.to_string(), "5.4.6");
                }
            }
        }
    }

    #[test]
    fn fields_and_senders() {
        let alice = address("alice@example.org");
        let null = ReversePath::Null;
        assert_eq!(
            prefix(&null, &alice),
            b"Return-Path: <>\r\nDelivered-To: alice@example.org\r\n"
        );
        assert_eq!(sender(&null), "");
        assert_eq!(sender(&ReversePath::Address(alice)), "alice@example.org");
    }
}
