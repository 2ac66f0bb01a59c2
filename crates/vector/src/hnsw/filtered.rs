//! Searching among the elements a caller accepts, without losing recall when few are, or when they are far away.
//!
//! There are four ways to do it, and none is best for every filter. A [`Plan`] is chosen by what each would cost, from
//! the share of elements the filter accepts (asked of a sample, unless the filter knows it) and what an answer costs:
//!
//! - reading all accepted elements, exactly: few are accepted, or who is one is already known;
//! - reading all codes and asking in order of distance: asking costs more than measuring;
//! - walking as if there was no filter, with a pool so much larger as elements are rejected, and asking about what was
//!   found, nearest first;
//! - walking among the accepted only, through the lists of rejected neighbours (`hop.rs`, after ACORN: Patel et al.,
//!   2024).
//!
//! A plan that finds too few goes on with another that cannot: never are fewer results returned than exist, unless
//! `effort` bounds the number of questions. The filter is asked about an element once at most.

use crate::hnsw::Hnsw;
use crate::hnsw::search::walks;
use crate::scan::{Nearest, rerank, reranked};
use crate::scratch::{Scratch, entry, entry_distance, entry_slot};
use crate::space::Probe;
use crate::{Error, Neighbor, Slot};

/// Growth of the pool from one walk to the next.
const WIDEN: usize = 4;

/// Elements sorted at first when all are asked about; twice as many each time after.
const SORTED_MIN: usize = 256;

/// Elements asked about to estimate the share that is accepted, and how many more where nearly none were.
const SAMPLE: usize = 64;
const SAMPLE_MORE: usize = 512;
const SAMPLE_HITS: usize = 4;

/// Accepted elements of the sample a walk may start from.
const SEEDS_MAX: usize = 16;

/// What a question costs that has to read attributes, in measured codes.
const ASK_COST: f64 = 12.0;
/// What a vector of full precision costs to measure, in codes.
const EXACT_COST: f64 = 3.0;
/// What an entry of a pool costs: the neighbours measured for it, scattered, and the place kept in order.
const POOL_COST: f64 = 36.0;

/// Which elements a filtered search may return.
pub trait Accept {
    /// Whether it may return this one.
    fn accepts(&mut self, slot: Slot) -> bool;

    /// What an answer costs, as a multiple of measuring a code.
    fn cost(&self) -> f64 {
        ASK_COST
    }

    /// How many elements are accepted, if that is known of all; then [`Self::accepted_from`] lists them.
    fn known(&self) -> Option<usize> {
        None
    }

    /// The first accepted slot that is not below `from`.
    fn accepted_from(&self, _from: Slot) -> Option<Slot> {
        None
    }
}

impl<F: FnMut(Slot) -> bool> Accept for F {
    fn accepts(&mut self, slot: Slot) -> bool {
        self(slot)
    }
}

/// The way a filtered search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// All accepted elements were measured exactly.
    Scan,
    /// All codes were measured, and elements asked about from near to far.
    Near,
    /// A walk without the filter, whose results were asked about.
    Walk,
    /// A walk among accepted elements, through rejected ones.
    Hop,
}

/// What a filtered search did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The way it went in the end.
    pub plan: Plan,
    /// Elements asked about.
    pub asked: usize,
    /// Whether the results are the nearest accepted ones beyond doubt.
    pub exact: bool,
}

/// What a filter has answered so far, and memory for plans.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Answers of this epoch.
    marks: Vec<u16>,
    epoch: u16,
    /// What was accepted and not yet among the candidates handed out.
    accepted: Vec<Slot>,
    /// Rejected elements whose lists are still to be read.
    pub(super) through: Vec<Slot>,
    /// Some accepted elements from all over the index.
    pub(super) seeds: Vec<Slot>,
    asked: usize,
    effort: usize,
}

