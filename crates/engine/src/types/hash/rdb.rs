//! Hashes in snapshot files: a listpack as its bytes, a hashtable pair by pair, both in a second form when fields expire;
//! older encodings are only read.
//!
//! Fields whose time is over are written and read like others, so that whoever loads them says in its stream that they
//! are gone.

use std::collections::HashSet;

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::{Item, ListPack};

use super::old_encodings::{ziplist_items, zipmap_items};
use super::shared::Shared;
use super::volatile::{FieldTable, VolatileList, list_of};
use super::{AsOf, Content, Hash, ItemText, Limits, item_of, pairs_of};
use crate::codec::{Result, write_buckets};

/// What becomes a listpack when it was not one in the file: Redis' defaults.
const LIMITS: Limits = Limits { entries: 512, value_bytes: 64 };

/// Latest time at which a field can expire: Redis keeps 48 bits of it.
const EXPIRY_MAX_MS: i64 = (1 << 48) - 2;

/// A listpack in a file stays one up to this length; every access to it is a search from its start.
const LISTPACK_BYTES_MAX: usize = 64 * 1024;

impl Hash {
    /// The type byte in a snapshot.
    pub fn rdb_kind(&self) -> u8 {
        match (&self.0, self.earliest()) {
            (Content::Small(_) | Content::Shared(_), _) | (Content::Volatile(_), None) => code::HASH_LISTPACK,
            (Content::Volatile(_), Some(_)) => code::HASH_LISTPACK_EX,
            (Content::Large(_), None) => code::HASH,
            (Content::Large(_), Some(_)) => code::HASH_METADATA,
        }
    }

    /// Whether a type byte is that of a hash.
    pub fn reads(kind: u8) -> bool {
        let plain = [code::HASH, code::HASH_LISTPACK, code::HASH_ZIPLIST, code::HASH_ZIPMAP];
        plain.contains(&kind) || (code::HASH_CANDIDATE..=code::HASH_LISTPACK_EX).contains(&kind)
    }

