//! Adding an element: draw its level, walk to its neighbours, link it to a diverse choice of them.

use crate::graph::LEVEL_MAX;
use crate::hnsw::search::{descend, walk_level};
use crate::hnsw::{Hnsw, Work};
use crate::space::Space;
use crate::{Error, Slot};

/// Slots that fit an entry of a pool.
const SLOTS_MAX: usize = 1 << 31;

impl Hnsw {
    /// Adds a vector and returns its slot: the smallest vacant one. `key` is the caller's hash of the element's name
    /// and decides its level. `ef` is the effort; zero means [`crate::Params::ef_construction`].
    /// # Errors
    /// A vector of the wrong length or not finite; an index with no slot left.
    pub fn insert(&mut self, vector: &[f32], key: u64, ef: usize) -> Result<Slot, Error> {
        let norm = self.space.validate(vector)?;
        let slot = match self.vacant.pop() {
            Some(slot) => slot.0,
            None if self.slots() < SLOTS_MAX => self.slots() as Slot,
            None => return Err(Error::Full),
        };
        self.space.write(slot, vector, norm, &mut self.work.query);
        self.occupy(slot, level_of(key, self.params.m), ef);
        self.len += 1;
        Ok(slot)
    }

    /// Gives the element in `slot` another vector and new links; its slot and level stay.
    /// # Errors
    /// No element in `slot`; a vector of the wrong length or not finite.
    pub fn update(&mut self, slot: Slot, vector: &[f32], ef: usize) -> Result<(), Error> {
        let level = self.live(slot)?;
        let norm = self.space.validate(vector)?;
        self.vacate(slot, level);
        self.space.write(slot, vector, norm, &mut self.work.query);
        self.occupy(slot, level, ef);
        Ok(())
    }

    /// Puts the vector in `slot` into the graph.
    fn occupy(&mut self, slot: Slot, level: usize, ef: usize) {
        self.graph.occupy(slot, level);
        if let Some((entry, top)) = self.entry {
            let ef = if ef == 0 { self.params.ef_construction } else { ef };
            self.weave(slot, level, entry, top, ef.max(self.params.m).min(self.len.max(1)));
        }
        let better = |(entry, top)| level > top || level == top && slot < entry;
        if self.entry.is_none_or(better) {
            self.entry = Some((slot, level));
        }
    }

    fn weave(&mut self, slot: Slot, level: usize, entry: Slot, top: usize, ef: usize) {
        let mut work = std::mem::take(&mut self.work);
        let probe = self.space.probe(slot);
        let mut start = descend(&self.space, &self.graph, probe, entry, top, level.min(top));
        for level in (0..=level.min(top)).rev() {
            work.walk.pool.reset(ef);
            walk_level(&self.space, &self.graph, self.space.probe(slot), start, level, &mut work.walk);
            start = work.walk.pool.iter().next().expect("a walk finds at least its start");
            work.candidates.clear();
            work.candidates.extend(work.walk.pool.iter());
            choose(&self.space, self.params.m, &mut work);
            self.attach(slot, level, &mut work);
        }
        self.work = work;
    }
}

/// The diversity heuristic of the paper: from near to far, a candidate is chosen if it is nearer to the new element
/// than to everything chosen before.
fn choose(space: &Space, m: usize, work: &mut Work) {
    let Work { candidates, chosen, .. } = work;
    chosen.clear();
    for &(distance, candidate) in candidates.iter() {
        if chosen.len() == m {
            break;
        }
        if !occluded(space, candidate, distance, chosen) {
            chosen.push(candidate);
        }
    }
}

/// Whether `candidate` is nearer to one of `chosen` than `distance`.
fn occluded(space: &Space, candidate: Slot, distance: f32, chosen: &[Slot]) -> bool {
    let probe = space.probe(candidate);
    let (groups, rest) = chosen.as_chunks::<4>();
    groups.iter().any(|group| space.distances4(probe, *group).iter().any(|&other| other < distance))
        || rest.iter().any(|&other| space.distance(probe, other) < distance)
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
