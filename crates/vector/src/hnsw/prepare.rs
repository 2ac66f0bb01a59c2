//! The long part of adding an element, which only reads: encode the vector, walk to its neighbours, choose among them.
//!
//! What it finds is committed in a few microseconds ([`Hnsw::commit`]), so a lock around an index is held exclusively
//! for that long only, and many vectors can be prepared at once. If the index has changed in between, what is no longer
//! true is found out when it is committed.

use crate::graph::LEVEL_MAX;
use crate::hnsw::Hnsw;
use crate::hnsw::search::{advance, descend};
use crate::scratch::Scratch;
use crate::space::{Encoded, Probe, Space};
use crate::{Error, Slot};

/// A vector ready to be committed, and the memory it was prepared in.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    pub(super) encoded: Encoded,
    /// The element that gets the vector, where there is one already.
    pub(super) place: Option<Slot>,
    pub(super) level: usize,
    /// Links to make on each level from 0, nearest first.
    pub(super) chosen: Vec<Vec<(f32, Slot)>>,
    /// Changes of the index when the search began.
    pub(super) changes: u64,
    ef: usize,
    /// The level the search is on.
    at: usize,
}

/// An element that will be there by the time a prepared one is committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mate {
    pub(super) slot: Slot,
    pub(super) level: usize,
}

impl Hnsw {
    /// Finds out all that is needed to add a vector: see [`Self::insert`] for the parameters.
    /// # Errors
    /// A vector of the wrong length or not finite.
    pub fn prepare(
        &self,
        vector: &[f32],
        key: u64,
        ef: usize,
        scratch: &mut Scratch,
        prepared: &mut Prepared,
    ) -> Result<(), Error> {
        self.prepare_begin(vector, key, ef, scratch, prepared)?;
        while !self.prepare_advance(scratch, prepared, usize::MAX) {}
        Ok(())
    }

    /// [`Self::prepare`] to give the element in `slot` another vector.
    /// # Errors
    /// No element in `slot`; a vector of the wrong length or not finite.
    pub fn prepare_update(
        &self,
        slot: Slot,
        vector: &[f32],
        ef: usize,
        scratch: &mut Scratch,
        prepared: &mut Prepared,
    ) -> Result<(), Error> {
        self.prepare_update_begin(slot, vector, ef, scratch, prepared)?;
        while !self.prepare_advance(scratch, prepared, usize::MAX) {}
        Ok(())
    }

    /// Begins a [`Self::prepare`] in pieces: [`Self::prepare_advance`] until it says `true`. Between the calls the
    /// index may be changed.
    /// # Errors
    /// A vector of the wrong length or not finite.
    pub fn prepare_begin(
        &self,
        vector: &[f32],
        key: u64,
        ef: usize,
        scratch: &mut Scratch,
        prepared: &mut Prepared,
    ) -> Result<(), Error> {
        let norm = self.space.validate(vector)?;
        prepared.encoded.encode(&self.space, vector, norm);
        (prepared.place, prepared.level) = (None, level_of(key, self.params.m));
        self.begin_links(ef, scratch, prepared);
        Ok(())
    }

    /// [`Self::prepare_begin`] to give the element in `slot` another vector.
    /// # Errors
    /// No element in `slot`; a vector of the wrong length or not finite.
    pub fn prepare_update_begin(
        &self,
        slot: Slot,
        vector: &[f32],
        ef: usize,
        scratch: &mut Scratch,
        prepared: &mut Prepared,
    ) -> Result<(), Error> {
        let level = self.live(slot)?;
        let norm = self.space.validate(vector)?;
        prepared.encoded.encode(&self.space, vector, norm);
        (prepared.place, prepared.level) = (Some(slot), level);
        self.begin_links(ef, scratch, prepared);
        Ok(())
    }

    /// Visits the neighbours of up to `elements` more elements; `true` when all links are chosen.
    pub fn prepare_advance(&self, scratch: &mut Scratch, prepared: &mut Prepared, elements: usize) -> bool {
        self.advance_links(scratch, prepared, &[], elements)
    }

    /// Starts the search for links on the highest level the element shares with others.
    pub(super) fn begin_links(&self, ef: usize, scratch: &mut Scratch, prepared: &mut Prepared) {
        // Links of upper levels are chosen first, and what they lead to may change while the lower ones are searched.
        prepared.changes = self.changes;
        let ef = if ef == 0 { self.params.ef_construction } else { ef };
        // One more than fit the paper's pool: an element that is updated finds itself.
        prepared.ef = ef.max(self.params.m) + usize::from(prepared.place.is_some());
        prepared.chosen.iter_mut().for_each(Vec::clear);
        prepared.chosen.resize_with(prepared.level + 1, Vec::new);
        let Some((entry, top)) = self.entry else {
            prepared.at = 0;
            scratch.walk.changes = self.changes;
            scratch.walk.reset(0, 0);
            return;
        };
        prepared.at = prepared.level.min(top);
        let start = descend(&self.space, &self.graph, prepared.encoded.probe(&self.space), entry, top, prepared.at);
        scratch.walk.changes = self.changes;
        scratch.walk.reset(prepared.ef.min(self.len), self.slots());
        scratch.walk.start(start);
    }

