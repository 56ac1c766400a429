//! One client, from its greeting to its login.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daemon::Drain;
use ipc::protocol::{LoginReply, LoginRequest, ServiceName, Ticket};
use mail_types::{Address, SessionId};
use pop3_proto::{CheckPassword, Login, LoginAnswer, LoginEnd, LoginStep};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::log;
use crate::server::Shared;
use crate::sessions::Handover;

/// One read. What a client pipelines behind PASS is at most this much, and master takes more.
const READ: usize = 1024;
/// How long the directory may take over a password.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// For a last reply, when the time for the login is over.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a connection is over for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its session has it.
    LoggedIn,
    Quit,
    Errors,
    Failures,
    ClientGone,
    TimedOut,
    Drain,
    /// master did not say what became of the session.
    Lost,
}

impl End {
    pub const fn text(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged in",
            Self::Quit => "QUIT",
            Self::Errors => "too many errors",
            Self::Failures => "too many wrong logins",
            Self::ClientGone => "the client closed the connection",
            Self::TimedOut => "no login in time",
            Self::Drain => "the server is stopping",
            Self::Lost => "master did not answer",
        }
    }
}

/// A connection and its dialog.
pub(crate) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    session: SessionId,
    shared: Arc<Shared>,
    drain: Drain,
    login: Login,
    /// Replies to be written.
    out: Vec<u8>,
    began: Instant,
    tries: u32,
}

/// What a checked password leads to.
enum Decision {
    Answer(LoginAnswer),
    End(End),
}

impl Connection {
    pub fn new(
        stream: TcpStream,
        client: IpAddr,
        session: SessionId,
        shared: Arc<Shared>,
        drain: Drain,
    ) -> Self {
        let mut out = Vec::new();
        let login = Login::new(&shared.settings.host, &mut out);
        Self {
            stream,
            client,
            session,
            shared,
            drain,
            login,
            out,
            began: Instant::now(),
            tries: 0,
        }
    }

    /// Serves to the end, and logs that.
    pub async fn serve(mut self) {
        let port = self.stream.local_addr().ok().map(|address| address.port());
        log::connected(self.session, self.client, port);
        let end = self.talk().await;
        if !matches!(end, End::LoggedIn | End::Lost) {
            self.close().await;
        }
        if end != End::LoggedIn {
            log::disconnected(self.session, self.client, end.text(), self.began.elapsed());
        }
    }

    async fn talk(&mut self) -> End {
        loop {
            let step = self.login.step(&self.shared.settings.login, &mut self.out);
            if self.flush().await.is_err() {
                return End::ClientGone;
            }
            match step {
                LoginStep::Read => {
                    if let Some(end) = self.read().await {
                        return end;
                    }
                }
                LoginStep::Ask(question) => match self.check(question).await {
                    Decision::Answer(answer) => {
                        let options = &self.shared.settings.login;
                        self.login.answer(answer, options, &mut self.out);
                    }
                    Decision::End(end) => return end,
                },
                // Every question is answered before the next step.
                LoginStep::Wait => return End::Lost,
                LoginStep::Close(LoginEnd::Quit) => return End::Quit,
                LoginStep::Close(LoginEnd::Errors) => return End::Errors,
                LoginStep::Close(LoginEnd::Failures) => return End::Failures,
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.began + self.shared.settings.login_timeout
    }

    /// Writes the replies, within the time for the login and a little more.
    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let deadline = self.deadline().max(Instant::now() + LAST_WORDS);
        let written = timeout_at(deadline, self.stream.write_all(&self.out)).await;
        // An idle connection keeps no buffer.
        self.out = Vec::new();
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Waits for input and gives it to the dialog; or says why there is none.
    async fn read(&mut self) -> Option<End> {
        let deadline = self.deadline();
        loop {
            tokio::select! {
                biased;
                () = self.drain.requested() => {
                    pop3_proto::shutting_down(&mut self.out);
                    return Some(End::Drain);
                }
                ready = timeout_at(deadline, self.stream.readable()) => match ready {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Some(End::ClientGone),
                    Err(_) => return Some(End::TimedOut),
                },
            }
            match receive(&self.stream, &mut self.login) {
                Ok(0) => return Some(End::ClientGone),
                Ok(_) => return None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Some(End::ClientGone),
            }
        }
    }

    /// Asks the directory; if the login is right, hands the client over.
    async fn check(&mut self, question: CheckPassword) -> Decision {
        self.tries += 1;
        // Counted from here, so that the answer does not tell how long the check took.
        let not_before = Instant::now() + self.shared.settings.failure_delay;
        let shown = String::from_utf8_lossy(&question.user).into_owned();
        match self.ask(question).await {
            LoginReply::Accepted { ticket, user } => self.hand_over(ticket, &user).await,
            LoginReply::Unavailable => Decision::Answer(LoginAnswer::Unavailable),
            LoginReply::Refused => {
                log::login_refused(self.session, self.client, &shown, self.tries);
                sleep_until(not_before).await;
                Decision::Answer(LoginAnswer::Refused)
            }
        }
    }

    async fn ask(&self, question: CheckPassword) -> LoginReply {
        let CheckPassword { user, password } = question;
        // Names and passwords are UTF-8; others are nobody's.
        let (Ok(user), Ok(password)) = (
            String::from_utf8(user),
            String::from_utf8(password.into_bytes()),
        ) else {
            return LoginReply::Refused;
        };
        let request = LoginRequest {
            service: ServiceName::Pop3,
            user,
            password,
            client: self.client,
        };
        let logins = &self.shared.logins;
        match logins
            .call(&request, Bytes::new(), Vec::new(), CHECK_TIMEOUT)
            .await
        {
            Ok(frame) => frame.message,
            Err(error) => {
                log::directory_unavailable(self.session, &error);
                LoginReply::Unavailable
            }
        }
    }

    async fn hand_over(&mut self, ticket: Ticket, user: &Address) -> Decision {
        if !self
            .shared
            .login_delay
            .admits(user, Instant::now().into_std())
        {
            return Decision::Answer(LoginAnswer::TooSoon);
        }
        // A copy: if there is no session, the client is told so and may try again.
        let Ok(socket) = self.stream.as_fd().try_clone_to_owned() else {
            return Decision::Answer(LoginAnswer::Unavailable);
        };
        let sessions = &self.shared.sessions;
        match sessions
            .start(ticket, self.client, socket, self.login.pipelined())
            .await
        {
            Handover::Started => Decision::End(End::LoggedIn),
            Handover::Refused => Decision::Answer(LoginAnswer::Unavailable),
            Handover::Unknown => Decision::End(End::Lost),
        }
    }

    /// Closes so that the last reply arrives: what is closed with input unread resets the connection.
    async fn close(&mut self) {
        if self.flush().await.is_ok() && self.stream.shutdown().await.is_ok() {
            discard(&self.stream);
        }
    }
}

/// One read; its buffer is no part of what a waiting task keeps.
fn receive(stream: &TcpStream, login: &mut Login) -> io::Result<usize> {
    let mut buffer = [0; READ];
    let count = stream.try_read(&mut buffer)?;
    login.receive(&buffer[..count]);
    Ok(count)
}

/// Reads what has come meanwhile, within reason.
fn discard(stream: &TcpStream) {
    let mut buffer = [0; READ];
    for _ in 0..64 {
        if !matches!(stream.try_read(&mut buffer), Ok(1..)) {
            return;
        }
    }
}
