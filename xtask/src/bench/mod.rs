//! `cargo xtask bench`: ours and others' in one run, and the ratios; machines are noisy, so
//! only what ran side by side is compared.

mod accept;
mod idle;
mod load;
mod postfix;

use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub enum Bench {
    /// Durable accept rate and CPU per message, ours and Postfix's, alternating.
    Accept(accept::Arguments),
    /// Memory per idle SMTP connection.
    Idle(idle::Arguments),
}

/// Measures.
pub fn run(bench: &Bench) -> Result<(), String> {
    match bench {
        Bench::Accept(arguments) => accept::run(arguments),
        Bench::Idle(arguments) => idle::run(arguments),
    }
}
