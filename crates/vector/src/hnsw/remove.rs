//! Removing an element for good: its links go, its neighbours are linked to each other, its slot can be taken again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::hnsw::{Hnsw, Work};
use crate::{Error, Slot};

/// Neighbours considered for each other when an element leaves; more would cost their square.
const REPAIR_MAX: usize = 64;

impl Hnsw {
    /// Takes the element out of the graph and frees its slot.
    /// # Errors
    /// No element in `slot`.
    pub fn remove(&mut self, slot: Slot) -> Result<(), Error> {
        let level = self.live(slot)?;
        self.vacate(slot, level);
        self.vacant.push(Reverse(slot));
        self.len -= 1;
        if self.len == 0 {
            self.vacant = BinaryHeap::new();
            self.graph.clear();
            self.space.clear();
        }
        Ok(())
    }

    /// Cuts the element's links on all levels, mends the hole, and moves the entry point if it was there.
    pub(super) fn vacate(&mut self, slot: Slot, level: usize) {
        self.changes += 1;
        let mut work = std::mem::take(&mut self.work);
        for level in 0..=level {
            work.neighbors.clear();
            work.neighbors.extend_from_slice(self.graph.links(slot, level));
            for &neighbor in &work.neighbors {
                self.graph.unlink(slot, neighbor, level);
            }
            self.repair(level, &mut work);
            self.rejoin(&work.neighbors, level);
        }
        self.work = work;
        self.graph.vacate(slot);
        if self.entry.is_some_and(|(entry, _)| entry == slot) {
            self.entry = self.graph.highest();
        }
    }

    /// Links each neighbour of a removed element to one other, nearest pairs first: as many links as were lost by
    /// all but the element itself, so degrees do not fall with churn.
    fn repair(&mut self, level: usize, work: &mut Work) {
        let Work { neighbors, pairs, chosen, .. } = work;
        let neighbors = &neighbors[..neighbors.len().min(REPAIR_MAX)];
        pairs.clear();
        for (i, &a) in neighbors.iter().enumerate() {
            let rest = &neighbors[i + 1..];
            self.space.distances(self.space.probe(a), rest, |j, distance| {
                if !self.graph.linked(a, rest[j], level) {
                    pairs.push((distance, a, rest[j]));
                }
            });
        }
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        chosen.clear();
        for &(_, a, b) in pairs.iter() {
            if !chosen.contains(&a) && !chosen.contains(&b) {
                chosen.extend([a, b]);
                // Each lost a link to the removed element, so each has room.
                self.graph.link(a, b, level);
            }
        }
    }
}
