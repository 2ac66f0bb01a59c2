//! Periodic work on a thread of its own, `hz` times a second: active expiry, memory figures, save points, idle
//! clients, operations per second.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_engine::eviction::Room;
use quiver_engine::expire::ExpireCursor;
use quiver_engine::{Engine, Worker};
use tracing::warn;

use crate::clock::{now_ms, now_ns};
use crate::host::NodeHost;
use crate::log::Log;
use crate::memory;
use crate::saver::Saver;

/// Buckets one slice of expiry may look at: about a millisecond where most of what it meets is over.
const EXPIRE_BUCKETS: usize = 4096;

/// Slices in a round, per unit of `active-expire-effort`.
const EXPIRE_SLICES: usize = 16;

/// Between slices that found much, so that a thread with a client to serve gets the core at once.
const EXPIRE_PAUSE: Duration = Duration::from_micros(300);

/// Keys removed in a slice from which on there is a pause.
const EXPIRE_PAUSE_KEYS: u64 = 256;

/// Rounds of eviction in a row; what is still too much then waits for the next time.
const EVICTION_ROUNDS: usize = 16;

struct Cron {
    engine: Arc<Engine>,
    host: NodeHost,
    worker: Worker,
    cursor: ExpireCursor,
    commands: u64,
    net_in: u64,
    net_out: u64,
    sampled_ns: u64,
}

pub(crate) fn start(engine: Arc<Engine>, host: NodeHost) {
    let worker = memory::worker(&engine);
    let mut cron = Cron {
        engine,
        host,
        worker,
        cursor: ExpireCursor::default(),
        commands: 0,
        net_in: 0,
        net_out: 0,
        sampled_ns: now_ns(),
    };
    let thread = std::thread::Builder::new().name("quiver-cron".to_owned());
    let started = thread.spawn(move || {
        loop {
            cron.round();
            std::thread::sleep(Duration::from_millis(1000 / cron.engine.config.hz().max(1) as u64));
        }
    });
    if let Err(error) = started {
        warn!("no thread for periodic work: {error}");
    }
}

impl Cron {
    fn round(&mut self) {
        let state = &self.engine.state;
        if state.loading.load(Relaxed) || state.cron_paused.load(Relaxed) {
            return;
        }
        if !state.is_replica.load(Relaxed) && !state.active_expire_off.load(Relaxed) {
            self.expire();
        }
        self.host.measure_memory(&self.engine);
        self.make_room();
        Saver::at_save_points(&self.host, &self.engine);
        Log::tend(&self.host, &self.engine);
        self.host.backup.tend(&self.engine);
        self.sample();
        self.close_idle();
        self.host.elsewhere.close_idle();
        self.engine.close_slow_readers(now_ms());
        self.engine.trim_tracking(now_ms());
        self.host.tend_replication(&self.engine);
    }

    fn expire(&mut self) {
        let mut spent_ns = 0;
        for _ in 0..EXPIRE_SLICES * self.engine.config.active_expire_effort() {
            let begun_ns = now_ns();
            let expired = self.engine.expire_round(&mut self.worker, &mut self.cursor, EXPIRE_BUCKETS, now_ms());
            spent_ns += now_ns() - begun_ns;
            if expired >= EXPIRE_PAUSE_KEYS {
                std::thread::sleep(EXPIRE_PAUSE);
            }
        }
        self.engine.stats.expire_cycle_ns.fetch_add(spent_ns, Relaxed);
        self.engine.note_latency("expire-cycle", spent_ns / 1_000_000, now_ms());
    }

    /// Goes on with evictions that commands had no time to finish.
    fn make_room(&mut self) {
        for _ in 0..EVICTION_ROUNDS {
            if self.engine.make_room(&mut self.worker, now_ms()) != Room::Soon {
                break;
            }
        }
        self.engine.evict_clients();
    }

    fn sample(&mut self) {
        let now = now_ns();
        if now - self.sampled_ns >= 1_000_000_000 {
            let commands = self.engine.stats.sum(|thread| thread.processed.get());
            let stats = &self.engine.stats;
            let (net_in, net_out) =
                (stats.sum(|thread| thread.net_in_bytes.get()), stats.sum(|t| t.net_out_bytes.get()));
            // After CONFIG RESETSTAT a counter is below its last sample.
            let per_second = |new: u64, old: u64| {
                u128::from(new.saturating_sub(old)) * 1_000_000_000 / u128::from(now - self.sampled_ns)
            };
            stats.ops_per_second.store(per_second(commands, self.commands) as u64, Relaxed);
            stats.net_in_per_second.store(per_second(net_in, self.net_in) as u64, Relaxed);
            stats.net_out_per_second.store(per_second(net_out, self.net_out) as u64, Relaxed);
            (self.commands, self.net_in, self.net_out, self.sampled_ns) = (commands, net_in, net_out, now);
        }
    }

    fn close_idle(&self) {
        let timeout_ms = self.engine.config.timeout_s() as i64 * 1000;
        if timeout_ms > 0 {
            let now = now_ms();
            for client in self.engine.clients.lock().values() {
                // Replicas and those who only listen say nothing for long times.
                let listens = client.is_subscriber() || client.monitor.load(Relaxed);
                let is_link = client.texts.lock().flags.contains(['S', 'M']);
                let waits = client.waiter.lock().is_some();
                if !is_link && !listens && !waits && now - client.last_active_ms.load(Relaxed) > timeout_ms {
                    client.kill();
                }
            }
        }
    }
}
