//! Compares Quiver with a real Redis: `differential --seed 1 --count 20000 --family string`.
//!
//! Servers that are not named by `--ours` and `--theirs` are started from `QUIVER_SERVER` (or the binary beside this
//! one) and `QUIVER_ORACLE` ("program argument ..."). Ends with status 1 when replies differ.
#![forbid(unsafe_code)]

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use quiver_testkit::Server;
use quiver_testkit::differential::families::{self, Family};
use quiver_testkit::differential::{Difference, Driver, Options};

/// Send the same seeded commands to Quiver and to a real Redis and compare the replies.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed of the commands.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps for each family.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// Family of commands, by its name in `differential/families`; all but those on request when left out. May be repeated.
    #[arg(long)]
    family: Vec<String>,
    /// Protocol version, 2 or 3; both in turn when left out.
    #[arg(long)]
    resp: Option<u8>,
    /// Steps between two times of emptying the servers.
    #[arg(long, default_value_t = 150)]
    episode: usize,
    /// Differences after which a family is given up.
    #[arg(long, default_value_t = 10)]
    max_differences: usize,
    /// Leave out the commands that Quiver's COMMAND LIST does not have.
    #[arg(long)]
    known_only: bool,
    /// Try a family with differences once more, and count those of the second time. The servers have clocks of their
    /// own: on a busy machine a key may be gone on one of them only.
    #[arg(long)]
    again: bool,
    /// Address of a running Quiver.
    #[arg(long)]
    ours: Option<SocketAddr>,
    /// Address of a running Redis.
    #[arg(long)]
    theirs: Option<SocketAddr>,
}

/// What both servers are started with.
const SETTINGS: &[&str] = &["--enable-debug-command", "yes"];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let families = chosen(&arguments.family)?;
    let options = Options {
        seed: arguments.seed,
        count: arguments.count,
        episode: arguments.episode.max(1),
        protocols: arguments.resp.map_or_else(|| vec![2, 3], |version| vec![version]),
        max_differences: arguments.max_differences,
        known_only: arguments.known_only,
    };
    // The servers live as long as these.
    let (our_server, their_server);
    let ours = match arguments.ours {
        Some(addr) => addr,
        None => {
            our_server = Server::start(SETTINGS)?;
            our_server.addr()
        }
    };
    let theirs = match arguments.theirs {
        Some(addr) => addr,
        None => {
            their_server = Server::start_oracle(SETTINGS)?.context("set QUIVER_ORACLE or give --theirs")?;
            their_server.addr()
        }
    };
    let driver = Driver { ours, theirs };
    let mut out = std::io::stdout().lock();
    let mut found = 0;
    for family in &families {
        let (mut differences, mut steps) = driver.run(family, &options)?;
        if arguments.again && !differences.is_empty() {
            writeln!(out, "{}: {} differences, tried again", family.name, differences.len())?;
            (differences, steps) = driver.run(family, &options)?;
        }
        writeln!(out, "{}: {steps} steps, {} differences (seed {})", family.name, differences.len(), options.seed)?;
        for difference in &differences {
            report(&mut out, difference)?;
        }
        found += differences.len();
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<Family>> {
    let all = families::all();
    for name in names {
        ensure!(all.iter().any(|family| family.name == name), "there is no family {name:?}");
    }
    let usual = |family: &Family| names.is_empty() && !family.on_request;
    Ok(all.into_iter().filter(|family| usual(family) || names.iter().any(|name| name == family.name)).collect())
}

fn report(out: &mut impl Write, difference: &Difference) -> Result<()> {
    writeln!(out, "--- RESP{}", difference.protocol)?;
    for step in &difference.history {
        writeln!(out, "    {step}")?;
    }
    writeln!(out, "  quiver: {}", difference.ours)?;
    writeln!(out, "  redis:  {}", difference.theirs)?;
    Ok(())
}
