//! A consistent cut through the keyspace without a fork.
//!
//! [`Snapshot::begin`] locks every shard for the moment it takes to freeze the tables' geometry and hang a [`DbCut`] on
//! each. From then on whoever is about to change a bucket serialises its old content first, once (copy before change),
//! and the snapshot's own walk serialises the rest bucket by bucket under one shard's lock at a time. What comes out of
//! [`Snapshot::next_chunk`] are self-contained pieces of an RDB body (each opens with SELECTDB), in no particular order,
//! that together are the keyspace at the cut. A table thaws as soon as its walk is over.
//!
//! A long value is written in parts (`parts.rs`), with the lock given back in between. Who wants to change a key whose
//! bucket owes a long value, or would copy while too many copies wait, is asked to come again a moment later
//! ([`DbCut::defers`]); the walk then turns to that bucket first. Nobody is asked so for long while the snapshot makes
//! no progress, and those who cannot wait (transactions, scripts) copy themselves.
//!
//! Invariants: every bucket of every table present at the cut is serialised exactly once, with its content at the cut.
//! One cut runs at a time, and when it ends, finished or given up, no table is frozen and nothing of it stays behind.
//! Nothing stands between two parts of a value.

mod parts;

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use quiver_rdb::{Writer, code};

use crate::codec::{self, Hints};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::eviction::Stamps;
use crate::keyspace::{ALL_SHARDS, KeyEntry, KeyTable, Keyspace, SHARDS, Shard};
use parts::Parts;

/// Bytes serialised under one hold of a shard's lock, give or take one bucket.
const SLICE_BYTES: usize = 64 * 1024;

/// Buckets passed under one hold: those without anything to serialise cost a few nanoseconds each.
const SLICE_BUCKETS: usize = 4096;

/// Copies of writers are handed on in pieces of about this length.
const COPY_BYTES: usize = 256 * 1024;

/// Copies that may always wait; beyond, a share of the memory in use.
const COPIES_MIN: usize = 8 << 20;
const COPIES_SHARE: u64 = 12;

/// A writer is not asked to wait for a snapshot that has made no progress for this long.
const STALL_MS: i64 = 500;

/// How a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOptions {
    /// The time of the cut, ms since 1970.
    pub now_ms: i64,
    /// Compress long strings.
    pub compress: bool,
    /// Ask writers to wait a moment where their copies would be long or too many. Only where the pieces are drawn
    /// swiftly: a file, not a replica's socket.
    pub hold_writers: bool,
}

/// What a cut shares with the writers: their copies.
pub(crate) struct Cut {
    copies: Mutex<Copies>,
    orphans: Mutex<Vec<Orphan>>,
    /// Buckets that writers wait for: shard, database at the cut, bucket.
    wanted: Mutex<Vec<(usize, usize, usize)>>,
    /// Bytes of copies that were not drawn yet, and the most there were.
    waiting: AtomicUsize,
    waiting_peak: AtomicUsize,
    waiting_max: usize,
    /// When a writer was first deferred since the last piece was drawn; 0 for not.
    stalled_since_ms: AtomicI64,
    keys_done: AtomicU64,
    hints: Hints,
    options: CutOptions,
}

#[derive(Default)]
struct Copies {
    full: VecDeque<Vec<u8>>,
    open: Vec<u8>,
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
    /// Long values of a bucket that is done but for them.
    parts: Option<Parts>,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walked {
    /// More buckets follow.
    More,
    /// Part of a value is out; the rest comes next.
    Open,
    /// All is out.
    All,
}

impl Cut {
    fn new(engine: &Engine, options: CutOptions) -> Self {
        let share = engine.host().allocated_bytes() / COPIES_SHARE;
        Self {
            copies: Mutex::default(),
            orphans: Mutex::default(),
            wanted: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_peak: AtomicUsize::new(0),
            waiting_max: COPIES_MIN.max(usize::try_from(share).unwrap_or(usize::MAX)),
            stalled_since_ms: AtomicI64::new(0),
            keys_done: AtomicU64::new(0),
            hints: Hints::of(Stamps::new(options.now_ms, &engine.config)),
            options,
        }
    }

    /// Takes in what a writer has serialised.
    fn copy(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut copies = self.copies.lock();
        if copies.open.capacity() == 0 {
            copies.open.reserve(COPY_BYTES + COPY_BYTES / 8);
        }
        let before = copies.open.len();
        write(&mut copies.open);
        let waiting = self.waiting.fetch_add(copies.open.len() - before, Relaxed) + copies.open.len() - before;
        self.waiting_peak.fetch_max(waiting, Relaxed);
        if copies.open.len() >= COPY_BYTES {
            let full = std::mem::take(&mut copies.open);
            copies.full.push_back(full);
        }
    }

