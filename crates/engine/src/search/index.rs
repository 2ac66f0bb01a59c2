//! One index: its definition, its content, and the keys it has yet to look at.
//!
//! One thread at a time looks at keys (`looking`): it takes what is under a key, prepares the document beside others who
//! search, and commits it in a moment of its own.
//!
//! Order of locks: shards before `looking` before content. Who looks and needs a shard only tries, gives up when that
//! fails, and comes again; so a turn that holds every shard may wait for whoever looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use quiver_query::text::{Languages, StopWords};
use quiver_query::{Index, Schema};

use super::definition::Definition;
use super::extract::Seen;
use super::pending::Pending;
use crate::error::CommandError;
use crate::keyspace::{Key, KeyHasher, SHARDS};

/// Keys looked at in one turn of looking. One with a vector may take a third of a millisecond, and whoever asks waits for
/// the turn of the background thread to end.
pub(super) const LOOKS_PER_HOLD: usize = 8;

/// A moment in what an index was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    end: u64,
    /// Changes by then.
    pub(crate) changes: u64,
}

impl Mark {
    /// Behind everything there will ever be.
    pub(super) const LAST: Self = Self { end: u64::MAX, changes: u64::MAX };
}

/// Terms of groups of synonyms.
pub(crate) type Synonyms = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

/// The other words of the groups that a word is in.
pub(crate) fn synonyms_of(groups: &Synonyms, word: &str) -> Vec<String> {
    let groups = groups.values().filter(|terms| terms.contains(word.as_bytes()));
    let others = groups.flatten().filter(|term| **term != word.as_bytes());
    others.map(|term| String::from_utf8_lossy(term).into_owned()).collect()
}

/// Documents that could not be indexed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    /// How many.
    pub(crate) count: u64,
    /// The last one's reason and key.
    pub(crate) last: Option<(String, Vec<u8>)>,
}

/// The version of the document under a key.
pub(super) fn version_of(content: &Index, name: &[u8]) -> Option<u64> {
    content.version(content.find(name)?)
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
    looking: Mutex<()>,
    pending: Mutex<Pending>,
    pub(super) scan: Mutex<Option<Scan>>,
    /// Grows with every change of a key it may be about.
    changes: AtomicU64,
    /// Groups of synonyms by name. Change under the locks of all shards.
    synonyms: RwLock<Arc<Synonyms>>,
    pub(crate) failures: Mutex<Failures>,
    pub(crate) uses: AtomicU64,
    pub(crate) last_use_ms: AtomicI64,
    pub(crate) indexing_ns: AtomicU64,
    pub(crate) running: AtomicUsize,
    /// Dialects of questions so far, a bit each.
    pub(crate) dialects: AtomicU8,
}

impl SearchIndex {
    pub(super) fn new(name: &[u8], definition: Arc<Definition>, content: Index, now_ms: i64) -> Self {
        Self {
            name: name.into(),
            definition: RwLock::new(definition),
            content: RwLock::new(content),
            looking: Mutex::default(),
            pending: Mutex::default(),
            scan: Mutex::default(),
            changes: AtomicU64::new(0),
            synonyms: RwLock::default(),
            failures: Mutex::default(),
            uses: AtomicU64::new(0),
            last_use_ms: AtomicI64::new(now_ms),
            indexing_ns: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            dialects: AtomicU8::new(0),
        }
    }

    /// A content with nothing in it.
    pub(super) fn new_content(schema: &Arc<Schema>) -> Result<Index, CommandError> {
        let analyzer = Arc::new(Languages::new(StopWords::of(schema)));
        Index::new(Arc::clone(schema), analyzer).map_err(|error| CommandError::owned(error.to_string()))
    }

    /// A content as it was saved; `None` when it cannot be read.
    pub(super) fn load_content(schema: &Arc<Schema>, mut saved: &[u8]) -> Option<Index> {
        let analyzer = Arc::new(Languages::new(StopWords::of(schema)));
        Index::load(Arc::clone(schema), analyzer, &mut saved).ok()
    }

