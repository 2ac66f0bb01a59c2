//! The keyspace: shards, databases, and the view of it that a turn works on.
//!
//! A key belongs to a hash slot, a slot to one of [`SHARDS`] shards (`slot.rs`); a shard holds its part of every
//! database behind one lock. A turn sees the shards it locked through [`Keyspace`], which applies the rules every access
//! shares: expired keys are gone (and their DEL is in the stream, unless this is a replica, which only hides them),
//! watched keys tell their watchers, and a running snapshot gets the old content of a bucket before its first change.
//!
//! Invariants: an object in the table is never empty; `dirty` grows exactly when data or an expiry changed.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use quiver_structures::table::{KeyHash, Lookup, Owned, Stored};
use quiver_structures::{EntryMut, EntryRef, Locked, Stripes, Table, Value, ValueRef};

use crate::blocking::{Waiter, Waiting};
use crate::command::CommandResult;
use crate::effects::Effects;
use crate::error::CommandError;
use crate::eviction::Stamps;
use crate::field_expiry::{self, FieldExpiries};
use crate::notify::{Class, Event};
use crate::number::IntText;
use crate::object::{Collection, Object};
use crate::search::Search;
use crate::slot::{SLOTS, slot_of};
use crate::snapshot::{Cut, DbCut};
use crate::tracking::{Stale, Tracked};

/// Shards of the keyspace: a power of two, at most 64 so that a set of shards is one word.
pub const SHARDS: usize = 64;

/// The set of all shards.
pub const ALL_SHARDS: u64 = u64::MAX;

/// A key with what locates it: computed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The name.
    pub name: &'k [u8],
    /// Keyed hash of the name.
    pub hash: u64,
    /// Home shard.
    pub shard: usize,
}

impl Key<'_> {
    /// The home shard as a set.
    pub fn shard_set(&self) -> u64 {
        1 << self.shard
    }
}

/// The keyed hash of keys, fields and element names: one seed per process, so that nobody can aim keys at one bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher;

static HASH_STATE: OnceLock<ahash::RandomState> = OnceLock::new();

impl KeyHasher {
    /// Sets the seed; only the first call before any hashing counts. Without one a fixed seed serves (tests, tools).
    pub fn seed(seed: u64) {
        HASH_STATE.get_or_init(|| Self::state(seed));
    }

    fn state(seed: u64) -> ahash::RandomState {
        ahash::RandomState::with_seeds(seed, seed.rotate_left(17) ^ 0x9e37_79b9, !seed, 0x2545_f491_4f6c_dd1d)
    }

    /// Locates a key.
    #[inline]
    pub fn key(self, name: &[u8]) -> Key<'_> {
        Key { name, hash: self.hash(name), shard: shard_of_slot(slot_of(name)) }
    }

    /// The keyed hash of any bytes.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = ahash::AHasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        HASH_STATE.get_or_init(|| Self::state(1)).build_hasher()
    }
}

impl KeyHash for KeyHasher {
    #[inline]
    fn hash_key(&self, key: &[u8]) -> u64 {
        self.hash(key)
    }
}

/// The table of one database in one shard.
pub type KeyTable = Table<Object, KeyHasher>;

/// An entry of the keyspace.
pub type KeyEntry<'t> = EntryRef<'t, Object>;

/// An entry of the keyspace, for changing.
pub type KeyEntryMut<'t> = EntryMut<'t, Object, KeyHasher>;

/// The shard of a slot: slots are dealt out in contiguous ranges.
pub const fn shard_of_slot(slot: u16) -> usize {
    slot as usize / (SLOTS / SHARDS)
}

/// Who watches a key: database and name, and the flags of the sessions.
type Watched = HashMap<(usize, Box<[u8]>), Vec<Arc<AtomicBool>>>;

/// One part of the keyspace.
#[derive(Default)]
pub struct Shard {
    dbs: Vec<Db>,
    watched: Watched,
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

    // --- typed access -------------------------------------------------------------------------------------------

