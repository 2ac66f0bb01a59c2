//! The part this instance plays: whom it follows, and how it looks after its replicas.
//!
//! An order to follow somebody or nobody takes effect on admission at once; the link's thread does the rest. Every order
//! has a term of its own, and what was begun in an older one (a snapshot being loaded, a failover) has no say any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use quiver_engine::effects::Sink;
use quiver_engine::mailbox::OutputClass;
use quiver_engine::{CommandError, Engine};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::{now_ms, random_id};
use crate::failover::Handover;
use crate::host::NodeHost;
use crate::stream::is_too_slow;

/// A primary to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Number of the order.
    pub(crate) term: u64,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Connect,
    Connecting,
    Handshake,
    Transfer,
    Connected,
}

/// What this instance knows of its part.
#[derive(Debug)]
pub(crate) struct Part {
    /// One order at a time.
    orders: Mutex<()>,
    pub(crate) following: watch::Sender<Option<Primary>>,
    pub(crate) handover: Mutex<Handover>,
    pub(crate) link: LinkFacts,
    /// Since when there are no replicas, unix ms.
    alone_since_ms: AtomicI64,
    pinged_ms: AtomicI64,
    ticked_ms: AtomicI64,
}

/// What INFO says of the link to the primary.
#[derive(Debug, Default)]
pub(crate) struct LinkFacts {
    step: AtomicU8,
    pub(crate) last_io_ms: AtomicI64,
    pub(crate) down_since_ms: AtomicI64,
    pub(crate) transferred: AtomicU64,
    /// Length of the snapshot; 0 where only its end will tell.
    pub(crate) transfer_total: AtomicU64,
    /// Bytes received of a command that is not complete.
    pub(crate) unapplied: AtomicU64,
}

/// Bytes of the stream held for a slow replica, whatever the configuration allows.
const HELD_MAX: usize = 1 << 30;

/// Pause between two looks at the replicas.
const TICK_MS: i64 = 1000;

impl Default for Part {
    fn default() -> Self {
        Self {
            orders: Mutex::new(()),
            following: watch::Sender::new(None),
            handover: Mutex::default(),
            link: LinkFacts::default(),
            alone_since_ms: AtomicI64::new(now_ms()),
            pinged_ms: AtomicI64::new(now_ms()),
            ticked_ms: AtomicI64::new(0),
        }
    }
}

// --- whom to follow ---------------------------------------------------------------------------------------------------

impl NodeHost {
    /// The primary to follow, as it changes.
    pub(crate) fn following(&self) -> watch::Receiver<Option<Primary>> {
        self.part.following.subscribe()
    }

    /// REPLICAOF.
    pub(crate) fn replicate_as_told(
        &self,
        engine: &Engine,
        primary: Option<(String, u16)>,
    ) -> Result<(), CommandError> {
        if !matches!(*self.part.handover.lock(), Handover::None) {
            return Err(CommandError::text("ERR REPLICAOF not allowed while failing over."));
        }
        self.order(engine, primary)
    }

    /// Follows somebody or nobody from now on. Nothing here waits for a shard: a transaction may hold locks.
    pub(crate) fn order(&self, engine: &Engine, primary: Option<(String, u16)>) -> Result<(), CommandError> {
        let _one_at_a_time = self.part.orders.lock();
        let text = primary.as_ref().map_or(String::new(), |(host, port)| format!("{host} {port}"));
        if let Err(reason) = engine.config.set("replicaof", &text, false) {
            return Err(CommandError::owned(format!("ERR {reason}")));
        }
        let Some((host, port)) = primary else {
            if self.part.following.borrow().is_some() {
                info!("MASTER MODE enabled");
                self.stream.change(|state| {
                    state.new_term();
                    state.promote(random_id());
                });
                self.part.alone_since_ms.store(now_ms(), Relaxed);
                engine.state.is_replica.store(false, Relaxed);
                self.configure_process(engine);
                self.part.following.send_replace(None);
            }
            return Ok(());
        };
        info!("REPLICAOF {host}:{port} enabled");
        let term = self.stream.change(quiver_replication::Stream::new_term);
        self.note_step(Step::Connect);
        engine.state.link_up.store(false, Relaxed);
        engine.state.is_replica.store(true, Relaxed);
        self.part.link.down_since_ms.store(now_ms(), Relaxed);
        self.configure_process(engine);
        self.part.following.send_replace(Some(Primary { host, port, term }));
        engine.unblock_all();
        Ok(())
    }

    pub(crate) fn note_step(&self, step: Step) {
        self.part.link.step.store(step as u8, Relaxed);
        if step == Step::Transfer {
            self.part.link.transferred.store(0, Relaxed);
            self.part.link.transfer_total.store(0, Relaxed);
        }
    }

    pub(crate) fn note_link_io(&self) {
        self.part.link.last_io_ms.store(now_ms(), Relaxed);
    }

    pub(crate) fn note_link_down(&self) {
        let was = self.part.link.step.swap(Step::Connect as u8, Relaxed);
        if was == Step::Connected as u8 {
            self.part.link.down_since_ms.store(now_ms(), Relaxed);
        }
        self.note_unapplied(0);
    }

