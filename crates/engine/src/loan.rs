//! Loans: a long command works on its keys away from the keyspace, so that their shards go on serving all other keys.
//!
//! A helper's thread (`Session::borrows`) that is given a long command takes the collections under its keys out, one
//! pointer each, marks the keys as lent, and gives the locks back. The command then runs as it always does, on a keyspace
//! that holds nothing but those keys. What it left there goes back under the locks, in the same hold in which its effects
//! are handed over: for everybody else the command happened at that moment.
//!
//! Invariants: whoever names a lent key waits until it is back; whoever wants all shards waits until nothing is lent, and
//! while somebody does (or a snapshot is running in a shard) nothing is lent; commands that waited for a key come before
//! the next that would borrow it; a lent key keeps its entry, with an empty
//! collection in it that only those see who look at entries without naming them (SCAN, the expiry and eviction rounds,
//! which may remove it: it comes back all the same).
//!
//! Not lent: strings (they are too quick to be worth it), hashes with fields that expire, and commands whose keys the
//! table does not tell. They run under their locks, as they do on a thread that need not yield.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use quiver_resp::Argv;
use quiver_structures::table::Owned;
use quiver_structures::{Stripes, Value, ValueRef};

use crate::command::{Flags, Locks};
use crate::commands::command::keys_in;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::field_expiry;
use crate::keyspace::{Key, KeyHasher, Keyspace, SHARDS, Shard};
use crate::long::{Cost, is_long_by_keys};
use crate::object::Object;
use crate::registry::Entry;
use crate::session::Session;
use crate::tracking;

/// For so long after somebody could not have all shards nothing is lent: they try again every millisecond.
const REFUSED_FOR_MS: i64 = 100;

/// Those who wait look again after this at the latest.
const WAIT: Duration = Duration::from_millis(10);

/// So long a long command lets others go first that waited for what an earlier one had lent: they try every millisecond.
const LEFT_TO_OTHERS: Duration = Duration::from_millis(2);

/// What is out on loan.
#[derive(Default)]
pub(crate) struct Loans {
    /// Commands that run on lent keys. Changes under the locks of those keys.
    out: AtomicUsize,
    /// Threads that wait for all shards.
    waiting_for_all: AtomicUsize,
    refused_until_ms: AtomicI64,
    /// A short command has found its key lent.
    contended: AtomicBool,
    gate: Mutex<()>,
    returned: Condvar,
    /// Keys, as database and name, whose waiters could not be served because the command names a lent key.
    unserved: Mutex<Vec<(usize, Box<[u8]>)>>,
}

impl Loans {
    /// Whether anything is lent; for those who hold all shards, or the shard of the key they ask about.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.out.load(Acquire) > 0
    }

    /// Waits until something came back. The caller holds no lock.
    pub(crate) fn wait(&self) {
        let mut gate = self.gate.lock();
        if self.any() {
            self.returned.wait_for(&mut gate, WAIT);
        }
    }

    /// The same for a caller that wants all shards.
    pub(crate) fn wait_for_all(&self) {
        self.waiting_for_all.fetch_add(1, Relaxed);
        self.wait();
        self.waiting_for_all.fetch_sub(1, Relaxed);
    }

    /// Notes that somebody could not have all shards, and will come again.
    pub(crate) fn refuse_for_a_while(&self, now_ms: i64) {
        self.refused_until_ms.store(now_ms + REFUSED_FOR_MS, Relaxed);
    }

    fn are_refused(&self, now_ms: i64) -> bool {
        self.waiting_for_all.load(Relaxed) > 0 || now_ms < self.refused_until_ms.load(Relaxed)
    }

    /// Notes a key whose waiter is to be served when what is lent is back. The caller holds the lent key's shard.
    pub(crate) fn serve_later(&self, db: usize, name: &[u8]) {
        self.unserved.lock().push((db, name.into()));
    }

    pub(crate) fn take_unserved(&self) -> Vec<(usize, Box<[u8]>)> {
        std::mem::take(&mut *self.unserved.lock())
    }
}

/// Keys on loan, and the keyspace they are in meanwhile.
pub(crate) struct Loan<'e> {
    engine: &'e Engine,
    db: usize,
    mask: u64,
    /// The keys, and whether the command has changed them.
    keys: Vec<(Box<[u8]>, Arc<AtomicBool>)>,
    home: Stripes<Shard>,
    is_back: bool,
}

