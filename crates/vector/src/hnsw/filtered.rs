//! Searching among the elements a caller accepts, without losing recall when few are.
//!
//! The filter does not steer the walk: it is asked about what a walk found, nearest first. If too few pass, the walk
//! is repeated with four times the pool, and once that would be most of the index, all codes are read and asked about
//! in order of distance. Repeating costs a third of the last walk, and every answer is as good as an unfiltered
//! search of that effort gives. The filter is asked at most once per element, and no more often than `effort` says:
//! it is what costs when attributes have to be read.

use crate::hnsw::Hnsw;
use crate::hnsw::search::walks;
use crate::scan::rerank;
use crate::scratch::{Scratch, Visited, entry, entry_slot};
use crate::space::Probe;
use crate::{Error, Neighbor, Slot};

/// Growth of the pool from one walk to the next.
const WIDEN: usize = 4;

/// Elements sorted at first when all are asked about; twice as many each time after.
const SORTED_MIN: usize = 256;

/// What a filter has been asked so far.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    seen: Visited,
    accepted: Vec<Slot>,
    want: usize,
    left: usize,
}

impl Hnsw {
    /// The `k` nearest elements among those `accept` says yes to, nearest first, ties by slot. `effort` bounds the
    /// elements asked about; when it is spent, what was accepted until then is the answer.
    /// # Errors
    /// A query of the wrong length or not finite.
    #[expect(clippy::too_many_arguments, reason = "those of a search, the filter and its bound")]
    pub fn search_filtered(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        effort: usize,
        mut accept: impl FnMut(Slot) -> bool,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let norm = self.space.validate(query)?;
        let Scratch { query: prepared, walk, asked, .. } = scratch;
        prepared.prepare(&self.space, query, norm);
        asked.reset(self.slots(), k.min(self.len), effort);
        let mut ef = ef.max(k).max(1);
        while walks(ef, self.len) && !asked.done() {
            self.walk(prepared.probe(), ef, walk);
            let mut found = walk.pool.iter().map(|(_, slot)| slot);
            while !asked.done()
                && let Some(slot) = found.next()
            {
                asked.ask(slot, &mut accept);
            }
            ef *= WIDEN;
        }
        if !asked.done() {
            self.ask_all(prepared.probe(), walk.pool.buffer(), asked, &mut accept);
        }
        out.clear();
        rerank(&self.space, prepared, asked.accepted.iter().copied(), k, out);
        Ok(())
    }

    /// Asks about every element, nearest by code first, until there is enough; sorts no more than it asks about.
    fn ask_all(
        &self,
        probe: Probe<'_>,
        entries: &mut Vec<u64>,
        asked: &mut Asked,
        accept: &mut impl FnMut(Slot) -> bool,
    ) {
        entries.extend(self.graph.live().map(|slot| entry(self.space.distance(probe, slot), slot)));
        let (mut rest, mut step) = (entries.as_mut_slice(), SORTED_MIN);
        while !rest.is_empty() && !asked.done() {
            if step < rest.len() {
                rest.select_nth_unstable(step);
            }
            let (nearest, farther) = rest.split_at_mut(step.min(rest.len()));
            nearest.sort_unstable();
            let mut nearest = nearest.iter();
            while !asked.done()
                && let Some(&entry) = nearest.next()
            {
                asked.ask(entry_slot(entry), accept);
            }
            (rest, step) = (farther, step * 2);
        }
    }
}

impl Asked {
    fn reset(&mut self, slots: usize, k: usize, effort: usize) {
        self.seen.reset(slots);
        self.accepted.clear();
        // Codes are near the truth but not it: a few more than `k` are measured again.
        self.want = if k == 0 { 0 } else { k + k / 2 + 4 };
        self.left = effort;
    }

    fn done(&self) -> bool {
        self.left == 0 || self.accepted.len() >= self.want
    }

    fn ask(&mut self, slot: Slot, accept: &mut impl FnMut(Slot) -> bool) {
        if self.seen.insert(slot) {
            self.left -= 1;
            if accept(slot) {
                self.accepted.push(slot);
            }
        }
    }
}
