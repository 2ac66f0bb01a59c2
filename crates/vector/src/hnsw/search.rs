//! Walks: greedy down the levels, then best-first with a bounded pool on level 0.
//!
//! A walk measures codes only. The nearest of its pool are measured again in the best precision before they are
//! handed out, which is where the last percent of recall comes from at almost no cost.

use crate::graph::{Graph, NONE};
use crate::hnsw::Hnsw;
use crate::scratch::{Pool, Scratch, Walk};
use crate::space::{Probe, Query, Space};
use crate::{Error, Neighbor, Slot};

/// Reading everything beats walking when the pool is this part of the index: a walk measures tens of scattered codes
/// per entry of its pool, a scan measures each code once and in order.
const SCAN_FACTOR: usize = 48;

/// Largest pool of a walk; inserting into the sorted pool costs as much as measuring a few codes up to here.
const POOL_MAX: usize = 16_384;

/// At least so many candidates are measured again, or four times those asked for.
const RERANK_MIN: usize = 64;

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
            return self.scan(query, k, reranked(k), scratch, out);
        }
        self.search_graph(query, k, ef, scratch, out)
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
        let norm = self.space.validate(query)?;
        out.clear();
        let Scratch { query: prepared, walk, .. } = scratch;
        prepared.prepare(&self.space, query, norm);
        self.walk(prepared.probe(), ef.max(k).max(1), walk);
        let nearest = walk.pool.iter().take(reranked(k)).map(|(_, slot)| slot);
        rerank(&self.space, prepared, nearest, k, out);
        Ok(())
    }

    /// Leaves the `ef` nearest elements a walk finds in its pool.
    pub(super) fn walk(&self, probe: Probe<'_>, ef: usize, walk: &mut Walk) {
        walk.pool.reset(ef.min(self.len));
        if let Some((entry, top)) = self.entry {
            let start = descend(&self.space, &self.graph, probe, entry, top, 0);
            walk_level(&self.space, &self.graph, probe, start, 0, walk);
        }
    }
}

/// Whether a walk with a pool of `ef` is worth it among `len` elements.
pub(super) fn walks(ef: usize, len: usize) -> bool {
    ef <= POOL_MAX && ef.saturating_mul(SCAN_FACTOR) < len
}

/// Candidates measured again for `k` results.
pub(super) fn reranked(k: usize) -> usize {
    k.saturating_mul(4).max(RERANK_MIN)
}

/// Measures `slots` exactly and keeps the `k` nearest.
pub(super) fn rerank(
    space: &Space,
    query: &Query,
    slots: impl Iterator<Item = Slot>,
    k: usize,
    out: &mut Vec<Neighbor>,
) {
    out.extend(slots.map(|slot| Neighbor { slot, distance: space.exact(query, slot) }));
    out.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
    out.truncate(k);
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

/// Fills the pool, which is empty, with the nearest elements of one level.
pub(super) fn walk_level(
    space: &Space,
    graph: &Graph,
    probe: Probe<'_>,
    start: (f32, Slot),
    level: usize,
    walk: &mut Walk,
) {
    let Walk { visited, pool, batch } = walk;
    visited.reset(graph.slots());
    visited.insert(start.1);
    pool.offer(start.0, start.1);
    while let Some(slot) = pool.expand() {
        batch.clear();
        batch.extend(
            graph.list(slot, level).iter().take_while(|&&link| link != NONE).filter(|&&link| visited.insert(link)),
        );
        prefetch_next(graph, pool, level);
        space.distances(probe, batch, |i, distance| pool.offer(distance, batch[i]));
    }
}

/// The list that will most likely be read next.
#[inline]
fn prefetch_next(graph: &Graph, pool: &Pool, level: usize) {
    if let Some(next) = pool.next() {
        quiver_kernels::prefetch(graph.list(next, level));
    }
}
