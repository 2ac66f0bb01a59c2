//! Hashes in snapshot files: a listpack as its bytes, a hashtable pair by pair; older encodings are only read.

use std::collections::HashSet;

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::{Item, ListPack};

use super::old_encodings::{ziplist_items, zipmap_items};
use super::{Content, Hash, ItemText, Limits, pairs_of};
use crate::codec::Result;

/// What becomes a listpack when it was not one in the file: Redis' defaults.
const LIMITS: Limits = Limits { entries: 512, value_bytes: 64 };

/// A listpack in a file stays one up to this length; every access to it is a search from its start.
const LISTPACK_BYTES_MAX: usize = 64 * 1024;

impl Hash {
    /// The type byte in a snapshot.
    pub fn rdb_kind(&self) -> u8 {
        match &self.0 {
            Content::Small(_) => code::HASH_LISTPACK,
            Content::Large(_) => code::HASH,
        }
    }

    /// Whether a type byte is that of a hash, readable or not.
    pub fn reads(kind: u8) -> bool {
        let plain = [code::HASH, code::HASH_LISTPACK, code::HASH_ZIPLIST, code::HASH_ZIPMAP];
        plain.contains(&kind) || expires_fields(kind)
    }

    /// Writes the value, without its type byte.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match &self.0 {
            Content::Small(list) => writer.string(list.as_bytes()),
            Content::Large(table) => {
                writer.length(table.len() as u64);
                for (field, value) in self.iter() {
                    write_item(writer, field);
                    write_item(writer, value);
                }
            }
        }
    }

    /// Reads a value of the given type.
    ///
    /// # Errors
    /// What is wrong with the bytes; also an empty hash, a field that comes twice, and fields that expire, which are not
    /// supported yet.
    pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        if expires_fields(kind) {
            return Err(reader.invalid("hash with fields that expire, which is not supported yet"));
        }
        let hash = match kind {
            code::HASH => Self::read_pairs(reader)?,
            code::HASH_LISTPACK => Self::read_listpack(reader)?,
            _ => Self::read_old(reader, kind)?,
        };
        if hash.is_empty() {
            return Err(reader.invalid("hash without fields"));
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
        Ok(Self(Content::Small(list)))
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

/// The encodings of hashes some of whose fields expire.
fn expires_fields(kind: u8) -> bool {
    // 22 and 23 are the same two as release candidates of Redis 7.4 wrote them.
    (22..=23).contains(&kind) || kind == code::HASH_METADATA || kind == code::HASH_LISTPACK_EX
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