    /// Its definition.
    pub(crate) fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.definition.read())
    }

    /// Gives it another definition with more fields. The caller holds all shards.
    pub(super) fn redefine(&self, definition: Arc<Definition>) -> Result<(), CommandError> {
        let _looking = self.looking.lock();
        let extended = self.content.write().extend(Arc::clone(&definition.schema));
        extended.map_err(|error| CommandError::owned(error.to_string()))?;
        *self.definition.write() = definition;
        Ok(())
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

    pub(crate) fn push(&self, name: &[u8]) -> usize {
        let mut pending = self.pending.lock();
        // Under the same lock, so that a mark says of both.
        self.changes.fetch_add(1, Relaxed);
        pending.push(name);
        pending.len()
    }

    /// Keys that wait to be looked at.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.lock().len()
    }

    /// The mark behind everything that was noted by now.
    pub(crate) fn mark(&self) -> Mark {
        let pending = self.pending.lock();
        Mark { end: pending.end(), changes: self.changes() }
    }

    /// The content when everything noted before `mark` is in it; `None` when there is something to do first.
    pub(crate) fn content_at(&self, mark: Mark) -> Option<RwLockReadGuard<'_, Index>> {
        // A name waits until it is in the content.
        let content = self.content.read();
        (!self.pending.lock().any_before(mark.end)).then_some(content)
    }

    /// Forgets what it knows and what waits; somebody scans the keys again.
    pub(super) fn empty(&self) {
        let _looking = self.looking.lock();
        self.content.write().clear();
        self.pending.lock().clear();
        self.changes.fetch_add(1, Relaxed);
    }

    /// Looks at some of the keys that were noted before `mark`, with `look`, which answers `None` when somebody has
    /// the key's shard.
    pub(crate) fn catch_up(
        &self,
        mark: Mark,
        at_most: usize,
        look: &mut dyn FnMut(&Key<'_>, &Definition) -> Option<Seen>,
    ) -> Step {
        let _looking = self.looking.lock();
        let definition = self.definition();
        for _ in 0..at_most {
            let Some((number, name)) = self.pending.lock().take(mark.end) else { return Step::Done };
            match look(&KeyHasher.key(&name), &definition) {
                None | Some(Seen::Lent) => {
                    self.pending.lock().put_back(number, name);
                    return Step::Busy;
                }
                Some(seen) => self.apply(&name, seen),
            }
        }
        self.pending.lock().done();
        Step::More
    }

    /// Lets the content know what is under a key now.
    fn apply(&self, name: &[u8], seen: Seen) {
        match seen {
            Seen::Lent | Seen::Absent => {
                if self.content.read().find(name).is_some() {
                    self.content.write().remove(name);
                }
            }
            Seen::Refused(reason) => self.refuse(name, reason),
            Seen::Found(document, version) => {
                let prepared = {
                    let content = self.content.read();
                    if version_of(&content, name) == Some(version) {
                        return;
                    }
                    content.prepare(name, &document)
                };
                let committed = prepared.and_then(|prepared| self.content.write().commit(prepared, version));
                if let Err(error) = committed {
                    self.refuse(name, error.to_string());
                }
            }
        }
    }

    fn refuse(&self, name: &[u8], reason: String) {
        self.content.write().remove(name);
        let mut failures = self.failures.lock();
        failures.count += 1;
        failures.last = Some((reason, name.to_vec()));
    }

    /// Adds terms to a group of synonyms. The caller holds all shards, or the index is nobody else's yet.
    pub(crate) fn add_synonyms(&self, group: &[u8], terms: &[&[u8]]) {
        let mut known = self.synonyms.write();
        let terms = terms.iter().map(|term| String::from_utf8_lossy(term).to_lowercase().into_bytes());
        Arc::make_mut(&mut known).entry(group.to_vec()).or_default().extend(terms);
    }

    /// The groups of synonyms.
    pub(crate) fn synonyms(&self) -> Arc<Synonyms> {
        Arc::clone(&self.synonyms.read())
    }

    /// Notes that a question was in this dialect.
    pub(crate) fn note_dialect(&self, dialect: u8) {
        self.dialects.fetch_or(1 << dialect, Relaxed);
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
