//! A directory and a queue of a few lines, behind real sockets, and a client.

use std::io::{Read, Seek};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{
    Intake, IntakeReply, IntakeRequest, Origin, RecipientReply, RecipientVerdict, Recipients,
    RecipientsRequest, Refusal, SpoolId, VrfyReply,
};
use ipc::{Connection, Listener};
use mail_types::{Envelope, QueueId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::{Backends, Settings};

/// What the queue does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Durable,
    Refuse(Refusal),
    /// Hangs up without an answer.
    Die,
}

#[derive(Debug)]
pub(super) struct Received {
    pub(super) envelope: Envelope,
    pub(super) origin: Origin,
    pub(super) content: String,
    pub(super) spooled: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) mood: Mutex<Mood>,
    pub(super) received: Mutex<Vec<Received>>,
    pub(super) aborted: watch::Sender<u32>,
}

/// A server with its fakes, in a folder of its own.
pub(super) struct House {
    pub(super) queue: Arc<Queue>,
    pub(super) address: SocketAddr,
    pub(super) end: watch::Sender<bool>,
    pub(super) serving: tokio::task::JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

pub(super) fn settings() -> Settings {
    let text = "[domains]\nhostname = \"mail.example\"\nlocal = [\"home.example\"]\n\
                [smtpd]\nmynetworks = []\nvrfy = \"full\"\nmessage_size_limit = \"1MiB\"\n\
                [queue]\ninline_limit = \"4KiB\"\n";
    let config = config::Config::load(text, "test").unwrap();
    let mut settings = Settings::for_smtpd(&config).unwrap();
    settings.times.lookup = Duration::from_millis(300);
    settings.times.queue = Duration::from_secs(5);
    settings.time_zone = jiff::tz::TimeZone::UTC;
    settings
}

fn listen(path: &Path) -> Listener {
    Listener::new(UnixListener::bind(path).unwrap().into(), 8).unwrap()
}

impl House {
    /// `directory` says whether there is one.
    pub(super) async fn open(settings: Settings, directory: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (queue_path, directory_path) = (folder.path().join("q"), folder.path().join("d"));
        let queue = Arc::new(Queue {
            mood: Mutex::new(Mood::Durable),
            received: Mutex::default(),
            aborted: watch::Sender::new(0),
        });
        tokio::spawn(run_queue(listen(&queue_path), Arc::clone(&queue)));
        if directory {
            tokio::spawn(run_directory(listen(&directory_path)));
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Backends::new(directory_path, queue_path, settings.times.lookup);
        let (end, mut told) = watch::channel(false);
        let shutdown = async move {
            let _ = told.wait_for(|end| *end).await;
        };
        let serving = tokio::spawn(crate::serve(vec![listener], settings, backends, shutdown));
        Self {
            queue,
            address,
            end,
            serving,
            _folder: folder,
        }
    }

    pub(super) async fn client(&self) -> Client {
        let mut client = self.silent_client().await;
        assert!(client.reply().await.starts_with("220 mail.example ESMTP"));
        client
    }

    pub(super) async fn silent_client(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            buffer: Vec::new(),
        }
    }
}

async fn run_directory(listener: Listener) {
    loop {
        let new = listener.accept().await.unwrap();
        let Connection {
            sender,
            mut receiver,
        } = new
            .greeting()
            .await
            .unwrap()
            .accept::<Recipients>()
            .await
            .unwrap();
        tokio::spawn(async move {
            while let Ok(Some(frame)) = receiver.receive().await {
                let reply = match frame.message {
                    RecipientsRequest::Resolve { address, .. } => {
                        let verdict = match address.to_string().as_str() {
                            "nobody@home.example" => RecipientVerdict::Unknown,
                            name if name.ends_with("@home.example") => RecipientVerdict::Local,
                            _ => RecipientVerdict::Remote,
                        };
                        RecipientReply::Verdict {
                            verdict,
                            holds_for: Duration::ZERO,
                        }
                    }
                    _ => RecipientReply::Vrfy(VrfyReply::Unknown),
                };
                sender.send(frame.id, &reply).unwrap();
            }
        });
    }
}

async fn run_queue(listener: Listener, queue: Arc<Queue>) {
    loop {
        let new = listener.accept().await.unwrap();
        let connection = new
            .greeting()
            .await
            .unwrap()
            .accept::<Intake>()
            .await
            .unwrap();
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.serve(connection).await });
    }
}

