//! Active expiry: keys whose time is over are removed although nobody asks for them.
//!
//! A walk over the bucket lines of one shard after the other; buckets tell which of their entries have an expiry, so
//! the others are never touched. A round is bounded in buckets, and one hold of a shard's lock in buckets and removals,
//! so that a shard is held for tens of microseconds. Every removal is a unit of its own in the stream, and like a
//! removal on access no change for the save points: a snapshot carries the expiry itself.

use std::sync::atomic::Ordering::Relaxed;

use crate::engine::{Engine, Freeing, Worker};
use crate::keyspace::{Keyspace, SHARDS};
use crate::mailbox::Sender;

/// Where the walk stands between rounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpireCursor {
    shard: usize,
    db: usize,
    bucket: usize,
}

/// Buckets looked at under one hold of a lock.
const BUCKETS_PER_HOLD: usize = 512;

/// Keys removed under one hold, give or take those of one bucket.
const KEYS_PER_HOLD: usize = 128;

/// What a removal costs a round, in buckets: many at once must not take a core away from the clients.
const REMOVAL_COST: usize = 2;

/// What a hash field that is removed costs a round, in buckets.
const FIELD_COST: usize = 4;

/// What one hold of a lock found.
#[derive(Debug, Default)]
struct Slice {
    /// Names of the keys whose time is over.
    over: Vec<Box<[u8]>>,
    /// Buckets looked at, one for a table without any.
    looked: usize,
    /// The shard has no further database.
    shard_done: bool,
}

impl Engine {
    /// Looks at up to `buckets` buckets from `cursor` on (fewer where it finds much) and deletes what is over; gives the
    /// number of keys deleted. Hash fields that are over are removed too, with a budget of their own.
    /// Only a primary does this: a replica hides what is over, waits for the stream and deletes nothing here.
    pub fn expire_round(&self, worker: &mut Worker, cursor: &mut ExpireCursor, buckets: usize, now_ms: i64) -> u64 {
        let mut deleted = 0;
        let mut seen = 0;
        // One lap at most, so that an almost empty keyspace does not spin.
        let mut laps_left = SHARDS;
        while seen < buckets && laps_left > 0 && !self.state.is_replica.load(Relaxed) && !self.pause_lasts(now_ms) {
            let slice = self.expire_slice(worker, cursor, now_ms);
            seen += slice.looked + slice.over.len() * REMOVAL_COST;
            deleted += slice.over.len() as u64;
            laps_left -= usize::from(slice.shard_done);
        }
        worker.stats.expired.add(deleted);
        if !self.state.is_replica.load(Relaxed) {
            self.expire_fields_round(worker, buckets / FIELD_COST, now_ms);
        }
        deleted
    }

    /// One hold of one shard's lock.
    fn expire_slice(&self, worker: &mut Worker, cursor: &mut ExpireCursor, now_ms: i64) -> Slice {
        let mut effects = std::mem::take(&mut worker.effects);
        let mut keyspace = self.lock(1 << cursor.shard, &mut effects, now_ms);
        keyspace.effects.reset(self.has_sink());
        keyspace.db = cursor.db;
        let slice = cursor.advance(&mut keyspace);
        for name in &slice.over {
            let key = keyspace.key(name);
            keyspace.expire_now(&key);
            keyspace.effects.end_unit();
        }
        self.announce(&mut keyspace, Sender { id: 0, now_ms });
        self.close_hold(keyspace, &mut worker.rng, Freeing::Removed);
        worker.effects = effects;
        slice
    }
}

impl ExpireCursor {
    /// Moves on through the table it stands in, or to the next one.
    fn advance(&mut self, keyspace: &mut Keyspace<'_>) -> Slice {
        let now_ms = keyspace.now_ms;
        let Some(db) = keyspace.shard_mut(self.shard).dbs().get(self.db) else {
            *self = Self { shard: (self.shard + 1) % SHARDS, db: 0, bucket: 0 };
            return Slice { looked: 1, shard_done: true, ..Slice::default() };
        };
        let mut slice = Slice::default();
        let all = if db.table.volatile_len() == 0 { 0 } else { db.table.bucket_count() };
        let end = all.min(self.bucket + BUCKETS_PER_HOLD);
        while self.bucket < end && slice.over.len() < KEYS_PER_HOLD {
            db.table.volatile_in_bucket(self.bucket, &mut |entry| {
                if entry.expire_at().is_some_and(|at| at <= now_ms) {
                    slice.over.push(entry.key().into());
                }
            });
            self.bucket += 1;
            slice.looked += 1;
        }
        if self.bucket >= all {
            *self = Self { db: self.db + 1, bucket: 0, ..*self };
        }
        slice.looked = slice.looked.max(1);
        slice
    }
}
