//! One index: its definition, its content, and the keys it has yet to look at.
//!
//! Order of locks: shards before content. Who holds the content and needs a shard only tries, gives the content back when
//! that fails, and comes again; so a turn that holds every shard may wait for the content.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use quiver_query::{Document, Index};

use super::definition::Definition;
use super::extract::Seen;
use super::pending::Pending;
use crate::keyspace::{Key, KeyHasher, SHARDS};

/// Keys looked at under one hold of the content.
const LOOKS_PER_HOLD: usize = 64;

/// Documents that could not be indexed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    /// How many.
    pub(crate) count: u64,
    /// The last one's reason and key.
    pub(crate) last: Option<(String, Vec<u8>)>,
}

/// Where the walk over keys that were there before the index stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    pub(super) shard: usize,
    pub(super) cursor: u64,
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is left to do.
    Done,
    /// There is more.
    More,
    /// Somebody has what is needed next.
    Busy,
}

/// An index.
#[derive(Debug)]
pub(crate) struct SearchIndex {
    pub(crate) name: Box<[u8]>,
    /// Changes under the locks of all shards.
    definition: RwLock<Arc<Definition>>,
    content: RwLock<Index>,
    pending: Mutex<Pending>,
    pub(super) scan: Mutex<Option<Scan>>,
    /// Grows with every change of a key it may be about.
    changes: AtomicU64,
    pub(crate) failures: Mutex<Failures>,
    pub(crate) uses: AtomicU64,
    pub(crate) last_use_ms: AtomicI64,
    pub(crate) indexing_ns: AtomicU64,
    pub(crate) running: AtomicUsize,
}

impl SearchIndex {
    pub(super) fn new(name: &[u8], definition: Arc<Definition>, content: Index, now_ms: i64) -> Self {
        Self {
            name: name.into(),
            definition: RwLock::new(definition),
            content: RwLock::new(content),
            pending: Mutex::default(),
            scan: Mutex::default(),
            changes: AtomicU64::new(0),
            failures: Mutex::default(),
            uses: AtomicU64::new(0),
            last_use_ms: AtomicI64::new(now_ms),
            indexing_ns: AtomicU64::new(0),
            running: AtomicUsize::new(0),
        }
    }

    /// Its definition.
    pub(crate) fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.definition.read())
    }

    /// Gives it another definition with more fields. The caller holds all shards.
    pub(super) fn redefine(&self, definition: Arc<Definition>) {
        self.content.write().extend(Arc::clone(&definition.schema));
        *self.definition.write() = definition;
    }

    /// Its content as it is.
    pub(crate) fn content(&self) -> RwLockReadGuard<'_, Index> {
        self.content.read()
    }

    /// Changes of keys so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Notes a change of a key, under its shard's lock; gives how many keys wait.
    pub(super) fn note(&self, name: &[u8]) -> usize {
        if !self.definition.read().covers(name) {
            return 0;
        }
        self.push(name)
    }

    pub(super) fn push(&self, name: &[u8]) -> usize {
        self.changes.fetch_add(1, Relaxed);
        let mut pending = self.pending.lock();
        pending.push(name);
        pending.len()
    }

    /// Keys that wait to be looked at.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.lock().len()
    }

    /// The mark behind everything that was noted by now.
    pub(crate) fn mark(&self) -> u64 {
        self.pending.lock().end()
    }

    /// The content when everything noted before `mark` is in it; `None` when there is something to do first.
    pub(crate) fn content_at(&self, mark: u64) -> Option<RwLockReadGuard<'_, Index>> {
        // Who takes names holds the content until they are in it; so what does not wait is in.
        let content = self.content.read();
        (!self.pending.lock().any_before(mark)).then_some(content)
    }

    /// Forgets what it knows and what waits; somebody scans the keys again.
    pub(super) fn empty(&self) {
        let mut content = self.content.write();
        *content = Index::new(Arc::clone(&self.definition.read().schema));
        self.pending.lock().clear();
        self.changes.fetch_add(1, Relaxed);
    }

    /// Looks at some of the keys that were noted before `mark`, with `look`, which answers `None` when somebody has
    /// the key's shard.
    pub(crate) fn catch_up(&self, mark: u64, look: &mut dyn FnMut(&Key<'_>, &Definition) -> Option<Seen>) -> Step {
        let definition = self.definition();
        let mut content = self.content.write();
        for _ in 0..LOOKS_PER_HOLD {
            let Some((number, name)) = self.pending.lock().take(mark) else { return Step::Done };
            match look(&KeyHasher.key(&name), &definition) {
                None | Some(Seen::Lent) => {
                    self.pending.lock().put_back(number, name);
                    return Step::Busy;
                }
                Some(seen) => self.apply(&mut content, &name, seen),
            }
        }
        Step::More
    }

    /// Lets the content know what is under a key now.
    pub(super) fn apply(&self, content: &mut Index, name: &[u8], seen: Seen) {
        match seen {
            Seen::Lent | Seen::Absent => {
                content.remove(name);
            }
            Seen::Refused(reason) => self.refuse(content, name, reason),
            Seen::Found(document, version) => self.upsert(content, name, document, version),
        }
    }

    fn upsert(&self, content: &mut Index, name: &[u8], document: Document, version: u64) {
        if content.version_of(name) == Some(version) {
            return;
        }
        if let Err(error) = content.upsert(name, document, version) {
            self.refuse(content, name, error.to_string());
        }
    }

    fn refuse(&self, content: &mut Index, name: &[u8], reason: String) {
        content.remove(name);
        let mut failures = self.failures.lock();
        failures.count += 1;
        failures.last = Some((reason, name.to_vec()));
    }

    /// Whether keys that were there before are still looked for.
    pub(crate) fn is_scanning(&self) -> bool {
        self.scan.lock().is_some()
    }

    /// Share of the keys that were looked at, 0 to 1.
    pub(crate) fn progress(&self) -> f64 {
        let Some(scan) = *self.scan.lock() else { return 1.0 };
        // Cursors count with their bits reversed.
        let within = scan.cursor.reverse_bits() as f64 / u64::MAX as f64;
        (scan.shard as f64 + within.clamp(0.0, 1.0)) / SHARDS as f64
    }
}