impl Queue {
    async fn serve(&self, connection: Connection<IntakeReply, IntakeRequest>) {
        let Connection {
            sender,
            mut receiver,
        } = connection;
        let mut spool = None;
        while let Ok(Some(frame)) = receiver.receive().await {
            let mood = *self.mood.lock().unwrap();
            let reply = match (mood, frame.message) {
                (Mood::Die, _) => return,
                (Mood::Refuse(refusal), _) => IntakeReply::Refused(refusal),
                (_, IntakeRequest::Submit { envelope, origin }) => {
                    let content = String::from_utf8(frame.payload.to_vec()).unwrap();
                    self.keep(envelope, origin, content, false)
                }
                (_, IntakeRequest::OpenSpool { .. }) => {
                    let file = tempfile::tempfile().unwrap();
                    let fd = OwnedFd::from(file.try_clone().unwrap());
                    spool = Some(file);
                    let reply = IntakeReply::Spool { spool: SpoolId(7) };
                    sender
                        .send_with(frame.id, &reply, Bytes::new(), vec![fd])
                        .unwrap();
                    continue;
                }
                (
                    _,
                    IntakeRequest::Commit {
                        size,
                        envelope,
                        origin,
                        ..
                    },
                ) => {
                    let (mut content, mut file) = (String::new(), spool.take().unwrap());
                    file.rewind().unwrap();
                    file.read_to_string(&mut content).unwrap();
                    assert_eq!(content.len() as u64, size);
                    self.keep(envelope, origin, content, true)
                }
                (_, IntakeRequest::Abort { spool }) => {
                    assert_eq!(spool, SpoolId(7));
                    self.aborted.send_modify(|count| *count += 1);
                    IntakeReply::Aborted
                }
            };
            sender.send(frame.id, &reply).unwrap();
        }
    }

    fn keep(
        &self,
        envelope: Envelope,
        origin: Origin,
        content: String,
        spooled: bool,
    ) -> IntakeReply {
        let mut received = self.received.lock().unwrap();
        received.push(Received {
            envelope,
            origin,
            content,
            spooled,
        });
        IntakeReply::Durable {
            queue_id: QueueId(received.len() as u64),
        }
    }
}

/// Speaks SMTP line by line.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// One reply, all its lines; empty when the server has closed.
    pub(super) async fn reply(&mut self) -> String {
        let mut lines = String::new();
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let line = String::from_utf8(line).unwrap();
                let last = line.as_bytes()[3] == b' ';
                lines += &line;
                if last {
                    return lines;
                }
                continue;
            }
            let read = self.stream.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(Duration::from_secs(10), read).await;
            if read.expect("a reply in time").unwrap() == 0 {
                return lines;
            }
        }
    }

    pub(super) async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        self.reply().await
    }

    /// EHLO to DATA, pipelined as far as may be.
    pub(super) async fn begin(&mut self, recipients: &[&str]) {
        assert!(
            self.ask("EHLO client.example\r\n")
                .await
                .starts_with("250-")
        );
        let mut group = "MAIL FROM:<a@b.example>\r\n".to_owned();
        for recipient in recipients {
            group += &format!("RCPT TO:<{recipient}>\r\n");
        }
        self.say(&(group + "DATA\r\n")).await;
        for _ in 0..=recipients.len() {
            assert!(self.reply().await.starts_with("250 "));
        }
        assert!(self.reply().await.starts_with("354 "));
    }
}
