//! The keyspace: shards, databases, and the view of it that a turn works on.
//!
//! A key belongs to a hash slot, a slot to one of [`SHARDS`] shards (`slot.rs`); a shard holds its part of every
//! database behind one lock. A turn sees the shards it locked through [`Keyspace`], which applies the rules every access
//! shares: expired keys are gone (and their DEL is in the stream, unless this is a replica, which only hides them),
//! watched keys tell their watchers, and a running snapshot gets the old content of a bucket before its first change.
//!
//! `key`: what locates a key. `shard`: what is behind one lock. `typed`: values by their type. `whole`: all keys at once.
//!
//! Invariants: an object in the table is never empty; `dirty` grows exactly when data or an expiry changed.

mod key;
mod shard;
mod typed;
mod whole;

use std::collections::VecDeque;
use std::sync::Arc;

use quiver_structures::table::{Owned, Stored};
use quiver_structures::{Locked, Stripes, Value, ValueRef};

use crate::blocking::Waiter;
use crate::effects::Effects;
use crate::eviction::Stamps;
use crate::field_expiry;
use crate::notify::{Class, Event};
use crate::object::Object;
use crate::search::Search;
use crate::tracking::Stale;
pub use key::{Key, KeyEntry, KeyEntryMut, KeyHasher, KeyTable};
pub use shard::{Db, Shard, shard_of_slot};
pub use typed::{Text, expect_string, string_value};

/// Shards of the keyspace: a power of two, at most 64 so that a set of shards is one word.
pub const SHARDS: usize = 64;

/// The set of all shards.
pub const ALL_SHARDS: u64 = u64::MAX;

/// What an access does with a key whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryRule {
    /// A primary deletes it and says so in the stream.
    Delete,
    /// A replica answers as if it were gone and waits for its primary's DEL.
    Hide,
    /// The primary's own stream on a replica sees it as the primary did.
    Ignore,
}

/// Counters a turn adds to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Lookups by reading commands that found a key.
    pub hits: u64,
    /// And those that did not.
    pub misses: u64,
    /// Keys removed because their time was over.
    pub expired: u64,
    /// Hash fields removed because their time was over.
    pub expired_fields: u64,
}

/// The locked part of the keyspace a turn works on.
pub struct Keyspace<'a> {
    shards: Locked<'a, Shard>,
    stripes: &'a Stripes<Shard>,
    /// Selected database.
    pub db: usize,
    /// The time of this turn, ms since 1970: one stamp for everything in it.
    pub now_ms: i64,
    /// What happens to keys whose time is over.
    pub expiry: ExpiryRule,
    /// What the stream will carry.
    pub effects: &'a mut Effects,
    /// Counters since the view was made.
    pub counters: Counters,
    /// Grows with every change.
    pub dirty: u64,
    /// Access clock stamped on touched entries.
    pub stamps: Stamps,
    /// Accesses leave no stamp (CLIENT NO-TOUCH).
    pub no_touch: bool,
    /// Values whose freeing may take long; dropped by the caller outside the locks.
    pub garbage: Vec<Garbage>,
    /// Inside EXEC the locks stay until its end.
    pub in_transaction: bool,
    /// Classes of events that somebody wants to hear of.
    pub notify_classes: Class,
    /// What happened, in order, as far as somebody wants to hear of it.
    pub events: Vec<Event>,
    /// Keys changed by the running unit that somebody waits for, as database and name, in order.
    pub(crate) ready: VecDeque<(usize, Box<[u8]>)>,
    /// Time DEBUG SLEEP took, which the turn sees when its command is over, ms.
    pub(crate) slept_ms: i64,
    /// Waiters served under this hold, to be woken after it.
    pub(crate) served: Vec<Arc<Waiter>>,
    /// Somebody wants to hear which fields of a key an event is about.
    pub(crate) notify_subkeys: bool,
    /// Changed keys that clients may have cached.
    pub(crate) stale: Stale,
    /// Indexes that follow the keys.
    search: Option<&'a Search>,
}

