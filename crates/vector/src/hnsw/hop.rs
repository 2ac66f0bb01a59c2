//! A walk among accepted elements, through rejected ones.
//!
//! Only accepted elements are measured and enter the pool. Where the list of one holds too few of them, the lists of
//! its rejected neighbours are read as well, then those of their rejected neighbours, until enough were found: so the
//! walk sees a graph of accepted elements of about the degree the index has, whatever the share. A list is read for
//! this at most once in a search, since what it leads to is in the pool from then on, or too far for it.
//!
//! The walk starts from what a short walk without the filter finds, and from the sample. Where the first finds nothing
//! that is accepted although it should have, what is accepted lies far from the query: there, where distances differ by
//! little, such a walk was measured to miss one in ten, so it is not made.

use crate::Slot;
use crate::graph::NONE;
use crate::hnsw::Hnsw;
use crate::hnsw::filtered::{Accept, Answer, Asked};
use crate::scratch::Walk;
use crate::space::Probe;

/// Pool of the walk without the filter: so large that this many accepted elements are expected in it, within bounds.
const START_EXPECTED: f64 = 4.0;
const START_POOL_MIN: usize = 32;
const START_POOL_MAX: usize = 512;

/// Lists of rejected elements read for one accepted one.
const LISTS_MAX: usize = 96;

impl Hnsw {
    /// Leaves the `ef` nearest accepted elements the walk finds in the pool; `false` when it is better not made.
    pub(super) fn hop(
        &self,
        probe: Probe<'_>,
        (ef, share): (usize, f64),
        walk: &mut Walk,
        asked: &mut Asked,
        filter: &mut impl Accept,
    ) -> bool {
        let start = ((START_EXPECTED / share) as usize).clamp(START_POOL_MIN, START_POOL_MAX);
        self.walk(probe, start, walk);
        let found: Vec<Slot> = walk.pool.iter().map(|(_, slot)| slot).collect();
        let near = found.iter().filter(|slot| asked.ask(**slot, filter)).count();
        if near == 0 && found.len() as f64 * share >= START_EXPECTED / 2.0 {
            return false;
        }
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
        true
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
