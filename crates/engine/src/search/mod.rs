//! Search indexes: what FT.CREATE declares and FT.SEARCH asks.
//!
//! Definitions, aliases, synonyms and dictionaries are data of the keyspace's rank, as function libraries are: they change
//! under the locks of all shards, are in the stream as said, and in every snapshot. What is in an index follows from the
//! keys: every change of a key of database 0 notes its name in the indexes whose prefixes it has (`pending`), whoever asks
//! an index looks at all keys noted by then first, and a background thread looks at them otherwise (`feed`). So a client's
//! own writes are in its next answer, while a write costs no more than noting a name.
//!
//! - `definition`, `schema`: the words of FT.CREATE; `extract`: from a value to a document; `index`: one index and what
//!   waits for it; `feed`: looking, scanning, back-pressure; `image`: into a snapshot and back; `cursors`: rows left over.
//!
//! Not here: how a query is read and answered (crate `quiver-query`), replies (`commands/ft`).

pub(crate) mod cursors;
pub(crate) mod definition;
pub(crate) mod extract;
mod feed;
pub(crate) mod filter;
mod image;
pub(crate) mod index;
mod pending;
pub(crate) mod schema;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::CommandError;
pub(crate) use image::restore;
pub use image::{CONTENT, Contents, DEFINITIONS, Records};

use cursors::Cursors;
use definition::Definition;
use index::SearchIndex;

/// Most indexes.
const INDEXES_MAX: usize = 10_000;

/// Most words of all dictionaries.
const DICTIONARY_WORDS_MAX: usize = 10_000_000;

/// Languages with a stemmer, and that of texts cut by a dictionary.
const LANGUAGES: &[&str] = &[
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "chinese",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
];

/// A language's name as it is kept.
pub(crate) fn language(name: &[u8]) -> Option<&'static str> {
    LANGUAGES.iter().copied().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// All there is of them at one moment. Never changed: a command makes a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexSet {
    indexes: BTreeMap<Box<[u8]>, Arc<SearchIndex>>,
    /// Other names, and the indexes they mean.
    aliases: BTreeMap<Box<[u8]>, Box<[u8]>>,
    dictionaries: BTreeMap<Box<[u8]>, Arc<BTreeSet<String>>>,
}

impl IndexSet {
    /// Every index, by name.
    pub(crate) fn indexes(&self) -> impl ExactSizeIterator<Item = &Arc<SearchIndex>> {
        self.indexes.values()
    }

    /// The index of a name, or of an alias.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Arc<SearchIndex>> {
        self.indexes.get(name).or_else(|| self.indexes.get(self.aliases.get(name)?))
    }

    /// Aliases and the indexes they mean.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.aliases.iter().map(|(alias, index)| (&**alias, &**index))
    }

    /// A dictionary's words.
    pub(crate) fn dictionary(&self, name: &[u8]) -> Option<&Arc<BTreeSet<String>>> {
        self.dictionaries.get(name)
    }
}

/// What was asked of all indexes so far.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Questions that were answered.
    pub(crate) queries: AtomicU64,
    /// Commands that asked, those that read on among them.
    pub(crate) commands: AtomicU64,
    /// What the answers took.
    pub(crate) ns: AtomicU64,
}

/// The indexes of an engine.
#[derive(Debug, Default)]
pub struct Search {
    set: RwLock<Arc<IndexSet>>,
    active: AtomicBool,
    /// Cursors of FT.AGGREGATE.
    pub(crate) cursors: Cursors,
    pub(crate) asked: Asked,
    /// Indexes that are gone, to be freed elsewhere.
    gone: Mutex<Vec<Arc<IndexSet>>>,
    /// Too many keys wait.
    behind: AtomicBool,
    /// Keys that came to wait since the background thread looked.
    news: AtomicUsize,
    gate: Mutex<()>,
    arrived: Condvar,
}

impl Search {
    /// All of it as it is now.
    pub(crate) fn set(&self) -> Arc<IndexSet> {
        Arc::clone(&self.set.read())
    }

