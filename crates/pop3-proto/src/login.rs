//! The AUTHORIZATION state (RFC 1939 §4), in the login half.

use crate::command::{BadCommand, Command, Input, Password};
use crate::reply::{self, Capabilities};

/// The bounds of one login dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginOptions {
    /// What CAPA says.
    pub capabilities: Capabilities,
    /// Commands in error before the connection is closed.
    pub max_errors: u32,
    /// Refused logins before the connection is closed.
    pub max_failures: u32,
}

/// What the machine needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// More bytes from the client.
    Read,
    /// An answer by [`Login::answer`]; or, when the login is right and a session takes the connection over,
    /// nothing more: it begins with [`Login::pipelined`].
    Ask(CheckPassword),
    /// The answer to the question asked before.
    Wait,
    /// Nothing: write the replies and close.
    Close(LoginEnd),
}

/// A login to be checked.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckPassword {
    /// As the client wrote it; perhaps not UTF-8.
    pub user: Vec<u8>,
    /// As the client wrote it.
    pub password: Password,
}

/// How a login was decided, when it leads to no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAnswer {
    /// Unknown user or wrong password.
    Refused,
    /// It cannot be decided, or no session can be started, just now.
    Unavailable,
    /// Right, but sooner after the last one than LOGIN-DELAY allows.
    TooSoon,
}

/// Why the dialog ends without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginEnd {
    /// QUIT.
    Quit,
    /// Too many commands in error.
    Errors,
    /// Too many refused logins.
    Failures,
}

#[derive(Debug)]
enum State {
    /// USER has not been said.
    Start,
    Named(Vec<u8>),
    Asked,
    Ended(LoginEnd),
}

/// One client that has not logged in yet.
#[derive(Debug)]
pub struct Login {
    input: Input,
    state: State,
    errors: u32,
    failures: u32,
}

impl Login {
    /// A new connection; the greeting is appended to `out`. `host` is the server's own name.
    #[must_use]
    pub fn new(host: &str, out: &mut Vec<u8>) -> Self {
        reply::greeting(out, host);
        Self {
            input: Input::default(),
            state: State::Start,
            errors: 0,
            failures: 0,
        }
    }

    /// Bytes from the client. Give them only after [`LoginStep::Read`], so that what it pipelines behind PASS
    /// stays small and is bounded by one read.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Goes on as far as possible.
    pub fn step(&mut self, options: &LoginOptions, out: &mut Vec<u8>) -> LoginStep {
        loop {
            match self.state {
                State::Asked => return LoginStep::Wait,
                State::Ended(end) => return LoginStep::Close(end),
                State::Start | State::Named(_) => {}
            }
            let Some(command) = self.input.next() else {
                return LoginStep::Read;
            };
            match command {
                Ok(Command::Pass(password)) => match self.take_name() {
                    Some(user) => {
                        self.state = State::Asked;
                        return LoginStep::Ask(CheckPassword { user, password });
                    }
                    None => self.error(reply::NO_USER_YET, options, out),
                },
                Ok(command) => self.simple(command, options, out),
                Err(why) => self.bad(why, options, out),
            }
        }
    }

    /// The decision on the login that was asked about.
    pub fn answer(&mut self, answer: LoginAnswer, options: &LoginOptions, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Asked) {
            return;
        }
        // RFC 1939 §7: after a refused PASS the client says USER again, or QUIT.
        self.state = State::Start;
        match answer {
            LoginAnswer::Unavailable => reply::line(out, reply::LOGIN_UNAVAILABLE),
            LoginAnswer::TooSoon => reply::line(out, reply::LOGIN_TOO_SOON),
            LoginAnswer::Refused => {
                reply::line(out, reply::LOGIN_REFUSED);
                self.failures += 1;
                if self.failures >= options.max_failures {
                    self.state = State::Ended(LoginEnd::Failures);
                }
            }
        }
    }

    /// What the client has sent behind PASS: the first input of its session, if the login is right.
    #[must_use]
    pub fn pipelined(&self) -> &[u8] {
        self.input.rest()
    }

    fn take_name(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Named(name) => Some(name),
            _ => None,
        }
    }

    fn simple(&mut self, command: Command, options: &LoginOptions, out: &mut Vec<u8>) {
        match command {
            Command::Capa => reply::capabilities(out, &options.capabilities),
            Command::User(name) => {
                self.state = State::Named(name);
                reply::line(out, reply::USER_NOTED);
            }
            Command::Quit => {
                reply::line(out, reply::SIGNED_OFF);
                self.state = State::Ended(LoginEnd::Quit);
            }
            // NOOP too belongs to the TRANSACTION state only (RFC 1939 §5).
            _ => self.error(reply::NOT_LOGGED_IN, options, out),
        }
    }

    fn bad(&mut self, why: BadCommand, options: &LoginOptions, out: &mut Vec<u8>) {
        self.error(reply::bad_command(why), options, out);
    }

    fn error(&mut self, text: &str, options: &LoginOptions, out: &mut Vec<u8>) {
        self.errors += 1;
        if self.errors >= options.max_errors {
            reply::line(out, reply::TOO_MANY_ERRORS);
            self.state = State::Ended(LoginEnd::Errors);
        } else {
            reply::line(out, text);
        }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
