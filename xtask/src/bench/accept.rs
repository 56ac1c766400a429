//! `cargo xtask bench accept`.

use harness::Site;

use super::load::{Load, Measured, measure};
use super::postfix::Postfix;
use crate::{steps, tools};

/// Octets, and how many messages make a run of some seconds: ours, Postfix's.
const SIZES: &[(usize, usize, usize)] = &[
    (4 << 10, 16_000, 4_000),
    (50 << 10, 6_000, 2_500),
    (1 << 20, 600, 300),
];

/// Options of `cargo xtask bench accept`.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often each load is run, ours and Postfix's alternating; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these sizes, in KiB.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Sessions at a time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20, 100])]
    sessions: Vec<usize>,
    /// Leave Postfix out.
    #[arg(long)]
    alone: bool,
    /// Override a setting of ours; may be given several times.
    #[arg(long = "set", value_name = "section.key=value")]
    settings: Vec<String>,
}

/// Runs every load, prints each result as it comes, and the ratios.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    tools::debian_packages(&["postfix"])?;
    steps::build_programs()?;
    println!(
        "durable accept and hold; messages/s, CPU seconds per 1 000; medians of {} runs",
        arguments.rounds
    );
    for &(size, ours, theirs) in SIZES {
        if !arguments.sizes.is_empty() && !arguments.sizes.contains(&(size / 1024)) {
            continue;
        }
        for &sessions in &arguments.sessions {
            for reused in [false, true] {
                compare(
                    Load {
                        size,
                        sessions,
                        reused,
                        count: ours,
                    },
                    theirs,
                    arguments,
                )?;
            }
        }
    }
    Ok(())
}

fn compare(load: Load, their_count: usize, arguments: &Arguments) -> Result<(), String> {
    // One session waits for each sync in turn: fewer messages fill the time.
    let share = if load.sessions == 1 { 4 } else { 1 };
    let load = Load {
        count: load.count / share,
        ..load
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        ours.push(run_ours(load, &arguments.settings)?);
        if !arguments.alone {
            theirs.push(run_theirs(Load {
                count: their_count / share,
                ..load
            })?);
        }
    }
    let own = median(&ours);
    print!("{load}: posthouse {:7.0}/s {:.3} s", own.rate, own.cpu);
    if arguments.alone {
        println!();
    } else {
        let other = median(&theirs);
        println!(
            "   postfix {:6.0}/s {:.3} s   rate x{:.1}, CPU 1/{:.1}",
            other.rate,
            other.cpu,
            own.rate / other.rate,
            other.cpu / own.cpu
        );
    }
    Ok(())
}

fn run_ours(load: Load, settings: &[String]) -> Result<Measured, String> {
    let mut builder = Site::builder();
    let held = [
        "queue.hold_new=true",
        "smtpd.connection_limit_per_client=1000",
    ];
    for setting in held.into_iter().chain(settings.iter().map(String::as_str)) {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("{setting}: section.key=value"))?;
        builder = builder
            .set(name, value)
            .map_err(|error| error.to_string())?;
    }
    let mut site = builder.start().map_err(|error| error.to_string())?;
    let master = site.master_pid().ok_or("master is gone")?.as_raw();
    let measured = measure(load, site.smtp(), master);
    site.stop().map_err(|error| error.to_string())?;
    measured
}

fn run_theirs(load: Load) -> Result<Measured, String> {
    let postfix = Postfix::start()?;
    measure(load, postfix.address(), postfix.master_pid()?)
}

fn median(runs: &[Measured]) -> Measured {
    let middle = |value: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Measured {
        rate: middle(|run| run.rate),
        cpu: middle(|run| run.cpu),
    }
}
