//! Function libraries: what FUNCTION LOAD brings and FCALL calls.
//!
//! A library is its source; names, descriptions and flags of its functions are what the [runtime] finds out by running
//! the source once. All libraries together are a [`LibrarySet`], which is never changed: a command makes a new one and
//! puts it in the place of the old, so that whoever reads holds a whole. Interpreters load a library when one of its
//! functions is first called, and know by its number whether they have it.
//!
//! Invariants: no two functions have the same name but for the case of letters, in whatever library; a number is given to one library only. The set
//! is exchanged under the locks of all shards, so that it is part of the turn and of a snapshot's cut.
//!
//! [runtime]: crate::scripting::ScriptRuntime

mod metadata;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use quiver_rdb::{Reader, Writer, code, frame};

use crate::engine::Engine;
use crate::error::CommandError;
pub use metadata::{Metadata, is_name};

/// The one engine there is, as it is called in replies.
pub const ENGINE_NAME: &str = "LUA";

/// Most libraries: a payload of FUNCTION RESTORE is a few bytes for each.
const LIBRARIES_MAX: usize = 10_000;

/// What a function may do and asks for, by the bits of [`FLAGS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionFlags(pub u8);

/// The names of the flags.
pub const FLAGS: &[(FunctionFlags, &str)] = &[
    (FunctionFlags::NO_WRITES, "no-writes"),
    (FunctionFlags::ALLOW_OOM, "allow-oom"),
    (FunctionFlags::ALLOW_STALE, "allow-stale"),
    (FunctionFlags::NO_CLUSTER, "no-cluster"),
    (FunctionFlags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
];

impl FunctionFlags {
    /// It never writes.
    pub const NO_WRITES: Self = Self(1);
    /// It may run when memory is over the limit.
    pub const ALLOW_OOM: Self = Self(2);
    /// It may run on a replica with old data.
    pub const ALLOW_STALE: Self = Self(4);
    /// It does not run in a cluster.
    pub const NO_CLUSTER: Self = Self(8);
    /// It may touch keys of several slots.
    pub const ALLOW_CROSS_SLOT_KEYS: Self = Self(16);

    /// The flag of a name.
    pub fn named(name: &[u8]) -> Option<Self> {
        FLAGS.iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// With another one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a flag is among them.
    pub fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

/// A function of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionEntry {
    /// Its name.
    pub name: Box<str>,
    /// What it says of itself.
    pub description: Option<Box<[u8]>>,
    /// What it may do.
    pub flags: FunctionFlags,
}

/// A library.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// Its number, which no other library has or had.
    pub id: u64,
    /// Its name.
    pub name: Box<str>,
    /// Its source, first line included.
    pub code: Box<[u8]>,
    /// Its functions by name.
    pub functions: Vec<FunctionEntry>,
}

/// Libraries by name, and where each function is.
#[derive(Clone, Debug, Default)]
pub struct LibrarySet {
    libraries: BTreeMap<Box<str>, Arc<Library>>,
    /// By name in lower case.
    functions: BTreeMap<Box<str>, (Arc<Library>, usize)>,
}

impl LibrarySet {
    /// The libraries by name.
    pub fn libraries(&self) -> impl ExactSizeIterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    /// How many functions they have.
    pub fn functions_len(&self) -> usize {
        self.functions.len()
    }

    /// Whether a library is there.
    pub fn contains(&self, name: &str) -> bool {
        self.libraries.contains_key(name)
    }

    /// Whether the library of a number is there.
    pub fn contains_id(&self, name: &str, id: u64) -> bool {
        self.libraries.get(name).is_some_and(|library| library.id == id)
    }

    /// A function and its library. The case of letters does not matter.
    pub fn function(&self, name: &[u8]) -> Option<(&Arc<Library>, &FunctionEntry)> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let (library, at) = self.functions.get(name.as_str())?;
        Some((library, &library.functions[*at]))
    }

    /// Adds a library, in the place of one of its name where there is one.
    ///
    /// # Errors
    /// Another library has a function of the same name, or there are too many.
    pub fn insert(&mut self, library: Arc<Library>) -> Result<(), CommandError> {
        let lower = |function: &FunctionEntry| function.name.to_ascii_lowercase().into_boxed_str();
        let known = |name: Box<str>| self.functions.get(&name).is_some_and(|(owner, _)| owner.name != library.name);
        let mut seen = BTreeSet::new();
        let mut taken =
            library.functions.iter().filter(|function| known(lower(function)) || !seen.insert(lower(function)));
        if let Some(taken) = taken.next() {
            return Err(CommandError::owned(format!("ERR Function {} already exists", taken.name)));
        }
        if self.libraries.len() >= LIBRARIES_MAX && !self.contains(&library.name) {
            return Err(CommandError::text("ERR Too many libraries"));
        }
        self.remove(&library.name);
        for (at, function) in library.functions.iter().enumerate() {
            self.functions.insert(lower(function), (Arc::clone(&library), at));
        }
        self.libraries.insert(library.name.clone(), library);
        Ok(())
    }

    /// Removes a library; `false` when there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        for function in &library.functions {
            self.functions.remove(function.name.to_ascii_lowercase().as_str());
        }
        true
    }

    /// Appends the libraries as records of a snapshot.
    pub fn write(&self, writer: &mut Writer<'_>) {
        for library in self.libraries() {
            writer.byte(code::FUNCTION2);
            writer.string(&library.code);
        }
    }
}

/// The sources inside of what FUNCTION DUMP gave.
///
/// # Errors
/// It is damaged, or of another kind.
pub fn unseal(payload: &[u8]) -> Result<Vec<Vec<u8>>, CommandError> {
    let (_, records) = frame::open(payload).map_err(|_| CommandError::DumpChecksum)?;
    let mut reader = Reader::from_slice(records);
    let mut sources = Vec::new();
    while !reader.is_at_end().unwrap_or(true) {
        match reader.byte() {
            Ok(code::FUNCTION2) => {}
            _ => return Err(CommandError::text("ERR given type is not a function")),
        }
        let source = reader.string();
        sources.push(source.map_err(|_| CommandError::text("ERR Failed loading library data"))?);
    }
    Ok(sources)
}

impl Engine {
    /// A library of a source, made by running it once.
    ///
    /// # Errors
    /// It fails, or registers nothing.
    pub(crate) fn compile_library(&self, source: &[u8], metadata: &Metadata) -> Result<Library, CommandError> {
        let mut functions = self.scripts.runtime()?.load_library(self, source, metadata)?;
        if functions.is_empty() {
            return Err(CommandError::text("ERR No functions registered"));
        }
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Library { id: self.functions.new_id(), name: metadata.name.clone(), code: source.into(), functions })
    }
}

/// The libraries of an engine.
#[derive(Debug, Default)]
pub struct Functions {
    set: RwLock<Arc<LibrarySet>>,
    last_id: AtomicU64,
    /// Grows with every exchange, so that interpreters see it without a lock.
    version: AtomicU64,
}

impl Functions {
    /// All libraries as they are now.
    pub fn set(&self) -> Arc<LibrarySet> {
        Arc::clone(&self.set.read())
    }

    /// Grows whenever the libraries change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A number for one more library.
    pub(crate) fn new_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts other libraries in the place of all; gives the old. The caller holds the locks of all shards.
    pub(crate) fn exchange(&self, new: Arc<LibrarySet>) -> Arc<LibrarySet> {
        let old = std::mem::replace(&mut *self.set.write(), new);
        self.version.fetch_add(1, Ordering::AcqRel);
        old
    }
}
