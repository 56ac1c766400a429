use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

use ipc::protocol::{ChildMessage, LoginReply, MasterMessage, Supervise, Ticket};
use ipc::{Connection as Channel, Frame, Listener, PUSH, Receiver, Sender};
use pop3_proto::{Capabilities, LoginOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;

/// The password that is right for everybody; `later` cannot be checked just now.
const PASSWORD: &str = "right  word ";

/// A server with a directory and a master of the test's own.
struct House {
    address: SocketAddr,
    master: Sender<MasterMessage>,
    told: Receiver<ChildMessage>,
    stop: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

fn settings() -> Settings {
    Settings {
        host: "mx.example.org".into(),
        login: LoginOptions {
            capabilities: Capabilities::default(),
            max_errors: 3,
            max_failures: 2,
        },
        login_timeout: Duration::from_secs(20),
        failure_delay: Duration::from_millis(40),
        login_delay: Duration::ZERO,
        connections: 10,
        connections_per_client: 5,
    }
}

async fn house(settings: Settings) -> House {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sock");
    let listening = UnixListener::bind(&path).unwrap();
    tokio::spawn(directory(Listener::new(listening.into(), 10).unwrap()));

    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, theirs) = tokio::join!(
        Channel::<MasterMessage, ChildMessage>::greet::<Supervise>(ours.into()),
        Channel::<ChildMessage, MasterMessage>::greet::<Supervise>(theirs.into()),
    );
    let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
    let (stop, drain) = daemon::drain_channel();
    let server = Server::new(
        settings,
        Client::new(path),
        Sessions::new(Some(theirs.sender.clone())),
    );
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    server.listen(vec![listener], &drain).unwrap();
    let shared = server.shared();
    tokio::spawn(async move {
        while let Ok(Some(frame)) = theirs.receiver.receive().await {
            shared.sessions.answered(&frame.message);
        }
    });
    let server = tokio::spawn(server.ended(drain));
    House {
        address,
        master: ours.sender,
        told: ours.receiver,
        stop,
        server,
        _folder: folder,
    }
}

async fn directory(listener: Listener) {
    let greeted = listener.accept().await.unwrap().greeting().await.unwrap();
    let mut channel = greeted.accept::<Logins>().await.unwrap();
    while let Ok(Some(frame)) = channel.receiver.receive().await {
        let reply = match frame.message.password.as_str() {
            PASSWORD => LoginReply::Accepted {
                ticket: Ticket(7),
                user: "alice@example.org".parse().unwrap(),
            },
            "later" => LoginReply::Unavailable,
            _ => LoginReply::Refused,
        };
        channel.sender.send(frame.id, &reply).unwrap();
    }
}

impl House {
    async fn client(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        assert_eq!(
            line(&mut client).await,
            "+OK mx.example.org POP3 server ready.\r\n"
        );
        client
    }

    async fn request(&mut self) -> Frame<ChildMessage> {
        self.told.receive().await.unwrap().unwrap()
    }

    fn answer(&self, message: &MasterMessage) {
        self.master.send(PUSH, message).unwrap();
    }
}

async fn line(client: &mut TcpStream) -> String {
    let mut line = String::new();
    while !line.ends_with('\n') {
        let mut byte = [0];
        assert_eq!(
            client.read(&mut byte).await.unwrap(),
            1,
            "ended after {line:?}"
        );
        line.push(char::from(byte[0]));
    }
    line
}

async fn rest(mut client: TcpStream) -> String {
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn a_right_login_goes_to_a_session_with_all_that_was_sent() {
    let mut house = house(settings()).await;
    let mut client = house.client().await;
    client
        .write_all(format!("USER alice\r\nPASS {PASSWORD}\r\nSTAT\r\nRE").as_bytes())
        .await
        .unwrap();
    assert_eq!(line(&mut client).await, "+OK Send PASS.\r\n");
    let Frame {
        message,
        payload,
        mut fds,
        ..
    } = house.request().await;
    let ticket = Ticket(7);
    let wanted = ChildMessage::StartSession {
        ticket,
        client: [127, 0, 0, 1].into(),
    };
    assert_eq!(
        (message, &payload[..], fds.len()),
        (wanted, &b"STAT\r\nRE"[..], 1)
    );
    house.answer(&MasterMessage::SessionStarted { ticket });
    // The session half answers; when it closes, the connection ends: pop3d has let go.
    let session = tokio::task::spawn_blocking(move || {
        let mut socket = StdStream::from(fds.remove(0));
        socket.set_nonblocking(false).unwrap();
        socket.write_all(b"+OK from the session\r\n").unwrap();
        let mut more = [0; 6];
        socket.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"TR 1\r\n");
    });
    client.write_all(b"TR 1\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "+OK from the session\r\n");
    session.await.unwrap();
    assert_eq!(rest(client).await, "");
    house.stop.send(true).unwrap();
    house.server.await.unwrap();
}

#[tokio::test]
async fn without_a_session_the_client_may_try_again() {
    let mut house = house(settings()).await;
    let mut client = house.client().await;
    for _ in 0..2 {
        client
            .write_all(format!("USER a\r\nPASS {PASSWORD}\r\n").as_bytes())
            .await
            .unwrap();
        assert_eq!(line(&mut client).await, "+OK Send PASS.\r\n");
        house.request().await;
        house.answer(&MasterMessage::SessionRefused { ticket: Ticket(7) });
        assert!(line(&mut client).await.starts_with("-ERR [SYS/TEMP] "));
    }
    client
        .write_all(b"USER a\r\nPASS later\r\nQUIT\r\n")
        .await
        .unwrap();
    line(&mut client).await;
    assert!(line(&mut client).await.starts_with("-ERR [SYS/TEMP] "));
    assert_eq!(rest(client).await, "+OK Bye.\r\n");
}

#[tokio::test]
async fn wrong_logins_are_held_back_and_counted() {
    let house = house(settings()).await;
    let mut client = house.client().await;
    let begin = Instant::now();
    client
        .write_all(b"USER a\r\nPASS wrong\r\nUSER b\r\nPASS \xff\xfe\r\nQUIT\r\n")
        .await
        .unwrap();
    let said = rest(client).await;
    assert_eq!(
        said,
        "+OK Send PASS.\r\n-ERR [AUTH] Authentication failed.\r\n".repeat(2)
    );
    assert!(begin.elapsed() >= 2 * settings().failure_delay);
}

#[tokio::test]
async fn time_and_places_are_limited() {
    let mut settings = settings();
    settings.connections_per_client = 2;
    settings.login_timeout = Duration::from_millis(300);
    let house = house(settings).await;
    let first = house.client().await;
    let mut second = house.client().await;
    let third = TcpStream::connect(house.address).await.unwrap();
    assert_eq!(
        rest(third).await,
        "-ERR [SYS/TEMP] Too many connections, try again later.\r\n"
    );
    second.write_all(b"QUIT\r\n").await.unwrap();
    assert_eq!(rest(second).await, "+OK Bye.\r\n");
    // Closed without a reply (RFC 1939 §3).
    assert_eq!(rest(first).await, "");
}

#[tokio::test]
async fn a_drain_tells_the_idle_and_waits_for_the_others() {
    let mut house = house(settings()).await;
    let mut asking = house.client().await;
    asking
        .write_all(format!("USER a\r\nPASS {PASSWORD}\r\n").as_bytes())
        .await
        .unwrap();
    let idle = house.client().await;
    let _request = house.request().await;
    house.stop.send(true).unwrap();
    assert_eq!(
        rest(idle).await,
        "-ERR [SYS/TEMP] Server is shutting down, try again later.\r\n"
    );
    assert!(!house.server.is_finished());
    house.answer(&MasterMessage::SessionStarted { ticket: Ticket(7) });
    house.server.await.unwrap();
    assert!(
        StdStream::connect(house.address).is_err(),
        "the listening socket is closed"
    );
}

#[tokio::test]
async fn logins_of_one_user_keep_their_distance() {
    let mut settings = settings();
    settings.login_delay = Duration::from_secs(60);
    settings.login.capabilities.login_delay = 60;
    let mut house = house(settings).await;
    let login = format!("USER a\r\nPASS {PASSWORD}\r\n");
    let mut first = house.client().await;
    first.write_all(login.as_bytes()).await.unwrap();
    house.request().await;
    let mut second = house.client().await;
    second.write_all(login.as_bytes()).await.unwrap();
    line(&mut second).await;
    assert!(line(&mut second).await.starts_with("-ERR [LOGIN-DELAY] "));
}

#[test]
fn an_idle_connection_is_small() {
    // The task of an idle connection, without the kernel's socket buffers and tokio's few words beside it.
    let size = size_of_task();
    assert!(size < 2048, "{size} octets");
}

fn size_of_task() -> usize {
    fn size<T>(_: impl FnOnce(Connection) -> T) -> usize {
        size_of::<T>()
    }
    size(Connection::serve)
}
