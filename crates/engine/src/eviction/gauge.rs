//! How much memory is in use, cheap enough to be asked before every group of commands.
//!
//! The allocator's own total is exact but slow to read, so it is read a few times per second. In between each thread
//! adds what it allocated and freed, from two counters of the allocator that belong to the thread
//! ([`Worker::take_net_bytes`](crate::engine::Worker)). A thread reports once it has some kilobytes to tell, so what the
//! total lacks is bounded by that and by one group of commands per thread. What a thread had not told when the total was
//! read is in the total already and is dropped ([`Told`]).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Bytes a thread may allocate or free before it tells.
const REPORT_BYTES: u64 = 16 * 1024;

/// What a thread has to tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Reading of the total these bytes come on top of.
    reading: u64,
    untold: i64,
}

/// The figures.
#[derive(Debug, Default)]
pub struct Gauge {
    used: AtomicI64,
    /// Times the total was read.
    readings: AtomicU64,
    not_counted: AtomicU64,
    client_buffers: AtomicI64,
    /// Since when memory is over the limit although keys are evicted, monotonic ns; 0 while it is not.
    exceeded_since_ns: AtomicU64,
    exceeded_ns: AtomicU64,
}

impl Gauge {
    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed).max(0) as u64
    }

    /// Sets the figure the allocator tells, and how much of it belongs to replicas and is no reason to evict.
    pub fn set(&self, used: u64, not_counted: u64) {
        self.used.store(used as i64, Relaxed);
        self.not_counted.store(not_counted, Relaxed);
        self.readings.fetch_add(1, Relaxed);
    }

    /// Notes what a thread allocated (or freed) since.
    pub fn add(&self, net_bytes: i64) {
        self.used.fetch_add(net_bytes, Relaxed);
    }

    /// Takes `net_bytes` more of a thread, once they are enough or `at_once`; `true` when the figure changed.
    #[inline]
    pub(crate) fn report(&self, told: &mut Told, net_bytes: i64, at_once: bool) -> bool {
        let reading = self.readings.load(Relaxed);
        if told.reading != reading {
            *told = Told { reading, untold: 0 };
            return false;
        }
        told.untold += net_bytes;
        let enough = at_once || told.untold.unsigned_abs() >= REPORT_BYTES;
        if enough {
            self.add(std::mem::take(&mut told.untold));
        }
        enough
    }

    /// Bytes in use that are not counted against the limit.
    pub fn not_counted(&self) -> u64 {
        self.not_counted.load(Relaxed)
    }

    /// Bytes in use beyond `limit`, 0 for none; a limit of 0 is none.
    pub fn excess(&self, limit: usize) -> u64 {
        let counted = self.used().saturating_sub(self.not_counted());
        if limit == 0 { 0 } else { counted.saturating_sub(limit as u64) }
    }

    /// Bytes of all clients' queries, transactions and replies.
    pub fn client_buffers(&self) -> u64 {
        self.client_buffers.load(Relaxed).max(0) as u64
    }

    pub(crate) fn add_client_buffers(&self, bytes: i64) {
        self.client_buffers.fetch_add(bytes, Relaxed);
    }

    /// Notes whether a round of evictions left memory over the limit.
    pub(crate) fn note_exceeded(&self, exceeded: bool, now_ns: u64) {
        let since = self.exceeded_since_ns.load(Relaxed);
        if exceeded && since == 0 {
            self.exceeded_since_ns.store(now_ns.max(1), Relaxed);
        } else if !exceeded && since != 0 {
            self.exceeded_since_ns.store(0, Relaxed);
            self.exceeded_ns.fetch_add(now_ns.saturating_sub(since), Relaxed);
        }
    }

    /// How long memory has been over the limit in all, and this time, ms.
    pub fn exceeded_ms(&self, now_ns: u64) -> (u64, u64) {
        let since = self.exceeded_since_ns.load(Relaxed);
        let current = if since == 0 { 0 } else { now_ns.saturating_sub(since) };
        ((self.exceeded_ns.load(Relaxed) + current) / 1_000_000, current / 1_000_000)
    }

    pub(crate) fn reset_exceeded(&self) {
        self.exceeded_ns.store(0, Relaxed);
    }
}
