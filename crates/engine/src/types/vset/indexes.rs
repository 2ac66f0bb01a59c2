//! Indexes over chosen attributes, and what they tell about filters.
//!
//! A search that filters asks a memo which elements pass (`memo.rs`). Where fields of its expression are indexed, the memo
//! is filled from the indexes before the search: then how many elements pass is known and not estimated, and which they
//! are is known and not asked, whatever value the client asks for and however few have it.
//!
//! An index over many elements is made in steps ([`VectorSet::index_some`]), between which searches and changes go on. It
//! does not count until it is whole ([`VectorSet::add_indexes`]): until then it is no part of what the set is.
//!
//! Invariants: an index holds what the attributes of the live elements say, one that is being made those in slots below
//! `filled`; indexes stand in the order of their fields.

use std::sync::Arc;

use parking_lot::Mutex;
use quiver_rdb::{Reader, Writer};
use quiver_vector::Slot;

use super::VectorSet;
use super::memo::Memo;
use crate::filter::{Candidates, FieldIndex, Filter, Slots};

/// Indexes of one set.
pub const INDEXES_MAX: usize = 64;

/// So many questions are asked at once rather than let a plan be made by estimates.
const QUESTIONS_FEW: usize = 256;

/// What looking at an entry of an index costs, and what asking an element costs, as parts of 10,000 of what a walk takes:
/// a walk among a share of the elements asks about some 1,600 for the whole of them, and more the smaller the share is.
const ENTRIES_PER_LEN: usize = 32_000;
const QUESTIONS_PER_LEN: usize = 1_600;

/// The indexes of a set.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    whole: Vec<FieldIndex>,
    making: Vec<FieldIndex>,
    filled: Slot,
    /// Held by whoever makes indexes.
    maker: Arc<Mutex<()>>,
}

impl Clone for Indexes {
    fn clone(&self) -> Self {
        Self { whole: self.whole.clone(), ..Self::default() }
    }
}

impl Indexes {
    /// The attributes of an element become others.
    pub(super) fn change(&mut self, slot: Slot, old: &[u8], new: &[u8]) {
        if old == new {
            return;
        }
        let making = self.making.iter_mut().filter(|_| slot < self.filled);
        for index in self.whole.iter_mut().chain(making) {
            index.remove(slot, old);
            index.insert(slot, new);
        }
    }

    /// Whether there is no index.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Heap bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let all = self.whole.iter().chain(&self.making);
        (self.whole.capacity() + self.making.capacity()) * size_of::<FieldIndex>()
            + all.map(FieldIndex::memory_bytes).sum::<usize>()
    }

    fn candidates(&self, filter: &Filter, budget: usize) -> Option<Candidates> {
        filter.candidates(|field| self.whole.iter().find(|index| *index.field() == *field), budget)
    }
}

impl VectorSet {
    /// The fields that have an index, in order, and the elements in each.
    pub fn indexed_fields(&self) -> impl ExactSizeIterator<Item = (&[u8], usize)> {
        self.indexes.whole.iter().map(|index| (index.field(), index.len()))
    }

    /// Whether a field has an index.
    pub fn is_indexed(&self, field: &[u8]) -> bool {
        self.indexed_fields().any(|(indexed, _)| indexed == field)
    }

