//! Keeping indexes current: what changed is noted under the locks of its turn and looked at later.
//!
//! Three look: whoever asks an index, the background thread, and a writer when too many keys wait. Each takes the content
//! of an index and tries for the shards; a turn that holds all shards looks at them in place.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Search;
use super::definition::Definition;
use super::extract::look;
use super::index::{LOOKS_PER_HOLD, Mark, Scan, SearchIndex, Step};
use crate::effects::Effects;
use crate::engine::{Engine, Freeing};
use crate::keyspace::{ALL_SHARDS, Key, Keyspace, SHARDS};
use crate::mailbox::Sender;

/// How long who holds an index's content waits for a shard. Ordinary holds are far shorter.
const PATIENCE: Duration = Duration::from_micros(500);

/// Keys of database 0 up to which a new index notes them all at once.
const SCAN_AT_ONCE: usize = 10_000;

/// Keys that may wait for an index before writers look at some themselves.
const WAITING_MAX: usize = 10_000;

/// Keys such a writer looks at after each turn: more than it may have added with most commands, and soon done.
const LOOKS_OF_WRITERS: usize = 4;

/// Keys that may wait when the scan goes on.
const SCAN_AHEAD: usize = 4096;

/// Buckets a step of the scan visits under one hold of a shard.
const SCAN_BUCKETS: usize = 512;

/// Pause after somebody else had what was needed.
const PAUSE: Duration = Duration::from_micros(200);

impl Search {
    /// Notes that a key changed, under its shard's lock.
    #[inline]
    pub(crate) fn note(&self, db: usize, name: &[u8]) {
        if db == 0 && self.is_active() {
            self.note_in_all(name);
        }
    }

    #[inline(never)]
    fn note_in_all(&self, name: &[u8]) {
        let waiting = self.set.read().indexes().map(|index| index.note(name)).max().unwrap_or(0);
        if waiting == 0 {
            return;
        }
        if waiting > WAITING_MAX {
            self.behind.store(true, Relaxed);
        }
        if self.news.fetch_add(1, Relaxed) == 0 {
            self.arrived.notify_one();
        }
    }

    /// Lets the background thread sleep until something came, for so long at most.
    pub fn wait_for_news(&self, at_most: Duration) {
        let mut gate = self.gate.lock();
        if self.news.load(Relaxed) == 0 {
            self.arrived.wait_for(&mut gate, at_most);
        }
    }

    /// Whether too many keys wait, so that who writes should look at some.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Relaxed)
    }

    /// Lets every index look at all keys again: another database has taken the place of database 0.
    pub(crate) fn rescan(&self) {
        for index in self.set.read().indexes() {
            index.empty();
            *index.scan.lock() = Some(Scan::default());
        }
        self.news.fetch_add(1, Relaxed);
        self.arrived.notify_one();
    }

    /// Notes the keys that were there before an index, or begins to walk over them. The caller holds all shards.
    pub(crate) fn begin_scan(&self, index: &SearchIndex, ks: &Keyspace<'_>) {
        if ks.db_len(0).0 > SCAN_AT_ONCE {
            *index.scan.lock() = Some(Scan::default());
        } else {
            ks.for_each(0, &mut |entry| {
                index.note(entry.key());
            });
        }
        self.news.fetch_add(1, Relaxed);
        self.arrived.notify_one();
    }
}

impl Engine {
    /// Some background work on the indexes; `false` when there was none to do. No lock may be held.
    pub fn tend_search(&self, now_ms: i64) -> bool {
        let search = &self.search;
        drop(std::mem::take(&mut *search.gone.lock()));
        if !search.is_active() {
            return false;
        }
        search.news.store(0, Relaxed);
        self.drop_idle(now_ms);
        let mut more = false;
        let mut waiting = 0;
        let indexes: Vec<Arc<SearchIndex>> = search.set().indexes().cloned().collect();
        for index in indexes {
            if index.waiting() < SCAN_AHEAD {
                more |= self.scan_step(&index);
            }
            match self.look_step(&index, Mark::LAST, LOOKS_PER_HOLD, now_ms) {
                Step::Done => {}
                Step::More => more = true,
                Step::Busy => {
                    more = true;
                    std::thread::sleep(PAUSE);
                }
            }
            waiting = waiting.max(index.waiting());
        }
        search.behind.store(waiting > WAITING_MAX, Relaxed);
        more
    }

