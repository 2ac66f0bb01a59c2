//! Periodic work on a thread of its own, `hz` times a second: active expiry, memory figures, save points, idle
//! clients, operations per second.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_engine::expire::ExpireCursor;
use quiver_engine::{Engine, Worker};
use tracing::warn;

use crate::clock::{now_ms, now_ns, random_seed};
use crate::host::NodeHost;
use crate::saver::Saver;

/// Buckets one round of expiry may look at, per unit of `active-expire-effort`.
const EXPIRE_BUCKETS: usize = 65_536;

/// Pause between signs of life in the stream (Redis: repl-ping-replica-period, 10 s).
const PING_EVERY_NS: u64 = 10_000_000_000;

struct Cron {
    engine: Arc<Engine>,
    host: NodeHost,
    worker: Worker,
    cursor: ExpireCursor,
    commands: u64,
    net_in: u64,
    net_out: u64,
    sampled_ns: u64,
    pinged_ns: u64,
}

pub(crate) fn start(engine: Arc<Engine>, host: NodeHost) {
    let worker = engine.worker(random_seed(), now_ns);
    let mut cron = Cron {
        engine,
        host,
        worker,
        cursor: ExpireCursor::default(),
        commands: 0,
        net_in: 0,
        net_out: 0,
        sampled_ns: now_ns(),
        pinged_ns: now_ns(),
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
            let buckets = EXPIRE_BUCKETS * self.engine.config.active_expire_effort();
            let (begun_ns, now_ms) = (now_ns(), now_ms());
            self.engine.expire_round(&mut self.worker, &mut self.cursor, buckets, now_ms);
            self.engine.note_latency("expire-cycle", (now_ns() - begun_ns) / 1_000_000, now_ms);
        }
        self.host.measure_memory(&self.engine);
        Saver::at_save_points(&self.host, &self.engine);
        self.sample();
        self.close_idle();
        self.engine.close_slow_readers(now_ms());
        self.engine.trim_tracking(now_ms());
        if now_ns() - self.pinged_ns >= PING_EVERY_NS {
            self.host.stream.ping();
            self.pinged_ns = now_ns();
        }
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
                let is_replica = client.texts.lock().flags.contains('S');
                let waits = client.waiter.lock().is_some();
                if !is_replica && !listens && !waits && now - client.last_active_ms.load(Relaxed) > timeout_ms {
                    client.kill();
                }
            }
        }
    }
}
