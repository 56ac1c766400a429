//! The service over real sockets, with tables in a temporary folder.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use directory::PasswordHash;
use ipc::protocol::{
    ChildMessage, ExpansionRequest, ExpnReply, LeafEnd, LoginReply, LoginRequest, MailboxReply,
    MailboxRequest, MailboxUsage, MasterMessage, RecipientReply, RecipientVerdict,
    RecipientsRequest, ServiceName, Supervise, UsageReply, VrfyReply,
};
use ipc::{CallError, Client};
use mail_types::{Address, Target};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::settings::{self, Vmail};

const PATIENCE: Duration = Duration::from_secs(10);

struct Site {
    dir: tempfile::TempDir,
    drain: watch::Sender<bool>,
    server: JoinHandle<Result<(), Error>>,
    master: Connection<MasterMessage, ChildMessage>,
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

impl Site {
    /// A server that takes the given user for everybody who may ask.
    async fn start(caller: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let hash = PasswordHash::make("secret").unwrap();
        let users = format!(
            "alice@x.example:{}\nbob@x.example:*:quota=1000\n",
            hash.as_str()
        );
        std::fs::write(path("users"), users).unwrap();
        let aliases = "postmaster: alice\nteam: alice, bob, |archive, y@else.example\nloop: pool\npool: loop\n";
        std::fs::write(path("aliases"), aliases).unwrap();
        let config = format!(
            "[domains]\nlocal = [\"x.example\"]\n[directory]\nusers_file = {:?}\naliases_file = {:?}\n\
             mail_root = \"/m\"\nlogin_concurrency = 1\nlogin_waiting = 2\n",
            path("users"),
            path("aliases")
        );
        let config = config::Config::load(&config, "t").unwrap();
        let (source, _) = Source::load(settings::sources(&config));
        let (child, master) = UnixStream::pair().unwrap();
        let child = Connection::<ChildMessage, MasterMessage>::greet::<Supervise>(child.into());
        let master = Connection::<MasterMessage, ChildMessage>::greet::<Supervise>(master.into());
        let (child, master) = tokio::join!(child, master);
        let vmail = Vmail { uid: 77, gid: 78 };
        let state = State::new(
            &config,
            &source,
            vmail,
            path("delivery.sock"),
            Some(child.unwrap().sender),
        );
        let serving = Serving {
            listening: UnixListener::bind(path("directory.sock")).unwrap().into(),
            callers: Callers {
                net: caller,
                queue: caller,
                delivery: caller,
            },
            source,
            check_interval: Duration::from_millis(20),
        };
        let (asked, drain) = daemon::drain_channel();
        let server = tokio::spawn(serve(serving, state, drain, || Ok(())));
        Self {
            drain: asked,
            server,
            master: master.unwrap(),
            dir,
        }
    }

    async fn running() -> Self {
        Self::start(sandbox::ids::effective_uid()).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn client<P: Protocol>(&self) -> Client<P> {
        Client::new(self.path("directory.sock"))
    }

    /// local-delivery, that says of every mailbox that it holds 900 octets; counts how often.
    fn delivery(&self) -> Arc<AtomicU32> {
        let listening = UnixListener::bind(self.path("delivery.sock")).unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let listener = Listener::new(listening.into(), 8).unwrap();
            let new = listener.accept().await.unwrap();
            let greeted = new.greeting().await.unwrap();
            let mut channel = greeted.accept::<MailboxUsage>().await.unwrap();
            while let Ok(Some(frame)) = channel.receiver.receive().await {
                count.fetch_add(1, Ordering::Relaxed);
                assert_eq!(frame.message.mailbox.uid, 77);
                let usage = UsageReply::Usage {
                    bytes: 900,
                    messages: 1,
                };
                channel.sender.send(frame.id, &usage).unwrap();
            }
        });
        asked
    }
}

