//! A running local-delivery in a temporary folder, and both ends that it talks to.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{
    AgentMessage, Delivery, LeaseId, MailboxFormat, MailboxReply, MailboxRequest, MailboxSpec,
    Mailboxes, QueueMessage, UsageReply, UsageRequest, Work, WorkContent, WorkOutcome,
    WorkRecipient,
};
use ipc::{Client, Connection, Listener, PUSH, Receiver, Sender};
use mail_types::{Address, BodyKind, QueueId, ReversePath, Target, Timestamp};
use sandbox::fds::sealed_memory;
use sandbox::process::{Ended, Program};
use tempfile::TempDir;

/// Who owns the mailboxes when the tests run as root.
pub const OWNER: u32 = 12_345;
/// Who gets files and commands of aliases then.
pub const ALIAS_OWNER: u32 = 12_346;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the played directory knows.
type Users = Arc<Mutex<HashMap<Address, MailboxSpec>>>;

pub struct Site {
    folder: TempDir,
    pub program: u32,
    users: Users,
    to_agent: Sender<QueueMessage>,
    from_agent: Receiver<AgentMessage>,
    pub capacity: u32,
    next: u64,
    stopped: bool,
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub fn is_root() -> bool {
    sandbox::ids::is_root()
}

impl Site {
    /// Starts the program with further settings of `[local_delivery]`.
    pub async fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let run = folder.path().join("run/ipc");
        fs::create_dir_all(&run).unwrap();
        for (name, owner) in [("mail", OWNER), ("spool", OWNER), ("alias", ALIAS_OWNER)] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            if is_root() {
                chown(&path, Some(owner), Some(owner)).unwrap();
            }
        }
        let queue = listen(&run.join("queue.sock"));
        let users = Users::default();
        tokio::spawn(play_directory(
            listen(&run.join("directory.sock")),
            Arc::clone(&users),
        ));
        let program = start_program(folder.path(), settings);
        let (to_agent, mut from_agent) = accept_agent(queue).await;
        let ready = from_agent.receive().await.unwrap().unwrap().message;
        let AgentMessage::Ready { capacity, .. } = ready else {
            panic!("{ready:?}");
        };
        Self {
            folder,
            program,
            users,
            to_agent,
            from_agent,
            capacity,
            next: 1,
            stopped: false,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a user known, with a mailbox at `path` below the site's folder.
    pub fn user(&self, name: &str, path: &str, format: MailboxFormat) -> MailboxSpec {
        let uid = if is_root() {
            OWNER
        } else {
            sandbox::ids::effective_uid()
        };
        let gid = if is_root() {
            OWNER
        } else {
            sandbox::ids::effective_gid()
        };
        let spec = MailboxSpec {
            user: address(name),
            uid,
            gid,
            format,
            path: self.path(path),
            quota_bytes: 0,
            quota_messages: 0,
        };
        self.know(spec.clone());
        spec
    }

    pub fn know(&self, spec: MailboxSpec) {
        self.users.lock().unwrap().insert(spec.user.clone(), spec);
    }

    /// Gives the agent a work; answers its lease.
    pub fn give(&mut self, targets: &[Target], content: &[u8], by_descriptor: bool) -> LeaseId {
        let lease = LeaseId(self.next);
        self.next += 1;
        let recipients = targets
            .iter()
            .enumerate()
            .map(|(number, target)| WorkRecipient {
                number: number as u64,
                target: target.clone(),
                accepted_as: match target {
                    Target::Mailbox(user) => user.clone(),
                    _ => address("alias@example.org"),
                },
            });
        let work = Work {
            lease,
            time_limit: PATIENCE,
            queue_id: QueueId(lease.0),
            accepted: Timestamp(0),
            reverse_path: ReversePath::Address(address("sender@example.net")),
            body: BodyKind::SevenBit,
            smtputf8: false,
            size: content.len() as u64,
            content: if by_descriptor {
                WorkContent::Descriptor
            } else {
                WorkContent::Payload
            },
            recipients: recipients.collect(),
        };
        let message = QueueMessage::Work(Box::new(work));
        let (payload, fds) = if by_descriptor {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content).unwrap();
            (Bytes::new(), vec![OwnedFd::from(file)])
        } else {
            (Bytes::copy_from_slice(content), Vec::new())
        };
        self.to_agent
            .send_with(PUSH, &message, payload, fds)
            .unwrap();
        lease
    }

