//! The records of a snapshot one after the other: what loading and checking have in common.

use std::io::Read;

use quiver_engine::codec;
use quiver_engine::eviction::Stamps;
use quiver_rdb::frame::Properties;
use quiver_rdb::{Reader, code, walk};

use crate::load::LoadError;

/// Longest part of a key that an error quotes, in bytes.
const QUOTED_MAX: usize = 64;

/// Hints of an entry's last use; at most one is meant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastUse {
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl LastUse {
    /// The stamp that says so, if stamps say such things under the policy of the clock.
    pub(crate) fn stamp(self, clock: Stamps) -> Option<u32> {
        let idle_s = self.idle_s.map(|idle_s| i64::try_from(idle_s).unwrap_or(i64::MAX));
        let idle = idle_s.and_then(|idle_s| clock.idle_since(idle_s));
        idle.or_else(|| self.frequency.and_then(|counter| clock.with_frequency(counter)))
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A key: what is known of it stands in [`Records`], and the reader before its value.
    Key,
    /// A function library, before which the reader stands.
    Function,
    /// Data of a module, passed over.
    ModuleData,
}

/// A snapshot being read.
pub(crate) struct Records<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) properties: Properties,
    databases: usize,
    /// Database, name, type and so on of the key that was read last.
    pub(crate) db: usize,
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) expire_at_ms: Option<i64>,
    pub(crate) last_use: LastUse,
    /// Whether the end had a checksum, which then was right.
    pub(crate) checksummed: bool,
}

impl<'a> Records<'a> {
    /// Reads the header.
    pub(crate) fn begin(source: &'a mut dyn Read, databases: usize) -> Result<Self, LoadError> {
        let mut reader = Reader::new(source);
        reader.header()?;
        Ok(Self {
            reader,
            properties: Properties::default(),
            databases,
            db: 0,
            name: Vec::new(),
            kind: 0,
            expire_at_ms: None,
            last_use: LastUse::default(),
            checksummed: false,
        })
    }

    /// Reads up to the next key or whatever else is worth a word; `None` when the end, the checksum and nothing behind
    /// it were found.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, LoadError> {
        (self.expire_at_ms, self.last_use) = (None, LastUse::default());
        loop {
            let reader = &mut self.reader;
            match reader.byte()? {
                code::EOF => return self.end().map(|()| None),
                code::AUX => self.properties.read(reader)?,
                code::SELECTDB => self.select()?,
                code::EXPIRETIME_MS => self.expire_at_ms = Some(reader.i64()?),
                code::EXPIRETIME => {
                    self.expire_at_ms = Some(i64::from(i32::from_le_bytes(reader.array()?)) * 1000);
                }
                code::IDLE => self.last_use.idle_s = Some(reader.length()?),
                code::FREQ => self.last_use.frequency = Some(reader.byte()?),
                code::FUNCTION2 => return Ok(Some(Record::Function)),
                code::FUNCTION_PRE_GA => {
                    return Err(reader.invalid("a function library of a release candidate of Redis 7.0").into());
                }
                code::MODULE_AUX => {
                    walk::skip_hint(reader, code::MODULE_AUX)?;
                    return Ok(Some(Record::ModuleData));
                }
                code::KEY_META => {
                    let what = "a key with metadata of modules, or a slot being imported, which is not supported";
                    return Err(reader.invalid(what).into());
                }
                hint if walk::skip_hint(reader, hint)? => {}
                kind => return self.key(kind).map(|()| Some(Record::Key)),
            }
        }
    }

    /// What is wrong with the value of the key, with the key.
    pub(crate) fn in_value(&self, source: quiver_rdb::Error) -> LoadError {
        LoadError::Value { key: quoted(&self.name), db: self.db, kind: kind_name(self.kind), source }
    }

    fn key(&mut self, kind: u8) -> Result<(), LoadError> {
        self.kind = kind;
        self.name.clear();
        self.reader.string_into(&mut self.name)?;
        if codec::supports(kind) {
            return Ok(());
        }
        let (key, offset) = (quoted(&self.name), self.reader.offset());
        Err(LoadError::Unsupported { key, db: self.db, kind_byte: kind, offset })
    }

    fn select(&mut self) -> Result<(), LoadError> {
        let (db, databases) = (self.reader.length()?, self.databases);
        self.db = usize::try_from(db).ok().filter(|db| *db < databases).ok_or_else(|| LoadError::Database {
            db,
            databases,
            offset: self.reader.offset(),
        })?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), LoadError> {
        self.checksummed = self.reader.verify_checksum()?;
        if !self.reader.is_at_end()? {
            return Err(self.reader.invalid("bytes follow the end of the snapshot").into());
        }
        Ok(())
    }
}

/// A key as an error shows it: printable, and not long.
pub(crate) fn quoted(name: &[u8]) -> String {
    let shown = name[..name.len().min(QUOTED_MAX)].escape_ascii();
    if name.len() > QUOTED_MAX { format!("{shown}...") } else { shown.to_string() }
}

/// What a type is whose number is known and nothing else.
pub(crate) fn hint(kind_byte: u8) -> &'static str {
    match kind_byte {
        code::MODULE => ": a module's value of a release candidate of Redis 4.0",
        28 => ": an array of Redis 8.8",
        29..=32 => ": a hash with a template of Redis 8.10",
        _ => "",
    }
}

/// The name of a value type.
pub(crate) fn kind_name(kind_byte: u8) -> &'static str {
    match kind_byte {
        code::STRING => "string",
        code::LIST | code::LIST_ZIPLIST | code::LIST_QUICKLIST | code::LIST_QUICKLIST_2 => "list",
        code::SET | code::SET_INTSET | code::SET_LISTPACK => "set",
        code::ZSET | code::ZSET_2 | code::ZSET_ZIPLIST | code::ZSET_LISTPACK => "sorted set",
        code::HASH | code::HASH_ZIPMAP | code::HASH_ZIPLIST | code::HASH_LISTPACK => "hash",
        code::HASH_CANDIDATE..=code::HASH_LISTPACK_EX => "hash with expiring fields",
        code::STREAM_LISTPACKS | code::STREAM_LISTPACKS_2 | code::STREAM_LISTPACKS_3 => "stream",
        code::STREAM_LISTPACKS_4 | code::STREAM_LISTPACKS_5 => "stream",
        code::MODULE_2 => "module value",
        code::QUIVER_ARRAY => "array",
        code::QUIVER_VECTOR_SET => "vector set with expiring elements",
        code::QUIVER_VECTOR_SET_2 => "vector set with indexed attributes",
        _ => "value of an unknown type",
    }
}
