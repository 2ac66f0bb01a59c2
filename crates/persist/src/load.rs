//! A snapshot back into an engine: all of it, or an error that says where the input is wrong.
//!
//! The records go into a [`DataSet`] of their own, which takes the engine's place only after the checksum was found
//! right and nothing follows it. Memory grows with the bytes that have arrived, never with what a length claims.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use quiver_engine::codec;
use quiver_engine::data_set::{Batch, DataSet, Duplicate};
use quiver_engine::eviction::Stamps;
use quiver_engine::keyspace::string_value;
use quiver_engine::{CommandError, Engine};
use quiver_rdb::frame::Properties;
use quiver_rdb::{Reason, code, walk};
use thiserror::Error;

use crate::log::{Disk, SystemDisk};
use crate::records::{Record, Records, hint, quoted};

/// How a snapshot is read.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Databases there are: a file that uses more is refused.
    pub databases: usize,
    /// Unix time, ms: keys count as touched now.
    pub now_ms: i64,
    /// Leave out keys whose time is over at `now_ms`: right for a primary; a replica keeps them until it is told, and so
    /// does whoever loads a snapshot that others go on from, so that they are told.
    pub discard_expired: bool,
    /// Reads idle times and frequencies in the file as the policy of this clock wants them; without one they are lost.
    pub clock: Option<Stamps>,
}

/// What a snapshot held.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Keys loaded.
    pub keys: u64,
    /// Keys left out because their time was over.
    pub expired: u64,
    /// Function libraries loaded.
    pub libraries: u64,
    /// Keys left out because nothing was in them; each is among the warnings while these are few.
    pub empty: u64,
    /// Bytes read, checksum included.
    pub bytes: u64,
    /// Version of the format.
    pub version: u16,
    /// Who wrote it, when, and its place in a replication stream.
    pub properties: Properties,
    /// What was passed over: things that are not keys and that this server does not have.
    pub warnings: Vec<String>,
}

/// How far loading is; reported every few hundred keys, and at the end.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// Keys so far.
    pub keys: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Memory that the writer of the snapshot used.
    pub used_memory_bytes: u64,
}

/// Batches that may wait for the thread that inserts them.
const BATCHES_WAITING: usize = 8;

/// Warnings kept; a file may hold any number of things to warn about.
const WARNINGS_MAX: usize = 32;

/// What is wrong with a snapshot.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The frame of the file or a record cannot be read.
    #[error(transparent)]
    Damaged(#[from] quiver_rdb::Error),
    /// A value cannot be read.
    #[error("{source} (in the {kind} at key '{key}' of database {db})")]
    Value {
        /// The key, made printable.
        key: String,
        /// Its database.
        db: usize,
        /// Name of its type.
        kind: &'static str,
        /// Where and what.
        source: quiver_rdb::Error,
    },
    /// A type this server does not have.
    #[error("at byte {offset}: key '{key}' of database {db} is of a type that is not known ({kind_byte}{})", hint(*kind_byte))]
    Unsupported {
        /// The key, made printable.
        key: String,
        /// Its database.
        db: usize,
        /// Number of its type.
        kind_byte: u8,
        /// Where its value begins.
        offset: u64,
    },
    /// A key is there twice.
    #[error("at byte {offset}: key '{key}' of database {db} is there twice")]
    Duplicate {
        /// The key, made printable.
        key: String,
        /// Its database.
        db: usize,
        /// Where its value ends.
        offset: u64,
    },
    /// A function library is none.
    #[error("a function library cannot be loaded: {0}")]
    Library(#[from] CommandError),
    /// A database beyond the configured number.
    #[error("at byte {offset}: database {db} is used, but only {databases} are configured")]
    Database {
        /// The database.
        db: u64,
        /// How many there are.
        databases: usize,
        /// Where it is selected.
        offset: u64,
    },
}

/// Why a file was not loaded.
#[derive(Debug, Error)]
#[error("cannot load {}: {source}", path.display())]
pub struct LoadFileError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub source: LoadFileReason,
}

