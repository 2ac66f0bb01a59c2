//! Runs fuzz targets on mutated inputs: `fuzz --target restore --seconds 60 --seed 1`.
//!
//! Needs no special compiler. The same seed gives the same inputs; what fails is written to a file and can be run again
//! with `--input`. Ends with status 1 when something failed.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use quiver_testkit::fuzz::{Outcome, TARGETS, Target, Until, run};

/// Run fuzz targets on mutated inputs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Target; all in turn when left out. May be repeated.
    #[arg(long)]
    target: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Inputs for each target, in the place of a time.
    #[arg(long)]
    inputs: Option<u64>,
    /// Fixes the sequence of inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs the inputs in these files instead.
    #[arg(long)]
    input: Vec<PathBuf>,
    /// Folder for the inputs that fail.
    #[arg(long, default_value = ".")]
    failures: PathBuf,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = |target: &&Target| arguments.target.is_empty() || arguments.target.iter().any(|n| n == target.name);
    for name in &arguments.target {
        ensure!(TARGETS.iter().any(|target| target.name == name), "there is no target {name:?}");
    }
    let mut out = std::io::stdout().lock();
    let mut failed = false;
    for target in TARGETS.iter().filter(chosen) {
        if !arguments.input.is_empty() {
            for path in &arguments.input {
                let accepted = (target.run)(&std::fs::read(path)?);
                writeln!(
                    out,
                    "{}: {} {}",
                    target.name,
                    path.display(),
                    if accepted { "was let in" } else { "was refused" }
                )?;
            }
            continue;
        }
        writeln!(out, "{}: {}", target.name, target.promise)?;
        let until = arguments.inputs.map_or(Until::Time(Duration::from_secs(arguments.seconds)), Until::Inputs);
        let mut told = |outcome: &Outcome| drop(writeln!(out, "{}", line(target, outcome)));
        let outcome = run(target, arguments.seed, until, &mut told);
        writeln!(out, "{}", line(target, &outcome))?;
        for (number, failure) in outcome.failures.iter().enumerate() {
            let path = arguments.failures.join(format!("{}-{}-{number}.bin", target.name, arguments.seed));
            std::fs::write(&path, &failure.input)?;
            writeln!(out, "  FAILED {}: {}", path.display(), failure.reason)?;
            failed = true;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(target: &Target, outcome: &Outcome) -> String {
    format!(
        "{}: {} inputs, {} let in, {} failed, the slowest {} ms",
        target.name,
        outcome.inputs,
        outcome.accepted,
        outcome.failures.len(),
        outcome.slowest.as_millis(),
    )
}
