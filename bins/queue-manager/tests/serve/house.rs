//! A queue-manager in a temporary folder, with stand-ins for smtpd, the directory and local-delivery.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{
    AgentMessage, Delivery, DeliveryTransport, Expansion, ExpansionLeaf, ExpansionReply, Intake,
    IntakeReply, IntakeRequest, LeafEnd, Origin, QueueControl, QueueControlReply,
    QueueControlRequest, QueueMessage, QueueStatus, RecipientSummary, Selection, SpoolId, Work,
    WorkOutcome,
};
use ipc::{Caller, Connection, Frame, Listener, PUSH, Protocol};
use mail_types::{Address, Domain, Envelope, Outcome, QueueId, Recipient, ReversePath, Target};
use queue_manager::{Access, Settings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Leaves that the stand-in for the directory answers with; an address that is not there is a mailbox.
pub type Aliases = HashMap<String, Vec<ExpansionLeaf>>;

pub struct House {
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    pub aliases: Arc<Mutex<Aliases>>,
    /// Addresses that the directory was asked for.
    pub asked: Arc<Mutex<Vec<String>>>,
    manager: Option<(JoinHandle<()>, watch::Sender<bool>)>,
    directory: Option<JoinHandle<()>>,
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

impl House {
    /// Everything stands but nothing runs.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = vec![sandbox::ids::effective_uid()];
        let settings = Settings {
            hostname: Domain::parse("mx.example.org").unwrap(),
            postmaster: address("postmaster@example.org"),
            queue_directory: folder.path().join("queue"),
            store: queue::Settings {
                min_free: 0,
                ..queue::Settings::default()
            },
            hold_new: false,
            bounce_size_limit: 50 << 10,
            notify_postmaster: false,
            bounce_lifetime: Duration::from_secs(60),
            drain_time: Duration::from_millis(300),
            limits: schedule::Limits::default(),
            content_memory: 1 << 20,
            policy: schedule::Policy {
                min_retry: Duration::from_millis(100),
                max_retry: Duration::from_millis(200),
                lifetime: Duration::from_secs(60),
                ..schedule::Policy::default()
            },
            attempt_time: Duration::from_secs(30),
            directory_socket: folder.path().join("directory.sock"),
            directory_time: Duration::from_millis(300),
            agent_time: Duration::from_secs(30),
            access: Access {
                intake: own.clone(),
                delivery: own.clone(),
                control_users: own,
                control_groups: Vec::new(),
            },
        };
        Self {
            folder,
            settings,
            aliases: Arc::default(),
            asked: Arc::default(),
            manager: None,
            directory: None,
        }
    }

    /// Everything runs.
    pub fn open() -> Self {
        Self::open_with(|_| {})
    }

    pub fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut house = Self::new();
        change(&mut house.settings);
        house.start_directory();
        house.start();
        house
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("queue.sock")
    }

    pub fn start(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let listening = OwnedFd::from(UnixListener::bind(self.socket()).unwrap());
        let (stop, drain) = daemon::drain_channel();
        let settings = self.settings.clone();
        let task = tokio::spawn(async move {
            let zone = jiff::tz::TimeZone::UTC;
            queue_manager::serve(settings, listening, zone, drain, || Ok(()))
                .await
                .unwrap();
        });
        self.manager = Some((task, stop));
    }

    /// Ends the manager in order.
    pub async fn stop(&mut self) {
        let (task, stop) = self.manager.take().unwrap();
        stop.send_replace(true);
        within(task).await.unwrap();
    }

    /// Ends the manager without telling it; what is in memory is lost.
    pub async fn crash(&mut self) {
        let (task, _stop) = self.manager.take().unwrap();
        task.abort();
        assert!(within(task).await.unwrap_err().is_cancelled());
    }

    pub fn start_directory(&mut self) {
        let path = &self.settings.directory_socket;
        let _ = std::fs::remove_file(path);
        let listening = OwnedFd::from(UnixListener::bind(path).unwrap());
        let (aliases, asked) = (Arc::clone(&self.aliases), Arc::clone(&self.asked));
        self.directory = Some(tokio::spawn(async move {
            let listener = Listener::new(listening, 8).unwrap();
            loop {
                let greeted = listener.accept().await.unwrap().greeting().await.unwrap();
                let channel = greeted.accept::<Expansion>().await.unwrap();
                tokio::spawn(answer(channel, Arc::clone(&aliases), Arc::clone(&asked)));
            }
        }));
    }

    pub fn alias(&self, name: &str, leaves: Vec<ExpansionLeaf>) {
        let mut aliases = self.aliases.lock().unwrap();
        aliases.insert(address(name).to_string(), leaves);
    }

    async fn channel<P: Protocol>(&self) -> Connection<P::Request, P::Reply> {
        within(ipc::connect::<P>(&self.socket())).await.unwrap()
    }

    pub async fn smtpd(&self) -> Caller<Intake> {
        Caller::new(self.channel::<Intake>().await, |_| {})
    }

    pub async fn agent(&self, capacity: u32) -> Agent {
        let connection = self.channel::<Delivery>().await;
        let transport = DeliveryTransport::Local;
        let ready = AgentMessage::Ready {
            transport,
            capacity,
        };
        connection.sender.send(PUSH, &ready).unwrap();
        Agent { connection }
    }

    /// Hands in a message, and waits until it is durable.
    pub async fn submit(&self, from: &str, to: &[&str]) -> QueueId {
        self.submit_envelope(envelope(from, to), CONTENT).await
    }

    pub async fn submit_envelope(&self, envelope: Envelope, content: &'static [u8]) -> QueueId {
        let smtpd = self.smtpd().await;
        let request = IntakeRequest::Submit {
            envelope,
            origin: origin(),
        };
        let content = Bytes::from_static(content);
        let reply = smtpd.call(&request, content, Vec::new(), PATIENCE).await;
        match reply.unwrap().message {
            IntakeReply::Durable { queue_id } => queue_id,
            other => panic!("{other:?}"),
        }
    }

    pub fn spool_folder(&self) -> PathBuf {
        self.settings.queue_directory.join("spool")
    }

    /// Writes content into a spool file, not committed yet.
    pub async fn spool(&self, smtpd: &Caller<Intake>, content: &[u8]) -> SpoolId {
        let open = IntakeRequest::OpenSpool { expected: 0 };
        let opened = smtpd.call(&open, Bytes::new(), Vec::new(), PATIENCE);
        let mut opened = opened.await.unwrap();
        let mut file = File::from(opened.fds.pop().unwrap());
        file.write_all(content).unwrap();
        match opened.message {
            IntakeReply::Spool { spool } => spool,
            other => panic!("{other:?}"),
        }
    }

    pub async fn commit(&self, smtpd: &Caller<Intake>, spool: SpoolId, size: u64) -> IntakeReply {
        let commit = IntakeRequest::Commit {
            spool,
            size,
            envelope: envelope("alice@example.org", &["bob@example.org"]),
            origin: origin(),
        };
        let reply = smtpd.call(&commit, Bytes::new(), Vec::new(), PATIENCE);
        reply.await.unwrap().message
    }

    pub async fn control(&self, request: QueueControlRequest) -> QueueControlReply {
        self.control_frame(request).await.message
    }

    pub async fn control_frame(&self, request: QueueControlRequest) -> Frame<QueueControlReply> {
        let caller = Caller::<QueueControl>::new(self.channel::<QueueControl>().await, |_| {});
        let reply = caller.call(&request, Bytes::new(), Vec::new(), PATIENCE);
        reply.await.unwrap()
    }

    pub async fn status(&self) -> QueueStatus {
        match self.control(QueueControlRequest::Status).await {
            QueueControlReply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// The recipients that are left of the first message.
    pub async fn recipients(&self) -> Vec<RecipientSummary> {
        let list = QueueControlRequest::List {
            selection: Selection::All,
            after: None,
            limit: 1,
        };
        match self.control(list).await {
            QueueControlReply::Messages { mut messages, .. } => messages.remove(0).recipients,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the counts are as said.
    pub async fn until(&self, what: &str, wanted: impl Fn(QueueStatus) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status().await;
            if wanted(status) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn until_empty(&self) {
        self.until("the queue empties", |status| {
            status == QueueStatus::default()
        })
        .await;
    }
}

/// An address that the stand-in for the directory dies of.
pub const POISON: &str = "poison@example.org";

pub const CONTENT: &[u8] = b"Subject: test\r\n\r\nbody\r\n";

pub fn envelope(from: &str, to: &[&str]) -> Envelope {
    let reverse_path = match from {
        "" => ReversePath::Null,
        from => ReversePath::Address(address(from)),
    };
    let recipients = to.iter().map(|to| Recipient::new(address(to))).collect();
    Envelope::new(reverse_path, recipients)
}

pub fn origin() -> Origin {
    Origin {
        session: Some(mail_types::SessionId(7)),
        client: None,
        protocol: "ESMTP".to_owned(),
    }
}

/// Waits, but not for ever.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

pub fn mailbox(name: &str) -> ExpansionLeaf {
    leaf(LeafEnd::Target(Target::Mailbox(address(name))))
}

pub fn leaf(end: LeafEnd) -> ExpansionLeaf {
    ExpansionLeaf { end, owner: None }
}

async fn answer(
    channel: Connection<<Expansion as Protocol>::Reply, <Expansion as Protocol>::Request>,
    aliases: Arc<Mutex<Aliases>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut receiver = channel.receiver;
    while let Ok(Some(frame)) = receiver.receive().await {
        if frame.message.addresses.contains(&address(POISON)) {
            // The directory dies of it.
            return;
        }
        let leaves = frame
            .message
            .addresses
            .iter()
            .map(|address| {
                asked.lock().unwrap().push(address.to_string());
                let aliases = aliases.lock().unwrap();
                let known = aliases.get(&address.to_string()).cloned();
                known.unwrap_or_else(|| vec![mailbox(&address.to_string())])
            })
            .collect();
        let reply = ExpansionReply { leaves };
        if channel.sender.send(frame.id, &reply).is_err() {
            return;
        }
    }
}

/// The stand-in for local-delivery.
pub struct Agent {
    connection: Connection<AgentMessage, QueueMessage>,
}

impl Agent {
    /// The next work, with its content.
    pub async fn work(&mut self) -> (Work, Vec<u8>) {
        let frame = within(self.connection.receiver.receive()).await.unwrap();
        let frame = frame.expect("the manager is there");
        let QueueMessage::Work(work) = frame.message;
        let content = match frame.fds.into_iter().next() {
            None => frame.payload.to_vec(),
            Some(fd) => {
                let mut content = Vec::new();
                let mut file = std::fs::File::from(fd);
                std::io::Read::read_to_end(&mut file, &mut content).unwrap();
                content
            }
        };
        (*work, content)
    }

    /// Whether no work comes for a while.
    pub async fn is_idle(&mut self, long: Duration) -> bool {
        tokio::time::timeout(long, self.connection.receiver.receive())
            .await
            .is_err()
    }

    /// Whether the manager ends the channel in order, without more work.
    pub async fn is_ended(&mut self) -> bool {
        within(self.connection.receiver.receive())
            .await
            .is_ok_and(|frame| frame.is_none())
    }

    pub fn done(&self, work: &Work, outcome: &Outcome) {
        let outcomes = work
            .recipients
            .iter()
            .map(|recipient| WorkOutcome {
                recipient: recipient.number,
                outcome: outcome.clone(),
            })
            .collect();
        let done = AgentMessage::Done {
            lease: work.lease,
            outcomes,
        };
        self.connection.sender.send(PUSH, &done).unwrap();
    }

    /// Takes the next work, ends it so, and says for whom it was.
    pub async fn end_next(&mut self, outcome: &Outcome) -> (String, Vec<u8>) {
        let (work, content) = self.work().await;
        self.done(&work, outcome);
        (work.recipients[0].target.to_string(), content)
    }

    pub async fn deliver_next(&mut self) -> (String, Vec<u8>) {
        self.end_next(&Outcome::delivered("INBOX")).await
    }
}
