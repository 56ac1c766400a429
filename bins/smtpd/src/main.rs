//! Receives mail over SMTP.

fn main() -> std::process::ExitCode {
    daemon::main(daemon::Role::Smtpd, smtpd::run)
}
