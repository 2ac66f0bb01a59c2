//! Three servers under load, and what can happen to them, over and over: `failover --cycles 100`.
//!
//! In every cycle one thing happens: the primary is killed, or hands over, or is turned into a replica of a promoted one;
//! a replica is killed, or restarted from its snapshot; links are cut. Writers go on all the time, with strings, lists,
//! transactions and vectors, and note what WAIT 2 confirmed. Behind each cycle the writers rest, and it is checked that
//! every server has the same data, that nothing confirmed is missing, that whoever could go on where it was did, and how
//! long it took until all were together again. Ends with status 1 when anything of that does not hold.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool that reports its progress")]

mod cluster;
mod writers;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;

use cluster::{Cluster, Counts};
use writers::Writers;

/// Fail over again and again under load.
#[derive(Debug, Parser)]
struct Arguments {
    /// Times that something happens.
    #[arg(long, default_value_t = 20)]
    cycles: usize,
    /// Connections that write.
    #[arg(long, default_value_t = 2)]
    writers: usize,
    /// How long is written before something happens, ms.
    #[arg(long, default_value_t = 400)]
    load_ms: u64,
    /// Longest time until all servers are together again, ms.
    #[arg(long, default_value_t = 2000)]
    within_ms: u64,
}

/// What happens in a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    KillPrimary,
    HandOver,
    Promote,
    CutLinks,
    RestartReplica,
    KillReplica,
}

const EVENTS: [Event; 6] =
    [Event::KillPrimary, Event::CutLinks, Event::HandOver, Event::RestartReplica, Event::Promote, Event::KillReplica];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut cluster = Cluster::start()?;
    let writers = Writers::start(arguments.writers, cluster.primary_addr());
    let mut failures = Vec::new();
    let (mut total, mut slowest) = (Counts::default(), Duration::ZERO);
    for cycle in 0..arguments.cycles {
        let event = EVENTS[cycle % EVENTS.len()];
        std::thread::sleep(Duration::from_millis(arguments.load_ms));
        let before = cluster.counts()?;
        let since = Instant::now();
        let expected = happen(event, &mut cluster, &writers)?;
        let joined = cluster.wait_until_linked(Duration::from_secs(30));
        let took = since.elapsed();
        std::thread::sleep(Duration::from_millis(arguments.load_ms / 2));
        writers.pause(true);
        let checked = joined.and_then(|()| cluster.check(&writers.confirmed()));
        let counts = cluster.counts()?.since(&before, &expected);
        writers.pause(false);
        slowest = slowest.max(took);
        total.add(&counts);
        println!(
            "cycle {:3} {event:?}: together after {} ms, {} partial and {} full resyncs, {} writes confirmed{}",
            cycle + 1,
            took.as_millis(),
            counts.partial,
            counts.full,
            writers.confirmed_total(),
            if checked.is_ok() { "" } else { " - FAILED" },
        );
        if let Err(error) = checked {
            failures.push(format!("cycle {} {event:?}: {error:#}", cycle + 1));
        }
        if counts.full > expected.full {
            failures.push(format!("cycle {} {event:?}: {} full resyncs", cycle + 1, counts.full));
        }
        if took > Duration::from_millis(arguments.within_ms) {
            failures.push(format!("cycle {} {event:?}: together only after {} ms", cycle + 1, took.as_millis()));
        }
    }
    writers.stop();
    println!(
        "{} cycles, {} partial and {} full resyncs, slowest {} ms, {} writes confirmed by two replicas, {} failures",
        arguments.cycles,
        total.partial,
        total.full,
        slowest.as_millis(),
        writers.confirmed_total(),
        failures.len(),
    );
    failures.iter().for_each(|failure| println!("{failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets it happen; gives which full resyncs are due, and which servers begin to count anew.
fn happen(event: Event, cluster: &mut Cluster, writers: &Writers) -> Result<Counts> {
    let mut expected = Counts::default();
    match event {
        Event::KillPrimary => {
            let old = cluster.primary;
            cluster.kill(old)?;
            cluster.promote_best(old)?;
            writers.go_to(cluster.primary_addr());
            // What it had written and nobody has received is in its way.
            cluster.start_again(old)?;
            (expected.full, expected.restarted) = (1, Some(old));
        }
        Event::HandOver => {
            cluster.hand_over()?;
            writers.go_to(cluster.primary_addr());
        }
        Event::Promote => {
            let old = cluster.primary;
            cluster.stand_still()?;
            cluster.promote_best(old)?;
            writers.go_to(cluster.primary_addr());
            cluster.follow(old)?;
            cluster.go_on(old)?;
        }
        Event::CutLinks => cluster.cut_links()?,
        Event::RestartReplica => {
            let replica = cluster.a_replica();
            cluster.shut_down(replica)?;
            cluster.start_again(replica)?;
            expected.restarted = Some(replica);
        }
        Event::KillReplica => {
            let replica = cluster.a_replica();
            cluster.snapshot(replica)?;
            cluster.kill(replica)?;
            cluster.start_again(replica)?;
            expected.restarted = Some(replica);
        }
    }
    Ok(expected)
}