    fn take_copies(&self) -> VecDeque<Vec<u8>> {
        let mut copies = self.copies.lock();
        let mut taken = std::mem::take(&mut copies.full);
        if !copies.open.is_empty() {
            taken.push_back(std::mem::take(&mut copies.open));
        }
        taken
    }

    /// Whether writers may be asked to wait at this time.
    fn may_defer(&self, now_ms: i64) -> bool {
        let since = self.stalled_since_ms.load(Relaxed);
        if since == 0 {
            self.stalled_since_ms.store(now_ms, Relaxed);
        }
        self.options.hold_writers && (since == 0 || now_ms - since < STALL_MS)
    }
}

impl DbCut {
    pub(crate) fn new(cut: Arc<Cut>, db: usize, buckets: usize) -> Self {
        Self { cut, db, done: vec![0; buckets.div_ceil(64)], buckets, next: 0, parts: None }
    }

    /// Serialises the bucket of `hash` unless that was done.
    #[inline]
    pub(crate) fn before_change(&mut self, table: &KeyTable, hash: u64) {
        let bucket = table.bucket_of(hash);
        if self.mark(bucket) {
            let (cut, db) = (&self.cut, self.db);
            cut.copy(|out| write_bucket(cut, out, db, table, bucket, &mut false, None));
        } else if let Some(parts) = &mut self.parts
            && parts.is_of(bucket)
        {
            // Behind what is out of the value nothing but its rest may follow, so it does not go with the copies.
            parts.finish(&self.cut, table);
        }
    }

    /// Whether a change under `hash` is better tried again in a moment: the bucket owes a long value, which the walk
    /// will see to, or there are too many copies already.
    pub(crate) fn defers(&self, table: &KeyTable, shard: usize, hash: u64, now_ms: i64) -> bool {
        let bucket = table.bucket_of(hash);
        if self.is_done(bucket) {
            let open = self.parts.as_ref().is_some_and(|parts| parts.is_of(bucket) && !parts.is_finished());
            return open && self.cut.may_defer(now_ms);
        }
        let mut owes_long = false;
        table.for_each_in_bucket(bucket, &mut |entry| owes_long |= parts::is_worth_waiting_for(&entry.value()));
        if !owes_long {
            return self.cut.waiting.load(Relaxed) > self.cut.waiting_max && self.cut.may_defer(now_ms);
        }
        if !self.cut.may_defer(now_ms) {
            return false;
        }
        let (mut wanted, place) = (self.cut.wanted.lock(), (shard, self.db, bucket));
        if !wanted.contains(&place) {
            wanted.push(place);
        }
        true
    }

    /// Keeps a table that was flushed away, to be serialised from its own copy.
    pub(crate) fn adopt(self, table: KeyTable) {
        let cut = Arc::clone(&self.cut);
        cut.orphans.lock().push((self, table));
    }

    fn is_done(&self, bucket: usize) -> bool {
        self.done[bucket / 64] >> (bucket % 64) & 1 == 1
    }

    /// Marks a bucket; `true` when it was not marked before.
    fn mark(&mut self, bucket: usize) -> bool {
        let fresh = !self.is_done(bucket);
        self.done[bucket / 64] |= 1 << (bucket % 64);
        fresh
    }

    /// Whether part of a value is out and its rest must follow.
    fn is_open(&self) -> bool {
        self.parts.is_some()
    }

    /// Serialises more buckets, until `out` is as long as a slice or enough buckets were passed.
    fn walk(&mut self, table: &KeyTable, out: &mut Vec<u8>) -> Walked {
        if !self.advance_parts(table, out) {
            return Walked::Open;
        }
        let end = self.buckets.min(self.next + SLICE_BUCKETS);
        let mut selected = false;
        while self.next < end && out.len() < SLICE_BYTES {
            let bucket = self.next;
            self.next += 1;
            if !self.serve(table, bucket, out, &mut selected) {
                return Walked::Open;
            }
        }
        if self.next == self.buckets { Walked::All } else { Walked::More }
    }