/// Something large to be freed elsewhere.
#[expect(missing_docs, reason = "named after what they hold")]
pub enum Garbage {
    Object(Box<Object>),
    Table(KeyTable),
}

impl Garbage {
    /// What there is to free, as INFO counts it: values, or the keys of a table.
    pub fn objects(&self) -> usize {
        match self {
            Self::Object(_) => 1,
            Self::Table(table) => table.len(),
        }
    }

    /// Elements inside.
    pub fn units(&self) -> usize {
        match self {
            Self::Object(object) => object.len(),
            Self::Table(table) => table.len(),
        }
    }
}

/// Objects with more elements than this are freed in the background (Redis: LAZYFREE_THRESHOLD).
const LAZY_FREE_LEN: usize = 64;

/// A table that is about to change at `key`: a snapshot still owed the bucket gets it first. Not a method of the view,
/// so that an entry can be stamped by another part of it.
#[inline]
fn table_in<'t>(shards: &'t mut Locked<'_, Shard>, db: usize, key: &Key<'_>) -> &'t mut KeyTable {
    let db = shards.get_mut(key.shard).db_mut(db);
    if let Some(cut) = &mut db.cut {
        cut.before_change(&db.table, key.hash);
    }
    &mut db.table
}

impl<'a> Keyspace<'a> {
    /// A view of locked shards.
    pub fn new(
        stripes: &'a Stripes<Shard>,
        shards: Locked<'a, Shard>,
        effects: &'a mut Effects,
        now_ms: i64,
        stamps: Stamps,
    ) -> Self {
        Self {
            shards,
            stripes,
            db: 0,
            now_ms,
            expiry: ExpiryRule::Delete,
            effects,
            counters: Counters::default(),
            dirty: 0,
            stamps,
            no_touch: false,
            garbage: Vec::new(),
            in_transaction: false,
            notify_classes: Class::NONE,
            events: Vec::new(),
            ready: VecDeque::new(),
            served: Vec::new(),
            slept_ms: 0,
            notify_subkeys: false,
            stale: Stale::default(),
            search: None,
        }
    }

    /// Tells search indexes of every change.
    pub(crate) fn feed(&mut self, search: &'a Search) {
        self.search = Some(search);
    }

    /// Gives the locks back early, for work on a handle that needs them no more. Does nothing inside a transaction.
    pub fn release(&mut self) {
        if !self.in_transaction {
            self.shards = self.stripes.lock(0);
        }
    }

    /// Does something with no lock held, before anything was changed, and takes the same locks again. Does it with the
    /// locks inside a transaction.
    pub fn unlocked(&mut self, work: impl FnOnce()) {
        if self.in_transaction {
            return work();
        }
        let mask = self.locked();
        self.shards = self.stripes.lock(0);
        work();
        self.shards = self.stripes.lock(mask);
    }

    /// Locks one shard in the place of those locked so far, of which nothing may have been changed: effects would leave
    /// their shards' locks behind. Does nothing inside a transaction, which has all that its commands need.
    pub fn lock_only(&mut self, shard: usize) {
        if !self.in_transaction {
            // The old locks go first: two turns that each wait for the other's next shard would never end.
            self.release();
            self.shards = self.stripes.lock(1 << shard);
        }
    }

    /// Locks further shards as far as that cannot end in a circle of turns; `false`, and nothing changed, when it could.
    pub(crate) fn extend_locks(&mut self, more: u64) -> bool {
        self.shards.extend(more)
    }

    /// Gives all locks back and takes those of `mask`. What was changed must be in the stream by now.
    pub(crate) fn relock(&mut self, mask: u64) {
        self.shards = self.stripes.lock(0);
        self.shards = self.stripes.lock(mask);
    }