    /// Drops temporary indexes that nobody used for as long as was said, with their documents; a replica waits to be told.
    fn drop_idle(&self, now_ms: i64) {
        if self.state.is_replica.load(Relaxed) {
            return;
        }
        let is_idle = |index: &SearchIndex| {
            let idle_ms = now_ms - index.last_use_ms.load(Relaxed);
            index.definition().temporary_ms.is_some_and(|most| idle_ms > most) && index.running.load(Relaxed) == 0
        };
        let idle: Vec<Arc<SearchIndex>> = self.search.set().indexes().filter(|index| is_idle(index)).cloned().collect();
        for index in idle {
            let mut effects = Effects::default();
            let mut ks = self.lock(ALL_SHARDS, &mut effects, now_ms);
            // Somebody may have used or dropped it before everything was locked.
            let is_there = self.search.set().find(&index.name).is_some_and(|known| Arc::ptr_eq(known, &index));
            if !is_there || !is_idle(&index) || self.state.is_replica.load(Relaxed) {
                continue;
            }
            ks.effects.reset(self.has_sink());
            self.bring_up_to_date(&index, &ks);
            let names: Vec<Vec<u8>> = index.content().documents().map(|(_, name)| name.to_vec()).collect();
            for name in &names {
                let key = ks.key(name);
                if ks.delete(key) {
                    ks.effects.push(0, [b"DEL".as_slice(), name].into_iter());
                }
            }
            self.search.remove(&index);
            ks.effects.push(0, [b"FT.DROPINDEX".as_slice(), &index.name].into_iter());
            ks.effects.end_unit();
            self.announce(&mut ks, Sender { id: 0, now_ms });
            self.deliver(ks.effects);
            let garbage = std::mem::take(&mut ks.garbage);
            drop(ks);
            self.free_later(garbage, Freeing::Removed);
        }
    }

    /// Lets a writer do its part of the work when too much waits. No lock may be held.
    #[cold]
    pub(crate) fn help_search(&self, now_ms: i64) {
        let indexes: Vec<Arc<SearchIndex>> = self.search.set().indexes().cloned().collect();
        let behind = indexes.iter().filter(|index| index.waiting() > WAITING_MAX).collect::<Vec<_>>();
        self.search.behind.store(!behind.is_empty(), Relaxed);
        for index in behind {
            self.look_step(index, Mark::LAST, LOOKS_OF_WRITERS, now_ms);
        }
    }

    /// Looks at some keys of an index with no lock held before.
    fn look_step(&self, index: &SearchIndex, mark: Mark, at_most: usize, now_ms: i64) -> Step {
        index.catch_up(mark, at_most, &mut |key, definition| {
            let locked = self.stripes.lock_within(key.shard_set(), PATIENCE)?;
            Some(look(locked.get(key.shard), key, now_ms, definition))
        })
    }

    /// Visits some keys that were there before the index; `false` when it has seen all.
    fn scan_step(&self, index: &SearchIndex) -> bool {
        let Some(mut scan) = *index.scan.lock() else { return false };
        {
            let locked = self.stripes.lock(1 << scan.shard);
            for _ in 0..SCAN_BUCKETS {
                let db = locked.get(scan.shard).dbs().first();
                let Some(db) = db else {
                    scan.cursor = 0;
                    break;
                };
                scan.cursor = db.table.scan(scan.cursor, &mut |entry| {
                    index.note(entry.key());
                });
                if scan.cursor == 0 {
                    break;
                }
            }
        }
        if scan.cursor == 0 {
            scan.shard += 1;
        }
        let mut place = index.scan.lock();
        // It begins anew when database 0 was exchanged meanwhile.
        if place.is_some_and(|known| known.shard <= scan.shard) {
            *place = (scan.shard < SHARDS).then_some(scan);
        }
        true
    }

    /// Lets an index know everything noted by now. In a turn that holds all shards it looks in place; else no lock may
    /// be held.
    pub(crate) fn bring_up_to_date(&self, index: &SearchIndex, ks: &Keyspace<'_>) -> Mark {
        let mark = index.mark();
        let now_ms = ks.now_ms;
        if ks.locked() == ALL_SHARDS {
            let mut look =
                |key: &Key<'_>, definition: &Definition| Some(look(ks.shard(key.shard), key, now_ms, definition));
            while index.catch_up(mark, LOOKS_PER_HOLD, &mut look) == Step::More {}
            return mark;
        }
        debug_assert_eq!(ks.locked(), 0, "who waits for an index holds no shard");
        loop {
            match self.look_step(index, mark, LOOKS_PER_HOLD, now_ms) {
                Step::Done => return mark,
                Step::More => {}
                Step::Busy => {
                    self.loans.wait();
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}
