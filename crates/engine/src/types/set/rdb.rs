//! Sets in snapshot files: a compact set as its bytes, a hashtable member by member.

use std::collections::HashSet;

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::{Item, ListPack};

use super::{Content, IntSet, Limits, Set};
use crate::codec::{Result, write_buckets};
use crate::number::parse_i64;

/// What becomes compact when it was not so in the file: Redis' defaults.
const LIMITS: Limits = Limits { intset_entries: 512, listpack_entries: 128, listpack_value_bytes: 64 };

/// What is compact in a file stays so up to this length; every change of it moves half of it.
const COMPACT_BYTES_MAX: usize = 64 * 1024;

impl Set {
    /// The type byte in a snapshot.
    pub fn rdb_kind(&self) -> u8 {
        match &self.0 {
            Content::Ints(_) => code::SET_INTSET,
            Content::Small(_) => code::SET_LISTPACK,
            Content::Large(_) => code::SET,
        }
    }

    /// Whether a type byte is that of a set.
    pub fn reads(kind: u8) -> bool {
        matches!(kind, code::SET | code::SET_INTSET | code::SET_LISTPACK)
    }

    /// Writes the next part of the value; see [`Collection::write_part`](crate::object::Collection::write_part).
    pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        match &self.0 {
            Content::Ints(ints) => writer.string(ints.as_bytes()),
            Content::Small(list) => writer.string(list.as_bytes()),
            Content::Large(table) => {
                if *at == 0 {
                    writer.length(table.len() as u64);
                }
                return write_buckets(table, writer, at, room, &mut |writer, entry| writer.string(entry.key()));
            }
        }
        true
    }

    /// Reads a value of the given type.
    ///
    /// # Errors
    /// What is wrong with the bytes; also an empty set and a member that comes twice.
    pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let set = match kind {
            code::SET => Self::read_members(reader)?,
            code::SET_INTSET => Self::read_intset(reader)?,
            _ => Self::read_listpack(reader)?,
        };
        if set.is_empty() {
            return Err(reader.empty("set without members"));
        }
        Ok(set)
    }

    fn read_members(reader: &mut Reader<'_>) -> Result<Self> {
        let count = reader.length()?;
        let mut set = Self::new();
        if count > LIMITS.intset_entries as u64 {
            set.make_large();
        }
        let mut member = Vec::new();
        for _ in 0..count {
            member.clear();
            reader.string_into(&mut member)?;
            if !set.add(&member, LIMITS) {
                return Err(reader.invalid("set with a member that comes twice"));
            }
        }
        Ok(set)
    }

    fn read_intset(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.string()?;
        let ints = IntSet::from_bytes(bytes).ok_or_else(|| reader.invalid("set in a damaged intset"))?;
        let is_long = ints.as_bytes().len() > COMPACT_BYTES_MAX;
        let mut set = Self(Content::Ints(ints));
        if is_long {
            set.make_large();
        }
        Ok(set)
    }

    fn read_listpack(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.string()?;
        let list = ListPack::from_bytes(bytes).map_err(|_| reader.invalid("set in a damaged listpack"))?;
        if !has_distinct_members(&list) {
            return Err(reader.invalid("set with a member that comes twice"));
        }
        let is_long = list.as_bytes().len() > COMPACT_BYTES_MAX;
        let mut set = Self(Content::Small(list));
        if is_long {
            set.make_large();
        }
        Ok(set)
    }
}

/// Compares members as text: a foreign listpack may hold a number once as integer and once as string.
fn has_distinct_members(list: &ListPack) -> bool {
    let (mut integers, mut strings) = (HashSet::new(), HashSet::new());
    list.iter().all(|member| match member {
        Item::Int(int) => integers.insert(int),
        Item::Str(text) => match parse_i64(text) {
            Some(int) => integers.insert(int),
            None => strings.insert(text),
        },
    })
}
