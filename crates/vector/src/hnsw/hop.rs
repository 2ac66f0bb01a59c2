//! A walk among accepted elements, through rejected ones.
//!
//! Only accepted elements are measured and enter the pool. Where the list of one holds too few of them, the lists of
//! its rejected neighbours are read as well, then those of their rejected neighbours, until enough were found: so the
//! walk sees a graph of accepted elements of about the degree the index has, whatever the share. A list is read for
//! this at most once in a search, since what it leads to is in the pool from then on, or too far for it.
//!
//! The walk starts from what a short walk without the filter finds, and from the nearest of the sample: when accepted
//! elements are far from the query, the first finds none and the second leads to their region.

use crate::Slot;
use crate::graph::NONE;
use crate::hnsw::Hnsw;
use crate::hnsw::filtered::{Accept, Answer, Asked};
use crate::scratch::Walk;
use crate::space::Probe;

/// Pool of the walk without the filter.
const START_POOL: usize = 32;

/// Lists of rejected elements read for one accepted one.
const LISTS_MAX: usize = 96;

impl Hnsw {
    /// Leaves the `ef` nearest accepted elements the walk finds in the pool.
    pub(super) fn hop(
        &self,
        probe: Probe<'_>,
        ef: usize,
        walk: &mut Walk,
        asked: &mut Asked,
        filter: &mut impl Accept,
    ) {
        self.walk(probe, START_POOL, walk);
        let found: Vec<Slot> = walk.pool.iter().map(|(_, slot)| slot).collect();
        walk.batch.clear();
        asked.through.clear();
        for slot in found {
            self.meet(slot, walk, asked, filter);
        }
        self.pass(walk, asked, filter);
        for seed in std::mem::take(&mut asked.seeds) {
            self.meet(seed, walk, asked, filter);
        }
        walk.pool.reset(ef.min(self.len));
        self.offer(probe, walk);
        while let Some(slot) = walk.pool.expand() {
            walk.batch.clear();
            asked.through.clear();
            for &link in self.graph.list(slot, 0).iter().take_while(|&&link| link != NONE) {
                self.meet(link, walk, asked, filter);
            }
            self.pass(walk, asked, filter);
            self.offer(probe, walk);
        }
    }

    /// Puts an element among those to measure if it is accepted and new, among those to go through if it is rejected.
    fn meet(&self, slot: Slot, walk: &mut Walk, asked: &mut Asked, filter: &mut impl Accept) {
        match asked.answer(slot) {
            Answer::Passed | Answer::Taken => {}
            _ if asked.ask(slot, filter) => {
                asked.set(slot, Answer::Taken);
                walk.batch.push(slot);
            }
            _ => asked.through.push(slot),
        }
    }

    /// Reads lists of rejected elements, nearest in links first, until there is as much to measure as a list holds.
    fn pass(&self, walk: &mut Walk, asked: &mut Asked, filter: &mut impl Accept) {
        let enough = self.params.m;
        let mut next = 0;
        while walk.batch.len() < enough
            && next < LISTS_MAX
            && let Some(&slot) = asked.through.get(next)
        {
            next += 1;
            if asked.answer(slot) == Answer::Passed {
                continue;
            }
            asked.set(slot, Answer::Passed);
            for &link in self.graph.list(slot, 0).iter().take_while(|&&link| link != NONE) {
                self.meet(link, walk, asked, filter);
            }
        }
    }

    fn offer(&self, probe: Probe<'_>, walk: &mut Walk) {
        let Walk { pool, batch, .. } = walk;
        self.space.distances(probe, batch, |i, distance| pool.offer(distance, batch[i]));
    }

    /// What such a walk costs, in measured codes.
    pub(super) fn hop_cost(&self, ef: usize, share: f64, ask: f64) -> f64 {
        let (ef, enough) = (ef as f64, self.params.m as f64);
        let asked = (ef * enough / share).min(self.len as f64);
        // Every answer is read at a scattered place, and every one in so many is measured.
        asked * (ask + 1.0) + ef * enough * 3.0
    }
}
