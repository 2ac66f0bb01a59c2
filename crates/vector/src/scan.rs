//! Reading every vector: the truth a walk is measured against, and the faster way through few.

use crate::scratch::{Scratch, entry, entry_distance, entry_slot};
use crate::space::{Query, Space};
use crate::{Error, Neighbor, Slot};

/// The buffer of the nearest is cut back when it holds this many times what is asked for.
const SLACK: usize = 2;

/// Codes measured at a time by a scan.
const BATCH: usize = 64;

/// Twice as many candidates as are asked for are measured again, and these: more were measured to gain nothing.
const RERANK_MORE: usize = 16;

/// Vectors fetched ahead of the one being measured exactly.
const EXACT_AHEAD: usize = 2;

/// Candidates measured again for `k` results.
pub(crate) fn reranked(k: usize) -> usize {
    k.saturating_mul(2).saturating_add(RERANK_MORE)
}

/// The `k` nearest of `live`, which are at most `len`, in the best precision that is kept.
pub(crate) fn exact(
    space: &Space,
    (live, len): (impl Iterator<Item = Slot>, usize),
    query: &[f32],
    k: usize,
    scratch: &mut Scratch,
    out: &mut Vec<Neighbor>,
) -> Result<(), Error> {
    let norm = space.validate(query)?;
    let Scratch { query: prepared, walk, .. } = scratch;
    prepared.prepare(space, query, norm);
    let mut nearest = Nearest::new(walk.pool.buffer(), k.min(len));
    for slot in live {
        nearest.offer(space.exact(prepared, slot), slot);
    }
    out.clear();
    out.extend(nearest.sorted().iter().map(|&e| Neighbor { slot: entry_slot(e), distance: entry_distance(e) }));
    Ok(())
}

/// Calls `take` with each of `slots` and its distance in the best precision that is kept, until it says to stop.
pub(crate) fn measure(
    space: &Space,
    slots: impl Iterator<Item = Slot>,
    query: &[f32],
    scratch: &mut Scratch,
    mut take: impl FnMut(Neighbor) -> bool,
) -> Result<(), Error> {
    let norm = space.validate(query)?;
    let prepared = &mut scratch.query;
    prepared.prepare(space, query, norm);
    let mut slots = slots.peekable();
    while let Some(slot) = slots.next() {
        if let Some(&next) = slots.peek() {
            space.prefetch_full(next);
        }
        if !take(Neighbor { slot, distance: space.exact(prepared, slot) }) {
            break;
        }
    }
    Ok(())
}

/// The `k` nearest of `live`, which are at most `len`: all codes are read in order, and the nearest by code measured
/// again.
pub(crate) fn scan(
    space: &Space,
    (live, len): (impl Iterator<Item = Slot>, usize),
    query: &[f32],
    k: usize,
    scratch: &mut Scratch,
    out: &mut Vec<Neighbor>,
) -> Result<(), Error> {
    let norm = space.validate(query)?;
    let Scratch { query: prepared, walk, .. } = scratch;
    prepared.prepare(space, query, norm);
    let mut nearest = Nearest::new(walk.pool.buffer(), reranked(k).min(len));
    let batch = &mut walk.batch;
    let mut live = live.peekable();
    while live.peek().is_some() {
        batch.clear();
        batch.extend(live.by_ref().take(BATCH));
        space.distances(prepared.probe(), batch, |i, distance| nearest.offer(distance, batch[i]));
    }
    out.clear();
    rerank(space, prepared, nearest.sorted().iter().map(|&e| entry_slot(e)), k, out);
    Ok(())
}

/// Measures `slots` exactly and keeps the `k` nearest.
pub(crate) fn rerank(
    space: &Space,
    query: &Query,
    slots: impl Iterator<Item = Slot>,
    k: usize,
    out: &mut Vec<Neighbor>,
) {
    out.extend(slots.map(|slot| Neighbor { slot, distance: 0.0 }));
    for neighbor in out.iter().take(EXACT_AHEAD) {
        space.prefetch_full(neighbor.slot);
    }
    for i in 0..out.len() {
        if let Some(next) = out.get(i + EXACT_AHEAD) {
            space.prefetch_full(next.slot);
        }
        out[i].distance = space.exact(query, out[i].slot);
    }
    out.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
    out.truncate(k);
}

/// The `k` nearest of any number of offers, unsorted until the end: O(1) per offer for every `k`.
pub(crate) struct Nearest<'a> {
    entries: &'a mut Vec<u64>,
    k: usize,
    bound: u64,
}

impl<'a> Nearest<'a> {
    pub(crate) fn new(entries: &'a mut Vec<u64>, k: usize) -> Self {
        Self { entries, k, bound: if k == 0 { 0 } else { u64::MAX } }
    }

    #[inline]
    pub(crate) fn offer(&mut self, distance: f32, slot: Slot) {
        let entry = entry(distance, slot);
        if entry < self.bound {
            self.entries.push(entry);
            if self.entries.len() > self.k.saturating_mul(SLACK) {
                self.bound = *self.entries.select_nth_unstable(self.k).1;
                self.entries.truncate(self.k);
            }
        }
    }

    pub(crate) fn sorted(self) -> &'a [u64] {
        self.entries.sort_unstable();
        self.entries.truncate(self.k);
        self.entries
    }
}
