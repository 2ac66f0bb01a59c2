//! The documents a term stands in, compressed: blocks of up to 128 entries, ordered by document.
//!
//! A block is one run of bytes: first its entries (distance to the document before, and how often the term stands there
//! and in which fields: mostly a byte each, which is a little more than could be and decodes without surprises), then
//! their positions, which only phrases read. Blocks know their first and last document, so that seeking decodes no more
//! than one.
//!
//! Documents keep their ids for life and ids are used again, so entries are added and removed anywhere: a block is
//! decoded, changed and encoded again, in less than a microsecond. Adding behind the last is an append.
//!
//! Invariants ([`Postings::check`]): documents ascend strictly, blocks are neither empty nor too long, counts are true.

use std::cmp::Reverse;
use std::sync::OnceLock;

use crate::index::{DocId, varint};

/// Entries of a block at most.
pub(crate) const BLOCK: usize = 128;
/// Blocks that hold no more than this after a removal are joined with their neighbour, if both fit in a block.
const SMALL: usize = BLOCK / 4;

/// Lowest bit of an entry's second number, above which is the frequency: the term stands in the first field only.
const FIRST: u64 = 1;

/// What an entry keeps besides the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing: values of TAG fields.
    Ids,
    /// Frequency, fields and positions: words of TEXT fields.
    Text,
}

impl Shape {
    /// Numbers of an entry at least.
    fn numbers(self) -> usize {
        match self {
            Self::Ids => 1,
            Self::Text => 2,
        }
    }
}

/// A term in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The document.
    pub(crate) doc: DocId,
    /// How often the term stands in it, weighted.
    pub(crate) frequency: u32,
    /// In which TEXT fields, a bit each.
    pub(crate) fields: u128,
    /// Where: for each of these fields the number of places, then each as its distance from the one before.
    pub(crate) positions: &'a [u8],
}

/// Some entries in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: DocId,
    pub(crate) last: DocId,
    pub(crate) count: u16,
    /// Where entries end and positions begin.
    pub(crate) positions_at: u32,
    pub(crate) data: Vec<u8>,
    /// What its best entries are, once a query has seen them.
    pub(crate) best: OnceLock<Box<Impacts>>,
}

/// The entries of a block that may score best under any mean length: frequencies, and lengths of their documents. Every
/// other entry has a lower frequency in a document that is no shorter.
///
/// It is told by whoever reads a block first and forgotten when the block changes. A document's length changes only when
/// its texts do, and then all of its words are taken out and put in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Impacts(Vec<(u32, u32)>);

impl Impacts {
    /// Of the entries with these frequencies and lengths.
    pub(crate) fn of(entries: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut entries: Vec<(u32, u32)> = entries.collect();
        entries.sort_unstable_by_key(|&(frequency, length)| (Reverse(frequency), length));
        let mut shortest = u32::MAX;
        entries.retain(|&(_, length)| {
            let better = length < shortest;
            shortest = shortest.min(length);
            better
        });
        entries.shrink_to_fit();
        Self(entries)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }
}

/// All documents of a term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Postings {
    blocks: Vec<Block>,
    docs: u32,
    /// Bytes of all blocks.
    bytes: usize,
}

impl Postings {
    /// Documents.
    pub(crate) fn len(&self) -> usize {
        self.docs as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.docs == 0
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes + self.blocks.capacity() * size_of::<Block>()
    }

    /// Puts a document in that is not there.
    pub(crate) fn insert(&mut self, shape: Shape, entry: &Entry<'_>) {
        self.docs += 1;
        let at = self.blocks.partition_point(|block| block.last < entry.doc);
        if at == self.blocks.len() {
            match self.blocks.last_mut() {
                Some(block) if (block.count as usize) < BLOCK => {
                    self.bytes -= block.data.capacity();
                    block.append(shape, entry);
                    self.bytes += block.data.capacity();
                }
                last => {
                    if let Some(full) = last {
                        self.bytes -= full.data.capacity();
                        full.data.shrink_to_fit();
                        self.bytes += full.data.capacity();
                    }
                    let block = Block::of(shape, std::slice::from_ref(entry));
                    self.bytes += block.data.capacity();
                    if self.blocks.len() == self.blocks.capacity() {
                        // Most terms are rare: one block is all they ever have.
                        self.blocks.reserve_exact(self.blocks.len() / 2 + 1);
                    }
                    self.blocks.push(block);
                }
            }
            return;
        }
        let block = self.blocks[at].clone();
        let mut entries = block.entries(shape);
        let place = entries.partition_point(|other| other.doc < entry.doc);
        entries.insert(place, *entry);
        let half = if entries.len() > BLOCK { entries.len() / 2 } else { entries.len() };
        self.replace(at, Block::of(shape, &entries[..half]));
        if half < entries.len() {
            let upper = Block::of(shape, &entries[half..]);
            self.bytes += upper.data.capacity();
            self.blocks.insert(at + 1, upper);
        }
    }

