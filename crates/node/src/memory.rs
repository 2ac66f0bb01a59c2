//! The allocator's figures: what `maxmemory` is held against and INFO memory prints.
//!
//! The total is read by the periodic work. A thread's own counters are read after every turn while there is a limit
//! ([`take_net_bytes`]); that is two loads, because the allocator tells once where they are.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quiver_engine::{Engine, Worker};
use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};

use crate::clock::{now_ns, random_seed};
use crate::host::{NodeHost, human};

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    allocated: AtomicU64,
    resident: AtomicU64,
    at_start: AtomicU64,
}

impl Memory {
    pub(crate) fn allocated(&self) -> u64 {
        self.allocated.load(Relaxed)
    }
}

thread_local! {
    static TAKEN: Cell<i64> = const { Cell::new(0) };
    static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
        allocatedp::read().ok().zip(deallocatedp::read().ok());
}

/// Bytes this thread ever allocated less those it freed, whichever thread had allocated them.
pub(crate) fn net_bytes() -> i64 {
    COUNTERS.with(|counters| {
        counters.as_ref().map_or(0, |(allocated, deallocated)| allocated.get().wrapping_sub(deallocated.get()) as i64)
    })
}

/// [`net_bytes`] since the last call on this thread.
pub(crate) fn take_net_bytes() -> i64 {
    let now = net_bytes();
    now.wrapping_sub(TAKEN.replace(now))
}

/// A worker with the clocks and counters of this process.
pub(crate) fn worker(engine: &Engine) -> Worker {
    let mut worker = engine.worker(random_seed(), now_ns);
    worker.take_net_bytes = take_net_bytes;
    worker
}

/// What INFO stats says of evictions.
pub(crate) fn eviction_info(engine: &Engine, out: &mut String) {
    let (total_ms, current_ms) = engine.memory.exceeded_ms(now_ns());
    let _ = write!(out, "total_eviction_exceeded_time:{total_ms}\r\ncurrent_eviction_exceeded_time:{current_ms}\r\n");
}

impl NodeHost {
    /// Reads the allocator's and the system's figures; called by the periodic work.
    pub(crate) fn measure_memory(&self, engine: &Engine) {
        let memory = &self.memory;
        if tikv_jemalloc_ctl::epoch::advance().is_ok() {
            let allocated = tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0) as u64;
            memory.allocated.store(allocated, Relaxed);
            let _ = memory.at_start.compare_exchange(0, allocated, Relaxed, Relaxed);
        }
        memory.resident.store(resident_bytes(), Relaxed);
        let allocated = memory.allocated();
        engine.stats.peak_memory_bytes.fetch_max(allocated, Relaxed);
        engine.set_memory(allocated, self.not_counted_bytes());
    }

    /// Bytes that only wait for replicas: evicting keys for them would make more of them.
    fn not_counted_bytes(&self) -> u64 {
        self.stream.facts().backlog.map_or(0, |(size, _, held)| held.saturating_sub(size) as u64)
    }

    pub(crate) fn memory_info(&self, engine: &Engine, out: &mut String) {
        self.measure_memory(engine);
        let (used, rss) = (self.memory.allocated(), self.memory.resident.load(Relaxed));
        let peak = engine.stats.peak_memory_bytes.load(Relaxed);
        let limit = engine.config.maxmemory() as u64;
        let total = total_memory_bytes();
        let backlog = self.stream.facts().backlog.map_or(0, |(_, _, held)| held);
        let clients: u64 = engine.clients.lock().values().map(|client| client.memory_bytes()).sum();
        let at_start = self.memory.at_start.load(Relaxed);
        let overhead = at_start + clients + backlog as u64;
        for (name, bytes) in [
            ("used_memory", used),
            ("used_memory_rss", rss),
            ("used_memory_peak", peak),
            ("total_system_memory", total),
            ("maxmemory", limit),
        ] {
            let _ = write!(out, "{name}:{bytes}\r\n{name}_human:{}\r\n", human(bytes));
        }
        let lazy = self.freer.counts();
        let _ = write!(
            out,
            "used_memory_peak_perc:{:.2}%\r\nused_memory_overhead:{overhead}\r\nused_memory_startup:{at_start}\r\n\
             used_memory_dataset:{}\r\nused_memory_dataset_perc:{:.2}%\r\nmaxmemory_policy:{}\r\nmem_not_counted_for_evict:{}\r\n\
             mem_replication_backlog:{backlog}\r\nmem_total_replication_buffers:{backlog}\r\nmem_clients_slaves:0\r\nmem_clients_normal:{clients}\r\n\
             mem_cluster_links:0\r\nmem_aof_buffer:0\r\nmem_allocator:jemalloc\r\nactive_defrag_running:0\r\n\
             lazyfree_pending_objects:{}\r\nlazyfreed_objects:{}\r\n",
            used as f64 * 100.0 / peak.max(1) as f64,
            used.saturating_sub(overhead),
            used.saturating_sub(overhead) as f64 * 100.0 / used.saturating_sub(at_start).max(1) as f64,
            engine.config.get("maxmemory-policy"),
            self.not_counted_bytes(),
            lazy.pending,
            lazy.freed,
        );
        script_info(engine, out);
        allocator_info(used, rss, out);
    }
}

/// There is one kind of interpreter, for scripts and functions alike.
fn script_info(engine: &Engine, out: &mut String) {
    let facts = engine.scripts.facts();
    let (vm, cached) = (facts.interpreter_bytes as u64, facts.cache_bytes as u64);
    let set = engine.functions.set();
    let functions = set.libraries().map(|library| library.code.len() as u64).sum::<u64>();
    let _ = write!(
        out,
        "used_memory_vm_eval:{vm}\r\nused_memory_lua:{vm}\r\nused_memory_lua_human:{}\r\n\
         used_memory_scripts_eval:{cached}\r\nnumber_of_cached_scripts:{}\r\nused_memory_vm_total:{vm}\r\n\
         used_memory_vm_total_human:{}\r\nnumber_of_functions:{}\r\nnumber_of_libraries:{}\r\nused_memory_functions:{functions}\r\n\
         used_memory_scripts:{}\r\nused_memory_scripts_human:{}\r\n",
        human(vm),
        facts.scripts,
        human(vm),
        set.functions_len(),
        set.libraries().len(),
        cached + functions,
        human(cached + functions),
    );
}

fn allocator_info(used: u64, rss: u64, out: &mut String) {
    let resident = tikv_jemalloc_ctl::stats::resident::read().unwrap_or(0);
    let active = tikv_jemalloc_ctl::stats::active::read().unwrap_or(0);
    let _ = write!(
        out,
        "allocator_allocated:{used}\r\nallocator_active:{active}\r\nallocator_resident:{resident}\r\n\
         allocator_frag_ratio:{:.2}\r\nallocator_frag_bytes:{}\r\nallocator_rss_ratio:{:.2}\r\n\
         allocator_rss_bytes:{}\r\nrss_overhead_ratio:{:.2}\r\nrss_overhead_bytes:{}\r\nmem_fragmentation_ratio:{:.2}\r\n\
         mem_fragmentation_bytes:{}\r\n",
        active as f64 / used.max(1) as f64,
        (active as u64).saturating_sub(used),
        resident as f64 / active.max(1) as f64,
        resident as i64 - active as i64,
        rss as f64 / resident.max(1) as f64,
        rss as i64 - resident as i64,
        rss as f64 / used.max(1) as f64,
        rss as i64 - used as i64,
    );
}

/// Resident bytes of this process (0 where the system does not tell).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4096)
}

fn total_memory_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = meminfo.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}