    /// Bytes of a snapshot came; `total` is its length, where that is known.
    pub(crate) fn note_transfer(&self, bytes: u64, total: Option<u64>) {
        self.part.link.transferred.fetch_add(bytes, Relaxed);
        if let Some(total) = total {
            self.part.link.transfer_total.store(total, Relaxed);
        }
    }

    pub(crate) fn note_unapplied(&self, bytes: u64) {
        self.part.link.unapplied.store(bytes, Relaxed);
    }

    pub(crate) fn step(&self) -> usize {
        usize::from(self.part.link.step.load(Relaxed))
    }
}

// --- periodic work ----------------------------------------------------------------------------------------------------

impl NodeHost {
    /// Called several times a second.
    pub(crate) fn tend_replication(&self, engine: &Engine) {
        self.advance_failover(engine);
        let now_ms = now_ms();
        if now_ms - self.part.ticked_ms.load(Relaxed) < TICK_MS {
            return;
        }
        self.part.ticked_ms.store(now_ms, Relaxed);
        self.tend_replicas(engine, now_ms);
        if self.stream.replica_count() > 0 {
            self.part.alone_since_ms.store(now_ms, Relaxed);
            let every_ms = engine.config.repl_ping_replica_period_s() as i64 * 1000;
            // While a failover waits for the end of the stream that must not move.
            if now_ms - self.part.pinged_ms.load(Relaxed) >= every_ms && !engine.state.failing_over.load(Relaxed) {
                self.stream.ping();
                self.part.pinged_ms.store(now_ms, Relaxed);
            }
        } else if self.backup.is_running() {
            // It reads the stream as a replica does.
            self.part.alone_since_ms.store(now_ms, Relaxed);
        } else {
            self.forget_stream(engine, now_ms);
        }
    }

    /// Counts the replicas that keep up, and closes those that do not.
    pub(crate) fn tend_replicas(&self, engine: &Engine, now_ms: i64) {
        let config = &engine.config;
        let limit = config.output_limits.of(OutputClass::Replica);
        // What is remembered anyway costs nothing to hold back.
        let soft = if limit.soft == 0 { 0 } else { limit.soft.max(config.repl_backlog_size() as u64) };
        let (timeout_s, max_lag_s) = (config.repl_timeout_s() as i64, config.min_replicas_max_lag_s());
        let (end, mut good) = (self.stream.end(), 0);
        self.stream.update_replicas(|replica| {
            if !replica.is_online() {
                return;
            }
            good += usize::from(replica.lag_s(now_ms) <= max_lag_s);
            let behind = replica.sent.map_or(0, |sent| end.saturating_sub(sent));
            if replica.lag_s(now_ms) > timeout_s {
                warn!("Disconnecting timedout replica (streaming sync): {}:{}", replica.ip, replica.port);
                replica.client.kill();
            } else if is_too_slow(replica, behind, soft, limit.soft_s, now_ms) {
                warn!("replica {}:{} is {behind} bytes behind and is closed", replica.ip, replica.port);
                engine.close_slow(&replica.client);
            }
        });
        let needed = config.min_replicas_to_write();
        engine.state.few_replicas.store(needed > 0 && max_lag_s > 0 && good < needed, Relaxed);
    }

    /// Remembers as much of the stream as configured: what every replica shares, and up to what a slow one may hold
    /// back.
    pub(crate) fn size_backlog(&self, engine: &Engine) {
        if self.stream.point().is_some() {
            let (capacity, limit) = backlog_sizes(engine);
            self.stream.state().remember(capacity, limit);
        }
    }

    /// Remembers the stream no longer when nobody has read it for `repl-backlog-ttl`.
    fn forget_stream(&self, engine: &Engine, now_ms: i64) {
        let ttl_s = engine.config.repl_backlog_ttl_s();
        let alone_ms = now_ms - self.part.alone_since_ms.load(Relaxed);
        let remembered = self.stream.point().is_some() && self.part.following.borrow().is_none();
        if remembered && ttl_s > 0 && alone_ms / 1000 > ttl_s {
            info!("Replication backlog freed after {} seconds without connected replicas.", alone_ms / 1000);
            let _starting = self.starting.lock();
            if self.stream.replica_count() == 0 {
                // The log goes on reading what turns yield.
                let sink = self.log.is_on().then(|| Arc::clone(&self.stream) as Arc<dyn Sink>);
                engine.set_sink(sink, || self.stream.change(|state| state.forget(random_id())));
            }
        }
    }

    /// Replicas that keep up.
    pub(crate) fn good_replicas(&self, engine: &Engine) -> usize {
        let max_lag_s = engine.config.min_replicas_max_lag_s();
        self.stream.replicas().iter().filter(|r| r.is_online() && r.lag_s(now_ms()) <= max_lag_s).count()
    }
}

/// Bytes of the stream that are remembered, and up to how many where a replica needs them.
pub(crate) fn backlog_sizes(engine: &Engine) -> (usize, usize) {
    let hard = engine.config.output_limits.of(OutputClass::Replica).hard as usize;
    (engine.config.repl_backlog_size(), if hard == 0 { HELD_MAX } else { hard.min(HELD_MAX) })
}
