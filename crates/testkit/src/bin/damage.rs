//! Damages copies of a data folder and loads them: `damage --copies 5000`.
//!
//! With `--server-every 50` every fiftieth copy is also given to a real server, the binary beside this one or
//! `QUIVER_SERVER`. Ends with status 1 when a copy was loaded as something it never was.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use quiver_testkit::damage::{Damager, Verdict};
use quiver_testkit::server::program;

/// Damage copies of a snapshot and a log, and look at what they are loaded as.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many copies.
    #[arg(long, default_value_t = 5000)]
    copies: u64,
    /// Fixes what is done to them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start a server on one copy in so many; 0 for none.
    #[arg(long, default_value_t = 0)]
    server_every: u64,
}

fn main() -> Result<ExitCode> {
    let Arguments { copies, seed, server_every } = Arguments::parse();
    let program = if server_every > 0 { Some(program()?) } else { None };
    let mut damager = Damager::new(seed)?;
    let (mut counts, mut servers, mut failures) = (BTreeMap::<Verdict, u64>::new(), 0, 0);
    for number in 1..=copies {
        let copy = damager.damage();
        let judged = catch_unwind(AssertUnwindSafe(|| damager.judge(&copy)));
        let mut verdict = judged.unwrap_or_else(|_| Err(anyhow!("{}: a panic", copy.change)));
        if let (Some(program), Ok(_), 0) = (&program, &verdict, number % server_every.max(1)) {
            servers += 1;
            if let Err(error) = damager.try_server(&copy, program) {
                verdict = Err(error);
            }
        }
        match verdict {
            Ok(verdict) => *counts.entry(verdict).or_default() += 1,
            Err(error) => {
                failures += 1;
                writeln!(std::io::stdout(), "copy {number}: {error:#}")?;
            }
        }
    }
    let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    writeln!(
        std::io::stdout(),
        "{copies} damaged copies: {} refused, {} loaded as what was saved, {} cut off at the end, told and kept, {} \
         whole files of another time; {servers} tried with a server; {failures} loaded wrongly or silently",
        count(Verdict::Refused),
        count(Verdict::Whole),
        count(Verdict::Cut),
        count(Verdict::Earlier),
    )?;
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