    /// Takes a document out; the length of its positions, or `None` if it was not there.
    pub(crate) fn remove(&mut self, shape: Shape, doc: DocId) -> Option<usize> {
        let at = self.blocks.partition_point(|block| block.last < doc);
        let (block, next) = (self.blocks.get(at)?.clone(), self.blocks.get(at + 1).cloned());
        let mut entries = block.entries(shape);
        let place = entries.binary_search_by_key(&doc, |entry| entry.doc).ok()?;
        let removed = entries.remove(place);
        self.docs -= 1;
        if entries.is_empty() {
            let gone = self.blocks.remove(at);
            self.bytes -= gone.data.capacity();
            return Some(removed.positions.len());
        }
        if entries.len() <= SMALL
            && let Some(next) = next.as_ref().filter(|next| next.count as usize + entries.len() < BLOCK)
        {
            entries.extend(next.entries(shape));
            self.replace(at, Block::of(shape, &entries));
            let gone = self.blocks.remove(at + 1);
            self.bytes -= gone.data.capacity();
        } else {
            self.replace(at, Block::of(shape, &entries));
        }
        Some(removed.positions.len())
    }

    /// Postings out of blocks, which may come from anywhere.
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn from_blocks(shape: Shape, blocks: Vec<Block>) -> Result<Self, String> {
        let docs = blocks.iter().map(|block| u32::from(block.count)).try_fold(0_u32, u32::checked_add);
        let bytes = blocks.iter().map(|block| block.data.capacity()).sum();
        let postings = Self { docs: docs.ok_or("too many documents")?, bytes, blocks };
        postings.check(shape)?;
        Ok(postings)
    }

    /// What is wrong.
    pub(crate) fn check(&self, shape: Shape) -> Result<(), String> {
        let (mut count, mut last) = (0, None);
        for block in &self.blocks {
            if block.count == 0 || block.count as usize > BLOCK || block.positions_at as usize > block.data.len() {
                return Err(format!("a block of {} entries", block.count));
            }
            let (mut at, mut positions_at, mut doc) = (0, block.positions_at as usize, block.first);
            for i in 0..block.count {
                let (distance, frequency, fields) = block.entry(shape, &mut at);
                doc = doc.checked_add(distance).ok_or("a document beyond the last")?;
                let sorted = last.is_none_or(|last| last < doc) && (i > 0 || doc == block.first);
                if !sorted || frequency == 0 || fields == 0 {
                    return Err(format!("document {doc} after {last:?}"));
                }
                if shape == Shape::Text {
                    block.positions(&mut positions_at);
                }
                last = Some(doc);
            }
            if last != Some(block.last) || (at, positions_at) != (block.positions_at as usize, block.data.len()) {
                return Err(format!("the block at document {} is not what its entries are", block.first));
            }
            count += u32::from(block.count);
        }
        if count != self.docs {
            return Err(format!("{count} documents, counted {}", self.docs));
        }
        Ok(())
    }

    fn replace(&mut self, at: usize, block: Block) {
        self.bytes += block.data.capacity();
        self.bytes -= self.blocks[at].data.capacity();
        self.blocks[at] = block;
    }
}