    /// Whether there is any index.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// Puts another set in the place of the old. The caller holds the locks of all shards.
    fn exchange(&self, new: IndexSet) {
        self.active.store(!new.indexes.is_empty(), Relaxed);
        let old = std::mem::replace(&mut *self.set.write(), Arc::new(new));
        self.gone.lock().push(old);
        self.arrived.notify_one();
    }

    /// Takes the set of a data set over; gives the old one. The caller holds the locks of all shards.
    pub(crate) fn adopt(&self, new: Arc<IndexSet>) -> Arc<IndexSet> {
        self.active.store(!new.indexes.is_empty(), Relaxed);
        let old = std::mem::replace(&mut *self.set.write(), new);
        self.cursors.clear();
        self.news.fetch_add(1, Relaxed);
        self.arrived.notify_one();
        old
    }

    /// Gives an index more fields. The caller holds the locks of all shards.
    pub(crate) fn redefine(&self, index: &SearchIndex, definition: Definition) -> Result<(), CommandError> {
        index.redefine(Arc::new(definition))
    }

    /// Drops everything, because database 0 was emptied.
    pub(crate) fn clear(&self) {
        let set = self.set();
        if !set.indexes.is_empty() || !set.dictionaries.is_empty() {
            self.exchange(IndexSet::default());
            self.cursors.clear();
        }
    }

    /// Adds an index.
    pub(crate) fn create(
        &self,
        name: &[u8],
        definition: Definition,
        now_ms: i64,
    ) -> Result<Arc<SearchIndex>, CommandError> {
        let mut set = IndexSet::clone(&self.set());
        if set.indexes.contains_key(name) || set.aliases.contains_key(name) {
            return Err(CommandError::text("Index already exists"));
        }
        if set.indexes.len() >= INDEXES_MAX {
            return Err(CommandError::text("Too many indexes"));
        }
        let content = SearchIndex::new_content(&definition.schema)?;
        let index = Arc::new(SearchIndex::new(name, Arc::new(definition), content, now_ms));
        set.indexes.insert(name.into(), Arc::clone(&index));
        self.exchange(set);
        Ok(index)
    }

    /// Removes an index and its aliases.
    pub(crate) fn remove(&self, index: &SearchIndex) {
        let mut set = IndexSet::clone(&self.set());
        set.indexes.remove(&index.name);
        set.aliases.retain(|_, target| *target != index.name);
        self.cursors.drop_of(&index.name);
        self.exchange(set);
    }

    /// Adds an alias; `replace`: whatever it means now.
    pub(crate) fn alias(&self, alias: &[u8], index: &[u8], replace: bool) -> Result<(), CommandError> {
        let mut set = IndexSet::clone(&self.set());
        let Some(target) = set.indexes.get(index).map(|index| index.name.clone()) else {
            return Err(CommandError::text("Unknown index name (or name is an alias itself)"));
        };
        if set.indexes.contains_key(alias) || !replace && set.aliases.contains_key(alias) {
            return Err(CommandError::text("Alias already exists"));
        }
        set.aliases.insert(alias.into(), target);
        self.exchange(set);
        Ok(())
    }

    /// Removes an alias; `false` when there is none.
    pub(crate) fn unalias(&self, alias: &[u8]) -> bool {
        let mut set = IndexSet::clone(&self.set());
        let there = set.aliases.remove(alias).is_some();
        if there {
            self.exchange(set);
        }
        there
    }

    /// Adds words to a dictionary, or takes them out; how many it changed.
    pub(crate) fn change_dictionary(&self, name: &[u8], words: &[&[u8]], add: bool) -> Result<usize, CommandError> {
        let mut set = IndexSet::clone(&self.set());
        let total: usize = set.dictionaries.values().map(|words| words.len()).sum();
        if add && total + words.len() > DICTIONARY_WORDS_MAX {
            return Err(CommandError::text("The dictionaries have too many terms"));
        }
        let mut known = set.dictionaries.remove(name).unwrap_or_default();
        let inside = Arc::make_mut(&mut known);
        let mut changed = 0;
        for word in words {
            let word = String::from_utf8_lossy(word).into_owned();
            changed += usize::from(if add { inside.insert(word) } else { inside.remove(&word) });
        }
        if !known.is_empty() {
            set.dictionaries.insert(name.into(), known);
        }
        self.exchange(set);
        Ok(changed)
    }
}
