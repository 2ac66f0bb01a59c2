//! Counters. Each I/O thread owns its [`ThreadStats`] and writes them without locked instructions; INFO adds them up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::histogram::{Distribution, Histogram};
use crate::registry::registry;

/// A counter with one writer: a plain load and store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning thread may.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Back to zero (CONFIG RESETSTAT; an increment at the same moment may be lost).
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// What is counted per command.
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Calls that ran.
    pub calls: Counter,
    /// Time in them, ns.
    pub nanoseconds: Counter,
    /// Refused before they ran.
    pub rejected: Counter,
    /// Ran and answered an error.
    pub failed: Counter,
    /// How long the calls took.
    pub latency: Histogram,
}

/// Counters of one I/O thread.
#[derive(Debug)]
pub struct ThreadStats {
    /// By [`crate::registry::Entry::id`].
    pub commands: Box<[CommandStats]>,
    /// Commands processed.
    pub processed: Counter,
    /// Successful lookups by reading commands.
    pub hits: Counter,
    /// Lookups that found nothing.
    pub misses: Counter,
    /// Keys that ran out of time.
    pub expired: Counter,
    /// Hash fields that ran out of time.
    pub expired_fields: Counter,
    /// Keys removed to make room.
    pub evicted: Counter,
    /// Changes since the start.
    pub dirty: Counter,
    /// Bytes read from clients.
    pub net_in_bytes: Counter,
    /// Bytes written to clients.
    pub net_out_bytes: Counter,
    /// Error replies.
    pub errors: Counter,
}

impl Default for ThreadStats {
    fn default() -> Self {
        Self {
            commands: registry().entries().iter().map(|_| CommandStats::default()).collect(),
            processed: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            expired: Counter::default(),
            expired_fields: Counter::default(),
            evicted: Counter::default(),
            dirty: Counter::default(),
            net_in_bytes: Counter::default(),
            net_out_bytes: Counter::default(),
            errors: Counter::default(),
        }
    }
}

/// Counters of the whole server.
#[derive(Debug, Default)]
pub struct Stats {
    threads: Mutex<Vec<Arc<ThreadStats>>>,
    /// Counters of what no thread's worker is there for; whoever holds the lock is their one writer.
    apart: OnceLock<Mutex<Arc<ThreadStats>>>,
    /// Connections accepted.
    pub connections_received: AtomicU64,
    /// Time spent looking for keys whose time is over, ns.
    pub expire_cycle_ns: AtomicU64,
    /// Clients closed for sending too much without the end of a command.
    pub query_limit_disconnections: AtomicU64,
    /// Connections refused (maxclients).
    pub connections_rejected: AtomicU64,
    /// Clients closed for their buffers (maxmemory-clients).
    pub evicted_clients: AtomicU64,
    /// Error replies by their first word.
    pub errors_by_code: Mutex<std::collections::BTreeMap<String, u64>>,
    /// Commands per second over the last interval, set by the clock task.
    pub ops_per_second: AtomicU64,
    /// Bytes read from clients per second over the last interval.
    pub net_in_per_second: AtomicU64,
    /// Bytes written to clients per second over the last interval.
    pub net_out_per_second: AtomicU64,
    /// Highest allocated bytes seen.
    pub peak_memory_bytes: AtomicU64,
    /// Changes at the last successful snapshot.
    pub dirty_at_save: AtomicI64,
    /// Clients closed for what they did not read.
    pub output_limit_disconnections: AtomicU64,
    /// Replicas that were given a snapshot.
    pub full_syncs: AtomicU64,
    /// Replicas that went on where they were.
    pub partial_syncs: AtomicU64,
    /// Replicas that asked to go on and could not.
    pub partial_syncs_refused: AtomicU64,
    /// Bytes read from the primary.
    pub replication_in_bytes: AtomicU64,
    /// Bytes of snapshots and of the stream written to replicas.
    pub replication_out_bytes: AtomicU64,
}

impl Stats {
    /// Counters for one more thread.
    pub fn register(&self) -> Arc<ThreadStats> {
        let stats = Arc::new(ThreadStats::default());
        self.threads.lock().push(Arc::clone(&stats));
        stats
    }

    /// A command that waited has ended without being run again.
    pub fn note_ended_wait(&self, id: usize, failed: bool) {
        let stats = self.apart.get_or_init(|| Mutex::new(self.register())).lock();
        stats.processed.add(1);
        stats.commands[id].calls.add(1);
        if failed {
            stats.commands[id].failed.add(1);
            stats.errors.add(1);
        }
    }

    /// Counts an error by its first word. Those are few, but a script may make up any: beyond a number of them new ones
    /// are not counted, and the words there are come back once, to be logged.
    pub fn count_error(&self, code: String) -> Option<String> {
        const CODES_MAX: usize = 128;
        let mut codes = self.errors_by_code.lock();
        if codes.len() < CODES_MAX || codes.contains_key(&code) {
            *codes.entry(code).or_default() += 1;
            return None;
        }
        let full = codes.len() == CODES_MAX;
        let known = full.then(|| codes.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        codes.insert("ERRORSTATS_DISABLED".to_owned(), 1);
        known
    }

    /// The sum over all threads of what `read` picks.
    pub fn sum(&self, read: impl Fn(&ThreadStats) -> u64) -> u64 {
        self.threads.lock().iter().map(|thread| read(thread)).sum()
    }

    /// How long the calls of a command took, by its id; `None` when none was measured.
    pub fn latency(&self, id: usize) -> Option<Distribution> {
        Distribution::of(self.threads.lock().iter().map(|thread| &thread.commands[id].latency))
    }

    /// Changes since the start.
    pub fn dirty(&self) -> u64 {
        self.sum(|thread| thread.dirty.get())
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for thread in self.threads.lock().iter() {
            for command in &thread.commands {
                for counter in [&command.calls, &command.nanoseconds, &command.rejected, &command.failed] {
                    counter.reset();
                }
                command.latency.reset();
            }
            let all = [&thread.processed, &thread.hits, &thread.misses, &thread.expired, &thread.net_in_bytes];
            for counter in
                all.into_iter().chain([&thread.net_out_bytes, &thread.errors, &thread.evicted, &thread.expired_fields])
            {
                counter.reset();
            }
        }
        self.errors_by_code.lock().clear();
        self.query_limit_disconnections.store(0, Relaxed);
        self.expire_cycle_ns.store(0, Relaxed);
        for counter in [&self.connections_received, &self.connections_rejected, &self.peak_memory_bytes] {
            counter.store(0, Relaxed);
        }
        self.output_limit_disconnections.store(0, Relaxed);
        let resyncs = [&self.full_syncs, &self.partial_syncs, &self.partial_syncs_refused];
        let traffic = [&self.replication_in_bytes, &self.replication_out_bytes, &self.evicted_clients];
        for counter in resyncs.into_iter().chain(traffic) {
            counter.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_kinds_of_errors_are_counted_up_to_a_number_and_old_ones_always() {
        let stats = Stats::default();
        let logged: Vec<String> = (0..1000).filter_map(|at| stats.count_error(format!("E{at}"))).collect();
        assert!(logged.len() == 1 && logged[0].starts_with("E0, E1, "), "{logged:?}");
        assert_eq!(stats.count_error("E5".to_owned()), None);
        let codes = stats.errors_by_code.lock();
        let count = |code: &str| codes.get(code).copied();
        assert_eq!((codes.len(), count("E5"), count("E500")), (129, Some(2), None));
        assert_eq!(count("ERRORSTATS_DISABLED"), Some(1));
    }
}
