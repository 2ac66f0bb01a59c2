//! Cuts the power of a node again and again: `power --cycles 200 --fsync always`; or lets every operation on its disk
//! fail once: `power --faults`.
//!
//! The node runs in this process, on a disk in memory. Ends with status 1 when a promise was broken.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use quiver_testkit::power::{Harness, Options, faults};

/// Cut the power of a node at random moments and compare what it holds with what it acknowledged.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many cuts.
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
    /// Longest time from a start to the cut, in milliseconds.
    #[arg(long, default_value_t = 600)]
    run_ms: usize,
    /// Longest time of a sync, in milliseconds; most take less than two.
    #[arg(long, default_value_t = 100)]
    sync_ms: usize,
    /// Some of what was not synced survives a cut.
    #[arg(long)]
    torn: bool,
    /// Let every operation on the disk fail once, in the place of power cuts.
    #[arg(long)]
    faults: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let done = if arguments.faults { fail_each() } else { cut_power(arguments) };
    if let Err(error) = done {
        writeln!(std::io::stdout(), "BROKEN: {error:?}")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn cut_power(arguments: Arguments) -> Result<()> {
    let Arguments { cycles, seed, fsync, writers, run_ms, sync_ms, torn, .. } = arguments;
    let mut harness = Harness::new(Options { seed, fsync, writers, run_ms, sync_ms, torn })?;
    let (mut acknowledged, mut lost, mut window, mut operations) = (0, 0, Duration::ZERO, 0);
    for cycle in 1..=cycles {
        let outcome = harness.cycle().with_context(|| format!("cycle {cycle}"))?;
        acknowledged += outcome.steps.acknowledged;
        lost += outcome.steps.lost;
        window = window.max(outcome.steps.window);
        operations += outcome.operations;
        if cycle % 10 == 0 {
            writeln!(std::io::stdout(), "cycle {cycle}/{cycles}: {acknowledged} steps acknowledged, {lost} lost")?;
        }
    }
    writeln!(
        std::io::stdout(),
        "{cycles} power cuts, {operations} operations, {acknowledged} steps acknowledged, {lost} lost, at most {} ms \
         before the cut, 0 torn, 0 refused starts",
        window.as_millis(),
    )?;
    Ok(())
}

fn fail_each() -> Result<()> {
    let (mut refused, mut not_started, mut saves) = (0, 0, 0);
    for at in 1.. {
        let run = faults::run(at).with_context(|| format!("operation {at} fails"))?;
        if !run.reached {
            writeln!(
                std::io::stdout(),
                "each of {} operations failed once: {not_started} starts refused, {refused} steps refused or not \
                 acknowledged, {saves} saves failed and said so; nothing acknowledged was lost",
                at - 1,
            )?;
            return Ok(());
        }
        refused += run.refused;
        not_started += u64::from(!run.started);
        saves += run.saves_failed;
    }
    Ok(())
}
