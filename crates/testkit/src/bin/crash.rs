//! Kills a server again and again and looks whether it lost anything: `crash --cycles 200 --fsync always`.
//!
//! The server is the binary beside this one, or `QUIVER_SERVER`. Ends with status 1 when a promise was broken; the data
//! folder is kept then.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use quiver_testkit::crash::{Harness, Options};
use quiver_testkit::server::program;

/// Kill a server at random moments and compare what it holds with what it acknowledged.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many crashes.
    #[arg(long, default_value_t = 200)]
    cycles: u64,
    /// Seed of the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// appendfsync: always, everysec or no.
    #[arg(long, default_value = "always")]
    fsync: String,
    /// Writers at once.
    #[arg(long, default_value_t = 4)]
    writers: usize,
    /// Longest time from a start to its crash, in milliseconds.
    #[arg(long, default_value_t = 600)]
    run_ms: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let Arguments { cycles, seed, fsync, writers, run_ms } = arguments;
    let options = Options { program: program()?, seed, fsync, writers, run_ms };
    let mut out = std::io::stdout();
    let mut harness = Harness::new(options)?;
    let (mut acknowledged, mut lost, mut window) = (0, 0, Duration::ZERO);
    for cycle in 1..=cycles {
        let outcome = match harness.cycle() {
            Ok(outcome) => outcome,
            Err(error) => {
                writeln!(out, "cycle {cycle}: {error:?}\nthe data are in {}", harness.keep().display())?;
                return Ok(ExitCode::FAILURE);
            }
        };
        acknowledged += outcome.acknowledged;
        lost += outcome.lost;
        window = window.max(outcome.window);
        writeln!(
            out,
            "cycle {cycle}/{cycles}: {}, {} steps acknowledged, {} lost, up again in {} ms",
            outcome.ending,
            outcome.acknowledged,
            outcome.lost,
            outcome.start.as_millis(),
        )?;
    }
    writeln!(
        out,
        "{cycles} crashes, {acknowledged} steps acknowledged, {lost} lost, at most {} ms before the crash, 0 torn, 0 \
         refused starts",
        window.as_millis(),
    )?;
    Ok(ExitCode::SUCCESS)
}
