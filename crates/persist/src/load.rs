//! A snapshot back into an engine: all of it, or an error that says where the input is wrong.
//!
//! The records go into a [`DataSet`] of their own, which takes the engine's place only after the checksum was found
//! right and nothing follows it. Memory grows with the bytes that have arrived, never with what a length claims.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use quiver_engine::Engine;
use quiver_engine::codec;
use quiver_engine::data_set::DataSet;
use quiver_rdb::frame::Properties;
use quiver_rdb::{Reader, code, walk};
use thiserror::Error;

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
}

/// What a snapshot held.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Keys loaded.
    pub keys: u64,
    /// Keys left out because their time was over.
    pub expired: u64,
    /// Bytes read, checksum included.
    pub bytes: u64,
    /// Version of the format.
    pub version: u16,
    /// Who wrote it, when, and its place in a replication stream.
    pub properties: Properties,
    /// What was passed over: things that are not keys and that this server does not have.
    pub warnings: Vec<String>,
}

/// How far loading is; reported every [`KEYS_PER_REPORT`] keys.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// Keys so far.
    pub keys: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// Keys between two reports of progress.
const KEYS_PER_REPORT: u64 = 1024;

/// Warnings kept; a file may hold any number of things to warn about.
const WARNINGS_MAX: usize = 32;

/// Longest part of a key that an error quotes, in bytes.
const QUOTED_MAX: usize = 64;

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
    #[error("at byte {offset}: key '{key}' of database {db} is of a type that is not known ({kind_byte})")]
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
    let fail = |source| LoadFileError { path: path.to_path_buf(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(LoadFileReason::Open(error))),
    };
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
    let (data_set, loaded) = read_data_set(source, options, progress)?;
    drop(engine.adopt(data_set, |_| ()));
    Ok(loaded)
}

/// Reads a snapshot into a data set that [`Engine::adopt`] can put in place later, while the old one is served on.
/// `source` must end with the snapshot.
///
/// # Errors
/// What is wrong and where.
pub fn read_data_set(
    source: &mut dyn Read,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(DataSet, Loaded), LoadError> {
    let loader = Loader {
        reader: Reader::new(source),
        options,
        data_set: DataSet::new(options.now_ms),
        loaded: Loaded::default(),
        db: 0,
        expire_at_ms: None,
    };
    loader.run(progress)
}

/// The state between two records.
struct Loader<'a> {
    reader: Reader<'a>,
    options: &'a LoadOptions,
    data_set: DataSet,
    loaded: Loaded,
    db: usize,
    /// Expiry of the next key.
    expire_at_ms: Option<i64>,
}

impl Loader<'_> {
    fn run(mut self, progress: &mut dyn FnMut(LoadProgress)) -> Result<(DataSet, Loaded), LoadError> {
        self.loaded.version = self.reader.header()?;
        loop {
            match self.reader.byte()? {
                code::EOF => break,
                opcode => self.record(opcode)?,
            }
            let keys = self.loaded.keys + self.loaded.expired;
            if keys.is_multiple_of(KEYS_PER_REPORT) {
                progress(LoadProgress { keys, bytes: self.reader.offset() });
            }
        }
        self.reader.verify_checksum(self.loaded.version)?;
        if !self.reader.is_at_end()? {
            return Err(self.reader.invalid("bytes follow the end of the snapshot").into());
        }
        self.loaded.bytes = self.reader.offset();
        Ok((self.data_set, self.loaded))
    }

    fn record(&mut self, opcode: u8) -> Result<(), LoadError> {
        let reader = &mut self.reader;
        match opcode {
            code::AUX => self.loaded.properties.read(reader)?,
            code::SELECTDB => self.select()?,
            code::EXPIRETIME_MS => self.expire_at_ms = Some(reader.i64()?),
            code::EXPIRETIME => {
                self.expire_at_ms = Some(i64::from(i32::from_le_bytes(reader.array()?)) * 1000);
            }
            code::FUNCTION2 => {
                reader.skip_string()?;
                self.warn("a function library was left out: functions are not supported");
            }
            code::MODULE_AUX => {
                walk::skip_hint(reader, opcode)?;
                self.warn("data that a module keeps beside the keys was left out");
            }
            hint if walk::skip_hint(reader, hint)? => {}
            kind => self.key(kind)?,
        }
        Ok(())
    }

    fn select(&mut self) -> Result<(), LoadError> {
        let (db, databases) = (self.reader.length()?, self.options.databases);
        self.db = usize::try_from(db).ok().filter(|db| *db < databases).ok_or_else(|| LoadError::Database {
            db,
            databases,
            offset: self.reader.offset(),
        })?;
        Ok(())
    }

    fn key(&mut self, kind_byte: u8) -> Result<(), LoadError> {
        let name = self.reader.string()?;
        let (db, expire_at_ms) = (self.db, self.expire_at_ms.take());
        let kind = kind_name(kind_byte);
        let in_value = |source| LoadError::Value { key: quoted(&name), db, kind, source };
        let discard = self.options.discard_expired && self.loaded.properties.replication.is_none();
        if discard && expire_at_ms.is_some_and(|at| at <= self.options.now_ms) {
            walk::skip_value(&mut self.reader, kind_byte).map_err(in_value)?;
            self.loaded.expired += 1;
            return Ok(());
        }
        let offset = self.reader.offset();
        if !codec::supports(kind_byte) {
            return Err(LoadError::Unsupported { key: quoted(&name), db, kind_byte, offset });
        }
        let value = codec::read_value(&mut self.reader, kind_byte).map_err(in_value)?;
        if !self.data_set.insert(db, &name, value, expire_at_ms) {
            return Err(LoadError::Duplicate { key: quoted(&name), db, offset: self.reader.offset() });
        }
        self.loaded.keys += 1;
        Ok(())
    }

    fn warn(&mut self, text: &str) {
        if self.loaded.warnings.len() < WARNINGS_MAX {
            self.loaded.warnings.push(format!("at byte {}: {text}", self.reader.offset()));
        }
    }
}

/// A key as an error shows it: printable, and not long.
fn quoted(name: &[u8]) -> String {
    let shown = name[..name.len().min(QUOTED_MAX)].escape_ascii();
    if name.len() > QUOTED_MAX { format!("{shown}...") } else { shown.to_string() }
}

/// The name of a value type.
fn kind_name(kind_byte: u8) -> &'static str {
    match kind_byte {
        code::STRING => "string",
        code::LIST | code::LIST_ZIPLIST | code::LIST_QUICKLIST | code::LIST_QUICKLIST_2 => "list",
        code::SET | code::SET_INTSET | code::SET_LISTPACK => "set",
        code::ZSET | code::ZSET_2 | code::ZSET_ZIPLIST | code::ZSET_LISTPACK => "sorted set",
        code::HASH | code::HASH_ZIPMAP | code::HASH_ZIPLIST | code::HASH_LISTPACK => "hash",
        code::HASH_METADATA | code::HASH_LISTPACK_EX => "hash with expiring fields",
        code::STREAM_LISTPACKS | code::STREAM_LISTPACKS_2 | code::STREAM_LISTPACKS_3 => "stream",
        code::STREAM_LISTPACKS_4 | code::STREAM_LISTPACKS_5 => "stream",
        code::MODULE_2 => "module value",
        code::QUIVER_ARRAY => "array",
        _ => "value of an unknown type",
    }
}
