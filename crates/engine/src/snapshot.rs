//! A consistent cut through the keyspace without a fork.
//!
//! [`Snapshot::begin`] locks every shard for the moment it takes to freeze the tables' geometry and hang a [`DbCut`] on
//! each. From then on whoever is about to change a bucket serialises its old content first, once (copy before change),
//! and the snapshot's own walk serialises the rest bucket by bucket under one shard's lock at a time. What comes out of
//! [`Snapshot::next_chunk`] are self-contained pieces of an RDB body (each opens with SELECTDB), in no particular order,
//! that together are the keyspace at the cut. A table thaws as soon as its walk is over.
//!
//! Invariant: every bucket of every table present at the cut is serialised exactly once, with its content at the cut.
//! One cut runs at a time. Copies of writers wait in memory until the next chunk is drawn; at worst the data set once.

use std::sync::Arc;

use parking_lot::Mutex;
use quiver_rdb::{Writer, code};

use crate::codec;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::keyspace::{ALL_SHARDS, KeyEntry, KeyTable, Keyspace, SHARDS};

/// What a cut shares with the writers: their copies.
#[derive(Default)]
pub(crate) struct Cut {
    copies: Mutex<Vec<u8>>,
    orphans: Mutex<Vec<(DbCut, KeyTable)>>,
    compress: bool,
}

/// A table's part in a cut: which buckets are serialised.
pub(crate) struct DbCut {
    cut: Arc<Cut>,
    db: usize,
    done: Vec<u64>,
    buckets: usize,
    /// Entries serialised, for the progress shown.
    next: usize,
}

impl DbCut {
    pub(crate) fn new(cut: Arc<Cut>, db: usize, buckets: usize) -> Self {
        Self { cut, db, done: vec![0; buckets.div_ceil(64)], buckets, next: 0 }
    }

    /// Serialises the bucket of `hash` unless that was done.
    #[inline]
    pub(crate) fn before_change(&mut self, table: &KeyTable, hash: u64) {
        let bucket = table.bucket_of(hash);
        if self.mark(bucket) {
            let cut = Arc::clone(&self.cut);
            let mut copies = cut.copies.lock();
            write_bucket(&mut copies, self.db, table, bucket, cut.compress);
        }
    }

    /// Keeps a table that was flushed away, to be serialised from its own copy.
    pub(crate) fn adopt(self, table: KeyTable) {
        let cut = Arc::clone(&self.cut);
        cut.orphans.lock().push((self, table));
    }

    /// Marks a bucket; `true` when it was not marked before.
    fn mark(&mut self, bucket: usize) -> bool {
        let (word, bit) = (bucket / 64, 1u64 << (bucket % 64));
        let fresh = self.done[word] & bit == 0;
        self.done[word] |= bit;
        fresh
    }

    /// Serialises more buckets until `out` holds about `budget_bytes`; `true` when none is left.
    fn walk(&mut self, table: &KeyTable, out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        while self.next < self.buckets {
            if out.len() >= budget_bytes {
                return false;
            }
            let bucket = self.next;
            self.next += 1;
            if self.mark(bucket) {
                write_bucket(out, self.db, table, bucket, self.cut.compress);
            }
        }
        true
    }
}

fn write_bucket(out: &mut Vec<u8>, db: usize, table: &KeyTable, bucket: usize, compress: bool) {
    let mut first = true;
    table.for_each_in_bucket(bucket, &mut |entry: KeyEntry<'_>| {
        let mut writer = Writer::new(out);
        writer.set_compress(compress);
        if first {
            writer.byte(code::SELECTDB);
            writer.length(db as u64);
            first = false;
        }
        codec::write_entry(&mut writer, &entry);
    });
}

/// A running snapshot. Dropping it early gives it up.
pub struct Snapshot<'e> {
    engine: &'e Engine,
    cut: Arc<Cut>,
    shard: usize,
    keys_total: usize,
}

/// Bytes serialised under one hold of a shard's lock.
const SLICE_BYTES: usize = 64 * 1024;

impl<'e> Snapshot<'e> {
    /// Cuts. `at_cut` runs while every shard is locked: what it notes (the stream's offset) belongs to the cut exactly.
    /// `None` when another cut is running.
    pub fn begin<T>(engine: &'e Engine, now_ms: i64, compress: bool, at_cut: impl FnOnce() -> T) -> Option<(Self, T)> {
        if !engine.claim_cut() {
            return None;
        }
        let cut = Arc::new(Cut { compress, ..Cut::default() });
        let mut effects = Effects::default();
        let mut keyspace = engine.lock(ALL_SHARDS, &mut effects, now_ms);
        keyspace.begin_cut(&cut);
        let keys_total = (0..keyspace.dbs_in_use()).map(|db| keyspace.db_len(db).0).sum();
        let noted = at_cut();
        drop(keyspace);
        Some((Self { engine, cut, shard: 0, keys_total }, noted))
    }

    /// Keys at the cut.
    pub fn keys_total(&self) -> usize {
        self.keys_total
    }

    /// Share of the walk that is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        self.shard as f64 / SHARDS as f64
    }

    /// The next piece of the RDB body; `None` when all is out.
    pub fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < SLICE_BYTES && self.shard < SHARDS {
            if self.walk_shard(&mut out) {
                self.shard += 1;
            }
        }
        // Whatever writers copied meanwhile goes out with this piece, so their copies never pile up behind the walk.
        out.append(&mut self.cut.copies.lock());
        if out.is_empty() {
            let (mut orphan, table) = self.cut.orphans.lock().pop()?;
            while !orphan.walk(&table, &mut out, usize::MAX) {}
            if out.is_empty() {
                return self.next_chunk();
            }
        }
        Some(out)
    }

    /// One slice of the current shard under its lock; `true` when the shard is finished and thawed.
    fn walk_shard(&self, out: &mut Vec<u8>) -> bool {
        let mut effects = Effects::default();
        let mut keyspace: Keyspace<'_> = self.engine.lock(1 << self.shard, &mut effects, 0);
        for db in keyspace.shard_mut(self.shard).dbs_mut() {
            let Some(cut) = db.cut.as_mut().filter(|cut| Arc::ptr_eq(&cut.cut, &self.cut)) else { continue };
            if !cut.walk(&db.table, out, SLICE_BYTES) {
                return false;
            }
            db.cut = None;
            db.table.freeze(false);
        }
        true
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let mut effects = Effects::default();
        for shard in self.shard..SHARDS {
            let mut keyspace = self.engine.lock(1 << shard, &mut effects, 0);
            for db in keyspace.shard_mut(shard).dbs_mut() {
                if db.cut.take().is_some() {
                    db.table.freeze(false);
                }
            }
        }
        self.engine.end_cut();
    }
}