    /// Serialises a bucket unless that was done; `false` when a long value in it needs more slices.
    fn serve(&mut self, table: &KeyTable, bucket: usize, out: &mut Vec<u8>, selected: &mut bool) -> bool {
        if !self.mark(bucket) {
            return true;
        }
        let mut long = Vec::new();
        write_bucket(&self.cut, out, self.db, table, bucket, selected, Some(&mut long));
        if !long.is_empty() {
            self.parts = Some(Parts::new(self.db, bucket, long));
        }
        self.advance_parts(table, out)
    }

    /// Goes on with long values; `true` when none is left.
    fn advance_parts(&mut self, table: &KeyTable, out: &mut Vec<u8>) -> bool {
        if let Some(parts) = &mut self.parts
            && parts.advance(&self.cut, table, out, SLICE_BYTES)
        {
            self.parts = None;
        }
        self.parts.is_none()
    }
}

/// Appends the entries of a bucket, behind SELECTDB unless that is `selected` already. Where `long` is given, long
/// values are left out and their keys put there.
fn write_bucket(
    cut: &Cut,
    out: &mut Vec<u8>,
    db: usize,
    table: &KeyTable,
    bucket: usize,
    selected: &mut bool,
    mut long: Option<&mut Vec<Box<[u8]>>>,
) {
    let mut keys = 0;
    table.for_each_in_bucket(bucket, &mut |entry: KeyEntry<'_>| {
        keys += 1;
        if let Some(long) = &mut long
            && parts::is_long(&entry.value())
        {
            return long.push(entry.key().into());
        }
        let mut writer = Writer::new(out);
        writer.set_compress(cut.options.compress);
        if !*selected {
            select(&mut writer, db);
            *selected = true;
        }
        codec::write_entry(&mut writer, &entry, cut.hints);
    });
    cut.keys_done.fetch_add(keys, Relaxed);
}

fn select(writer: &mut Writer<'_>, db: usize) {
    writer.byte(code::SELECTDB);
    writer.length(db as u64);
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
    /// The shard whose walk stands in the middle of a value.
    open: Option<usize>,
    /// Copies on their way out.
    copied: VecDeque<Vec<u8>>,
    sizes: Vec<DbSize>,
    field_expiries: bool,
}