impl Block {
    /// A block of these entries, of which there is at least one.
    pub(crate) fn of(shape: Shape, entries: &[Entry<'_>]) -> Self {
        let first = entries.first().map_or(0, |entry| entry.doc);
        let last = entries.last().map_or(first, |entry| entry.doc);
        let mut data = Vec::with_capacity(entries.len() * 2);
        let mut before = first;
        for entry in entries {
            put_entry(&mut data, shape, before, entry);
            before = entry.doc;
        }
        let positions_at = data.len() as u32;
        if shape == Shape::Text {
            for entry in entries {
                varint::put(&mut data, entry.positions.len() as u64);
                data.extend_from_slice(entry.positions);
            }
        }
        data.shrink_to_fit();
        Self { first, last, count: entries.len() as u16, positions_at, data, best: OnceLock::new() }
    }

    fn append(&mut self, shape: Shape, entry: &Entry<'_>) {
        let (at, end) = (self.positions_at as usize, self.data.len());
        put_entry(&mut self.data, shape, self.last, entry);
        let head = self.data.len() - end;
        // Entries stand before all positions.
        self.data[at..].rotate_right(head);
        self.positions_at += head as u32;
        if shape == Shape::Text {
            varint::put(&mut self.data, entry.positions.len() as u64);
            self.data.extend_from_slice(entry.positions);
        }
        self.last = entry.doc;
        self.count += 1;
        self.best = OnceLock::new();
    }

    /// Its entries.
    pub(crate) fn entries(&self, shape: Shape) -> Vec<Entry<'_>> {
        let (mut at, mut positions_at, mut doc) = (0, self.positions_at as usize, self.first);
        let mut entries = Vec::with_capacity(self.count as usize + 1);
        for _ in 0..self.count {
            let (distance, frequency, fields) = self.entry(shape, &mut at);
            doc = doc.wrapping_add(distance);
            let positions = match shape {
                Shape::Text => self.positions(&mut positions_at),
                Shape::Ids => &[],
            };
            entries.push(Entry { doc, frequency, fields, positions });
        }
        entries
    }

    /// The entry at a place of the data: distance to the document before, frequency, fields.
    #[inline]
    pub(crate) fn entry(&self, shape: Shape, at: &mut usize) -> (u32, u32, u128) {
        let distance = varint::get(&self.data, at) as u32;
        if shape == Shape::Ids {
            return (distance, 1, 1);
        }
        let number = varint::get(&self.data, at);
        let fields = if number & FIRST == 0 { varint::get_wide(&self.data, at) } else { 1 };
        (distance, (number >> 1) as u32, fields)
    }

    /// [`Self::entry`] without the fields, fast where both numbers are one byte.
    #[inline]
    pub(crate) fn distance_and_frequency(&self, shape: Shape, at: &mut usize) -> (u32, u32) {
        match (shape, self.data.get(*at..*at + 2)) {
            (Shape::Ids, Some(&[first, _])) if first < 0x80 => {
                *at += 1;
                (u32::from(first), 1)
            }
            (Shape::Text, Some(&[first, second])) if (first | second) < 0x80 && u64::from(second) & FIRST != 0 => {
                *at += 2;
                (u32::from(first), u32::from(second >> 1))
            }
            _ => {
                let (distance, frequency, _) = self.entry(shape, at);
                (distance, frequency)
            }
        }
    }

    /// Whether every number of its entries is one byte, and so every term in the first field.
    #[inline]
    pub(crate) fn is_plain(&self, shape: Shape) -> bool {
        self.positions_at as usize == self.count as usize * shape.numbers()
    }

    /// Documents and frequencies of a plain block. The last byte of a block from elsewhere may say that more follows, where
    /// nothing does: as everywhere, only its other bits count.
    #[inline]
    pub(crate) fn read_plain(&self, shape: Shape, docs: &mut [DocId], frequencies: &mut [u32]) {
        let mut doc = self.first;
        match shape {
            Shape::Ids => {
                for (place, distance) in docs.iter_mut().zip(&self.data) {
                    doc = doc.wrapping_add(u32::from(*distance & 0x7f));
                    *place = doc;
                }
                frequencies.fill(1);
            }
            Shape::Text => {
                for ((place, frequency), entry) in docs.iter_mut().zip(frequencies).zip(self.data.as_chunks::<2>().0) {
                    doc = doc.wrapping_add(u32::from(entry[0]));
                    (*place, *frequency) = (doc, u32::from((entry[1] & 0x7f) >> 1));
                }
            }
        }
    }

    /// The positions at a place of the data.
    #[inline]
    pub(crate) fn positions(&self, at: &mut usize) -> &[u8] {
        let len = varint::get(&self.data, at) as usize;
        let positions = self.data.get(*at..at.saturating_add(len)).unwrap_or_default();
        *at += positions.len();
        positions
    }
}