    /// The next work that is done.
    pub async fn done(&mut self) -> (LeaseId, Vec<WorkOutcome>) {
        let frame = tokio::time::timeout(PATIENCE, self.from_agent.receive()).await;
        match frame.unwrap().unwrap().unwrap().message {
            AgentMessage::Done {
                lease,
                mut outcomes,
            } => {
                outcomes.sort_by_key(|outcome| outcome.recipient);
                (lease, outcomes)
            }
            other => panic!("{other:?}"),
        }
    }

    /// One work to its outcomes.
    pub async fn deliver(&mut self, targets: &[Target], content: &[u8]) -> Vec<WorkOutcome> {
        let lease = self.give(targets, content, false);
        let (done, outcomes) = self.done().await;
        assert_eq!(done, lease);
        outcomes
    }

    pub async fn usage(&self, mailbox: MailboxSpec) -> UsageReply {
        let client: Client<ipc::protocol::MailboxUsage> =
            Client::new(self.path("run/ipc/delivery.sock"));
        let request = UsageRequest { mailbox };
        client
            .call(&request, Bytes::new(), Vec::new(), PATIENCE)
            .await
            .unwrap()
            .message
    }

    /// Asks the program to end, and waits for it.
    pub async fn stop(&mut self) -> Ended {
        sandbox::process::terminate(self.program).unwrap();
        let program = self.program;
        self.stopped = true;
        tokio::task::spawn_blocking(move || sandbox::process::wait(program).unwrap())
            .await
            .unwrap()
    }

    /// The worker processes.
    pub fn workers(&self) -> Vec<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.program);
        let children = fs::read_to_string(children).unwrap();
        children
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }
}

/// Leaves no process behind, however a test ends.
impl Drop for Site {
    fn drop(&mut self) {
        if !self.stopped {
            // The test has its verdict already.
            let _ = sandbox::process::terminate(self.program);
            let _ = sandbox::process::wait(self.program);
        }
    }
}

fn listen(path: &Path) -> Listener {
    Listener::new(sandbox::listen::unix(path, 0o600, None).unwrap(), 8).unwrap()
}

fn start_program(folder: &Path, settings: &str) -> u32 {
    let own = sandbox::ids::effective_uid();
    let config = format!(
        "[paths]\nrun_dir = \"{0}/run\"\nqueue_dir = \"{0}/queue\"\n\
         [domains]\nhostname = \"host.example\"\n[users]\ndir = {own}\n\
         [directory]\nmail_root = \"{0}/mail\"\n\
         [log]\nto = \"stderr\"\n\
         [local_delivery]\nmbox_dir = \"{0}/spool\"\nalias_user = {ALIAS_OWNER}\n{settings}\n",
        folder.display()
    );
    let delivery = sandbox::listen::unix(&folder.join("run/ipc/delivery.sock"), 0o600, None);
    Program::new(
        env!("CARGO_BIN_EXE_local-delivery"),
        "posthouse: local-delivery",
    )
    .fd(
        "config",
        sealed_memory("config", config.as_bytes()).unwrap(),
    )
    .fd("ipc", delivery.unwrap())
    .start()
    .unwrap()
}

async fn accept_agent(queue: Listener) -> (Sender<QueueMessage>, Receiver<AgentMessage>) {
    let connection = tokio::time::timeout(PATIENCE, queue.accept())
        .await
        .unwrap()
        .unwrap();
    let greeted = connection.greeting().await.unwrap();
    let Connection { sender, receiver } = greeted.accept::<Delivery>().await.unwrap();
    (sender, receiver)
}

async fn play_directory(listener: Listener, users: Users) {
    let greeted = listener.accept().await.unwrap().greeting().await.unwrap();
    let Connection {
        sender,
        mut receiver,
    } = greeted.accept::<Mailboxes>().await.unwrap();
    while let Ok(Some(frame)) = receiver.receive().await {
        let MailboxRequest { user } = frame.message;
        let reply = match users.lock().unwrap().get(&user) {
            Some(spec) => MailboxReply::Mailbox(spec.clone()),
            None => MailboxReply::Unknown,
        };
        sender.send(frame.id, &reply).unwrap();
    }
}
