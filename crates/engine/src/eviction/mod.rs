//! Eviction: keys go when memory is over `maxmemory`
//! (<https://redis.io/docs/latest/develop/reference/eviction>).
//!
//! Before commands run, and before their locks are taken, the thread that finds memory over the limit evicts: it draws a
//! shard at random, weighted by its keys, looks at a few of them under that shard's lock, offers them to its pool of
//! candidates (`pool.rs`) and evicts the best. Threads do this independently of each other. One round is bounded in time
//! (`maxmemory-eviction-tenacity`); what is left is for the next commands and the periodic work.
//!
//! An eviction is a unit of its own in the stream, so replicas never choose for themselves. It counts neither as a change
//! for the save points nor as an expiry.
//!
//! Not done here: measuring memory (`gauge.rs` keeps what the host and the turns tell).

mod clients;
mod gauge;
pub mod policy;
mod pool;

use std::sync::atomic::Ordering::Relaxed;

use quiver_structures::EntryRef;

pub use gauge::Gauge;
pub(crate) use gauge::Told;
pub use policy::{Order, Policy, Stamps};

use crate::engine::{Engine, Freeing, Worker};
use crate::keyspace::{KeyHasher, KeyTable, Keyspace, SHARDS};
use crate::mailbox::Sender;
use crate::object::Object;
use crate::rng::Rng;
use pool::Pool;

/// Whether commands that need memory may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Memory is within the limit, or the limit does not hold here.
    Enough,
    /// Memory is over the limit, and on its way down.
    Soon,
    /// Nothing can be evicted.
    None,
}

/// Buckets looked at under one hold of a lock, where few entries have an expiry.
const BUCKETS_PER_HOLD: usize = 256;

/// Evictions after which the shards' sizes are read again.
const WEIGHTS_KEPT: usize = 256;

/// What a thread remembers between evictions.
#[derive(Debug)]
pub(crate) struct Evictor {
    policy: Policy,
    pool: Pool,
    /// Keys the policy is about, by shard.
    weights: [usize; SHARDS],
    weights_left: usize,
    /// Where a search for entries with an expiry goes on: shard, database, bucket.
    place: Option<(usize, usize, usize)>,
}

impl Default for Evictor {
    fn default() -> Self {
        let policy = Policy { order: Order::None, volatile_only: false };
        Self { policy, pool: Pool::default(), weights: [0; SHARDS], weights_left: 0, place: None }
    }
}

impl Engine {
    /// Whether memory is over the limit; clears the mark that makes commands ask when it is not.
    fn is_over(&self) -> bool {
        let over = self.memory.excess(self.config.maxmemory()) > 0;
        self.state.over_memory.store(over, Relaxed);
        over
    }

    /// Notes the memory a thread allocated or freed.
    #[inline]
    pub(crate) fn note_memory(&self, told: &mut Told, net_bytes: i64) {
        if self.memory.report(told, net_bytes, false) {
            self.is_over();
        }
    }

    /// Tells the engine what the allocator says is in use, and how much of it belongs to replicas.
    pub fn set_memory(&self, used: u64, not_counted: u64) {
        self.memory.set(used, not_counted);
        self.is_over();
    }

    /// Evicts for as long as one round may take if memory is over the limit. No shard may be locked by the caller.
    pub fn make_room(&self, worker: &mut Worker, now_ms: i64) -> Room {
        self.memory.report(&mut worker.told, (worker.take_net_bytes)(), true);
        let replica = self.state.is_replica.load(Relaxed) && self.config.replica_ignore_maxmemory();
        let held = self.state.loading.load(Relaxed) || self.pause_lasts(now_ms);
        if replica || held || !self.is_over() {
            return Room::Enough;
        }
        let policy = self.config.maxmemory_policy();
        if policy.order == Order::None {
            return Room::None;
        }
        let mut evictor = std::mem::take(&mut worker.evictor);
        evictor.follow(policy);
        let room = self.evict_round(&mut evictor, worker, now_ms);
        worker.evictor = evictor;
        self.memory.note_exceeded(room == Room::Soon, (worker.clock_ns)());
        room
    }

    fn evict_round(&self, evictor: &mut Evictor, worker: &mut Worker, now_ms: i64) -> Room {
        let started_ns = (worker.clock_ns)();
        let budget_ns = budget_ns(self.config.maxmemory_eviction_tenacity());
        // What was evicted and waits to be freed is not evicted a second time by taking more.
        while (worker.clock_ns)().saturating_sub(started_ns) <= budget_ns {
            if self.host().lazy_free().evicted_pending > 0 {
                std::thread::yield_now();
            } else {
                let evicted = evictor.step(self, worker, now_ms);
                self.memory.report(&mut worker.told, (worker.take_net_bytes)(), true);
                let Some(evicted) = evicted else { return Room::None };
                worker.stats.evicted.add(u64::from(evicted));
            }
            if !self.is_over() {
                return Room::Enough;
            }
        }
        Room::Soon
    }
}

