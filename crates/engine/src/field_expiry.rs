//! Expiry of single hash fields and of elements of vector sets, as far as it is the keyspace's: which keys have such, and
//! taking out those whose time is over. What is said of fields below holds for elements, whose removal is a VREM.
//!
//! Each database of a shard keeps the hashes with volatile fields in order of [`Hash::earliest`], so that active expiry
//! only ever touches hashes it has reason to look at. A command that changes a hash takes out what is over among the
//! fields it names before anything else; a command that reads does not see them ([`Keyspace::as_of`]) and leaves the
//! rest to the next round of active expiry. Either way the stream gets an HDEL of the fields, and watchers are told. A
//! replica only hides.
//!
//! Invariant: a hash stands in the index under its key and its `earliest`, exactly while it has one. Whatever brings an
//! object into a table or out of it keeps that true, and so does whoever changes an expiry ([`Keyspace::reindex`]).

use std::collections::BTreeSet;

use parking_lot::RwLock;
use quiver_structures::{Value, ValueRef};

use crate::effects::Effects;
use crate::engine::{Engine, Freeing, Worker};
use crate::keyspace::{ExpiryRule, Key, KeyHasher, Keyspace, SHARDS};
use crate::mailbox::Sender;
use crate::notify::Class;
use crate::object::{Collection, Object, SharedVectorSet};
use crate::types::hash::{AsOf, Hash};

/// The hashes of a table that have volatile fields, by when to look at them.
#[derive(Debug, Default)]
pub(crate) struct FieldExpiries(BTreeSet<(i64, Box<[u8]>)>);

impl FieldExpiries {
    pub(crate) const fn new() -> Self {
        Self(BTreeSet::new())
    }

    pub(crate) fn insert(&mut self, at_ms: Option<i64>, name: &[u8]) {
        if let Some(at_ms) = at_ms {
            self.0.insert((at_ms, name.into()));
        }
    }

    pub(crate) fn remove(&mut self, at_ms: Option<i64>, name: &[u8]) {
        if let Some(at_ms) = at_ms {
            self.0.remove(&(at_ms, name.into()));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, at_ms: i64, name: &[u8]) -> bool {
        self.0.contains(&(at_ms, name.into()))
    }

    fn is_due(&self, now_ms: i64) -> bool {
        self.0.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms)
    }

    fn pop_due(&mut self, now_ms: i64) -> Option<Box<[u8]>> {
        if self.is_due(now_ms) { self.0.pop_first().map(|(_, name)| name) } else { None }
    }
}

/// When to look for expired fields in an object.
pub(crate) fn earliest_of(object: &Object) -> Option<i64> {
    match object {
        Object::Hash(hash) => hash.earliest(),
        Object::VectorSet(set) => RwLock::read(set).earliest(),
        _ => None,
    }
}

/// [`earliest_of`] a value that is about to be stored.
pub(crate) fn earliest_in(value: &Value<'_, Object>) -> Option<i64> {
    match value {
        Value::Object(object) => earliest_of(object),
        _ => None,
    }
}