    /// The string under a key.
    pub fn string(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>, CommandError> {
        self.get(key).map(|entry| Text::of(entry.value())).transpose()
    }

    /// The string under a key that a command is about to change: neither a hit nor a miss.
    pub fn peek_string(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>, CommandError> {
        self.peek(key).map(|entry| Text::of(entry.value())).transpose()
    }

    /// The collection of type `T` under a key, for reading.
    ///
    /// # Errors
    /// The key holds another type (as for the two below).
    pub fn value<T: Collection>(&mut self, key: Key<'_>) -> Result<Option<&T>, CommandError> {
        match self.get(key).map(|entry| entry.value()) {
            None => Ok(None),
            Some(ValueRef::Object(object)) => T::of(object).map(Some).ok_or(CommandError::WrongType),
            Some(_) => Err(CommandError::WrongType),
        }
    }

    /// The collection of type `T` under a key that this turn has looked up with [`Keyspace::value`], for commands that
    /// read several at once. Counts nothing and deletes nothing; `None` also for another type.
    pub fn seen<T: Collection>(&self, key: &Key<'_>) -> Option<&T> {
        let entry = self.table(key)?.get(key.hash, key.name)?;
        match entry.value() {
            ValueRef::Object(object) if !self.is_over(&entry) => T::of(object),
            _ => None,
        }
    }

    /// The collection under a key, for changing. Call [`Keyspace::changed`] when something did change.
    pub fn value_mut<T: Collection>(&mut self, key: Key<'_>) -> Result<Option<&mut T>, CommandError> {
        match self.get_mut(key).map(KeyEntryMut::into_object_mut) {
            None => Ok(None),
            Some(object) => object.and_then(T::of_mut).map(Some).ok_or(CommandError::WrongType),
        }
    }

    /// The collection under a key, for changing, made anew when there is none. The handler must leave it non-empty or
    /// delete the key.
    pub fn value_or_new<T: Collection + Default>(&mut self, key: Key<'_>) -> Result<&mut T, CommandError> {
        if self.expired(&key) {
            // Only a replica still has it: what is written there anew must not meet the old content.
            self.delete_quiet(&key);
        }
        if self.notify_classes.any(Class::NEW) && self.peek(key).is_none() {
            self.notify(Class::NEW, "new", key.name);
        }
        let object = match table_in(&mut self.shards, self.db, &key).entry(key.hash, key.name) {
            Lookup::Found(entry) => {
                self.stamps.touch(&entry.get());
                entry.into_object_mut()
            }
            Lookup::Vacant(vacant) => {
                let new = Value::Object(Box::new(T::default().into_object()));
                vacant.insert(new, None, self.stamps.fresh()).into_object_mut()
            }
        };
        object.and_then(T::of_mut).ok_or(CommandError::WrongType)
    }

    /// Deletes the key when the object in it became empty; call after taking elements out. Whether it did.
    pub fn delete_if_empty(&mut self, key: Key<'_>) -> bool {
        let empty = matches!(self.peek(key).map(|e| e.value()), Some(ValueRef::Object(object)) if object.is_empty());
        empty && self.delete_quiet(&key)
    }

    // --- whole databases ----------------------------------------------------------------------------------------

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

    fn shard_indices(&self) -> impl Iterator<Item = usize> + use<> {
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

impl Shard {
    #[inline]
    fn tell_watchers(&mut self, db: usize, name: &[u8]) {
        if !self.watched.is_empty() {
            // The key is borrowed by value only in this rare case: somebody watches something in this shard.
            if let Some(watchers) = self.watched.get(&(db, name.into())) {
                watchers.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
            }
        }
    }

    /// Tells the watchers of keys that are in `db`, or are about to come in from `other`, and whose time is not over.
    fn tell_watchers_of_db(&self, db: usize, other: usize, now_ms: i64) {
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

/// A string value as its bytes: integers are spelled out on the stack.
#[derive(Debug)]
pub enum Text<'e> {
    /// Stored as an integer.
    Int(i64, IntText),
    /// Stored as bytes.
    Bytes(&'e [u8]),
}

impl<'e> Text<'e> {
    /// The text of a value.
    pub fn of(value: ValueRef<'e, Object>) -> Result<Self, CommandError> {
        match value {
            ValueRef::Int(number) => Ok(Self::Int(number, IntText::new(number))),
            ValueRef::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            ValueRef::Object(_) => Err(CommandError::WrongType),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Int(_, text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The value a string is stored as: an integer where it is the canonical text of one.
pub fn string_value(bytes: &[u8]) -> Value<'_, Object> {
    match crate::number::parse_i64(bytes) {
        Some(number) if bytes.len() <= 20 => Value::Int(number),
        _ => Value::Bytes(bytes),
    }
}

/// Refuses a value that is no string.
pub fn expect_string(value: &ValueRef<'_, Object>) -> CommandResult {
    if matches!(value, ValueRef::Object(_)) { Err(CommandError::WrongType) } else { Ok(()) }
}