impl<E: Deref<Target = Engine>> Snapshot<E> {
    /// Cuts. `at_cut` runs while every shard is locked: what it notes (the stream's offset) belongs to the cut exactly.
    /// It sees the keyspace, too. `None`, without calling it, when another cut is running.
    pub fn begin<T>(engine: E, options: CutOptions, at_cut: impl FnOnce(&Keyspace<'_>) -> T) -> Option<(Self, T)> {
        if !engine.claim_cut() {
            return None;
        }
        let cut = Arc::new(Cut::new(&engine, options));
        let (sizes, field_expiries, noted) = {
            let mut effects = Effects::default();
            let mut keyspace = engine.lock(ALL_SHARDS, &mut effects, options.now_ms);
            keyspace.begin_cut(&cut);
            let dbs = 0..keyspace.dbs_in_use();
            let field_expiries = dbs.clone().any(|db| keyspace.locked_dbs(db).any(|db| db.field_expiries.len() > 0));
            let sizes = dbs.filter_map(|db| {
                let (keys, volatile) = keyspace.db_len(db);
                (keys > 0).then_some(DbSize { db, keys, volatile })
            });
            (sizes.collect(), field_expiries, at_cut(&keyspace))
        };
        Some((Self { engine, cut, shard: 0, open: None, copied: VecDeque::new(), sizes, field_expiries }, noted))
    }

    /// The engine it is of.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether fields of hashes expired at the cut, which servers before Redis 7.4 cannot read.
    pub fn has_field_expiries(&self) -> bool {
        self.field_expiries
    }

    /// The databases that had keys at the cut.
    pub fn sizes(&self) -> &[DbSize] {
        &self.sizes
    }

    /// Keys at the cut.
    pub fn keys_total(&self) -> usize {
        self.sizes.iter().map(|size| size.keys).sum()
    }

    /// Keys serialised so far, by the walk or by writers.
    pub fn keys_done(&self) -> u64 {
        self.cut.keys_done.load(Relaxed)
    }

    /// Bytes of writers' copies that wait to be drawn, and the most that ever waited.
    pub fn copied_bytes(&self) -> (usize, usize) {
        (self.cut.waiting.load(Relaxed), self.cut.waiting_peak.load(Relaxed))
    }

    /// The next piece of the RDB body; `None` when all is out.
    pub fn next_chunk(&mut self) -> Option<Vec<u8>> {
        self.cut.stalled_since_ms.store(0, Relaxed);
        loop {
            // Whatever writers copied goes out after each slice, so their copies do not pile up behind the walk.
            if self.open.is_none()
                && let Some(copy) = self.copied.pop_front()
            {
                self.cut.waiting.fetch_sub(copy.len(), Relaxed);
                return Some(copy);
            }
            let mut out = Vec::with_capacity(SLICE_BYTES + SLICE_BYTES / 8);
            let over = self.advance(&mut out);
            if self.open.is_none() && self.copied.is_empty() {
                self.copied = self.cut.take_copies();
            }
            if !out.is_empty() {
                return Some(out);
            }
            if over && self.copied.is_empty() {
                return None;
            }
        }
    }

    /// One slice; `true` when nothing is left to be walked.
    fn advance(&mut self, out: &mut Vec<u8>) -> bool {
        if let Some(shard) = self.open {
            self.go_on_with_value(shard, out);
            return false;
        }
        let wanted = self.cut.wanted.lock().pop();
        if let Some((shard, db, bucket)) = wanted {
            self.serve_writer(shard, db, bucket, out);
            return false;
        }
        if self.shard < SHARDS {
            self.walk_shard(self.shard, out);
            return false;
        }
        let orphan = self.cut.orphans.lock().pop();
        let Some(orphan) = orphan else { return true };
        self.walk_orphan(orphan, out);
        false
    }

    /// One slice of a shard under its lock. Finished tables are thawed, and the walk goes on to the next shard behind
    /// the last.
    fn walk_shard(&mut self, shard: usize, out: &mut Vec<u8>) {
        let mut walked = Walked::All;
        self.with_shard(shard, |shard| {
            for db in shard.dbs_mut() {
                let Some(cut) = db.cut.as_mut() else { continue };
                walked = cut.walk(&db.table, out);
                if walked != Walked::All {
                    return;
                }
                db.cut = None;
                db.table.freeze(false);
            }
        });
        match walked {
            Walked::All => self.shard += 1,
            Walked::Open => self.open = Some(shard),
            Walked::More => {}
        }
    }

    /// A bucket that a writer waits for.
    fn serve_writer(&mut self, shard: usize, db: usize, bucket: usize, out: &mut Vec<u8>) {
        let mut whole = true;
        self.with_shard(shard, |shard| {
            for known in shard.dbs_mut() {
                if let Some(cut) = known.cut.as_mut().filter(|cut| cut.db == db) {
                    whole = cut.serve(&known.table, bucket, out, &mut false);
                }
            }
        });
        self.open = (!whole).then_some(shard);
    }

    /// The value that stands open, wherever its table is by now.
    fn go_on_with_value(&mut self, shard: usize, out: &mut Vec<u8>) {
        let mut whole = None;
        self.with_shard(shard, |shard| {
            for db in shard.dbs_mut() {
                if let Some(cut) = db.cut.as_mut().filter(|cut| cut.is_open()) {
                    whole = Some(cut.advance_parts(&db.table, out));
                }
            }
        });
        let whole = whole.unwrap_or_else(|| {
            let mut orphans = self.cut.orphans.lock();
            let orphan = orphans.iter_mut().find(|(cut, _)| cut.is_open());
            orphan.is_none_or(|(cut, table)| cut.advance_parts(table, out))
        });
        if whole {
            self.open = None;
        }
    }

    fn walk_orphan(&mut self, (mut cut, table): Orphan, out: &mut Vec<u8>) {
        match cut.walk(&table, out) {
            Walked::All => return,
            Walked::More => {}
            // No shard has it: it will be found among the orphans.
            Walked::Open => self.open = Some(0),
        }
        self.cut.orphans.lock().push((cut, table));
    }

    fn with_shard(&self, shard: usize, act: impl FnOnce(&mut Shard)) {
        let mut effects = Effects::default();
        let mut keyspace: Keyspace<'_> = self.engine.lock(1 << shard, &mut effects, 0);
        act(keyspace.shard_mut(shard));
    }
}

impl<E: Deref<Target = Engine>> Drop for Snapshot<E> {
    fn drop(&mut self) {
        for shard in self.shard..SHARDS {
            self.with_shard(shard, |shard| {
                for db in shard.dbs_mut() {
                    if db.cut.take().is_some() {
                        db.table.freeze(false);
                    }
                }
            });
        }
        // Orphans and the cut own each other; no table has a part in the cut any more, so none can follow.
        let orphans = std::mem::take(&mut *self.cut.orphans.lock());
        drop(orphans);
        self.engine.end_cut();
    }
}
