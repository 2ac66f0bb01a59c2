//! Fuzzing without a special compiler: inputs made by mutation from seeds, in a sequence that a number fixes.
//!
//! A [`Target`] is a function that takes any bytes and panics when a promise is broken; `crates/fuzz` hands the same
//! functions to libFuzzer. [`run`] executes one for a time or a number of inputs and collects those it fails on.
//!
//! Not here: coverage feedback. Seeds that reach deep (a value of every type in every encoding) take its place.

mod glob;
mod logs;
mod mutate;
mod paths;
mod queries;
mod search;
mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

pub use mutate::Mutator;
pub use targets::TARGETS;

/// Something that takes any input.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it promises of any input, beside ending soon and not panicking.
    pub promise: &'static str,
    /// Inputs to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes an input; whether it was let in, which shows how deep a run reaches.
    pub run: fn(&[u8]) -> bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many inputs.
    Inputs(u64),
    /// After so long.
    Time(Duration),
}

/// An input that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The input.
    pub input: Vec<u8>,
    /// What the panic said, or how long it took.
    pub reason: String,
}

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Inputs tried.
    pub inputs: u64,
    /// Those that were let in.
    pub accepted: u64,
    /// The slowest one.
    pub slowest: Duration,
    /// The first few that failed.
    pub failures: Vec<Failure>,
}

/// An input that takes longer than this has failed.
const SLOW: Duration = Duration::from_secs(5);

/// Failures after which a run ends.
const FAILURES_MAX: usize = 8;

/// Seeds in a row between two mutated inputs that are kept as seeds for a while.
const KEPT_MAX: usize = 256;

/// Runs a target on mutations of its seeds. `progress` is told now and then how far it is.
pub fn run(target: &Target, seed: u64, until: Until, progress: &mut dyn FnMut(&Outcome)) -> Outcome {
    let (mut outcome, since) = (Outcome::default(), Instant::now());
    let seeds = (target.seeds)();
    let mut mutator = Mutator::new(seed);
    // What was let in is worth mutating again.
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut told = Instant::now();
    loop {
        let over = match until {
            Until::Inputs(inputs) => outcome.inputs >= inputs,
            Until::Time(time) => since.elapsed() >= time,
        };
        if over || outcome.failures.len() >= FAILURES_MAX {
            return outcome;
        }
        let input = mutator.next(&seeds, &kept);
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = started.elapsed();
        outcome.inputs += 1;
        outcome.slowest = outcome.slowest.max(took);
        match result {
            Err(panic) => outcome.failures.push(Failure { input, reason: said(&*panic) }),
            Ok(_) if took > SLOW => {
                outcome.failures.push(Failure { input, reason: format!("took {} ms", took.as_millis()) });
            }
            Ok(accepted) => {
                outcome.accepted += u64::from(accepted);
                if accepted && mutator.one_in(8) {
                    if kept.len() == KEPT_MAX {
                        kept.swap_remove(mutator.below(KEPT_MAX));
                    }
                    kept.push(input);
                }
            }
        }
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            progress(&outcome);
        }
    }
}

/// Runs the target of a name on one input.
///
/// # Panics
/// When the input breaks the target's promise, or there is no such target.
pub fn run_one(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(input);
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