impl Engine {
    /// Takes the keys of a long command out of the keyspace; `None` when it is to run under its locks.
    pub(crate) fn lend(
        &self,
        session: &Session,
        entry: &Entry,
        argv: Argv<'_>,
        effects: &mut Effects,
        now_ms: i64,
    ) -> Option<Loan<'_>> {
        if !session.borrows || self.loans.are_refused(now_ms) || !names_its_keys(entry, argv) {
            return None;
        }
        if self.loans.contended.swap(false, Relaxed) {
            std::thread::sleep(LEFT_TO_OTHERS);
        }
        // What a reader may cache is noted in the shards that hold it.
        if tracking::remembers(&session.shared) {
            return None;
        }
        let mut names: Vec<&[u8]> = keys_in(entry, argv).into_iter().map(|(at, _)| argv.at(at)).collect();
        names.sort_unstable();
        names.dedup();
        let mask = names.iter().fold(0, |mask, name| mask | KeyHasher.key(name).shard_set());
        let mut ks = self.lock(mask, effects, now_ms);
        ks.db = session.db;
        let ready = names.iter().all(|name| ks.can_lend(&KeyHasher.key(name)));
        if !ready || !is_long_by_keys(&ks, entry, argv) {
            return None;
        }
        let home = Stripes::new((0..SHARDS).map(|_| Shard::default()));
        let mut there = home.lock(mask);
        for name in &names {
            let key = KeyHasher.key(name);
            ks.lend_to(&key, there.get_mut(key.shard));
        }
        drop(there);
        self.loans.out.fetch_add(1, Release);
        let keys = names.into_iter().map(|name| (name.into(), Arc::default())).collect();
        Some(Loan { engine: self, db: session.db, mask, keys, home, is_back: false })
    }

    /// Whether a command names a key that is lent.
    #[inline]
    pub(crate) fn names_lent(&self, ks: &Keyspace<'_>, session: &Session, entry: &Entry, argv: Argv<'_>) -> bool {
        let waits = self.loans.any() && names_lent(ks, session, entry, argv);
        if waits && !session.borrows {
            self.loans.contended.store(true, Relaxed);
        }
        waits
    }
}

impl Loan<'_> {
    /// The keyspace of the lent keys alone, for one command.
    pub(crate) fn keyspace<'k>(&'k self, effects: &'k mut Effects, now_ms: i64) -> Keyspace<'k> {
        let mut ks = self.engine.view_of(&self.home, self.home.lock(self.mask), effects, now_ms);
        ks.db = self.db;
        for (name, changed) in &self.keys {
            ks.watch(&KeyHasher.key(name), changed);
        }
        ks
    }

    /// Exchanges the lent keyspace for the real one and puts everything back into it, telling whoever watches, waits
    /// for or has cached a key that changed.
    pub(crate) fn put_back<'k>(&'k self, ks: &mut Keyspace<'k>) {
        // The lent shards go first: they are locked again below.
        ks.exchange(&self.engine.stripes, self.engine.stripes.lock(self.mask));
        let db = std::mem::replace(&mut ks.db, self.db);
        self.move_home(ks);
        for (name, _) in self.keys.iter().filter(|(_, changed)| changed.load(Relaxed)) {
            ks.tell_changed(&KeyHasher.key(name));
        }
        ks.db = db;
    }

    fn move_home(&self, ks: &mut Keyspace<'_>) {
        let mut home = self.home.lock(self.mask);
        for (name, _) in &self.keys {
            let key = KeyHasher.key(name);
            ks.return_from(&key, home.get_mut(key.shard));
        }
        self.engine.loans.out.fetch_sub(1, Release);
    }

    /// Ends the loan, once no lock is held any more: whoever waits for it goes on.
    pub(crate) fn end(mut self) {
        self.is_back = true;
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if !self.is_back {
            // The command panicked. Its keys come back as it left them, as they would have stayed in place.
            let mut effects = Effects::default();
            let mut ks = self.engine.lock(self.mask, &mut effects, 0);
            ks.db = self.db;
            self.move_home(&mut ks);
        }
        let _gate = self.engine.loans.gate.lock();
        self.engine.loans.returned.notify_all();
    }
}

