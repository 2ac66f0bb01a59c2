//! One power cut after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use quiver_node::Node;
use quiver_persist::log::{DiskFault, MemoryDisk};
use quiver_resp::Value;

use super::node::{Client, check_snapshot, disk, end, start};
use crate::crash::model::{Model, commands, observe};
use crate::crash::verdict::{Compared, compare};
use crate::crash::writer::Step;
use crate::differential::random::Rng;

/// Syncs that take no longer, ms, are over in time under `everysec`.
const SYNC_MS_IN_TIME: usize = 300;

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of the moments.
    pub seed: u64,
    /// `appendfsync`.
    pub fsync: String,
    /// Writers at once.
    pub writers: usize,
    /// Longest time from a start to its end, ms.
    pub run_ms: usize,
    /// Longest time of a sync, ms; most are much shorter.
    pub sync_ms: usize,
    /// Some of what was not synced survives.
    pub torn: bool,
}

/// What a cycle showed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// What became of the steps.
    pub steps: Compared,
    /// Operations on the disk until the cut.
    pub operations: u64,
}

/// The data that live through the cuts.
pub struct Harness {
    options: Options,
    rng: Rng,
    models: Vec<Model>,
    disk: MemoryDisk,
    node: Node,
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Harness {
    /// Starts the first node, on nothing.
    ///
    /// # Errors
    /// It does not start.
    pub fn new(options: Options) -> Result<Self> {
        let disk = disk(None);
        let node = start(&disk, &options.fsync)?;
        let models = vec![Model::default(); options.writers];
        Ok(Self { rng: Rng::new(options.seed), models, disk, node, options })
    }

    /// Lets the writers run, cuts the power, starts a node on what is left, and compares.
    ///
    /// # Errors
    /// Something is lost that must not be, torn, or the node does not start again.
    pub fn cycle(&mut self) -> Result<Outcome> {
        self.slow_down();
        let run_for = Duration::from_millis(20 + self.rng.below(self.options.run_ms) as u64);
        let (mut steps, crashed) = self.run_until_cut(run_for)?;
        if self.options.fsync != "always" {
            // Nobody is there any more to be told.
            let taken_back = |step: &mut Step| step.acknowledged = step.acknowledged.filter(|at| *at < crashed);
            steps.iter_mut().flatten().for_each(taken_back);
        }
        let operations = self.disk.operations();
        let (torn, rng) = (self.options.torn, &mut self.rng);
        // It was cut when the writers were stopped; this takes what was left then.
        let left = self.disk.cut_power(&mut |most| if torn { rng.below(most + 1) } else { 0 });
        end(&self.node);
        check_snapshot(&left)?;
        self.disk = left;
        self.node = start(&self.disk, &self.options.fsync).context("the node does not start again")?;
        let mut client = Client::new(&self.node)?;
        let mut found = |writer| observe(&mut |words| client.execute(words), writer);
        // Where a sync takes longer than is left of the second, what was acknowledged before stays unsynced, and writers wait:
        // then it is a second's worth of acknowledgements that may be lost.
        let last = steps.iter().flatten().filter_map(|step| step.acknowledged).max();
        let until = if self.options.sync_ms <= SYNC_MS_IN_TIME { crashed } else { last.unwrap_or(crashed) };
        let compared = compare(&mut self.models, &steps, until, &mut found)?;
        let may_lose = self.options.fsync != "always";
        ensure!(compared.lost == 0 || may_lose, "{} acknowledged steps are lost", compared.lost);
        let promised = if self.options.fsync == "everysec" { Duration::from_secs(1) } else { Duration::MAX };
        ensure!(compared.window <= promised, "lost what was acknowledged {:?} before the cut", compared.window);
        Ok(Outcome { steps: compared, operations })
    }

    /// Syncs take a while from now on, one in sixteen a long one.
    fn slow_down(&mut self) {
        let (state, longest) = (AtomicU64::new(self.rng.next()), self.options.sync_ms.max(1));
        self.disk.set_sync_time(Some(Arc::new(move || {
            let mut rng = Rng::new(state.fetch_add(1, Ordering::Relaxed));
            let below = if rng.one_in(16) { longest * 1000 } else { 2000 };
            Duration::from_micros(rng.below(below) as u64)
        })));
    }

    fn run_until_cut(&mut self, run_for: Duration) -> Result<(Vec<Vec<Step>>, Instant)> {
        let stop = AtomicBool::new(false);
        let (node, stop, seed) = (&self.node, &stop, self.rng.next());
        thread::scope(|scope| {
            let writers: Vec<_> = (self.models.iter().enumerate())
                .map(|(writer, model)| scope.spawn(move || write(node, writer, model.steps, stop)))
                .collect();
            let disturber = scope.spawn(move || disturb(node, &mut Rng::new(seed), stop));
            thread::sleep(run_for);
            let crashed = Instant::now();
            self.disk.set_fault(Some(DiskFault::PowerOff(0)));
            stop.store(true, Ordering::Relaxed);
            let disturbed = disturber.join();
            let mut all = Vec::new();
            for (number, writer) in writers.into_iter().enumerate() {
                let Ok(steps) = writer.join() else { bail!("writer {number} panicked") };
                all.push(steps.with_context(|| format!("writer {number}"))?);
            }
            ensure!(disturbed.is_ok(), "the disturber panicked");
            Ok((all, crashed))
        })
    }
}

/// Steps from `first` on until a reply must not be believed, writes are refused, or `stop` is set.
fn write(node: &Node, writer: usize, first: u64, stop: &AtomicBool) -> Result<Vec<Step>> {
    let (mut steps, mut client) = (Vec::new(), Client::new(node)?);
    while !stop.load(Ordering::Relaxed) {
        let step = first + steps.len() as u64;
        steps.push(Step { sent: Instant::now(), acknowledged: None });
        for command in commands(writer, step) {
            match client.call(&command)? {
                (Value::Error(text), _) if text.starts_with(b"MISCONF") || text.starts_with(b"EXECABORT") => {
                    return Ok(steps);
                }
                (Value::Error(text), _) => bail!("{command:?} was refused: {}", text.escape_ascii()),
                (_, false) => return Ok(steps),
                (_, true) => {}
            }
        }
        steps.last_mut().context("it was just sent")?.acknowledged = Some(Instant::now());
    }
    Ok(steps)
}

/// Lets the node save and rewrite while it is written to.
fn disturb(node: &Node, rng: &mut Rng, stop: &AtomicBool) {
    let Ok(mut client) = Client::new(node) else { return };
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(rng.below(60) as u64));
        // They are refused while another one runs.
        let command = if rng.one_in(4) { "BGSAVE" } else { "BGREWRITEAOF" };
        let _ = client.execute(&[command]);
    }
}
