//! One part of the keyspace, behind one lock: every database's keys of some slots, and who watches them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SHARDS;
use super::key::{KeyHasher, KeyTable};
use crate::blocking::Waiting;
use crate::field_expiry::FieldExpiries;
use crate::slot::SLOTS;
use crate::snapshot::DbCut;
use crate::tracking::Tracked;

/// The shard of a slot: slots are dealt out in contiguous ranges.
pub const fn shard_of_slot(slot: u16) -> usize {
    slot as usize / (SLOTS / SHARDS)
}

/// Who watches a key: database and name, and the flags of the sessions.
type Watched = HashMap<(usize, Box<[u8]>), Vec<Arc<AtomicBool>>>;

/// One part of the keyspace.
#[derive(Default)]
pub struct Shard {
    pub(super) dbs: Vec<Db>,
    pub(super) watched: Watched,
    /// Clients that wait for a key to change.
    pub(crate) waiting: Waiting,
    /// Keys that clients may have cached.
    pub(crate) tracked: Tracked,
    /// Keys whose values are elsewhere for a long command, as database and name.
    pub(crate) lent: Vec<(usize, Box<[u8]>)>,
}

/// One database's part in a shard.
pub struct Db {
    /// The entries.
    pub table: KeyTable,
    /// A snapshot that has not seen all of this yet.
    pub(crate) cut: Option<DbCut>,
    /// Hashes some of whose fields expire.
    pub(crate) field_expiries: FieldExpiries,
}

impl Db {
    const fn new() -> Self {
        Self { table: KeyTable::new(KeyHasher), cut: None, field_expiries: FieldExpiries::new() }
    }
}

impl Shard {
    /// The databases that were ever used here.
    pub fn dbs(&self) -> &[Db] {
        &self.dbs
    }

    pub(crate) fn dbs_mut(&mut self) -> &mut [Db] {
        &mut self.dbs
    }

    pub(crate) fn db_mut(&mut self, db: usize) -> &mut Db {
        if db >= self.dbs.len() {
            self.dbs.resize_with(db + 1, Db::new);
        }
        &mut self.dbs[db]
    }

    /// Exchanges the databases with another shard's and tells the watchers of keys that are in either. Tables that a
    /// snapshot has not seen all of go to it instead.
    pub(crate) fn exchange(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.dbs, &mut other.dbs);
        let (new, old) = (&self.dbs, &other.dbs);
        self.watched.iter().for_each(|((db, name), watchers)| {
            let hash = KeyHasher.hash(name);
            let mut tables = [new, old].into_iter().filter_map(|dbs| dbs.get(*db)).map(|db| &db.table);
            if tables.any(|table| table.get(hash, name).is_some()) {
                watchers.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
            }
        });
        for db in &mut other.dbs {
            if let Some(cut) = db.cut.take() {
                cut.adopt(std::mem::replace(&mut db.table, KeyTable::new(KeyHasher)));
            }
        }
    }
}

impl Shard {
    #[inline]
    pub(super) fn tell_watchers(&mut self, db: usize, name: &[u8]) {
        if !self.watched.is_empty() {
            // The key is borrowed by value only in this rare case: somebody watches something in this shard.
            if let Some(watchers) = self.watched.get(&(db, name.into())) {
                watchers.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
            }
        }
    }

    /// Tells the watchers of keys that are in `db`, or are about to come in from `other`, and whose time is not over.
    pub(super) fn tell_watchers_of_db(&self, db: usize, other: usize, now_ms: i64) {
        let there = |db: usize, name: &[u8]| {
            let entry = self.dbs.get(db).and_then(|db| db.table.get(KeyHasher.hash(name), name));
            entry.is_some_and(|entry| entry.expire_at().is_none_or(|at| at > now_ms))
        };
        let touched = self
            .watched
            .iter()
            .filter(|((watched_db, name), _)| *watched_db == db && (there(db, name) || there(other, name)));
        touched.flat_map(|(_, watchers)| watchers).for_each(|flag| flag.store(true, Ordering::Relaxed));
    }
}
