//! Sorted sets in snapshot files: a listpack as its bytes, a large set member by member; older encodings are only read.

use std::collections::HashSet;

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::{Item, ListPack};

use super::{Content, Limits, SortedSet, small};
use crate::codec::Result;
use crate::types::hash::ItemText;
use crate::types::hash::old_encodings::ziplist_items;

/// What becomes a listpack when it was not one in the file: Redis' defaults.
const LIMITS: Limits = Limits { entries: 128, value_bytes: 64 };

/// A listpack in a file stays one up to this length; every access to it is a search from its start.
const LISTPACK_BYTES_MAX: usize = 64 * 1024;

impl SortedSet {
    /// The type byte in a snapshot.
    pub fn rdb_kind(&self) -> u8 {
        match &self.0 {
            Content::Small(_) => code::ZSET_LISTPACK,
            Content::Large(_) => code::ZSET_2,
        }
    }

    /// Whether a type byte is that of a sorted set.
    pub fn reads(kind: u8) -> bool {
        [code::ZSET, code::ZSET_2, code::ZSET_LISTPACK, code::ZSET_ZIPLIST].contains(&kind)
    }

    /// Writes the next part of the value; see [`Collection::write_part`](crate::object::Collection::write_part).
    pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        match &self.0 {
            Content::Small(list) => {
                writer.string(list.as_bytes());
                true
            }
            Content::Large(large) => {
                if *at == 0 {
                    writer.length(large.len() as u64);
                }
                // Highest first, as Redis writes them.
                self.visit(0..large.len() - *at, true, &mut |member, score| {
                    writer.string(member);
                    writer.f64(score);
                    *at += 1;
                    writer.len() < room
                });
                *at == large.len()
            }
        }
    }

    /// Reads a value of the given type.
    ///
    /// # Errors
    /// What is wrong with the bytes; also an empty set, a member that comes twice, and a score that is no number.
    pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let set = match kind {
            code::ZSET_LISTPACK => Self::read_listpack(reader)?,
            code::ZSET_ZIPLIST => {
                let bytes = reader.string()?;
                let items = ziplist_items(&bytes);
                let items = items.ok_or_else(|| reader.invalid("sorted set in a damaged ziplist"))?;
                Self::from_items(reader, &items)?
            }
            _ => Self::read_entries(reader, kind)?,
        };
        if set.is_empty() {
            return Err(reader.empty("sorted set without members"));
        }
        Ok(set)
    }

    fn read_entries(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let count = reader.length()?;
        let mut set = Self::new();
        if count > LIMITS.entries as u64 {
            set.make_large();
        }
        let mut member = Vec::new();
        for _ in 0..count {
            member.clear();
            reader.string_into(&mut member)?;
            let score = if kind == code::ZSET { reader.ascii_f64()? } else { reader.f64()? };
            set.add_from(reader, &member, score)?;
        }
        Ok(set)
    }

    fn read_listpack(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.string()?;
        let list = ListPack::from_bytes(bytes).map_err(|_| reader.invalid("sorted set in a damaged listpack"))?;
        if list.as_bytes().len() <= LISTPACK_BYTES_MAX && is_sound(&list) {
            return Ok(Self(Content::Small(list)));
        }
        let items: Vec<Item<'_>> = list.iter().collect();
        Self::from_items(reader, &items)
    }

    fn from_items(reader: &Reader<'_>, items: &[Item<'_>]) -> Result<Self> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(reader.invalid("sorted set with a member that has no score"));
        }
        let mut set = Self::new();
        set.expect(pairs.len(), 0, LIMITS);
        for [member, score] in pairs {
            let score = small::score_of(*score).ok_or_else(|| reader.invalid("score that is not a number"))?;
            set.add_from(reader, ItemText::new(*member).as_bytes(), score)?;
        }
        Ok(set)
    }

    fn add_from(&mut self, reader: &Reader<'_>, member: &[u8], score: f64) -> Result<()> {
        if score.is_nan() {
            return Err(reader.invalid("score that is not a number"));
        }
        if self.score_or_insert(member, score, LIMITS).is_some() {
            return Err(reader.invalid("sorted set with a member that comes twice"));
        }
        Ok(())
    }
}

/// Whether a listpack is one of ours: whole pairs in order, distinct members, scores that are numbers.
fn is_sound(list: &ListPack) -> bool {
    let items: Vec<Item<'_>> = list.iter().collect();
    let (pairs, rest) = items.as_chunks::<2>();
    let mut members = HashSet::new();
    let mut before: Option<(f64, Vec<u8>)> = None;
    rest.is_empty()
        && pairs.iter().all(|[member, score]| {
            let (Some(score), member) = (small::score_of(*score), member.to_vec()) else { return false };
            let entry = (score, member.clone());
            let in_order = before.as_ref().is_none_or(|before| *before < entry);
            before = Some(entry);
            in_order && members.insert(member)
        })
}