/// What is known about an element, in the low bits of its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Unknown = 0,
    Rejected = 1,
    /// Rejected, and its list was read.
    Passed = 2,
    Accepted = 3,
    /// Accepted, and among the candidates.
    Taken = 4,
}

const ANSWER_BITS: u32 = 3;
const EPOCH_MAX: u16 = u16::MAX >> ANSWER_BITS;

impl Hnsw {
    /// The `k` nearest elements among those `filter` accepts, nearest first, ties by slot. `effort` bounds the elements
    /// asked about; when it is spent, what was accepted until then is the answer.
    /// # Errors
    /// A query of the wrong length or not finite.
    #[expect(clippy::too_many_arguments, reason = "those of a search, the filter and its bound")]
    pub fn search_filtered(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        effort: usize,
        mut filter: impl Accept,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<Filtered, Error> {
        let norm = self.space.validate(query)?;
        scratch.query.prepare(&self.space, query, norm);
        scratch.asked.reset(self.slots(), effort);
        let (k, ef) = (k.min(self.len), ef.max(k).max(1));
        if k == 0 {
            out.clear();
            return Ok(Filtered { plan: Plan::Scan, asked: 0, exact: true });
        }
        // A bounded number of questions is best asked about the nearest.
        let (mut plan, mut share) = (Plan::Walk, 1.0);
        if effort == usize::MAX {
            share = self.share(&mut scratch.asked, &mut filter);
            plan = self.plan(k, ef, share, &filter);
        }
        Ok(self.complete(plan, k, ef, share, &mut filter, scratch, out))
    }

    /// Follows a plan, and another where it finds too few.
    #[expect(clippy::too_many_arguments, reason = "the parts of a search, taken apart so that each is borrowed alone")]
    fn complete(
        &self,
        plan: Plan,
        k: usize,
        ef: usize,
        share: f64,
        filter: &mut impl Accept,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Filtered {
        let mut plan = self.follow(plan, k, ef, share, filter, scratch, out);
        if plan == Plan::Hop && out.len() < k {
            plan = self.follow(Plan::Scan, k, ef, share, filter, scratch, out);
        }
        Filtered { plan, asked: scratch.asked.asked, exact: plan == Plan::Scan }
    }

    /// [`Self::search_filtered`] that measures every accepted element exactly.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn exact_filtered(
        &self,
        query: &[f32],
        k: usize,
        mut filter: impl Accept,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<Filtered, Error> {
        let norm = self.space.validate(query)?;
        scratch.query.prepare(&self.space, query, norm);
        scratch.asked.reset(self.slots(), usize::MAX);
        let plan = self.follow(Plan::Scan, k.min(self.len), 1, 1.0, &mut filter, scratch, out);
        Ok(Filtered { plan, asked: scratch.asked.asked, exact: true })
    }

    /// [`Self::search_filtered`] by a plan of the caller's choice, for measuring plans against each other. A plan that
    /// finds too few still goes on with another.
    /// # Errors
    /// A query of the wrong length or not finite.
    #[expect(clippy::too_many_arguments, reason = "those of a search, the filter and the plan")]
    pub fn search_by_plan(
        &self,
        plan: Plan,
        query: &[f32],
        k: usize,
        ef: usize,
        mut filter: impl Accept,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<Filtered, Error> {
        let norm = self.space.validate(query)?;
        scratch.query.prepare(&self.space, query, norm);
        scratch.asked.reset(self.slots(), usize::MAX);
        let share = self.share(&mut scratch.asked, &mut filter);
        Ok(self.complete(plan, k.min(self.len), ef.max(k).max(1), share, &mut filter, scratch, out))
    }

    /// The share of elements the filter accepts, more or less; never zero.
    fn share(&self, asked: &mut Asked, filter: &mut impl Accept) -> f64 {
        // Steps of the golden ratio visit slots evenly however many there are, and never in the rhythm of the data.
        let slots = self.slots() as u64;
        let mut places = (1..).map(|i: u32| ((u64::from(i.wrapping_mul(0x9e37_79b9)) * slots) >> 32) as Slot);
        if let Some(known) = filter.known() {
            asked.seeds.extend(places.take(SEEDS_MAX).filter_map(|slot| filter.accepted_from(slot)));
            return (known as f64).max(0.5) / self.len as f64;
        }
        let (mut sampled, mut hits) = (0, 0);
        while sampled < SAMPLE || sampled < SAMPLE_MORE.min(self.len / 16) && hits < SAMPLE_HITS {
            let slot = places.next().expect("there is no end of them");
            sampled += 1;
            if self.is_live(slot) && asked.ask(slot, filter) {
                hits += 1;
                asked.seeds.push(slot);
            }
        }
        asked.seeds.truncate(SEEDS_MAX);
        let live = self.len as f64 / slots as f64;
        ((hits as f64).max(0.5) / sampled as f64 / live).min(1.0)
    }

    /// The cheapest plan for a filter that accepts a share of the elements.
    fn plan(&self, k: usize, ef: usize, share: f64, filter: &impl Accept) -> Plan {
        let (len, ask, want, pool) = (self.len as f64, filter.cost(), wanted(k) as f64 / share, ef as f64 / share);
        let hits = len * share;
        let scan = if filter.known().is_some() { len / 64.0 } else { len * ask } + hits * EXACT_COST;
        let near = len + want.min(len) * ask;
        let mut best = if scan <= near { (Plan::Scan, scan) } else { (Plan::Near, near) };
        let walk = pool * POOL_COST + want.min(len) * ask;
        if walk < best.1 && walks(pool as usize, self.len) {
            best = (Plan::Walk, walk);
        }
        let hop = self.hop_cost(ef, share, ask);
        if hop < best.1 && hits > (ef * 4) as f64 && walks(ef, self.len) {
            best = (Plan::Hop, hop);
        }
        best.0
    }

    /// Searches by one plan; the plan that was used in the end.
    #[expect(clippy::too_many_arguments, reason = "the parts of a search, taken apart so that each is borrowed alone")]
    fn follow(
        &self,
        plan: Plan,
        k: usize,
        ef: usize,
        share: f64,
        filter: &mut impl Accept,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Plan {
        let Scratch { query, walk, asked, .. } = scratch;
        out.clear();
        match plan {
            Plan::Scan => {
                let mut nearest = Nearest::new(walk.pool.buffer(), k);
                self.each_accepted(asked, filter, |slot| nearest.offer(self.space.exact(query, slot), slot));
                let found = nearest.sorted().iter();
                out.extend(found.map(|&e| Neighbor { slot: entry_slot(e), distance: entry_distance(e) }));
                return plan;
            }
            Plan::Hop if self.hop(query.probe(), (ef, share), walk, asked, filter) => {
                let nearest = walk.pool.iter().take(reranked(k)).map(|(_, slot)| slot);
                rerank(&self.space, query, nearest, k, out);
                return plan;
            }
            Plan::Walk | Plan::Near | Plan::Hop => {}
        }
        let mut last = Plan::Near;
        if plan == Plan::Walk {
            let mut pool = (ef as f64 / share) as usize;
            while walks(pool, self.len) && !asked.done(k) {
                self.walk(query.probe(), pool, walk);
                walk.pool.iter().map(|(_, slot)| slot).take_while(|slot| asked.collect(*slot, k, filter)).count();
                last = Plan::Walk;
                pool = pool.saturating_mul(WIDEN);
            }
        }
        if !asked.done(k) {
            self.ask_all(query.probe(), walk.pool.buffer(), asked, k, filter);
            last = Plan::Near;
        }
        rerank(&self.space, query, asked.accepted.iter().copied(), k, out);
        last
    }

    /// Calls `take` for every accepted element, in order of slots.
    fn each_accepted(&self, asked: &mut Asked, filter: &mut impl Accept, mut take: impl FnMut(Slot)) {
        if filter.known().is_some() {
            let mut from = 0;
            while let Some(slot) = filter.accepted_from(from) {
                take(slot);
                from = slot + 1;
            }
            return;
        }
        self.graph.live().filter(|slot| asked.ask(*slot, filter)).for_each(take);
    }

    /// Asks about every element, nearest by code first, until there is enough; sorts no more than it asks about.
    fn ask_all(&self, probe: Probe<'_>, entries: &mut Vec<u64>, asked: &mut Asked, k: usize, filter: &mut impl Accept) {
        let mut live = self.graph.live().peekable();
        let mut batch = [0; BATCH];
        while live.peek().is_some() {
            // The places first: asked first, an element without a place would be lost.
            let len = batch.iter_mut().zip(live.by_ref()).map(|(place, slot)| *place = slot).count();
            self.space.distances(probe, &batch[..len], |i, distance| entries.push(entry(distance, batch[i])));
        }
        let (mut rest, mut step) = (entries.as_mut_slice(), SORTED_MIN);
        while !rest.is_empty() && !asked.done(k) {
            if step < rest.len() {
                rest.select_nth_unstable(step);
            }
            let (nearest, farther) = rest.split_at_mut(step.min(rest.len()));
            nearest.sort_unstable();
            nearest.iter().take_while(|&&entry| asked.collect(entry_slot(entry), k, filter)).count();
            (rest, step) = (farther, step * 2);
        }
    }
}

/// Codes measured at a time.
const BATCH: usize = 64;

/// Accepted elements that end a search for `k`: codes are near the truth but not it, so more are measured again. Among
/// elements that are all far away, where distances differ by little, one and a half times as many were too few.
fn wanted(k: usize) -> usize {
    k.saturating_mul(2).saturating_add(16)
}

impl Asked {
    fn reset(&mut self, slots: usize, effort: usize) {
        if self.marks.len() < slots {
            self.marks.resize(slots.next_power_of_two(), 0);
        }
        self.epoch += 1;
        if self.epoch > EPOCH_MAX {
            self.marks.fill(0);
            self.epoch = 1;
        }
        self.accepted.clear();
        self.through.clear();
        self.seeds.clear();
        (self.asked, self.effort) = (0, effort);
    }

    pub(super) fn answer(&self, slot: Slot) -> Answer {
        let mark = self.marks[slot as usize];
        if mark >> ANSWER_BITS != self.epoch {
            return Answer::Unknown;
        }
        match mark & ((1 << ANSWER_BITS) - 1) {
            1 => Answer::Rejected,
            2 => Answer::Passed,
            3 => Answer::Accepted,
            _ => Answer::Taken,
        }
    }

    pub(super) fn set(&mut self, slot: Slot, answer: Answer) {
        self.marks[slot as usize] = self.epoch << ANSWER_BITS | answer as u16;
    }

    /// Whether the filter accepts an element; no when it may not be asked any more.
    #[inline]
    pub(super) fn ask(&mut self, slot: Slot, filter: &mut impl Accept) -> bool {
        match self.answer(slot) {
            Answer::Accepted | Answer::Taken => return true,
            Answer::Rejected | Answer::Passed => return false,
            Answer::Unknown if self.asked == self.effort => return false,
            Answer::Unknown => {}
        }
        self.asked += 1;
        let accepted = filter.accepts(slot);
        self.set(slot, if accepted { Answer::Accepted } else { Answer::Rejected });
        accepted
    }

    /// Makes an element a candidate if it is accepted and is none yet; whether more are wanted.
    fn collect(&mut self, slot: Slot, k: usize, filter: &mut impl Accept) -> bool {
        if self.answer(slot) != Answer::Taken && self.ask(slot, filter) {
            self.set(slot, Answer::Taken);
            self.accepted.push(slot);
        }
        !self.done(k)
    }

    fn done(&self, k: usize) -> bool {
        self.asked == self.effort || self.accepted.len() >= wanted(k)
    }
}
