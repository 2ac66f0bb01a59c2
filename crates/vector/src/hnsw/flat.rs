//! Reading every vector: the truth a walk is measured against, and the faster way through a small index.

use crate::hnsw::Hnsw;
use crate::hnsw::search::rerank;
use crate::scratch::{Scratch, entry, entry_distance, entry_slot};
use crate::{Error, Neighbor, Slot};

/// The buffer of the nearest is cut back when it holds this many times what is asked for.
const SLACK: usize = 2;

/// Codes measured at a time by a scan.
const BATCH: usize = 64;

impl Hnsw {
    /// The `k` nearest of all elements in the best precision that is kept, nearest first, ties by slot.
    ///
    /// Cost: O(len * dim); memory O(min(k, len)).
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn exact(&self, query: &[f32], k: usize, scratch: &mut Scratch, out: &mut Vec<Neighbor>) -> Result<(), Error> {
        let norm = self.space.validate(query)?;
        let Scratch { query: prepared, walk, .. } = scratch;
        prepared.prepare(&self.space, query, norm);
        let mut nearest = Nearest::new(walk.pool.buffer(), k.min(self.len));
        for slot in self.graph.live() {
            nearest.offer(self.space.exact(prepared, slot), slot);
        }
        out.clear();
        out.extend(nearest.sorted().iter().map(|&e| Neighbor { slot: entry_slot(e), distance: entry_distance(e) }));
        Ok(())
    }

    /// [`Self::search`] by reading all codes in order: the `candidates` nearest by code are measured again.
    pub(super) fn scan(
        &self,
        query: &[f32],
        k: usize,
        candidates: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let norm = self.space.validate(query)?;
        let Scratch { query: prepared, walk, .. } = scratch;
        prepared.prepare(&self.space, query, norm);
        let mut nearest = Nearest::new(walk.pool.buffer(), candidates.min(self.len));
        let batch = &mut walk.batch;
        let mut live = self.graph.live().peekable();
        while live.peek().is_some() {
            batch.clear();
            batch.extend(live.by_ref().take(BATCH));
            self.space.distances(prepared.probe(), batch, |i, distance| nearest.offer(distance, batch[i]));
        }
        out.clear();
        rerank(&self.space, prepared, nearest.sorted().iter().map(|&e| entry_slot(e)), k, out);
        Ok(())
    }
}

/// The `k` nearest of any number of offers, unsorted until the end: O(1) per offer for every `k`.
pub(super) struct Nearest<'a> {
    entries: &'a mut Vec<u64>,
    k: usize,
    bound: u64,
}

impl<'a> Nearest<'a> {
    pub(super) fn new(entries: &'a mut Vec<u64>, k: usize) -> Self {
        Self { entries, k, bound: if k == 0 { 0 } else { u64::MAX } }
    }

    #[inline]
    pub(super) fn offer(&mut self, distance: f32, slot: Slot) {
        let entry = entry(distance, slot);
        if entry < self.bound {
            self.entries.push(entry);
            if self.entries.len() > self.k.saturating_mul(SLACK) {
                self.bound = *self.entries.select_nth_unstable(self.k).1;
                self.entries.truncate(self.k);
            }
        }
    }

    pub(super) fn sorted(self) -> &'a [u64] {
        self.entries.sort_unstable();
        self.entries.truncate(self.k);
        self.entries
    }
}