    /// Goes on with the search for links; `mates` compete with what the walk finds.
    pub(super) fn advance_links(
        &self,
        scratch: &mut Scratch,
        prepared: &mut Prepared,
        mates: &[Mate],
        elements: usize,
    ) -> bool {
        loop {
            let (level, walk) = (prepared.at, &mut scratch.walk);
            let probe = prepared.encoded.probe(&self.space);
            self.settle(probe, level, walk);
            if !advance(&self.space, &self.graph, probe, level, elements, walk) {
                return false;
            }
            let start = walk.pool.iter().next();
            self.add_mates(prepared, mates, scratch);
            self.choose_links(prepared, scratch);
            if level == 0 {
                return true;
            }
            prepared.at -= 1;
            scratch.walk.reset(prepared.ef.min(self.len), self.slots());
            // Everything above has gone: the next piece of the walk starts from the entry point.
            match start {
                Some(start) => scratch.walk.start(start),
                None => scratch.walk.changes = self.changes.wrapping_sub(1),
            }
        }
    }

    /// Offers the mates on the present level to the pool; as many as there are, its bound grows.
    fn add_mates(&self, prepared: &Prepared, mates: &[Mate], scratch: &mut Scratch) {
        let Scratch { walk, .. } = scratch;
        walk.batch.clear();
        walk.batch.extend(mates.iter().filter(|mate| mate.level >= prepared.at).map(|mate| mate.slot));
        let (pool, batch) = (&mut walk.pool, &walk.batch);
        pool.widen(prepared.ef);
        self.space.distances(prepared.encoded.probe(&self.space), batch, |i, distance| pool.offer(distance, batch[i]));
    }

    fn choose_links(&self, prepared: &mut Prepared, scratch: &mut Scratch) {
        let Scratch { walk, candidates, .. } = scratch;
        candidates.clear();
        candidates.extend(walk.pool.iter().filter(|&(_, slot)| Some(slot) != prepared.place));
        choose(&self.space, self.params.m, candidates, &mut prepared.chosen[prepared.at]);
    }
}

impl Prepared {
    /// Nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the vector and the level by hand.
    pub(super) fn reset(&mut self, level: usize) {
        (self.place, self.level) = (None, level);
    }

    pub(super) fn ef(&self) -> usize {
        self.ef
    }

    /// Whether a candidate is what it was when it was found.
    pub(super) fn still(&self, space: &Space, (distance, slot): (f32, Slot)) -> bool {
        space.distance(self.probe(space), slot) == distance
    }

    fn probe(&self, space: &Space) -> Probe<'_> {
        self.encoded.probe(space)
    }
}

/// The diversity heuristic of the paper: from near to far, a candidate is chosen if it is nearer to the new element
/// than to everything chosen before.
fn choose(space: &Space, m: usize, candidates: &[(f32, Slot)], chosen: &mut Vec<(f32, Slot)>) {
    chosen.clear();
    for &(distance, candidate) in candidates {
        if chosen.len() == m {
            break;
        }
        if !occluded(space, candidate, distance, chosen) {
            chosen.push((distance, candidate));
        }
    }
}

/// Whether `candidate` is nearer to one of `chosen` than `distance`.
fn occluded(space: &Space, candidate: Slot, distance: f32, chosen: &[(f32, Slot)]) -> bool {
    let probe = space.probe(candidate);
    let (groups, rest) = chosen.as_chunks::<4>();
    let nearer = |group: &[(f32, Slot); 4]| {
        space.distances4(probe, group.map(|(_, slot)| slot)).iter().any(|&other| other < distance)
    };
    groups.iter().any(nearer) || rest.iter().any(|&(_, other)| space.distance(probe, other) < distance)
}

/// A level with the paper's distribution: `P(level >= l) = m^-l`, by integer comparisons alone.
pub(super) fn level_of(key: u64, m: usize) -> usize {
    // splitmix64: keys that are counters or weak hashes still give independent levels.
    let mut x = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    let mut below = u64::MAX;
    (0..LEVEL_MAX)
        .take_while(|_| {
            below /= m as u64;
            x < below
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_element_in_m_reaches_the_next_level() {
        for m in [2, 16, 64] {
            let mut at_least = [0_usize; LEVEL_MAX + 1];
            for key in 0..200_000 {
                at_least[..=level_of(key, m)].iter_mut().for_each(|count| *count += 1);
            }
            let share = at_least[1] as f64 / at_least[0] as f64 * m as f64;
            assert!((0.95..1.05).contains(&share), "m {m}: {share}");
        }
    }
}