impl Keyspace<'_> {
    /// As of when this turn looks at fields.
    #[inline]
    pub fn as_of(&self) -> AsOf {
        if self.expiry == ExpiryRule::Ignore { AsOf::ALL } else { AsOf(self.now_ms) }
    }

    /// Tells the index that a hash is to be looked at another time than before.
    pub fn reindex(&mut self, key: &Key<'_>, before: Option<i64>, after: Option<i64>) {
        if before != after {
            let db = self.db;
            let index = &mut self.shard_mut(key.shard).db_mut(db).field_expiries;
            index.remove(before, key.name);
            index.insert(after, key.name);
        }
    }

    /// Takes out those of the named fields whose time is over, and the key with the last field. For commands that are
    /// about to change the hash, before they look at it. Cost: nothing while no hash of this shard is due.
    pub fn expire_fields<'f>(&mut self, key: Key<'_>, fields: impl Iterator<Item = &'f [u8]>) {
        let (db, now_ms) = (self.db, self.now_ms);
        let due = self.shard_mut(key.shard).dbs().get(db).is_some_and(|db| db.field_expiries.is_due(now_ms));
        if !due || self.expiry != ExpiryRule::Delete {
            return;
        }
        let Some(ValueRef::Object(object)) = self.peek(key).map(|entry| entry.value()) else { return };
        let Some(hash) = Hash::of(object) else { return };
        let is_over = |field: &&[u8]| hash.expiry(field, AsOf::ALL).flatten().is_some_and(|at| at <= now_ms);
        let over: Vec<&[u8]> = fields.filter(is_over).collect();
        if over.is_empty() {
            return;
        }
        if let Ok(Some(hash)) = self.value_mut::<Hash>(key) {
            for field in &over {
                hash.remove(field);
            }
        }
        self.fields_expired(key, &over);
    }

    /// [`Self::expire_fields`] for elements of a vector set.
    pub fn expire_elements<'e>(&mut self, key: Key<'_>, names: impl Iterator<Item = &'e [u8]>) {
        let (db, as_of) = (self.db, AsOf(self.now_ms));
        let due = self.shard_mut(key.shard).dbs().get(db).is_some_and(|db| db.field_expiries.is_due(as_of.0));
        if !due || self.expiry != ExpiryRule::Delete {
            return;
        }
        let Ok(Some(set)) = self.value_mut::<SharedVectorSet>(key).map(|set| set.cloned()) else { return };
        let mut set = RwLock::write(&set);
        let before = set.earliest();
        let is_over = |name: &&[u8]| set.slot(name).is_some_and(|slot| !set.is_seen(slot, as_of));
        let over: Vec<&[u8]> = names.filter(is_over).collect();
        for name in &over {
            set.remove(name);
        }
        let after = set.earliest();
        drop(set);
        self.reindex(&key, before, after);
        self.elements_expired(key, &over);
    }

    /// What follows from elements having been taken out because their time was over.
    fn elements_expired(&mut self, key: Key<'_>, names: &[impl AsRef<[u8]>]) {
        if names.is_empty() {
            return;
        }
        for name in names {
            self.effects.push(self.db, [b"VREM", key.name, name.as_ref()].into_iter());
        }
        self.tell(&key);
        if self.delete_if_empty(key) {
            self.notify(Class::GENERIC, "del", key.name);
        }
    }

    /// Takes up to `max` elements of a vector set out whose time is over; how many were.
    fn expire_due_elements(&mut self, key: Key<'_>, max: usize) -> usize {
        let mut over = Vec::new();
        let Ok(Some(set)) = self.value_mut::<SharedVectorSet>(key).map(|set| set.cloned()) else { return 0 };
        RwLock::write(&set).take_expired(AsOf(self.now_ms), max, &mut over);
        let next = RwLock::read(&set).earliest();
        self.reindex(&key, None, next);
        self.elements_expired(key, &over);
        over.len()
    }

    /// What follows from fields having been taken out because their time was over.
    fn fields_expired(&mut self, key: Key<'_>, fields: &[impl AsRef<[u8]>]) {
        self.counters.expired_fields += fields.len() as u64;
        let words = [b"HDEL", key.name].into_iter().chain(fields.iter().map(AsRef::as_ref));
        let words: Vec<&[u8]> = words.collect();
        self.effects.push(self.db, words.into_iter());
        self.tell(&key);
        self.notify_fields(Class::HASH, "hexpired", key.name, fields.iter().map(AsRef::as_ref));
        if self.delete_if_empty(key) {
            self.notify(Class::GENERIC, "del", key.name);
        }
    }

    /// Hashes of a database in the locked shards that have volatile fields.
    pub fn hashes_with_expiries(&self, db: usize) -> usize {
        self.locked_dbs(db).map(|db| db.field_expiries.len()).sum()
    }

    /// Looks at hashes of a locked shard that are due, each a unit of the stream, until about `max` fields were taken
    /// out; how many were, and whether more are due.
    fn expire_due_fields(&mut self, shard: usize, max: usize) -> (usize, bool) {
        let (now_ms, as_of) = (self.now_ms, AsOf(self.now_ms));
        let (mut expired, mut spent) = (0, 0);
        for db in 0..self.shard_mut(shard).dbs().len() {
            self.db = db;
            while spent < max
                && let Some(name) = self.shard_mut(shard).db_mut(db).field_expiries.pop_due(now_ms)
            {
                let key = KeyHasher.key(&name);
                let mut over = Vec::new();
                if let Ok(Some(hash)) = self.value_mut::<Hash>(key) {
                    hash.take_expired(as_of, max - spent, &mut over);
                    let next = hash.earliest();
                    self.reindex(&key, None, next);
                    if !over.is_empty() {
                        self.fields_expired(key, &over);
                    }
                }
                let gone = over.len() + self.expire_due_elements(key, (max - spent).min(ELEMENTS_PER_LOOK));
                self.effects.end_unit();
                expired += gone;
                spent += gone + LOOK_COST;
            }
        }
        let more = self.shard_mut(shard).dbs().iter().any(|db| db.field_expiries.is_due(now_ms));
        (expired, more)
    }
}

/// Fields taken out under one hold of a lock.
const FIELDS_PER_HOLD: usize = 256;

/// Elements of a vector set taken out at a time: each is unlinked from a graph.
const ELEMENTS_PER_LOOK: usize = 16;

/// What looking at a hash costs, in fields.
const LOOK_COST: usize = 16;

impl Engine {
    /// Takes out fields whose time is over, in every shard, until about `max` are gone; how many are. Only a primary
    /// does this.
    pub(crate) fn expire_fields_round(&self, worker: &mut Worker, max: usize, now_ms: i64) -> usize {
        let mut expired = 0;
        for shard in 0..SHARDS {
            let mut more = true;
            while more && expired < max {
                let (here, left) = self.expire_fields_slice(worker, shard, now_ms);
                (expired, more) = (expired + here, left);
            }
        }
        worker.stats.expired_fields.add(expired as u64);
        expired
    }

    /// One hold of one shard's lock.
    fn expire_fields_slice(&self, worker: &mut Worker, shard: usize, now_ms: i64) -> (usize, bool) {
        let mut effects: Effects = std::mem::take(&mut worker.effects);
        let mut keyspace = self.lock(1 << shard, &mut effects, now_ms);
        keyspace.effects.reset(self.has_sink());
        let done = keyspace.expire_due_fields(shard, FIELDS_PER_HOLD);
        self.announce(&mut keyspace, Sender { id: 0, now_ms });
        self.close_hold(keyspace, &mut worker.rng, Freeing::Removed);
        worker.effects = effects;
        done
    }
}