fn put_entry(out: &mut Vec<u8>, shape: Shape, before: DocId, entry: &Entry<'_>) {
    varint::put(out, u64::from(entry.doc - before));
    if shape == Shape::Ids {
        return;
    }
    let first = entry.fields == 1;
    varint::put(out, u64::from(entry.frequency) << 1 | u64::from(first));
    if !first {
        varint::put_wide(out, entry.fields);
    }
}

/// Appends the places of one field.
pub(crate) fn put_places(out: &mut Vec<u8>, places: impl ExactSizeIterator<Item = u32>) {
    varint::put(out, places.len() as u64);
    let mut before = 0;
    for place in places {
        varint::put(out, u64::from(place - before));
        before = place;
    }
}

/// Appends to `out` the places in one field, of the positions of an entry with these fields.
pub(crate) fn places(positions: &[u8], fields: u128, field: u32, out: &mut Vec<u32>) {
    if fields >> field & 1 == 0 {
        return;
    }
    let before = (fields & ((1 << field) - 1)).count_ones();
    let mut at = 0;
    for _ in 0..before {
        let skipped = varint::get(positions, &mut at);
        for _ in 0..skipped.min(positions.len() as u64) {
            varint::get(positions, &mut at);
        }
    }
    let count = varint::get(positions, &mut at).min(positions.len() as u64);
    let mut place = 0_u32;
    for _ in 0..count {
        place = place.wrapping_add(varint::get(positions, &mut at) as u32);
        out.push(place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn postings_are_a_sorted_map(
            ops in proptest::collection::vec((any::<bool>(), 0..600_u32, 1..4_u32, 1..9_u128), 1..900),
        ) {
            let (mut postings, mut model) = (Postings::default(), BTreeMap::new());
            for (add, doc, frequency, fields) in ops {
                if add && !model.contains_key(&doc) {
                    let positions = vec![frequency as u8; doc as usize % 5];
                    postings.insert(Shape::Text, &Entry { doc, frequency, fields, positions: &positions });
                    model.insert(doc, (frequency, fields, positions));
                } else if !add {
                    let expected = model.remove(&doc).map(|(_, _, positions)| positions.len());
                    prop_assert_eq!(postings.remove(Shape::Text, doc), expected);
                }
            }
            prop_assert_eq!(postings.check(Shape::Text), Ok(()));
            let blocks = postings.blocks().to_vec();
            let found = blocks.iter().flat_map(|block| block.entries(Shape::Text));
            let found: BTreeMap<_, _> =
                found.map(|entry| (entry.doc, (entry.frequency, entry.fields, entry.positions.to_vec()))).collect();
            prop_assert_eq!(found, model);
            let again = Postings::from_blocks(Shape::Text, blocks).map(|again| again.blocks);
            prop_assert_eq!(again, Ok(postings.blocks));
        }

        #[test]
        fn blocks_of_any_bytes_are_refused_or_right(
            data in proptest::collection::vec(any::<u8>(), 0..60), count in any::<u16>(), positions_at in 0..70_u32,
            first in any::<u32>(), last in any::<u32>(),
        ) {
            let block = Block { first, last, count, positions_at, data, best: OnceLock::new() };
            if let Ok(postings) = Postings::from_blocks(Shape::Text, vec![block]) {
                prop_assert_eq!(postings.check(Shape::Text), Ok(()));
            }
        }
    }

    #[test]
    fn the_best_entries_are_those_no_other_beats() {
        let best = Impacts::of([(1, 9), (3, 20), (2, 20), (3, 25), (1, 10), (2, 12)].into_iter());
        assert!(best.iter().eq([(3, 20), (2, 12), (1, 9)]));
    }

    #[test]
    fn places_are_found_by_field() {
        let mut positions = Vec::new();
        put_places(&mut positions, [3, 7].into_iter());
        put_places(&mut positions, [1].into_iter());
        put_places(&mut positions, [0, 500, 501].into_iter());
        let fields = 1 << 2 | 1 << 5 | 1 << 127;
        let found = |field| {
            let mut out = Vec::new();
            places(&positions, fields, field, &mut out);
            out
        };
        assert_eq!((found(2), found(5), found(127), found(3)), (vec![3, 7], vec![1], vec![0, 500, 501], vec![]));
    }
}