    /// Gives the shards of one keyspace back for those of another.
    pub(crate) fn exchange(&mut self, stripes: &'a Stripes<Shard>, shards: Locked<'a, Shard>) {
        self.stripes = stripes;
        self.shards = shards;
    }

    /// The set of locked shards.
    pub fn locked(&self) -> u64 {
        self.shards.mask()
    }

    /// Locates a key.
    #[inline]
    pub fn key<'k>(&self, name: &'k [u8]) -> Key<'k> {
        KeyHasher.key(name)
    }

    /// Starts loading the bucket of a key into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, db: usize, key: &Key<'_>) {
        if let Some(db) = self.shards.get(key.shard).dbs.get(db) {
            db.table.prefetch_bucket(key.hash);
        }
    }

    /// Starts loading the entry of a key, its bucket being there.
    #[inline]
    pub fn prefetch_entry(&self, db: usize, key: &Key<'_>) {
        if let Some(db) = self.shards.get(key.shard).dbs.get(db) {
            db.table.prefetch_entry(key.hash);
        }
    }

    /// A value as it lies there: nothing expires, and nothing counts as a look.
    #[inline]
    pub(crate) fn untouched(&self, db: usize, key: &Key<'_>) -> Option<ValueRef<'_, Object>> {
        Some(self.shards.get(key.shard).dbs.get(db)?.table.get(key.hash, key.name)?.value())
    }

    /// The table a key belongs to in the selected database.
    #[inline]
    pub(crate) fn table(&self, key: &Key<'_>) -> Option<&KeyTable> {
        self.shards.get(key.shard).dbs.get(self.db).map(|db| &db.table)
    }

    /// A table that is about to change at `key`.
    #[inline]
    fn table_mut(&mut self, key: &Key<'_>) -> &mut KeyTable {
        table_in(&mut self.shards, self.db, key)
    }

    /// Whether the key exists but its time is over; on a primary it is deleted then.
    #[inline]
    fn expired(&mut self, key: &Key<'_>) -> bool {
        let now = self.now_ms;
        let Some(table) = self.table(key) else { return false };
        if table.volatile_len() == 0 || self.expiry == ExpiryRule::Ignore {
            return false;
        }
        let over = table.get(key.hash, key.name).and_then(|e| e.expire_at()).is_some_and(|at| at <= now);
        if over && self.expiry == ExpiryRule::Delete {
            self.expire_now(key);
        }
        over
    }

    /// Whether an entry's time is over and this turn must not see it.
    pub fn is_over(&self, entry: &KeyEntry<'_>) -> bool {
        self.expiry != ExpiryRule::Ignore && entry.expire_at().is_some_and(|at| at <= self.now_ms)
    }

    /// Deletes a key whose time is over and says so in the stream.
    pub(crate) fn expire_now(&mut self, key: &Key<'_>) {
        self.remove(key, false);
        self.counters.expired += 1;
        self.notify(Class::EXPIRED, "expired", key.name);
        self.effects.push(self.db, [b"DEL".as_slice(), key.name].into_iter());
    }

    /// Deletes a key to make room and says so in the stream.
    pub(crate) fn evict_now(&mut self, key: &Key<'_>, lazily: bool) {
        self.remove(key, false);
        self.notify(Class::EVICTED, "evicted", key.name);
        let word = if lazily { b"UNLINK".as_slice() } else { b"DEL" };
        self.effects.push(self.db, [word, key.name].into_iter());
    }

    /// What is stored under a key, its time over or not; neither counts nor marks.
    #[inline]
    pub(crate) fn stored(&self, key: &Key<'_>) -> Option<KeyEntry<'_>> {
        self.table(key)?.get(key.hash, key.name)
    }

    /// The tables of a locked shard by number of database.
    pub(crate) fn tables(&self, shard: usize) -> impl Iterator<Item = (usize, &KeyTable)> + Clone {
        self.shards.get(shard).dbs.iter().map(|db| &db.table).enumerate()
    }

    /// Whether a change of a key is better tried again in a moment, when the running snapshot has what it needs of it.
    pub(crate) fn snapshot_defers(&self, key: &Key<'_>) -> bool {
        if self.locked() & key.shard_set() == 0 {
            return false;
        }
        let Some(db) = self.shards.get(key.shard).dbs.get(self.db) else { return false };
        db.cut.as_ref().is_some_and(|cut| cut.defers(&db.table, key.shard, key.hash, self.now_ms))
    }

    /// The entry of a live key, for reading: counts a hit or miss and marks the access.
    #[inline]
    pub fn get(&mut self, key: Key<'_>) -> Option<KeyEntry<'_>> {
        let touch = !self.no_touch;
        self.find(key, touch, true)
    }

    /// The entry of a live key, for reading about it (EXISTS, TYPE, TTL, OBJECT): counts, but does not mark the access.
    pub fn look(&mut self, key: Key<'_>) -> Option<KeyEntry<'_>> {
        self.find(key, false, true)
    }

    /// As [`Self::look`], but a miss is no event (OBJECT).
    pub fn look_silently(&mut self, key: Key<'_>) -> Option<KeyEntry<'_>> {
        self.find(key, false, false)
    }

    #[inline]
    fn find(&mut self, key: Key<'_>, touch: bool, tell_miss: bool) -> Option<KeyEntry<'_>> {
        let gone = self.expired(&key);
        let table = self.shards.get(key.shard).dbs.get(self.db).map(|db| &db.table);
        match table.and_then(|table| table.get(key.hash, key.name)) {
            Some(entry) if !gone => {
                self.counters.hits += 1;
                if touch {
                    self.stamps.touch(&entry);
                }
                Some(entry)
            }
            _ => {
                self.counters.misses += 1;
                if tell_miss && self.notify_classes.any(Class::KEY_MISS) {
                    self.events.push(Event::new(Class::KEY_MISS, "keymiss", self.db, key.name));
                }
                None
            }
        }
    }

    /// The entry of a live key without counting or marking (conditions).
    #[inline]
    pub fn peek(&mut self, key: Key<'_>) -> Option<KeyEntry<'_>> {
        if self.expired(&key) {
            return None;
        }
        self.table(&key)?.get(key.hash, key.name)
    }

    /// Whether a live key is there, without counting.
    pub fn contains(&mut self, key: Key<'_>) -> bool {
        self.peek(key).is_some()
    }

    /// The entry of a live key, for changing. Call [`Keyspace::changed`] when something did change.
    #[inline]
    pub fn get_mut(&mut self, key: Key<'_>) -> Option<KeyEntryMut<'_>> {
        if self.expired(&key) && self.expiry == ExpiryRule::Hide {
            return None;
        }
        let entry = table_in(&mut self.shards, self.db, &key).get_mut(key.hash, key.name)?;
        if !self.no_touch {
            self.stamps.touch(&entry.get());
        }
        Some(entry)
    }

    /// Notes a change of `key`: counts it and tells the watchers.
    #[inline]
    pub fn changed(&mut self, key: &Key<'_>) {
        self.dirty += 1;
        self.touched(key, true);
    }

    /// Tells those who watch the key, and notes it for those who wait for it or may have cached it.
    #[inline]
    fn touched(&mut self, key: &Key<'_>, by_command: bool) {
        let db = self.db;
        if self.stamps.marks_changes()
            && let Some(entry) = self.stored(key)
        {
            self.stamps.mark_change(&entry);
        }
        if let Some(search) = self.search {
            search.note(db, key.name);
        }
        let shard = self.shards.get_mut(key.shard);
        shard.tell_watchers(db, key.name);
        if self.stale.active {
            self.stale.note(&mut shard.tracked, key.name, by_command);
        }
        if !shard.waiting.is_empty() {
            self.mark_ready(key.shard, db, key.name);
        }
    }

    /// Tells everybody whom it concerns that a key was changed by a command that has counted it.
    pub(crate) fn tell_changed(&mut self, key: &Key<'_>) {
        self.touched(key, true);
    }

    /// Tells those who watch a key, or may have cached it, that it changed, without counting a change.
    pub(crate) fn tell(&mut self, key: &Key<'_>) {
        self.touched(key, false);
    }

    /// Stores a value under a key, whatever was there, with this expiry; a change.
    #[inline]
    pub fn set(&mut self, key: Key<'_>, value: Value<'_, Object>, expire_at_ms: Option<i64>) {
        let fields_at = field_expiry::earliest_in(&value);
        if self.notify_classes != Class::NONE {
            // What is over its time is not replaced, it has expired.
            self.expired(&key);
            self.note_overwrite(&key, &value);
        }
        let table = table_in(&mut self.shards, self.db, &key);
        let stamps = &mut self.stamps;
        let old = if stamps.counts() { table.get(key.hash, key.name).map(|entry| entry.access()) } else { None };
        let mut old_fields_at = None;
        match table.set(key.hash, key.name, value, expire_at_ms, stamps.overwritten(old)) {
            Stored::Inserted => self.notify(Class::NEW, "new", key.name),
            Stored::Replaced => {}
            Stored::ReplacedObject(old) => {
                old_fields_at = field_expiry::earliest_of(&old);
                self.free_later(old);
            }
        }
        self.reindex(&key, old_fields_at, fields_at);
        self.changed(&key);
    }

    /// Removes a live key; `false` when there is none. A change.
    pub fn delete(&mut self, key: Key<'_>) -> bool {
        if self.expired(&key) && self.expiry == ExpiryRule::Hide {
            return false;
        }
        let there = self.delete_quiet(&key);
        if there {
            self.dirty += 1;
        }
        there
    }

    /// Removes whatever is stored and tells the watchers.
    fn delete_quiet(&mut self, key: &Key<'_>) -> bool {
        self.remove(key, true)
    }

    /// Removes whatever is stored; `by_command` when the running command says so, not the clock.
    fn remove(&mut self, key: &Key<'_>, by_command: bool) -> bool {
        if self.table(key).is_none_or(|table| table.get(key.hash, key.name).is_none()) {
            return false;
        }
        let Some(removed) = self.table_mut(key).remove(key.hash, key.name) else { return false };
        if matches!(removed.get().value(), ValueRef::Object(_))
            && let Owned::Object(object) = removed.into_value()
        {
            self.reindex(key, field_expiry::earliest_of(&object), None);
            self.free_later(object);
        }
        self.touched(key, by_command);
        true
    }

    /// Takes a live key's value and expiry out. A change.
    pub fn take(&mut self, key: Key<'_>) -> Option<(Value<'static, Object>, Option<i64>)> {
        if self.expired(&key) && self.expiry == ExpiryRule::Hide {
            return None;
        }
        let removed = self.table_mut(&key).remove(key.hash, key.name)?;
        let expire = removed.get().expire_at();
        self.changed(&key);
        let value = match removed.into_value() {
            Owned::Int(number) => Value::Int(number),
            Owned::Bytes(bytes) => Value::Owned(bytes),
            Owned::Object(object) => {
                self.reindex(&key, field_expiry::earliest_of(&object), None);
                Value::Object(object)
            }
        };
        Some((value, expire))
    }

    /// Sets or clears the expiry of a live key. A change.
    pub fn set_expire(&mut self, key: Key<'_>, expire_at_ms: Option<i64>) -> bool {
        let Some(mut entry) = self.get_mut(key) else { return false };
        entry.set_expire(expire_at_ms);
        self.changed(&key);
        true
    }

    fn free_later(&mut self, object: Box<Object>) {
        if object.len() > LAZY_FREE_LEN {
            self.garbage.push(Garbage::Object(object));
        }
    }
}
