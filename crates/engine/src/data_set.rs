//! A data set built beside the running one, to take its place at once.
//!
//! Loading a snapshot fills a [`DataSet`] that nobody else sees; [`Engine::adopt`] exchanges it with the engine's
//! content under all locks, in the time it takes to swap a few pointers per shard. So a file that turns out to be
//! damaged never touches the engine, and a replica serves its old data until the new is whole. The exchange is not a
//! turn: it yields no effects, and whoever adopts must restart whatever follows the stream.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use quiver_structures::Value;
use quiver_structures::table::Lookup;

use crate::effects::Effects;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::eviction::Stamps;
use crate::field_expiry;
use crate::functions::{LibrarySet, Metadata};
use crate::keyspace::{ALL_SHARDS, Key, KeyHasher, Keyspace, SHARDS, Shard};
use crate::mailbox::Sender;
use crate::object::Object;
use crate::search::{self, IndexSet};
use crate::tracking::Stale;

/// The content of a keyspace without locks, watchers or time.
pub struct DataSet {
    shards: Vec<Shard>,
    keys: usize,
    clock: u32,
    sources: Vec<Vec<u8>>,
    functions: Arc<LibrarySet>,
    records: search::Records,
    indexes: Arc<IndexSet>,
    now_ms: i64,
}

impl DataSet {
    /// Nothing yet; keys that come in count as touched at `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            shards,
            keys: 0,
            clock: Stamps::seconds_at(now_ms),
            sources: Vec::new(),
            functions: Arc::default(),
            records: Vec::new(),
            indexes: Arc::default(),
            now_ms,
        }
    }

    /// Adds the source of a function library, for [`Engine::compile`] to make one of.
    pub fn add_source(&mut self, source: Vec<u8>) {
        self.sources.push(source);
    }

    /// Adds what a snapshot says of search indexes, for [`Engine::compile`] to make some of.
    pub fn add_search(&mut self, records: search::Records) {
        self.records = records;
    }

    /// Adds a key to a database; `false`, and nothing changed, when it is there already. The caller bounds `db`, and
    /// brings no empty objects.
    #[must_use]
    pub fn insert(&mut self, db: usize, name: &[u8], value: Value<'_, Object>, expire_at_ms: Option<i64>) -> bool {
        self.insert_at(db, KeyHasher.key(name), value, expire_at_ms, None)
    }

    /// Adds what was collected, which is then empty again. Much faster than one by one: places are fetched ahead.
    ///
    /// # Errors
    /// The first key that is there already; those before it have been added.
    pub fn insert_all(&mut self, batch: &mut Batch) -> Result<(), Duplicate> {
        let Batch { bytes, entries } = batch;
        let mut keys = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let key = KeyHasher.key(&bytes[entry.name.clone()]);
            self.shards[key.shard].db_mut(entry.db).table.prefetch_bucket(key.hash);
            keys.push(key);
        }
        for (entry, key) in entries.drain(..).zip(keys) {
            let value = match entry.value {
                Carried::Int(number) => Value::Int(number),
                Carried::Bytes(range) => Value::Bytes(&bytes[range]),
                Carried::Owned(bytes) => Value::Owned(bytes),
                Carried::Object(object) => Value::Object(object),
            };
            if !self.insert_at(entry.db, key, value, entry.expire_at_ms, entry.access) {
                return Err(Duplicate { db: entry.db, name: key.name.to_vec(), offset: entry.offset });
            }
        }
        bytes.clear();
        Ok(())
    }

    fn insert_at(
        &mut self,
        db: usize,
        key: Key<'_>,
        value: Value<'_, Object>,
        expire_at_ms: Option<i64>,
        access: Option<u32>,
    ) -> bool {
        let (db, fields_at) = (self.shards[key.shard].db_mut(db), field_expiry::earliest_in(&value));
        match db.table.entry(key.hash, key.name) {
            Lookup::Found(_) => false,
            Lookup::Vacant(place) => {
                db.field_expiries.insert(fields_at, key.name);
                place.insert(value, expire_at_ms, access.unwrap_or(self.clock));
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

/// Keys collected to be added to a data set, possibly by another thread than the one that reads them. Short strings
/// stand one behind the other in one buffer.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

struct Entry {
    db: usize,
    name: Range<usize>,
    value: Carried,
    expire_at_ms: Option<i64>,
    access: Option<u32>,
    offset: u64,
}

enum Carried {
    Int(i64),
    Bytes(Range<usize>),
    Owned(Vec<u8>),
    Object(Box<Object>),
}

/// A key that a data set has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Its database.
    pub db: usize,
    /// Its name.
    pub name: Vec<u8>,
    /// What was said of its place.
    pub offset: u64,
}

impl Batch {
    /// Keys that are worth a hand-over.
    const KEYS: usize = 256;
    /// Bytes that are.
    const BYTES: usize = 64 * 1024;

    /// Adds a key; see [`DataSet::insert`]. `access` is its stamp if it does not count as touched now, `offset` its place
    /// in whatever it comes from.
    pub fn push(
        &mut self,
        db: usize,
        name: &[u8],
        value: Value<'_, Object>,
        expire_at_ms: Option<i64>,
        access: Option<u32>,
        offset: u64,
    ) {
        let mut put = |text: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(text);
            start..self.bytes.len()
        };
        let name = put(name);
        let value = match value {
            Value::Int(number) => Carried::Int(number),
            Value::Bytes(text) => Carried::Bytes(put(text)),
            Value::Owned(text) => Carried::Owned(text),
            Value::Object(object) => Carried::Object(object),
        };
        self.entries.push(Entry { db, name, value, expire_at_ms, access, offset });
    }

    /// Whether it is time to add what was collected.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= Self::KEYS || self.bytes.len() >= Self::BYTES
    }

    /// Whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("keys", &self.entries.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSet").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes libraries of a data set's sources, and its search indexes; to be called before [`Self::adopt`]. `false` where there are some and
    /// nothing here that could run them: they are left out.
    ///
    /// # Errors
    /// One of them is none.
    pub fn compile(&self, data_set: &mut DataSet) -> Result<bool, CommandError> {
        let records = std::mem::take(&mut data_set.records);
        data_set.indexes = Arc::new(search::restore(records, &data_set.shards, data_set.now_ms)?);
        if self.scripts.runtime().is_err() {
            return Ok(std::mem::take(&mut data_set.sources).is_empty());
        }
        let mut set = LibrarySet::default();
        for source in std::mem::take(&mut data_set.sources) {
            let metadata = Metadata::parse(&source)?;
            set.insert(Arc::new(self.compile_library(&source, &metadata)?))?;
        }
        data_set.functions = Arc::new(set);
        Ok(true)
    }

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
        let DataSet { mut shards, clock, functions, indexes, now_ms, .. } = new;
        let functions = self.functions.exchange(functions);
        let indexes = self.search.adopt(indexes);
        let mut stale = Stale::default();
        for (index, shard) in shards.iter_mut().enumerate() {
            keyspace.shard_mut(index).exchange(shard);
            let tracked = &mut keyspace.shard_mut(index).tracked;
            stale.note_flush(tracked);
        }
        self.tell_stale(&mut stale, Sender { id: 0, now_ms: 0 }, true);
        let keys = shards.iter().flat_map(Shard::dbs).map(|db| db.table.len()).sum();
        DataSet { shards, keys, clock, sources: Vec::new(), functions, records: Vec::new(), indexes, now_ms }
    }
}
