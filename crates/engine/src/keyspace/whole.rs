//! What concerns all keys of a database or of the locked shards: walks, FLUSHDB, SWAPDB, snapshots, and who watches.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quiver_structures::ValueRef;

use super::{Db, Garbage, Key, KeyEntry, KeyHasher, KeyTable, Keyspace, SHARDS, Shard};
use crate::field_expiry::{self, FieldExpiries};
use crate::snapshot::{Cut, DbCut};

impl Keyspace<'_> {
    /// Entries of the selected database in the locked shards, expired ones included; and those with an expiry.
    pub fn len(&self) -> (usize, usize) {
        self.db_len(self.db)
    }

    /// Entries of a database in the locked shards, and those with an expiry.
    pub fn db_len(&self, db: usize) -> (usize, usize) {
        self.locked_dbs(db)
            .fold((0, 0), |(all, volatile), db| (all + db.table.len(), volatile + db.table.volatile_len()))
    }

    /// A database's parts in the locked shards.
    pub(crate) fn locked_dbs(&self, db: usize) -> impl Iterator<Item = &Db> {
        self.shard_indices().filter_map(move |i| self.shards.get(i).dbs.get(db))
    }

    /// Number of databases in use in the locked shards.
    pub fn dbs_in_use(&self) -> usize {
        self.shard_indices().map(|i| self.shards.get(i).dbs.len()).max().unwrap_or(0)
    }

    /// One step of a walk over a locked shard's table; see [`Table::scan`].
    pub fn scan_shard(&self, shard: usize, cursor: u64, visit: &mut dyn FnMut(KeyEntry<'_>)) -> u64 {
        match self.shards.get(shard).dbs.get(self.db) {
            Some(db) => db.table.scan(cursor, visit),
            None => 0,
        }
    }

    /// Address bits of a locked shard's table: they become fewer when scan cursors may meet an entry again.
    pub fn address_bits(&self, shard: usize) -> u32 {
        let buckets = self.shards.get(shard).dbs.get(self.db).map_or(0, |db| db.table.bucket_count());
        buckets.checked_ilog2().unwrap_or(0)
    }

    /// Visits every entry of a database in the locked shards.
    pub fn for_each(&self, db: usize, visit: &mut dyn FnMut(KeyEntry<'_>)) {
        for shard in self.shard_indices() {
            if let Some(db) = self.shards.get(shard).dbs.get(db) {
                db.table.iter().for_each(&mut *visit);
            }
        }
    }

    /// A random entry of the selected database, near uniform; all shards must be locked.
    pub fn sample(&self, random: u64) -> Option<KeyEntry<'_>> {
        let (total, _) = self.len();
        let mut rank = ((u128::from(random) * total as u128) >> 64) as usize;
        for shard in self.shard_indices() {
            let Some(db) = self.shards.get(shard).dbs.get(self.db) else { continue };
            if rank < db.table.len() {
                return db.table.sample(random.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            }
            rank -= db.table.len();
        }
        None
    }

    /// Empties a database in the locked shards; gives the number of keys that were there. A change.
    pub fn flush_db(&mut self, db: usize) -> usize {
        let (number, mut flushed) = (db, 0);
        for index in self.shard_indices().collect::<Vec<_>>() {
            self.mark_all_ready(index, db);
            let shard = self.shards.get_mut(index);
            shard.tell_watchers_of_db(db, db, self.now_ms);
            if self.stale.active {
                self.stale.note_flush(&mut shard.tracked);
            }
            let Some(db) = shard.dbs.get_mut(db) else { continue };
            flushed += db.table.len();
            db.field_expiries = FieldExpiries::new();
            let table = std::mem::replace(&mut db.table, KeyTable::new(KeyHasher));
            match db.cut.take() {
                Some(cut) => cut.adopt(table),
                None => self.garbage.push(Garbage::Table(table)),
            }
        }
        if let (0, Some(search)) = (number, self.search) {
            search.clear();
        }
        self.dirty += 1;
        flushed
    }

    /// Exchanges two databases; all shards must be locked. A change.
    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        self.expire_watched(a, b);
        for index in self.shard_indices().collect::<Vec<_>>() {
            self.mark_all_ready(index, a);
            self.mark_all_ready(index, b);
            let shard = self.shards.get_mut(index);
            shard.tell_watchers_of_db(a, b, self.now_ms);
            shard.tell_watchers_of_db(b, a, self.now_ms);
            shard.db_mut(a.max(b));
            shard.dbs.swap(a, b);
        }
        if let (true, Some(search)) = (a == 0 || b == 0, self.search) {
            search.rescan();
        }
        self.dirty += 1;
    }

    /// Takes keys that somebody watches in either database out of both where their time is over: none of them may come
    /// to a watcher as news.
    fn expire_watched(&mut self, a: usize, b: usize) {
        let shards = self.shard_indices().collect::<Vec<_>>();
        let watched = shards.into_iter().flat_map(|index| self.shards.get(index).watched.keys());
        let names: Vec<Box<[u8]>> =
            watched.filter(|(db, _)| *db == a || *db == b).map(|(_, name)| name.clone()).collect();
        let selected = self.db;
        for name in &names {
            for db in [a, b] {
                self.db = db;
                self.contains(KeyHasher.key(name));
            }
        }
        self.db = selected;
    }

    /// Starts a snapshot of everything locked (all shards).
    pub(crate) fn begin_cut(&mut self, cut: &Arc<Cut>) {
        for index in self.shard_indices().collect::<Vec<_>>() {
            for (number, db) in self.shards.get_mut(index).dbs.iter_mut().enumerate() {
                if !db.table.is_empty() {
                    db.table.freeze(true);
                    db.cut = Some(DbCut::new(Arc::clone(cut), number, db.table.bucket_count()));
                }
            }
        }
    }

    /// Asserts what must hold between turns in the locked shards: tables are sound, entries at home, objects not empty,
    /// and tables frozen exactly while a snapshot has to see more of them. Cost: O(n); for tests.
    pub fn check(&self) {
        for shard in self.shard_indices() {
            for db in &self.shards.get(shard).dbs {
                db.table.check();
                assert_eq!(db.table.is_frozen(), db.cut.is_some(), "frozen for a snapshot, and only for one");
                let mut with_fields = 0;
                for entry in db.table.iter() {
                    assert_eq!(KeyHasher.key(entry.key()).shard, shard, "shard of {:?}", entry.key());
                    if let ValueRef::Object(object) = entry.value() {
                        assert!(!object.is_empty(), "object at {:?}", entry.key());
                        if let Some(at) = field_expiry::earliest_of(object) {
                            assert!(db.field_expiries.contains(at, entry.key()), "fields at {:?}", entry.key());
                            with_fields += 1;
                        }
                    }
                }
                assert_eq!(with_fields, db.field_expiries.len(), "hashes with fields that expire");
            }
        }
    }

    /// A locked shard, for the walks of snapshots and active expiry.
    pub(crate) fn shard(&self, shard: usize) -> &Shard {
        self.shards.get(shard)
    }

    /// A locked shard, for change.
    pub(crate) fn shard_mut(&mut self, shard: usize) -> &mut Shard {
        self.shards.get_mut(shard)
    }

    /// The indices of the locked shards.
    pub(crate) fn locked_shards(&self) -> impl Iterator<Item = usize> + use<> {
        self.shard_indices()
    }

    pub(super) fn shard_indices(&self) -> impl Iterator<Item = usize> + use<> {
        let mask = self.shards.mask();
        (0..SHARDS).filter(move |i| mask >> i & 1 == 1)
    }

    // --- WATCH --------------------------------------------------------------------------------------------------

    /// Sets `flag` when the key changes.
    pub fn watch(&mut self, key: &Key<'_>, flag: &Arc<AtomicBool>) {
        let db = self.db;
        let watchers = self.shards.get_mut(key.shard).watched.entry((db, key.name.into())).or_default();
        watchers.retain(|known| Arc::strong_count(known) > 1 && !Arc::ptr_eq(known, flag));
        watchers.push(Arc::clone(flag));
    }

    /// Forgets a watch.
    pub fn unwatch(&mut self, db: usize, key: &Key<'_>, flag: &Arc<AtomicBool>) {
        let watched = &mut self.shards.get_mut(key.shard).watched;
        if let Some(watchers) = watched.get_mut(&(db, key.name.into())) {
            watchers.retain(|known| !Arc::ptr_eq(known, flag));
            if watchers.is_empty() {
                watched.remove(&(db, key.name.into()));
            }
        }
    }
}