/// What kept a file from being loaded.
#[derive(Debug, Error)]
pub enum LoadFileReason {
    /// It cannot be opened.
    #[error(transparent)]
    Open(io::Error),
    /// It is wrong.
    #[error(transparent)]
    Content(#[from] LoadError),
}

/// Loads a file in the place of everything the engine holds; `None` if there is no file.
///
/// # Errors
/// What is wrong and where; the engine is as it was.
pub fn load_file(
    engine: &Engine,
    path: &Path,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Option<Loaded>, LoadFileError> {
    load_file_on(&SystemDisk, engine, path, options, progress)
}

/// [`load_file`] from another disk.
///
/// # Errors
/// As there.
pub fn load_file_on(
    disk: &dyn Disk,
    engine: &Engine,
    path: &Path,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Option<Loaded>, LoadFileError> {
    let fail = |source| LoadFileError { path: path.to_path_buf(), source };
    let opened = disk.len(path).and_then(|len| len.map(|_| disk.read_from(path, 0)).transpose());
    let Some(mut file) = opened.map_err(|error| fail(LoadFileReason::Open(error)))? else { return Ok(None) };
    load(engine, &mut file, options, progress).map(Some).map_err(|error| fail(error.into()))
}

/// Loads a snapshot in the place of everything the engine holds.
///
/// # Errors
/// What is wrong and where; the engine is as it was.
pub fn load(
    engine: &Engine,
    source: &mut dyn Read,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Loaded, LoadError> {
    let (mut data_set, mut loaded) = read_data_set(source, options, progress)?;
    if !engine.compile(&mut data_set)? {
        let warning = "a function library was left out: there is no scripting here";
        loaded.warnings.insert(0, warning.to_owned());
    }
    drop(engine.adopt(data_set, |_| ()));
    Ok(loaded)
}

/// Reads a snapshot into a data set that [`Engine::adopt`] can put in place later, while the old one is served on.
/// `source` must end with the snapshot. Where there is a second core, one thread reads and another one inserts.
///
/// # Errors
/// What is wrong and where.
pub fn read_data_set(
    source: &mut dyn Read,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(DataSet, Loaded), LoadError> {
    let mut records = Records::begin(source, options.databases)?;
    records.properties.own = Some(Vec::new());
    let loader = Loader {
        records,
        options,
        batch: Batch::default(),
        text: Vec::new(),
        sources: Vec::new(),
        loaded: Loaded::default(),
    };
    let data_set = DataSet::new(options.now_ms);
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        load_with_two(loader, data_set, progress)
    } else {
        load_with_one(loader, data_set, progress)
    }
}

fn load_with_one(
    loader: Loader<'_>,
    mut data_set: DataSet,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(DataSet, Loaded), LoadError> {
    let mut duplicate = Ok(());
    let loaded = loader.run(progress, &mut |mut batch| {
        duplicate = data_set.insert_all(&mut batch);
        duplicate.is_ok().then_some(batch)
    });
    duplicate?;
    finish(data_set, loaded?)
}

fn load_with_two(
    loader: Loader<'_>,
    mut data_set: DataSet,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(DataSet, Loaded), LoadError> {
    let (full, waiting) = sync_channel::<Batch>(BATCHES_WAITING);
    let (emptied, empty) = sync_channel::<Batch>(BATCHES_WAITING * 2);
    std::thread::scope(|scope| {
        let inserting = scope.spawn(move || {
            for mut batch in waiting {
                data_set.insert_all(&mut batch)?;
                // One too many is dropped.
                let _ = emptied.try_send(batch);
            }
            Ok::<_, Duplicate>(data_set)
        });
        let loaded = loader.run(progress, &mut |batch| {
            full.send(batch).ok()?;
            Some(empty.try_recv().unwrap_or_default())
        });
        drop(full);
        // Whoever inserts has stopped at a duplicate before the reader could tell: that is the first fault.
        let data_set = inserting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        finish(data_set, loaded?)
    })
}

/// Adds the function libraries and search indexes to the keys.
fn finish(
    mut data_set: DataSet,
    (mut loaded, sources): (Loaded, Vec<Vec<u8>>),
) -> Result<(DataSet, Loaded), LoadError> {
    sources.into_iter().for_each(|source| data_set.add_source(source));
    data_set.add_search(loaded.properties.own.take().unwrap_or_default());
    Ok((data_set, loaded))
}

/// The state between two records.
struct Loader<'a> {
    records: Records<'a>,
    options: &'a LoadOptions,
    batch: Batch,
    /// A string on its way into the batch.
    text: Vec<u8>,
    /// Function libraries so far.
    sources: Vec<Vec<u8>>,
    loaded: Loaded,
}

impl Loader<'_> {
    /// Reads everything and hands it on in batches; `hand_on` gives an empty batch in exchange, or `None` to stop.
    fn run(
        mut self,
        progress: &mut dyn FnMut(LoadProgress),
        hand_on: &mut dyn FnMut(Batch) -> Option<Batch>,
    ) -> Result<(Loaded, Vec<Vec<u8>>), LoadError> {
        while let Some(record) = self.records.next()? {
            match record {
                Record::Key => self.key()?,
                Record::Function => {
                    self.sources.push(self.records.reader.string()?);
                    self.loaded.libraries += 1;
                }
                Record::ModuleData => self.warn("data that a module keeps beside the keys was left out"),
            }
            if self.batch.is_full() {
                let Some(next) = hand_on(std::mem::take(&mut self.batch)) else { break };
                self.batch = next;
                progress(self.progress());
            }
        }
        if !self.batch.is_empty() {
            hand_on(std::mem::take(&mut self.batch));
        }
        progress(self.progress());
        if !self.records.checksummed {
            self.warn("there is no checksum, so that damage inside of values cannot be told");
        }
        self.loaded.version = self.records.reader.version().number();
        self.loaded.bytes = self.records.reader.offset();
        self.loaded.properties = self.records.properties;
        Ok((self.loaded, self.sources))
    }

    fn key(&mut self) -> Result<(), LoadError> {
        let Records { reader, properties, name, db, kind, expire_at_ms, last_use, .. } = &mut self.records;
        let (db, kind, expire_at_ms) = (*db, *kind, *expire_at_ms);
        let discard = self.options.discard_expired && properties.replication.is_none();
        let is_over = discard && expire_at_ms.is_some_and(|at| at <= self.options.now_ms);
        let value = if is_over {
            walk::skip_value(reader, kind).map(|()| None)
        } else if kind == code::STRING {
            self.text.clear();
            reader.string_into(&mut self.text).map(|()| Some(string_value(&self.text)))
        } else {
            codec::read_value(reader, kind).map(Some)
        };
        let error = match value {
            Ok(None) => {
                self.loaded.expired += 1;
                return Ok(());
            }
            Ok(Some(value)) => {
                let access = self.options.clock.and_then(|clock| last_use.stamp(clock));
                self.batch.push(db, name, value, expire_at_ms, access, reader.offset());
                self.loaded.keys += 1;
                return Ok(());
            }
            Err(error) => error,
        };
        let Reason::Empty(what) = error.reason else { return Err(self.records.in_value(error)) };
        let text = format!("key '{}' of database {db} was left out: {what}", quoted(&self.records.name));
        self.loaded.empty += 1;
        self.warn(&text);
        Ok(())
    }

    fn progress(&self) -> LoadProgress {
        LoadProgress {
            keys: self.loaded.keys + self.loaded.expired + self.loaded.empty,
            bytes: self.records.reader.offset(),
            used_memory_bytes: self.records.properties.used_memory_bytes,
        }
    }

    fn warn(&mut self, text: &str) {
        if self.loaded.warnings.len() < WARNINGS_MAX {
            self.loaded.warnings.push(format!("at byte {}: {text}", self.records.reader.offset()));
        }
    }
}

impl From<Duplicate> for LoadError {
    fn from(Duplicate { db, name, offset }: Duplicate) -> Self {
        Self::Duplicate { key: quoted(&name), db, offset }
    }
}
