//! The login half of POP3.

fn main() -> std::process::ExitCode {
    daemon::main(daemon::Role::Pop3Login, pop3d::run)
}