async fn ask<P: Protocol>(client: &Client<P>, request: P::Request) -> Result<P::Reply, CallError> {
    let answer = client
        .call(&request, Bytes::new(), Vec::new(), PATIENCE)
        .await;
    answer.map(|frame| frame.message)
}

async fn resolve(client: &Client<Recipients>, recipient: &str, size: u64) -> RecipientVerdict {
    let address = address(recipient);
    match ask(client, RecipientsRequest::Resolve { address, size })
        .await
        .unwrap()
    {
        RecipientReply::Verdict { verdict, .. } => verdict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn smtpd_is_told_about_recipients() {
    let site = Site::running().await;
    let client = site.client::<Recipients>();
    for (recipient, verdict) in [
        ("alice+x@x.example", RecipientVerdict::Local),
        ("team@x.example", RecipientVerdict::Local),
        ("loop@x.example", RecipientVerdict::Unknown),
        ("nobody@x.example", RecipientVerdict::Unknown),
        ("y@else.example", RecipientVerdict::Remote),
    ] {
        assert_eq!(
            resolve(&client, recipient, 10).await,
            verdict,
            "{recipient}"
        );
    }
    let query = "alice".to_owned();
    let vrfy = ask(&client, RecipientsRequest::Vrfy { query })
        .await
        .unwrap();
    let alice = VrfyReply::Deliverable(address("alice@x.example"));
    assert_eq!(vrfy, RecipientReply::Vrfy(alice));
    let query = "team".to_owned();
    let expn = ask(&client, RecipientsRequest::Expn { query })
        .await
        .unwrap();
    let members = ["alice@x.example", "bob@x.example", "y@else.example"].map(address);
    assert_eq!(
        expn,
        RecipientReply::Expn(ExpnReply::Members(members.to_vec()))
    );
}

#[tokio::test]
async fn a_mailbox_with_a_quota_is_looked_at_and_the_answer_kept() {
    let site = Site::running().await;
    let asked = site.delivery();
    let client = site.client::<Recipients>();
    assert_eq!(
        resolve(&client, "bob@x.example", 100).await,
        RecipientVerdict::Local
    );
    assert_eq!(
        resolve(&client, "bob@x.example", 101).await,
        RecipientVerdict::OverQuota
    );
    assert_eq!(
        resolve(&client, "alice@x.example", 101).await,
        RecipientVerdict::Local
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn without_local_delivery_there_is_room() {
    let site = Site::running().await;
    let client = site.client::<Recipients>();
    assert_eq!(
        resolve(&client, "bob@x.example", 5000).await,
        RecipientVerdict::Local
    );
}

#[tokio::test]
async fn queue_manager_and_local_delivery_are_told_where_mail_goes() {
    let site = Site::running().await;
    let addresses = ["team@x.example", "loop@x.example", "bob@x.example"]
        .map(address)
        .to_vec();
    let reply = ask(&site.client::<Expansion>(), ExpansionRequest { addresses })
        .await
        .unwrap();
    let shown: Vec<Vec<String>> = reply
        .leaves
        .iter()
        .map(|leaves| {
            let show = |leaf: &ipc::protocol::ExpansionLeaf| match &leaf.end {
                LeafEnd::Target(Target::Mailbox(user)) => format!("box {user}"),
                LeafEnd::Target(target) => target.to_string(),
                LeafEnd::Failed(failure) => failure.status.to_string(),
                LeafEnd::Deferred(deferral) => deferral.status.to_string(),
            };
            leaves.iter().map(show).collect()
        })
        .collect();
    let team = [
        "box alice@x.example",
        "box bob@x.example",
        "|archive",
        "y@else.example",
    ];
    assert_eq!(shown[0], team);
    assert_eq!(
        (&shown[1], &shown[2]),
        (&vec!["5.4.6".into()], &vec!["box bob@x.example".into()])
    );

    let client = site.client::<Mailboxes>();
    let user = address("bob@x.example");
    let MailboxReply::Mailbox(spec) = ask(&client, MailboxRequest { user }).await.unwrap() else {
        panic!("bob has no mailbox");
    };
    assert_eq!((spec.uid, spec.gid, spec.quota_bytes), (77, 78, 1000));
    assert_eq!(spec.path, std::path::Path::new("/m/x.example/bob/Maildir"));
    let user = address("nobody@x.example");
    assert_eq!(
        ask(&client, MailboxRequest { user }).await.unwrap(),
        MailboxReply::Unknown
    );
}

fn login(user: &str, password: &str) -> LoginRequest {
    LoginRequest {
        service: ServiceName::Pop3,
        user: user.to_owned(),
        password: password.to_owned(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

#[tokio::test]
async fn a_right_password_gives_a_ticket_that_master_knows() {
    let mut site = Site::running().await;
    let client = site.client::<Logins>();
    for (user, password) in [
        ("alice", "wrong"),
        ("nobody", "secret"),
        ("bob", ""),
        ("team", "secret"),
    ] {
        assert_eq!(
            ask(&client, login(user, password)).await.unwrap(),
            LoginReply::Refused,
            "{user}"
        );
    }
    let mut tickets = Vec::new();
    for user in ["alice", "Alice@x.example"] {
        let reply = ask(&client, login(user, "secret")).await.unwrap();
        let LoginReply::Accepted { ticket, user } = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(user, address("alice@x.example"));
        let told = site.master.receiver.receive().await.unwrap().unwrap();
        let ChildMessage::ConfirmSession(session) = told.message else {
            panic!("{:?}", told.message);
        };
        assert_eq!(
            (session.ticket, session.mailbox.user, session.mailbox.uid),
            (ticket, user, 77)
        );
        tickets.push(ticket);
    }
    assert_ne!(tickets[0], tickets[1]);
}

#[tokio::test]
async fn over_the_bound_logins_are_put_off() {
    let site = Site::running().await;
    let client = site.client::<Logins>();
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, login("nobody", "x")).await.unwrap() })
        })
        .collect();
    let mut unavailable = 0;
    for answer in asked {
        match answer.await.unwrap() {
            LoginReply::Unavailable => unavailable += 1,
            LoginReply::Refused => {}
            LoginReply::Accepted { .. } => panic!("nobody was let in"),
        }
    }
    assert!((1..=17).contains(&unavailable), "{unavailable}");
    assert_eq!(
        ask(&client, login("nobody", "x")).await.unwrap(),
        LoginReply::Refused
    );
}

#[tokio::test]
async fn changes_of_the_files_are_seen() {
    let site = Site::running().await;
    let client = site.client::<Recipients>();
    assert_eq!(
        resolve(&client, "new@x.example", 1).await,
        RecipientVerdict::Unknown
    );
    std::fs::write(site.path("aliases"), "broken\n").unwrap();
    std::fs::write(site.path("users"), "new@x.example:*\n").unwrap();
    let start = Instant::now();
    while resolve(&client, "new@x.example", 1).await != RecipientVerdict::Local {
        assert!(start.elapsed() < PATIENCE, "the change was not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The aliases of before are still there; two of their members are not.
    assert_eq!(
        resolve(&client, "team@x.example", 1).await,
        RecipientVerdict::Local
    );
}

#[tokio::test]
async fn only_its_own_user_may_speak_a_protocol() {
    let site = Site::start(sandbox::ids::effective_uid() + 1).await;
    let client = site.client::<Logins>();
    let request = login("alice", "secret");
    let short = Duration::from_millis(300);
    let answer = client.call(&request, Bytes::new(), Vec::new(), short).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn the_drain_ends_the_service_with_a_farewell() {
    let site = Site::running().await;
    let mut channel = ipc::connect::<Recipients>(&site.path("directory.sock"))
        .await
        .unwrap();
    site.drain.send_replace(true);
    assert!(site.server.await.unwrap().is_ok());
    assert!(channel.receiver.receive().await.unwrap().is_none());
}