/// How long a round may last: linear up to half a millisecond at the default of 10, then exponential, then without end.
fn budget_ns(tenacity: usize) -> u64 {
    match tenacity {
        0..=10 => 50_000 * tenacity as u64,
        11..=99 => (500_000.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

impl Evictor {
    /// Forgets what was gathered under another policy.
    fn follow(&mut self, policy: Policy) {
        if self.policy != policy {
            *self = Self { policy, ..Self::default() };
        }
    }

    /// Looks at some keys and evicts the best candidate; `None` when there is no key to evict. `false`: none yet.
    fn step(&mut self, engine: &Engine, worker: &mut Worker, now_ms: i64) -> Option<bool> {
        if self.weights_left == 0 || self.weights.iter().all(|weight| *weight == 0) {
            self.weigh(engine, worker, now_ms);
        }
        let shard = match self.place {
            Some((shard, ..)) => shard,
            None => self.draw_shard(&mut worker.rng)?,
        };
        let mut effects = std::mem::take(&mut worker.effects);
        let mut ks = engine.lock(1 << shard, &mut effects, now_ms);
        ks.effects.reset(engine.has_sink());
        self.sample(&ks, shard, engine.config.maxmemory_samples(), &mut worker.rng);
        let mut evicted = false;
        while !evicted && let Some(best) = self.pool.take() {
            let key = KeyHasher.key(&best.key);
            if ks.locked() & key.shard_set() == 0 {
                ks.lock_only(key.shard);
            }
            ks.db = best.db;
            if self.still_deserves(&ks, &best) {
                ks.evict_now(&key, engine.config.lazyfree_lazy_eviction());
                ks.effects.end_unit();
                evicted = true;
                self.weights[key.shard] = self.weights[key.shard].saturating_sub(1);
                self.weights_left = self.weights_left.saturating_sub(1);
            }
        }
        engine.announce(&mut ks, Sender { id: 0, now_ms });
        engine.close_hold(ks, &mut worker.rng, Freeing::Evicted);
        worker.effects = effects;
        Some(evicted)
    }

    /// Whether a candidate is there and was not used since it was offered.
    fn still_deserves(&self, ks: &Keyspace<'_>, best: &pool::Candidate) -> bool {
        ks.stored(&KeyHasher.key(&best.key)).is_some_and(|entry| {
            let volatile = !self.policy.volatile_only || entry.expire_at().is_some();
            volatile && (self.policy.order == Order::Random || ks.stamps.score(&entry) >= best.score)
        })
    }

    /// Reads how many keys each shard has.
    fn weigh(&mut self, engine: &Engine, worker: &mut Worker, now_ms: i64) {
        for shard in 0..SHARDS {
            let ks = engine.lock(1 << shard, &mut worker.effects, now_ms);
            self.weights[shard] = ks.tables(shard).map(|(_, table)| self.weight_of(table)).sum();
        }
        self.weights_left = WEIGHTS_KEPT;
    }

    fn weight_of(&self, table: &KeyTable) -> usize {
        if self.policy.volatile_only { table.volatile_len() } else { table.len() }
    }

    /// A shard, drawn by weight; `None` when none has a key.
    fn draw_shard(&self, rng: &mut Rng) -> Option<usize> {
        draw(self.weights.iter().copied().enumerate(), rng)
    }

    /// Offers some entries of the shard to the pool.
    fn sample(&mut self, ks: &Keyspace<'_>, shard: usize, wanted: usize, rng: &mut Rng) {
        let place = self.place.take().map(|(_, db, bucket)| (db, bucket));
        let drawn = place.or_else(|| {
            let db = draw(ks.tables(shard).map(|(db, table)| (db, self.weight_of(table))), rng)?;
            Some((db, rng.next() as usize))
        });
        let Some((db, start)) = drawn else {
            // The shard was emptied since it was weighed.
            self.weights[shard] = 0;
            return;
        };
        let Some((_, table)) = ks.tables(shard).find(|(number, _)| *number == db) else { return };
        if self.weight_of(table) == 0 {
            return;
        }
        let buckets = table.bucket_count();
        let random_order = self.policy.order == Order::Random;
        let (mut seen, mut looked) = (0, 0);
        while seen < wanted && looked < buckets.min(BUCKETS_PER_HOLD) {
            let mut offer = |entry: EntryRef<'_, Object>| {
                seen += 1;
                // Among random candidates a random score decides.
                let score = if random_order { rng.next() } else { ks.stamps.score(&entry) };
                self.pool.offer(score, db, entry.key());
            };
            let bucket = start.wrapping_add(looked) % buckets;
            if self.policy.volatile_only {
                table.volatile_in_bucket(bucket, &mut offer);
            } else {
                table.for_each_in_bucket(bucket, &mut offer);
            }
            looked += 1;
        }
        if seen == 0 {
            self.place = Some((shard, db, start.wrapping_add(looked) % buckets));
        }
    }
}

/// One of the items, drawn by weight.
fn draw(items: impl Iterator<Item = (usize, usize)> + Clone, rng: &mut Rng) -> Option<usize> {
    let total: usize = items.clone().map(|(_, weight)| weight).sum();
    let mut rank = rng.below(total);
    let mut items = items;
    items.find_map(|(item, weight)| {
        let found = rank < weight;
        rank = rank.saturating_sub(weight);
        found.then_some(item)
    })
}
