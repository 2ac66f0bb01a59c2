//! Walks: greedy down the levels, then best-first with a bounded pool on level 0.
//!
//! A walk measures codes only. The nearest of its pool are measured again in the best precision before they are
//! handed out, which is where the last percent of recall comes from at almost no cost.

use crate::graph::Graph;
use crate::hnsw::Hnsw;
use crate::scan::{exact, measure, rerank, reranked, scan};
use crate::scratch::{Pool, Scratch, Walk};
use crate::space::{Probe, Space};
use crate::{Error, Neighbor, Slot};

/// Reading everything beats walking when the pool is this part of the index: a walk measures tens of scattered codes
/// per entry of its pool, a scan measures each code once and in order.
const SCAN_FACTOR: usize = 48;

/// Largest pool of a walk; inserting into the sorted pool costs as much as measuring a few codes up to here.
const POOL_MAX: usize = 16_384;

impl Hnsw {
    /// The `k` nearest elements, nearest first, ties by slot, into `out`. `ef` is the effort: candidates kept during
    /// the walk, at least `k`. Where a walk would visit a good part of the index, all of it is read instead.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let ef = ef.max(k).max(1);
        if !walks(ef, self.len) {
            return scan(&self.space, (self.graph.live(), self.len), query, k, scratch, out);
        }
        self.search_graph(query, k, ef, scratch, out)
    }

    /// The `k` nearest of all elements in the best precision that is kept, nearest first, ties by slot.
    ///
    /// Cost: O(len * dim); memory O(min(k, len)).
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn exact(&self, query: &[f32], k: usize, scratch: &mut Scratch, out: &mut Vec<Neighbor>) -> Result<(), Error> {
        exact(&self.space, (self.graph.live(), self.len), query, k, scratch, out)
    }

    /// Calls `take` with each element of `slots` and its distance in the best precision that is kept, until it says to
    /// stop.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn measure(
        &self,
        query: &[f32],
        slots: impl IntoIterator<Item = Slot>,
        scratch: &mut Scratch,
        take: impl FnMut(Neighbor) -> bool,
    ) -> Result<(), Error> {
        measure(&self.space, slots.into_iter().filter(|slot| self.is_live(*slot)), query, scratch, take)
    }

    /// [`Self::search`] from a stored element, which is its own nearest neighbour.
    /// # Errors
    /// No element in `slot`.
    pub fn search_slot(
        &self,
        slot: Slot,
        k: usize,
        ef: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let vector = self.vector(slot).ok_or(Error::NoSuchSlot(slot))?;
        self.search(&vector, k, ef, scratch, out)
    }

    /// [`Self::search`] that always walks the graph.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn search_graph(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        self.search_begin(query, k, ef, scratch)?;
        while !self.search_advance(scratch, usize::MAX) {}
        self.search_finish(k, scratch, out);
        Ok(())
    }

    /// Begins a [`Self::search_graph`] in pieces: [`Self::search_advance`] until it says `true`, then
    /// [`Self::search_finish`]. Between the calls the index may be changed, so a lock around it need not be held.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn search_begin(&self, query: &[f32], k: usize, ef: usize, scratch: &mut Scratch) -> Result<(), Error> {
        let norm = self.space.validate(query)?;
        let Scratch { query: prepared, walk, .. } = scratch;
        prepared.prepare(&self.space, query, norm);
        self.begin(prepared.probe(), ef.max(k).max(1), walk);
        Ok(())
    }

    /// Visits the neighbours of up to `elements` more elements; `true` when the walk is at its end.
    pub fn search_advance(&self, scratch: &mut Scratch, elements: usize) -> bool {
        let Scratch { query, walk, .. } = scratch;
        self.settle(query.probe(), 0, walk);
        advance(&self.space, &self.graph, query.probe(), 0, elements, walk)
    }

    /// The `k` nearest elements the walk has found, as [`Self::search`] gives them.
    pub fn search_finish(&self, k: usize, scratch: &mut Scratch, out: &mut Vec<Neighbor>) {
        let Scratch { query, walk, .. } = scratch;
        self.settle(query.probe(), 0, walk);
        out.clear();
        rerank(&self.space, query, walk.pool.iter().take(reranked(k)).map(|(_, slot)| slot), k, out);
    }

    /// Leaves the `ef` nearest elements a walk finds in its pool.
    pub(super) fn walk(&self, probe: Probe<'_>, ef: usize, walk: &mut Walk) {
        self.begin(probe, ef, walk);
        advance(&self.space, &self.graph, probe, 0, usize::MAX, walk);
    }

    /// Puts the start of a walk along level 0 into its pool.
    fn begin(&self, probe: Probe<'_>, ef: usize, walk: &mut Walk) {
        walk.changes = self.changes;
        walk.reset(ef.min(self.len), self.slots());
        if let Some((entry, top)) = self.entry {
            let start = descend(&self.space, &self.graph, probe, entry, top, 0);
            walk.start(start);
        }
    }

    /// Takes what has changed since the last piece of a walk into account: elements that are gone are forgotten. One
    /// that took the place of another keeps its rank in the walk; the exact distances at the end are its own.
    pub(super) fn settle(&self, probe: Probe<'_>, level: usize, walk: &mut Walk) {
        if walk.changes == self.changes {
            return;
        }
        walk.changes = self.changes;
        walk.visited.grow(self.slots());
        walk.pool.retain(|slot| self.graph.level(slot) >= Some(level));
        if walk.pool.is_empty()
            && let Some((entry, top)) = self.entry.filter(|(_, top)| *top >= level)
        {
            walk.reset(walk.pool.capacity(), self.slots());
            walk.start(descend(&self.space, &self.graph, probe, entry, top, level));
        }
    }
}

/// Whether a walk with a pool of `ef` is worth it among `len` elements.
pub(super) fn walks(ef: usize, len: usize) -> bool {
    ef <= POOL_MAX && ef.saturating_mul(SCAN_FACTOR) < len
}

/// From `start` on level `top` to the nearest element found on level `bottom + 1`, always to a nearer neighbour.
pub(super) fn descend(
    space: &Space,
    graph: &Graph,
    probe: Probe<'_>,
    start: Slot,
    top: usize,
    bottom: usize,
) -> (f32, Slot) {
    let mut nearest = (space.distance(probe, start), start);
    for level in (bottom + 1..=top).rev() {
        loop {
            let from = nearest.1;
            let links = graph.links(from, level);
            space.distances(probe, links, |i, distance| {
                if distance < nearest.0 {
                    nearest = (distance, links[i]);
                }
            });
            if nearest.1 == from {
                break;
            }
        }
    }
    nearest
}

/// Visits the neighbours of up to `elements` elements of the pool, nearest first; `true` when all have been visited.
pub(super) fn advance(
    space: &Space,
    graph: &Graph,
    probe: Probe<'_>,
    level: usize,
    elements: usize,
    walk: &mut Walk,
) -> bool {
    let Walk { visited, pool, batch, .. } = walk;
    for _ in 0..elements {
        let Some(slot) = pool.expand() else { return true };
        let count = visited.fresh(graph.list(slot, level), batch);
        let batch = &batch[..count];
        prefetch_next(graph, pool, level);
        space.distances(probe, batch, |i, distance| pool.offer(distance, batch[i]));
    }
    false
}

/// The list that will most likely be read next.
#[inline]
fn prefetch_next(graph: &Graph, pool: &Pool, level: usize) {
    if let Some(next) = pool.next() {
        quiver_kernels::prefetch(graph.list(next, level));
    }
}
