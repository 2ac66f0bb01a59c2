//! What each command costs: counters, the slow log, the latency monitor, the histograms.
//!
//! Reading the clock costs a tenth of a cheap command, so a hold of locks that runs many commands reads it twice and
//! they share the time. Apart are timed:
//!
//! - a command that holds the locks alone, with those it runs itself (EXEC);
//! - commands whose cost grows with data or arguments: only they can be slow by themselves, and for them two more
//!   readings are nothing. Fast ones with few arguments are none of them;
//! - all commands, while `slowlog-log-slower-than` asks for less than [`EXACT_BELOW_US`]: then cheap ones count as slow;
//! - all commands, while somebody looks for hot keys.
//!
//! What shares its time enters the statistics with the mean and the slow log never.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;

use crate::command::Flags;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::registry::Entry;
use crate::session::Session;
use crate::slowlog::{self, SlowCommand};
use crate::stats::ThreadStats;

/// A threshold of the slow log below this makes every command be timed, us.
const EXACT_BELOW_US: i64 = 1000;

/// How a command ended.
#[derive(Clone, Copy)]
pub(crate) struct Ended<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) session: &'a Session,
    pub(crate) begun_ns: Option<u64>,
    pub(crate) error: Option<&'a CommandError>,
    pub(crate) reply_bytes: usize,
    pub(crate) now_ms: i64,
}

/// Measures the commands of one hold of locks.
pub(crate) struct Meter<'a>(Option<Measures<'a>>);

struct Measures<'a> {
    stats: &'a ThreadStats,
    clock_ns: fn() -> u64,
    /// Every command is timed.
    exact: bool,
    started_ns: u64,
    /// Time of the commands timed apart, ns.
    apart_ns: u64,
    /// Ids of the commands that share the rest.
    sharing: &'a mut Vec<usize>,
}

impl<'a> Meter<'a> {
    /// Begins a hold; `alone` when it is for one command.
    pub(crate) fn start(
        engine: &Engine,
        stats: &'a ThreadStats,
        clock_ns: fn() -> u64,
        sharing: &'a mut Vec<usize>,
        alone: bool,
    ) -> Self {
        let exact = alone
            || engine.hotkeys.is_active()
            || (0..EXACT_BELOW_US).contains(&engine.config.slowlog_log_slower_than());
        let started_ns = if exact { 0 } else { clock_ns() };
        Self(Some(Measures { stats, clock_ns, exact, started_ns, apart_ns: 0, sharing }))
    }

    /// A hold that is not measured: it has no thread whose counters it could use.
    pub(crate) const fn off() -> Self {
        Self(None)
    }

    /// Monotonic time, ns; 0 where nothing is measured.
    pub(crate) fn now_ns(&self) -> u64 {
        self.0.as_ref().map_or(0, |measures| (measures.clock_ns)())
    }

    /// A command does not even begin.
    pub(crate) fn reject(&self, entry: Option<&Entry>) {
        let Some(measures) = &self.0 else { return };
        measures.stats.errors.add(1);
        if let Some(entry) = entry {
            measures.stats.commands[entry.id].rejected.add(1);
        }
    }

    /// A command begins; its start, when it is timed apart.
    #[inline]
    pub(crate) fn begin(&self, entry: &Entry, words: usize) -> Option<u64> {
        let measures = self.0.as_ref().filter(|measures| measures.exact || words > entry.quick_words)?;
        Some((measures.clock_ns)())
    }

    /// A command ended.
    #[inline]
    pub(crate) fn end(&mut self, ended: Ended<'_>, entry: &'static Entry, argv: Argv<'_>) {
        ended.session.shared.last_command.store(entry.id as u64, Relaxed);
        let Some(measures) = self.0.as_mut() else { return };
        measures.stats.processed.add(1);
        if let Some(error) = ended.error {
            measures.stats.commands[entry.id].failed.add(1);
            measures.stats.errors.add(u64::from(!error.was_counted()));
        }
        match ended.begun_ns {
            None => measures.sharing.push(entry.id),
            Some(begun_ns) => {
                let ns = (measures.clock_ns)().saturating_sub(begun_ns);
                measures.apart_ns += ns;
                count(ended.engine, measures.stats, entry.id, ns, 1);
                if ended.engine.hotkeys.is_active() {
                    note_keys(&ended, entry, argv, ns);
                }
                if is_slow(ended.engine, ns) {
                    note_slow(&ended, entry, argv, ns);
                }
            }
        }
    }

    /// The hold is over.
    pub(crate) fn finish(self, engine: &Engine) {
        let Some(measures) = self.0.filter(|measures| !measures.sharing.is_empty()) else { return };
        let Measures { stats, clock_ns, started_ns, apart_ns, sharing, .. } = measures;
        let spent_ns = clock_ns().saturating_sub(started_ns).saturating_sub(apart_ns);
        let each_ns = spent_ns / sharing.len() as u64;
        // A pipeline is mostly runs of one command.
        for run in sharing.chunk_by(|a, b| a == b) {
            count(engine, stats, run[0], each_ns, run.len() as u64);
        }
        sharing.clear();
    }
}

fn count(engine: &Engine, stats: &ThreadStats, id: usize, each_ns: u64, times: u64) {
    let command = &stats.commands[id];
    command.calls.add(times);
    command.nanoseconds.add(each_ns * times);
    if engine.config.latency_tracking() {
        command.latency.add(each_ns, times);
    }
}

#[inline]
fn is_slow(engine: &Engine, ns: u64) -> bool {
    let (slow_us, monitor_ms) = (engine.config.slowlog_log_slower_than(), engine.config.latency_monitor_threshold_ms());
    (slow_us >= 0 && ns / 1000 >= slow_us as u64) || (monitor_ms > 0 && ns / 1_000_000 >= monitor_ms as u64)
}

#[cold]
fn note_keys(ended: &Ended<'_>, entry: &Entry, argv: Argv<'_>, ns: u64) {
    let keys: Vec<&[u8]> = entry.key_positions(argv).map(|at| argv.at(at)).collect();
    let bytes = (argv.payload_bytes() + ended.reply_bytes) as u64;
    ended.engine.hotkeys.note(keys.into_iter(), ns, bytes, ended.now_ms);
}

#[cold]
fn note_slow(ended: &Ended<'_>, entry: &'static Entry, argv: Argv<'_>, ns: u64) {
    let (engine, session) = (ended.engine, ended.session);
    let slow_us = engine.config.slowlog_log_slower_than();
    let flags = entry.command.flags;
    if slow_us >= 0 && ns / 1000 >= slow_us as u64 && !flags.has(Flags::SKIP_SLOWLOG) {
        let command = SlowCommand {
            id: 0,
            at_s: ended.now_ms / 1000,
            duration_us: ns / 1000,
            words: slowlog::shorten(entry, argv),
            addr: session.shared.addr.clone(),
            client_name: session.shared.texts.lock().name.clone(),
        };
        engine.slowlog.add(command, engine.config.slowlog_max_len());
    }
    let event = if flags.has(Flags::FAST) { "fast-command" } else { "command" };
    engine.note_latency(event, ns / 1_000_000, ended.now_ms);
}

impl Engine {
    /// Tells the latency monitor how long something took.
    pub fn note_latency(&self, event: &'static str, latency_ms: u64, now_ms: i64) {
        let threshold_ms = self.config.latency_monitor_threshold_ms();
        if threshold_ms > 0 && latency_ms >= threshold_ms as u64 {
            self.latency.add(event, now_ms / 1000, latency_ms);
        }
    }
}