impl Keyspace<'_> {
    /// Whether a key is lent.
    pub(crate) fn is_lent(&self, name: &[u8]) -> bool {
        let key = KeyHasher.key(name);
        // In whatever database: some commands name another than the selected one.
        self.locked() & key.shard_set() != 0 && self.shard(key.shard).lent.iter().any(|(_, lent)| **lent == *name)
    }

    fn can_lend(&self, key: &Key<'_>) -> bool {
        let shard = self.shard(key.shard);
        let cut = shard.dbs().get(self.db).is_some_and(|db| db.cut.is_some());
        let suits = match self.stored(key).map(|entry| entry.value()) {
            None => true,
            Some(ValueRef::Object(object)) => {
                field_expiry::earliest_of(object).is_none()
                    && matches!(object, Object::Hash(_) | Object::List(_) | Object::Set(_) | Object::SortedSet(_))
            }
            Some(_) => false,
        };
        suits && !cut && !self.is_lent(key.name)
    }

    /// Moves what is under a key to `home` and marks the key as lent; an absent key is lent, too.
    fn lend_to(&mut self, key: &Key<'_>, home: &mut Shard) {
        let db = self.db;
        let shard = self.shard_mut(key.shard);
        shard.lent.push((db, key.name.into()));
        let Some(mut entry) = shard.db_mut(db).table.get_mut(key.hash, key.name) else { return };
        let (expire_at_ms, access) = (entry.expire_at(), entry.get().access());
        let object = entry.object_mut().and_then(take).expect("only what can be taken is lent");
        home.db_mut(db).table.set(key.hash, key.name, Value::Object(Box::new(object)), expire_at_ms, access);
    }

    /// Takes back what is under a key now.
    fn return_from(&mut self, key: &Key<'_>, home: &mut Shard) {
        let db = self.db;
        let shard = self.shard_mut(key.shard);
        shard.lent.retain(|(lent_db, name)| *lent_db != db || **name != *key.name);
        let table = &mut shard.db_mut(db).table;
        let Some(entry) = home.db_mut(db).table.remove(key.hash, key.name) else {
            table.remove(key.hash, key.name);
            return;
        };
        let (expire_at_ms, access) = (entry.get().expire_at(), entry.get().access());
        let value = match entry.into_value() {
            Owned::Int(number) => Value::Int(number),
            Owned::Bytes(bytes) => Value::Owned(bytes),
            Owned::Object(object) => Value::Object(object),
        };
        let fields_at = field_expiry::earliest_in(&value);
        table.set(key.hash, key.name, value, expire_at_ms, access);
        self.reindex(key, None, fields_at);
    }
}

/// Leaves an empty collection of the same type.
fn take(object: &mut Object) -> Option<Object> {
    Some(match object {
        Object::Hash(hash) => Object::Hash(std::mem::take(hash)),
        Object::List(list) => Object::List(std::mem::take(list)),
        Object::Set(set) => Object::Set(std::mem::take(set)),
        Object::SortedSet(set) => Object::SortedSet(std::mem::take(set)),
        _ => return None,
    })
}

/// Whether the table tells all keys of a long command. SORT does so only where it follows no pattern.
fn names_its_keys(entry: &Entry, argv: Argv<'_>) -> bool {
    let says = |word: &[u8]| argv.from(2).iter().any(|arg| arg.eq_ignore_ascii_case(word));
    match entry.full_name {
        "sort" | "sort_ro" => !argv.from(2).iter().any(|arg| arg.contains(&b'*')),
        "copy" => !says(b"db"),
        "georadius" | "georadiusbymember" => {
            !entry.command.flags.has(Flags::WRITE) || !says(b"store") && !says(b"storedist")
        }
        _ => {
            matches!(entry.command.locks, Locks::Keys | Locks::KeysAlone)
                && matches!(entry.cost, Cost::Sum | Cost::Smallest | Cost::Indices | Cost::Part)
        }
    }
}

fn names_lent(ks: &Keyspace<'_>, session: &Session, entry: &Entry, argv: Argv<'_>) -> bool {
    let lent =
        |entry: &Entry, argv: Argv<'_>| entry.key_positions(argv).any(|at| argv.get(at).is_some_and(|n| ks.is_lent(n)));
    if entry.command.locks == Locks::Transaction {
        let queued = session.multi.iter().flat_map(|multi| &multi.queue);
        return queued.into_iter().any(|(entry, argv)| lent(entry, argv.as_argv()));
    }
    lent(entry, argv)
}

#[cfg(test)]
mod tests;
