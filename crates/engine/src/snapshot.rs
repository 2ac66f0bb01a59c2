//! A consistent cut through the keyspace without a fork.
//!
//! [`Snapshot::begin`] locks every shard for the moment it takes to freeze the tables' geometry and hang a [`DbCut`] on
//! each. From then on whoever is about to change a bucket serialises its old content first, once (copy before change),
//! and the snapshot's own walk serialises the rest bucket by bucket under one shard's lock at a time. What comes out of
//! [`Snapshot::next_chunk`] are self-contained pieces of an RDB body (each opens with SELECTDB), in no particular order,
//! that together are the keyspace at the cut. A table thaws as soon as its walk is over.
//!
//! Invariants: every bucket of every table present at the cut is serialised exactly once, with its content at the cut.
//! One cut runs at a time, and when it ends, finished or given up, no table is frozen and nothing of it stays behind.
//! Copies of writers wait in memory until the next chunk is drawn; at worst the data set once.
//!
//! Not done here: a single large value is not sliced, so its bucket is serialised under one hold of the lock.

use std::ops::Deref;
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
    orphans: Mutex<Vec<Orphan>>,
    compress: bool,
}

/// A table that left the keyspace before its walk was over.
type Orphan = (DbCut, KeyTable);

/// A table's part in a cut: which buckets are serialised.
pub(crate) struct DbCut {
    cut: Arc<Cut>,
    db: usize,
    /// One bit per bucket.
    done: Vec<u64>,
    buckets: usize,
    /// The walk stands here; bits below are set.
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
            let mut copies = self.cut.copies.lock();
            write_bucket(&mut copies, self.db, table, bucket, self.cut.compress, &mut false);
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

    /// Serialises more buckets, until `out` is as long as a slice or enough buckets were passed; `true` when none is
    /// left.
    fn walk(&mut self, table: &KeyTable, out: &mut Vec<u8>) -> bool {
        let end = self.buckets.min(self.next + SLICE_BUCKETS);
        let mut selected = false;
        while self.next < end && out.len() < SLICE_BYTES {
            let bucket = self.next;
            self.next += 1;
            if self.mark(bucket) {
                write_bucket(out, self.db, table, bucket, self.cut.compress, &mut selected);
            }
        }
        self.next == self.buckets
    }
}

/// Appends the entries of a bucket, behind SELECTDB unless that is `selected` already.
fn write_bucket(out: &mut Vec<u8>, db: usize, table: &KeyTable, bucket: usize, compress: bool, selected: &mut bool) {
    table.for_each_in_bucket(bucket, &mut |entry: KeyEntry<'_>| {
        let mut writer = Writer::new(out);
        writer.set_compress(compress);
        if !*selected {
            writer.byte(code::SELECTDB);
            writer.length(db as u64);
            *selected = true;
        }
        codec::write_entry(&mut writer, &entry);
    });
}

/// The size of a database at the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DbSize {
    /// Number of the database.
    pub db: usize,
    /// Keys, expired ones that were not removed yet included.
    pub keys: usize,
    /// Those with an expiry.
    pub volatile: usize,
}

/// A running snapshot of an engine, which is borrowed or shared. Dropping it early gives it up.
pub struct Snapshot<E: Deref<Target = Engine>> {
    engine: E,
    cut: Arc<Cut>,
    shard: usize,
    orphan: Option<Orphan>,
    sizes: Vec<DbSize>,
}

/// Bytes serialised under one hold of a shard's lock, give or take one bucket.
const SLICE_BYTES: usize = 64 * 1024;

/// Buckets passed under one hold: those without anything to serialise cost a few nanoseconds each.
const SLICE_BUCKETS: usize = 4096;

impl<E: Deref<Target = Engine>> Snapshot<E> {
    /// Cuts. `at_cut` runs while every shard is locked: what it notes (the stream's offset) belongs to the cut exactly.
    /// It sees the keyspace, too. `None`, without calling it, when another cut is running.
    pub fn begin<T>(
        engine: E,
        now_ms: i64,
        compress: bool,
        at_cut: impl FnOnce(&Keyspace<'_>) -> T,
    ) -> Option<(Self, T)> {
        if !engine.claim_cut() {
            return None;
        }
        let cut = Arc::new(Cut { compress, ..Cut::default() });
        let (sizes, noted) = {
            let mut effects = Effects::default();
            let mut keyspace = engine.lock(ALL_SHARDS, &mut effects, now_ms);
            keyspace.begin_cut(&cut);
            let sizes = (0..keyspace.dbs_in_use()).filter_map(|db| {
                let (keys, volatile) = keyspace.db_len(db);
                (keys > 0).then_some(DbSize { db, keys, volatile })
            });
            (sizes.collect(), at_cut(&keyspace))
        };
        Some((Self { engine, cut, shard: 0, orphan: None, sizes }, noted))
    }

    /// The databases that had keys at the cut.
    pub fn sizes(&self) -> &[DbSize] {
        &self.sizes
    }

    /// Keys at the cut.
    pub fn keys_total(&self) -> usize {
        self.sizes.iter().map(|size| size.keys).sum()
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
        let mut copies = std::mem::take(&mut *self.cut.copies.lock());
        if out.is_empty() {
            out = copies
        } else {
            out.append(&mut copies)
        }
        while out.len() < SLICE_BYTES && self.shard == SHARDS {
            let orphan = self.orphan.take().or_else(|| self.cut.orphans.lock().pop());
            let Some((mut cut, table)) = orphan else { break };
            if !cut.walk(&table, &mut out) {
                self.orphan = Some((cut, table));
            }
        }
        (!out.is_empty()).then_some(out)
    }

    /// One slice of the current shard under its lock; `true` when the shard is finished and thawed.
    fn walk_shard(&self, out: &mut Vec<u8>) -> bool {
        let mut effects = Effects::default();
        let mut keyspace: Keyspace<'_> = self.engine.lock(1 << self.shard, &mut effects, 0);
        for db in keyspace.shard_mut(self.shard).dbs_mut() {
            let Some(cut) = db.cut.as_mut() else { continue };
            if !cut.walk(&db.table, out) {
                return false;
            }
            db.cut = None;
            db.table.freeze(false);
        }
        true
    }
}

impl<E: Deref<Target = Engine>> Drop for Snapshot<E> {
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
        // Orphans and the cut own each other; no table has a part in the cut any more, so none can follow.
        let orphans = std::mem::take(&mut *self.cut.orphans.lock());
        drop(orphans);
        self.engine.end_cut();
    }
}
