//! What a snapshot file holds and what is wrong with it, without loading it (`--check-rdb`).
//!
//! Every value is read as loading would read it and dropped again, so what passes here loads. Of the keys only hashes are
//! kept, to find one that is there twice.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use quiver_engine::codec;
use quiver_engine::keyspace::KeyHasher;
use quiver_rdb::frame::Properties;
use quiver_rdb::{Reason, Version};

use crate::load::{LoadError, LoadFileError, LoadFileReason};
use crate::records::{Record, Records, kind_name, quoted};

/// Keys that are named for being empty.
const NAMED_MAX: usize = 16;

/// Keys of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysReport {
    /// All of them.
    pub keys: u64,
    /// Those with an expiry.
    pub volatile: u64,
    /// Those whose time is over.
    pub expired: u64,
}

/// Values of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValuesReport {
    /// How many.
    pub keys: u64,
    /// Their bytes in the file.
    pub bytes: u64,
}

/// A value that takes more of the file than any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Largest {
    /// Its key, made printable.
    pub key: String,
    /// Its database.
    pub db: usize,
    /// The name of its type.
    pub kind: &'static str,
    /// Its bytes in the file.
    pub bytes: u64,
}

/// What was found in a file; see [`check_file`]. Displayed as a report for operators.
#[derive(Debug, Default)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Bytes read: all of the file, or up to the error.
    pub bytes: u64,
    /// Its version.
    pub version: Option<Version>,
    /// What its writer said of itself.
    pub properties: Properties,
    /// Whether there was a checksum to compare.
    pub checksummed: bool,
    /// Keys by database.
    pub databases: BTreeMap<usize, KeysReport>,
    /// Values by type.
    pub types: BTreeMap<&'static str, ValuesReport>,
    /// The largest value.
    pub largest: Option<Largest>,
    /// Function libraries.
    pub functions: u64,
    /// Records of modules that loading passes over.
    pub module_data: u64,
    /// Keys with nothing in them, which loading leaves out, and the first of them.
    pub empty: u64,
    /// Those of them that are named.
    pub empty_named: Vec<String>,
    /// The first fault, at which checking ended.
    pub error: Option<LoadError>,
}

/// Reads a file from its header to its checksum. `databases` and `now_ms` are those of the server it is meant for;
/// `progress` is told the bytes read now and then.
///
/// # Errors
/// The file cannot be opened. What is wrong with its content stands in the report.
pub fn check_file(
    path: &Path,
    databases: usize,
    now_ms: i64,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, LoadFileError> {
    let fail = |error| LoadFileError { path: path.to_path_buf(), source: LoadFileReason::Open(error) };
    let mut file = File::open(path).map_err(fail)?;
    let mut report = check(&mut file, databases, now_ms, progress);
    report.path = path.to_path_buf();
    Ok(report)
}

fn check(source: &mut dyn Read, databases: usize, now_ms: i64, progress: &mut dyn FnMut(u64)) -> Report {
    let mut report = Report::default();
    match Records::begin(source, databases) {
        Err(error) => report.error = Some(error),
        Ok(mut records) => {
            let mut seen = HashSet::new();
            report.error = report.read(&mut records, &mut seen, now_ms, progress).err();
            report.version = Some(records.reader.version());
            report.bytes = records.reader.offset();
            report.checksummed = records.checksummed;
            report.properties = records.properties;
        }
    }
    report
}

impl Report {
    /// Keys in all databases, those that loading leaves out included.
    pub fn keys(&self) -> u64 {
        self.databases.values().map(|db| db.keys).sum()
    }

    fn read(
        &mut self,
        records: &mut Records<'_>,
        seen: &mut HashSet<(usize, u64)>,
        now_ms: i64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), LoadError> {
        while let Some(record) = records.next()? {
            match record {
                Record::Key => self.key(records, seen, now_ms)?,
                Record::Function => {
                    records.reader.skip_string()?;
                    self.functions += 1;
                }
                Record::ModuleData => self.module_data += 1,
            }
            if self.keys().is_multiple_of(4096) {
                progress(records.reader.offset());
            }
        }
        Ok(())
    }

    fn key(
        &mut self,
        records: &mut Records<'_>,
        seen: &mut HashSet<(usize, u64)>,
        now_ms: i64,
    ) -> Result<(), LoadError> {
        let (db, start) = (records.db, records.reader.offset());
        match codec::read_value(&mut records.reader, records.kind) {
            Ok(_) => {}
            Err(quiver_rdb::Error { reason: Reason::Empty(_), .. }) => {
                self.empty += 1;
                if self.empty_named.len() < NAMED_MAX {
                    self.empty_named.push(quoted(&records.name));
                }
            }
            Err(source) => return Err(records.in_value(source)),
        }
        let (kind, offset) = (kind_name(records.kind), records.reader.offset());
        if !seen.insert((db, KeyHasher.hash(&records.name))) {
            return Err(LoadError::Duplicate { key: quoted(&records.name), db, offset });
        }
        let found = self.databases.entry(db).or_default();
        found.keys += 1;
        found.volatile += u64::from(records.expire_at_ms.is_some());
        found.expired += u64::from(records.expire_at_ms.is_some_and(|at| at <= now_ms));
        let (values, bytes) = (self.types.entry(kind).or_default(), offset - start);
        values.keys += 1;
        values.bytes += bytes;
        if self.largest.as_ref().is_none_or(|largest| largest.bytes < bytes) {
            self.largest = Some(Largest { key: quoted(&records.name), db, kind, bytes });
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "file: {}", self.path.display())?;
        if let Some(version) = self.version {
            let writer = if version.is_valkey() { "Valkey" } else { "Redis" };
            writeln!(f, "format: RDB version {version} of {writer}")?;
        }
        let Properties { server_version, created_unix_s, replication, is_aof_base, .. } = &self.properties;
        if !server_version.is_empty() {
            writeln!(f, "written by: version {server_version}, at unix time {created_unix_s}")?;
        }
        if *is_aof_base {
            writeln!(f, "base of an append-only log")?;
        }
        if let Some(point) = replication {
            writeln!(f, "replication: {} at offset {}", point.id, point.offset)?;
        }
        for (db, KeysReport { keys, volatile, expired }) in &self.databases {
            writeln!(f, "database {db}: {keys} keys, {volatile} with an expiry, {expired} of them over")?;
        }
        for (kind, ValuesReport { keys, bytes }) in &self.types {
            writeln!(f, "type {kind}: {keys} keys, {bytes} bytes")?;
        }
        if let Some(Largest { key, db, kind, bytes }) = &self.largest {
            writeln!(f, "largest value: the {kind} at key '{key}' of database {db}, {bytes} bytes")?;
        }
        if self.functions > 0 {
            writeln!(f, "function libraries: {}", self.functions)?;
        }
        if self.module_data > 0 {
            writeln!(f, "records of modules, which are passed over: {}", self.module_data)?;
        }
        if self.empty > 0 {
            writeln!(f, "empty keys, which are left out: {} ('{}')", self.empty, self.empty_named.join("', '"))?;
        }
        match &self.error {
            Some(error) => writeln!(f, "ERROR {error}; {} keys before it can be read", self.keys()),
            None if self.checksummed => writeln!(f, "OK: {} bytes, the checksum is right", self.bytes),
            None => writeln!(f, "OK: {} bytes, but there is no checksum to prove it", self.bytes),
        }
    }
}
