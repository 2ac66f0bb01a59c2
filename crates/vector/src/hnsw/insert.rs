//! Adding an element, or giving it another vector: prepare ([`super::prepare`]), then commit, which changes the graph.

use crate::hnsw::{Hnsw, Prepared};
use crate::{Error, Scratch, Slot};

/// Slots that fit an entry of a pool.
pub(super) const SLOTS_MAX: usize = 1 << 31;

impl Hnsw {
    /// Adds a vector and returns its slot: the smallest vacant one. `key` is the caller's hash of the element's name
    /// and decides its level. `ef` is the effort; zero means [`crate::Params::ef_construction`].
    /// # Errors
    /// A vector of the wrong length or not finite; an index with no slot left.
    pub fn insert(&mut self, vector: &[f32], key: u64, ef: usize) -> Result<Slot, Error> {
        self.change(|index, scratch, prepared| index.prepare(vector, key, ef, scratch, prepared))
    }

    /// Gives the element in `slot` another vector and new links; its slot and level stay.
    /// # Errors
    /// No element in `slot`; a vector of the wrong length or not finite.
    pub fn update(&mut self, slot: Slot, vector: &[f32], ef: usize) -> Result<(), Error> {
        self.change(|index, scratch, prepared| index.prepare_update(slot, vector, ef, scratch, prepared)).map(|_| ())
    }

    /// Adds what was prepared, or puts it in its place, and returns its slot. What has changed since it was prepared
    /// costs links, and if none is left the search is repeated here; with nothing changed it is [`Self::insert`].
    /// # Errors
    /// No element where the vector belongs; an index with no slot left. Nothing changed then.
    pub fn commit(&mut self, prepared: &mut Prepared) -> Result<Slot, Error> {
        let slot = match prepared.place {
            Some(slot) => {
                prepared.level = self.live(slot)?;
                slot
            }
            None => self.take_slot()?,
        };
        self.refresh(slot, prepared);
        if prepared.place.is_some() {
            self.vacate(slot, prepared.level);
        } else {
            self.len += 1;
        }
        self.space.write(slot, &prepared.encoded);
        self.occupy(slot, prepared);
        Ok(slot)
    }

    /// Whether nothing has changed since this was prepared, so that [`Self::commit`] does what [`Self::insert`] would.
    pub fn is_current(&self, prepared: &Prepared) -> bool {
        prepared.changes == self.changes
    }

    /// The smallest vacant slot, or the next one.
    pub(super) fn take_slot(&mut self) -> Result<Slot, Error> {
        match self.vacant.pop() {
            Some(slot) => Ok(slot.0),
            None if self.slots() < SLOTS_MAX => Ok(self.slots() as Slot),
            None => Err(Error::Full),
        }
    }

    /// Makes what was prepared true for the index as it is now: chosen elements that are gone or became others are
    /// dropped, and where a level is left without any, all are searched again.
    fn refresh(&self, slot: Slot, prepared: &mut Prepared) {
        if self.is_current(prepared) {
            return;
        }
        prepared.chosen.resize_with(prepared.level + 1, Vec::new);
        let mut chosen = std::mem::take(&mut prepared.chosen);
        for (level, chosen) in chosen.iter_mut().enumerate() {
            chosen.retain(|&(distance, other)| {
                other != slot
                    && self.graph.level(other) >= Some(level)
                    && prepared.still(&self.space, (distance, other))
            });
        }
        let wanted = self.entry.map_or(0, |(_, top)| top.min(prepared.level) + 1);
        // The element that gets another vector may be all there is on a level.
        let missing = chosen[..wanted].iter().any(Vec::is_empty);
        prepared.chosen = chosen;
        if missing {
            let mut scratch = Scratch::new();
            self.begin_links(prepared.ef(), &mut scratch, prepared);
            while !self.advance_links(&mut scratch, prepared, &[], usize::MAX) {}
        }
    }

    /// Puts the vector in `slot` into the graph, with the links chosen for it.
    pub(super) fn occupy(&mut self, slot: Slot, prepared: &Prepared) {
        let level = prepared.level;
        self.changes += 1;
        self.graph.occupy(slot, level);
        if let Some((_, top)) = self.entry {
            let mut pairs = std::mem::take(&mut self.work.pairs);
            for level in (0..=level.min(top)).rev() {
                self.attach(slot, level, &prepared.chosen[level], &mut pairs);
            }
            self.work.pairs = pairs;
        }
        let better = |(entry, top)| level > top || level == top && slot < entry;
        if self.entry.is_none_or(better) {
            self.entry = Some((slot, level));
        }
    }

    /// Prepares and commits in the index's own working memory.
    fn change(
        &mut self,
        prepare: impl FnOnce(&Self, &mut Scratch, &mut Prepared) -> Result<(), Error>,
    ) -> Result<Slot, Error> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut prepared = std::mem::take(&mut scratch.prepared);
        let result = prepare(self, &mut scratch, &mut prepared).and_then(|()| self.commit(&mut prepared));
        scratch.prepared = prepared;
        self.scratch = scratch;
        result
    }
}
