//! A data set built beside the running one, to take its place at once.
//!
//! Loading a snapshot fills a [`DataSet`] that nobody else sees; [`Engine::adopt`] exchanges it with the engine's
//! content under all locks, in the time it takes to swap a few pointers per shard. So a file that turns out to be
//! damaged never touches the engine, and a replica serves its old data until the new is whole. The exchange is not a
//! turn: it yields no effects, and whoever adopts must restart whatever follows the stream.

use std::fmt;

use quiver_structures::Value;
use quiver_structures::table::Lookup;

use crate::effects::Effects;
use crate::engine::Engine;
use crate::eviction::Stamps;
use crate::field_expiry;
use crate::keyspace::{ALL_SHARDS, KeyHasher, Keyspace, SHARDS, Shard};
use crate::mailbox::Sender;
use crate::object::Object;
use crate::tracking::Stale;

/// The content of a keyspace without locks, watchers or time.
pub struct DataSet {
    shards: Vec<Shard>,
    keys: usize,
    clock: u32,
}

impl DataSet {
    /// Nothing yet; keys that come in count as touched at `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, keys: 0, clock: Stamps::seconds_at(now_ms) }
    }

    /// Adds a key to a database; `false`, and nothing changed, when it is there already. The caller bounds `db`, and
    /// brings no empty objects.
    #[must_use]
    pub fn insert(&mut self, db: usize, name: &[u8], value: Value<'_, Object>, expire_at_ms: Option<i64>) -> bool {
        let key = KeyHasher.key(name);
        let (db, fields_at) = (self.shards[key.shard].db_mut(db), field_expiry::earliest_in(&value));
        match db.table.entry(key.hash, name) {
            Lookup::Found(_) => false,
            Lookup::Vacant(place) => {
                db.field_expiries.insert(fields_at, name);
                place.insert(value, expire_at_ms, self.clock);
                self.keys += 1;
                true
            }
        }
    }

    /// Keys in all databases.
    pub fn len(&self) -> usize {
        self.keys
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSet").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Engine {
    /// Puts a data set in the place of everything stored; gives the old one, which may take long to drop. Watched keys
    /// that are in either count as changed. `at_change` runs while every shard is locked, after the exchange.
    pub fn adopt<T>(&self, new: DataSet, at_change: impl FnOnce(&Keyspace<'_>) -> T) -> (DataSet, T) {
        let mut effects = Effects::default();
        let mut keyspace = self.lock(ALL_SHARDS, &mut effects, 0);
        let old = self.exchange(&mut keyspace, new);
        let noted = at_change(&keyspace);
        (old, noted)
    }

    /// As [`Self::adopt`], if `wanted` says so once every shard is locked; else the new one comes back.
    ///
    /// # Errors
    /// The data set that was not wanted.
    pub fn adopt_if(&self, new: DataSet, wanted: impl FnOnce() -> bool) -> Result<DataSet, DataSet> {
        let mut effects = Effects::default();
        let mut keyspace = self.lock(ALL_SHARDS, &mut effects, 0);
        if wanted() { Ok(self.exchange(&mut keyspace, new)) } else { Err(new) }
    }

    fn exchange(&self, keyspace: &mut Keyspace<'_>, new: DataSet) -> DataSet {
        let DataSet { mut shards, clock, .. } = new;
        let mut stale = Stale::default();
        for (index, shard) in shards.iter_mut().enumerate() {
            keyspace.shard_mut(index).exchange(shard);
            let tracked = &mut keyspace.shard_mut(index).tracked;
            stale.note_flush(tracked);
        }
        self.tell_stale(&mut stale, Sender { id: 0, now_ms: 0 }, true);
        let keys = shards.iter().flat_map(Shard::dbs).map(|db| db.table.len()).sum();
        DataSet { shards, keys, clock }
    }
}
