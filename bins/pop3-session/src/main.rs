//! The session half of POP3: one process, one mailbox.

fn main() -> std::process::ExitCode {
    daemon::main(daemon::Role::Pop3Session, pop3_session::run)
}