    /// What to hold while indexes are made in steps.
    pub fn index_maker(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.indexes.maker)
    }

    /// Begins to make indexes over fields, none of which is made before.
    pub fn begin_indexing(&mut self, fields: &[&[u8]]) {
        self.indexes.making = fields.iter().map(|field| FieldIndex::new(field)).collect();
        self.indexes.filled = 0;
    }

    /// Takes the elements of up to `count` more slots into the indexes that are being made; `true` when all are.
    pub fn index_some(&mut self, count: usize) -> bool {
        let Indexes { making, filled, .. } = &mut self.indexes;
        let end = (*filled as usize).saturating_add(count).min(self.members.len());
        for slot in *filled..end as Slot {
            let attributes = &self.members[slot as usize].attributes;
            making.iter_mut().for_each(|index| index.insert(slot, attributes));
        }
        *filled = end as Slot;
        end == self.members.len()
    }

    /// Adds indexes over fields that have none: those that are being made, and others that are made here.
    pub fn add_indexes(&mut self, fields: &[&[u8]]) {
        self.index_some(usize::MAX);
        let mut made = std::mem::take(&mut self.indexes.making);
        made.retain(|index| fields.contains(&index.field()));
        let is_missing = |field: &&&[u8]| !made.iter().any(|index| index.field() == **field);
        let missing: Vec<&[u8]> = fields.iter().filter(is_missing).copied().collect();
        self.begin_indexing(&missing);
        self.index_some(usize::MAX);
        made.append(&mut self.indexes.making);
        self.indexes.whole.append(&mut made);
        self.indexes.whole.sort_unstable_by(|a, b| a.field().cmp(b.field()));
        self.version += 1;
    }

    /// Drops the indexes over fields; how many there were.
    pub fn drop_indexes(&mut self, fields: &[&[u8]]) -> usize {
        let before = self.indexes.whole.len();
        self.indexes.whole.retain(|index| !fields.contains(&index.field()));
        before - self.indexes.whole.len()
    }

    /// Fills the memo of a filter with what indexes know, and asks about the rest where that is little.
    pub(super) fn learn(&self, memo: &Memo, filter: &Filter) {
        let unknown = memo.unknown(self.len());
        if self.indexes.is_empty() || unknown == 0 {
            return;
        }
        let live = self.live();
        if unknown > QUESTIONS_FEW && memo.is_due(unknown) {
            let budget = (self.len() * ENTRIES_PER_LEN).isqrt();
            if let Some(candidates) = self.indexes.candidates(filter, budget) {
                let mut known = live.clone();
                if !candidates.exact {
                    known.subtract(&candidates.slots);
                }
                memo.learn(&known, &candidates.slots);
            }
            memo.asked_indexes(memo.unknown(self.len()));
        }
        let few = QUESTIONS_FEW.max((self.len() * QUESTIONS_PER_LEN).isqrt());
        if (1..=few).contains(&memo.unknown(self.len())) {
            for slot in memo.unknown_of(&live).iter() {
                memo.put(slot, filter.accepts(self.attributes(slot)));
            }
        }
    }

    fn live(&self) -> Slots {
        let mut live = Slots::below(self.index.slots());
        self.index.vacant_slots().for_each(|slot| live.remove(slot));
        live
    }

    /// Appends the names of the fields that have an index.
    pub fn write_indexed(&self, writer: &mut Writer<'_>) {
        writer.length(self.indexed_fields().len() as u64);
        self.indexed_fields().for_each(|(field, _)| writer.string(field));
    }

    /// Reads what [`Self::write_indexed`] wrote.
    /// # Errors
    /// The bytes end before, or are no such list.
    pub fn read_indexed(reader: &mut Reader<'_>) -> crate::codec::Result<Vec<Vec<u8>>> {
        let (count, mut fields) = (reader.length()?, Vec::<Vec<u8>>::new());
        for _ in 0..count {
            let field = reader.string()?;
            if fields.len() == INDEXES_MAX || fields.last().is_some_and(|last| *last >= field) {
                return Err(reader.invalid("vector set: the indexed fields are too many or out of order"));
            }
            fields.push(field);
        }
        Ok(fields)
    }

    pub(super) fn check_indexes(&self) -> Result<(), String> {
        let elements = || self.index.live_slots().map(|slot| (slot, self.attributes(slot)));
        self.indexes.whole.iter().try_for_each(|index| index.check(elements()))?;
        let below = |slot: &(Slot, &[u8])| slot.0 < self.indexes.filled;
        self.indexes.making.iter().try_for_each(|index| index.check(elements().filter(below)))?;
        if !self.indexes.whole.is_sorted_by(|a, b| a.field() < b.field()) {
            return Err("the indexes are out of order".to_owned());
        }
        Ok(())
    }
}
