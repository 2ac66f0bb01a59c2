//! Active expiry: keys whose time is over are removed although nobody asks for them.
//!
//! A walk over the bucket lines of one shard after the other; buckets tell which of their entries have an expiry, so
//! the others are never touched. A round is bounded in buckets, so a shard is held for microseconds.

use crate::engine::{Engine, Worker};
use crate::keyspace::SHARDS;

/// Where the walk stands between rounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpireCursor {
    shard: usize,
    db: usize,
    bucket: usize,
}

/// Buckets looked at under one hold of a lock.
const BUCKETS_PER_HOLD: usize = 512;

impl Engine {
    /// Looks at up to `buckets` buckets from `cursor` on and deletes what is over; gives the number of keys deleted.
    /// Only a primary does this: a replica waits for the stream.
    pub fn expire_round(&self, worker: &mut Worker, cursor: &mut ExpireCursor, buckets: usize, now_ms: i64) -> u64 {
        let mut deleted = 0;
        let mut seen = 0;
        // One lap at most, so that an almost empty keyspace does not spin.
        let mut laps_left = SHARDS;
        while seen < buckets && laps_left > 0 {
            let (looked, expired, wrapped) = self.expire_slice(worker, cursor, now_ms);
            seen += looked;
            deleted += expired;
            laps_left -= usize::from(wrapped);
        }
        worker.stats.expired.add(deleted);
        worker.stats.dirty.add(deleted);
        deleted
    }

    /// One hold of one shard's lock; gives buckets seen, keys deleted, and whether the shard is finished.
    fn expire_slice(&self, worker: &mut Worker, cursor: &mut ExpireCursor, now_ms: i64) -> (usize, u64, bool) {
        let mut effects = std::mem::take(&mut worker.effects);
        let mut keyspace = self.lock(1 << cursor.shard, &mut effects, now_ms);
        keyspace.effects.reset(self.has_sink());
        let mut over: Vec<Box<[u8]>> = Vec::new();
        let mut looked = 1;
        let shard = keyspace.shard_mut(cursor.shard);
        let db_number = cursor.db;
        let finished = match shard.dbs().get(cursor.db) {
            None => true,
            Some(db) => {
                let all = if db.table.volatile_len() == 0 { 0 } else { db.table.bucket_count() };
                let end = all.min(cursor.bucket + BUCKETS_PER_HOLD);
                for bucket in cursor.bucket..end {
                    db.table.volatile_in_bucket(bucket, &mut |entry| {
                        if entry.expire_at().is_some_and(|at| at <= now_ms) {
                            over.push(entry.key().into());
                        }
                    });
                }
                looked += end.saturating_sub(cursor.bucket);
                cursor.bucket = end;
                if end >= all {
                    (cursor.db, cursor.bucket) = (cursor.db + 1, 0);
                }
                false
            }
        };
        if finished {
            *cursor = ExpireCursor { shard: (cursor.shard + 1) % SHARDS, db: 0, bucket: 0 };
        }
        keyspace.db = db_number;
        for name in &over {
            let key = keyspace.key(name);
            keyspace.expire_now(&key);
            keyspace.effects.end_unit();
        }
        self.deliver(keyspace.effects);
        let garbage = std::mem::take(&mut keyspace.garbage);
        drop(keyspace);
        if !garbage.is_empty() {
            self.host().free_later(garbage);
        }
        worker.effects = effects;
        (looked, over.len() as u64, finished)
    }
}