    /// Writes the next part of the value; see [`Collection::write_part`](crate::object::Collection::write_part).
    pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        match (&self.0, self.earliest()) {
            (Content::Small(list), _) => writer.string(list.as_bytes()),
            (Content::Shared(_), _) | (Content::Volatile(_), None) => {
                writer.string(list_of(self.iter(AsOf::ALL)).as_bytes());
            }
            (Content::Volatile(list), Some(_)) => {
                let list = list.in_order();
                writer.i64(VolatileList::from_list(list.clone()).earliest());
                writer.string(list.as_bytes());
            }
            (Content::Large(fields), earliest) => return write_table(&fields.table, writer, earliest, at, room),
        }
        true
    }

    /// Reads a value of the given type.
    ///
    /// # Errors
    /// What is wrong with the bytes; also an empty hash and a field that comes twice.
    pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let hash = match kind {
            code::HASH => Self::read_pairs(reader)?,
            code::HASH_LISTPACK => Self::read_listpack(reader)?,
            code::HASH_METADATA => {
                let earliest = reader.i64()?;
                Self::read_expiring_pairs(reader, earliest)?
            }
            code::HASH_LISTPACK_EX => {
                // The earliest expiry follows from the elements.
                reader.i64()?;
                Self::read_expiring_listpack(reader)?
            }
            code::HASH_CANDIDATE if reader.version().is_valkey() => Self::read_pairs_of_valkey(reader)?,
            // Absolute times are those counted from 1 on from an earliest of 1.
            code::HASH_CANDIDATE => Self::read_expiring_pairs(reader, 1)?,
            code::HASH_LISTPACK_CANDIDATE => Self::read_expiring_listpack(reader)?,
            _ => Self::read_old(reader, kind)?,
        };
        if hash.is_empty() {
            return Err(reader.empty("hash without fields"));
        }
        Ok(hash)
    }

    fn read_expiring_pairs(reader: &mut Reader<'_>, earliest: i64) -> Result<Self> {
        let count = reader.length()?;
        let mut hash = Self::new();
        if count > LIMITS.entries as u64 {
            hash.make_large();
        }
        let (mut field, mut value) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let offset = reader.length()?;
            let expire_at = match offset.checked_sub(1) {
                None => None,
                Some(offset) => Some(valid_expiry(reader, earliest.checked_add_unsigned(offset))?),
            };
            field.clear();
            value.clear();
            reader.string_into(&mut field)?;
            reader.string_into(&mut value)?;
            if !hash.set_expiring(&field, &value, expire_at, LIMITS) {
                return Err(reader.invalid("hash with a field that comes twice"));
            }
        }
        Ok(hash)
    }

    /// Valkey 9 has the expiry behind the value, -1 where there is none.
    fn read_pairs_of_valkey(reader: &mut Reader<'_>) -> Result<Self> {
        let mut hash = Self::new();
        let (mut field, mut value) = (Vec::new(), Vec::new());
        for _ in 0..reader.length()? {
            field.clear();
            value.clear();
            reader.string_into(&mut field)?;
            reader.string_into(&mut value)?;
            let expire_at = match reader.i64()? {
                -1 => None,
                at => Some(valid_expiry(reader, Some(at))?),
            };
            if !hash.set_expiring(&field, &value, expire_at, LIMITS) {
                return Err(reader.invalid("hash with a field that comes twice"));
            }
        }
        Ok(hash)
    }

    fn read_expiring_listpack(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.string()?;
        let list = ListPack::from_bytes(bytes).map_err(|_| reader.invalid("hash in a damaged listpack"))?;
        let items: Vec<Item<'_>> = list.iter().collect();
        let (triples, rest) = items.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(reader.invalid("hash with a field that has no value or no expiry"));
        }
        let mut hash = Self::new();
        if triples.len() > LIMITS.entries {
            hash.make_large();
        }
        for [field, value, expiry] in triples {
            let expire_at = match *expiry {
                Item::Int(0) => None,
                Item::Int(at) => Some(valid_expiry(reader, Some(at))?),
                Item::Str(_) => return Err(reader.invalid("hash with an expiry that is no time")),
            };
            let (field, value) = (ItemText::new(*field), ItemText::new(*value));
            if !hash.set_expiring(field.as_bytes(), value.as_bytes(), expire_at, LIMITS) {
                return Err(reader.invalid("hash with a field that comes twice"));
            }
        }
        Ok(hash)
    }

    fn read_pairs(reader: &mut Reader<'_>) -> Result<Self> {
        let count = reader.length()?;
        let mut hash = Self::new();
        if count > LIMITS.entries as u64 {
            hash.make_large();
        }
        let (mut field, mut value) = (Vec::new(), Vec::new());
        for _ in 0..count {
            field.clear();
            value.clear();
            reader.string_into(&mut field)?;
            reader.string_into(&mut value)?;
            if !hash.set(&field, &value, LIMITS) {
                return Err(reader.invalid("hash with a field that comes twice"));
            }
        }
        Ok(hash)
    }

    fn read_listpack(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.string()?;
        let list = ListPack::from_bytes(bytes).map_err(|_| reader.invalid("hash in a damaged listpack"))?;
        if list.len() % 2 == 1 {
            return Err(reader.invalid("hash with a field that has no value"));
        }
        if list.as_bytes().len() > LISTPACK_BYTES_MAX {
            let items: Vec<Item<'_>> = list.iter().collect();
            return Self::from_items(reader, &items);
        }
        if !has_distinct_fields(&list) {
            return Err(reader.invalid("hash with a field that comes twice"));
        }
        let pairs: Vec<_> =
            pairs_of(&list).map(|(field, value)| (ItemText::new(field), ItemText::new(value))).collect();
        let shared = Shared::new(pairs.iter().map(|(field, value)| (field.as_bytes(), value.as_bytes())));
        match shared {
            Some(shared) => Ok(Self(Content::Shared(shared))),
            None => {
                drop(pairs);
                Ok(Self(Content::Small(list)))
            }
        }
    }

    fn read_old(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let bytes = reader.string()?;
        let items = if kind == code::HASH_ZIPMAP { zipmap_items(&bytes) } else { ziplist_items(&bytes) };
        let items = items.ok_or_else(|| reader.invalid("hash in a damaged ziplist or zipmap"))?;
        Self::from_items(reader, &items)
    }

    fn from_items(reader: &Reader<'_>, items: &[Item<'_>]) -> Result<Self> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(reader.invalid("hash with a field that has no value"));
        }
        let mut hash = Self::new();
        if pairs.len() > LIMITS.entries {
            hash.make_large();
        }
        for [field, value] in pairs {
            if !hash.set(ItemText::new(*field).as_bytes(), ItemText::new(*value).as_bytes(), LIMITS) {
                return Err(reader.invalid("hash with a field that comes twice"));
            }
        }
        Ok(hash)
    }
}

fn write_table(
    table: &FieldTable,
    writer: &mut Writer<'_>,
    earliest: Option<i64>,
    at: &mut usize,
    room: usize,
) -> bool {
    if *at == 0 {
        if let Some(earliest) = earliest {
            writer.i64(earliest);
        }
        writer.length(table.len() as u64);
    }
    write_buckets(table, writer, at, room, &mut |writer, entry| {
        if let Some(earliest) = earliest {
            // Counted from the earliest, from 1 on: 0 says that the field does not expire.
            writer.length(entry.expire_at().map_or(0, |at| at.abs_diff(earliest) + 1));
        }
        writer.string(entry.key());
        write_item(writer, item_of(entry.value()));
    })
}

/// A time that a field may expire at.
fn valid_expiry(reader: &Reader<'_>, at: Option<i64>) -> Result<i64> {
    at.filter(|at| (1..=EXPIRY_MAX_MS).contains(at)).ok_or_else(|| reader.invalid("hash with an expiry out of range"))
}

/// Compares fields as text: a foreign listpack may hold a number once as integer and once as string.
fn has_distinct_fields(list: &ListPack) -> bool {
    let mut integers = HashSet::new();
    let mut strings = HashSet::new();
    pairs_of(list).all(|(field, _)| match field {
        Item::Int(number) => integers.insert(number),
        Item::Str(text) => match crate::number::parse_i64(text) {
            Some(number) => integers.insert(number),
            None => strings.insert(text),
        },
    })
}

fn write_item(writer: &mut Writer<'_>, item: Item<'_>) {
    match item {
        Item::Int(number) => writer.integer(number),
        Item::Str(bytes) => writer.string(bytes),
    }
}
