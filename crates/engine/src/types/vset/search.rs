//! Searches of a vector set, and the memory they work in.

use quiver_rdb::vectorset::Quantisation;
use quiver_vector::{Error, Filtered, Neighbor, Plan, Scratch, Slot};

use super::memo::Elements;
use super::recall::{self, LADDER};
use super::{VectorSet, to_signs};
use crate::filter::Filter;
use crate::types::hash::AsOf;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Elements wanted.
    pub count: usize,
    /// Candidates kept during the walk.
    pub ef: usize,
    /// Measure every element instead of walking.
    pub exact: bool,
    /// Recall to reach, whatever `ef` that takes.
    pub recall: Option<f64>,
    /// Most elements a filter is asked about.
    pub questions: usize,
    /// As of when elements are seen.
    pub as_of: AsOf,
}

impl Effort {
    /// A walk that keeps `ef` candidates, to find `count` of all elements.
    pub const fn new(count: usize, ef: usize) -> Self {
        Self { count, ef, exact: false, recall: None, questions: usize::MAX, as_of: AsOf::ALL }
    }
}

/// Working memory of one thread's searches and their results.
#[derive(Debug, Default)]
pub struct Search {
    /// For whatever walks through a graph.
    pub scratch: Scratch,
    buffer: Vec<f32>,
    tried: Vec<Neighbor>,
    /// Nearest first.
    pub found: Vec<Neighbor>,
}

/// What a search starts from.
#[derive(Clone, Copy, Debug)]
pub enum Query<'q> {
    /// A vector of the set's dimensions or of its projection's.
    Vector(&'q [f32]),
    /// An element.
    Slot(Slot),
    /// A vector as the index keeps it, projected already.
    Kept(&'q [f32]),
}

/// What can be said about the results of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether they are the nearest beyond doubt.
    pub exact: bool,
    /// The way a filter was applied.
    pub plan: Option<Plan>,
    /// Candidates kept during the walk.
    pub ef: usize,
    /// Elements a filter was asked about.
    pub asked: usize,
}

impl VectorSet {
    /// The nearest elements to a query, of those a filter accepts, into `search.found`. Without a filter, allocates
    /// nothing once `search` is warm and the query is a vector that needs no projection.
    /// # Errors
    /// A vector that does not fit or is not finite, or a slot where no element lives.
    pub fn search(
        &self,
        query: Query<'_>,
        effort: Effort,
        filter: Option<(&[u8], &Filter)>,
        search: &mut Search,
    ) -> Result<Outcome, Error> {
        let Search { scratch, buffer, tried, found } = search;
        let vector = match query {
            Query::Slot(slot) => {
                *buffer = self.vector(slot).ok_or(Error::NoSuchSlot(slot))?;
                buffer.as_slice()
            }
            Query::Kept(vector) => vector,
            Query::Vector(input) if self.projection.is_none() && self.quantisation != Quantisation::Binary => input,
            Query::Vector(input) => {
                *buffer = self.indexed(input)?.0;
                buffer.as_slice()
            }
        };
        let (count, ef) = (effort.count.min(self.len()), effort.ef.min(self.len()));
        let as_of = self.hides_some(effort.as_of).then_some(effort.as_of);
        if filter.is_none() && as_of.is_none() {
            let ef = match effort.recall {
                _ if effort.exact => None,
                Some(target) => self.recall.effort(target, count, self.len(), self.changes).map(|least| least.max(ef)),
                None => Some(ef),
            };
            if let Some(ef) = ef {
                self.index.search(vector, count, ef, scratch, found)?;
                return Ok(Outcome { exact: false, plan: None, ef, asked: 0 });
            }
            self.index.exact(vector, count, scratch, found)?;
            if effort.recall.is_some() {
                self.try_efforts(vector, found, scratch, tried)?;
            }
            return Ok(Outcome { exact: true, plan: None, ef: self.len(), asked: 0 });
        }
        let memo = filter.map(|(text, filter)| {
            let memo = self.memos.of(text, filter, self.slots());
            self.learn(&memo, filter);
            memo
        });
        let elements = Elements { set: self, memo: memo.as_deref(), as_of };
        let Filtered { plan, asked, exact } = if effort.exact || effort.recall.is_some() {
            // What an effort reaches with one filter says nothing about another.
            self.index.exact_filtered(vector, count, elements, scratch, found)?
        } else {
            self.index.search_filtered(vector, count, ef, effort.questions, elements, scratch, found)?
        };
        Ok(Outcome { exact, plan: Some(plan), ef, asked })
    }

    /// The vector from which some elements are near and others far: the mean of those, and as far again away from the
    /// mean of these. Each element counts with its direction alone.
    pub fn towards(&self, near: &[Slot], far: &[Slot]) -> Vec<f32> {
        let mean = |slots: &[Slot]| {
            let mut mean = vec![0.0_f64; self.dim()];
            for vector in slots.iter().filter_map(|slot| self.vector(*slot)) {
                let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
                let share = 1.0 / (length.max(f64::MIN_POSITIVE) * slots.len() as f64);
                mean.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(x) * share);
            }
            mean
        };
        let (near, far_mean) = (mean(near), mean(far));
        let away = |near: f64, from: f64| if far.is_empty() { near } else { 2.0 * near - from };
        let mut vector: Vec<f32> = near.iter().zip(far_mean).map(|(near, from)| away(*near, from) as f32).collect();
        if self.quantisation == Quantisation::Binary {
            to_signs(&mut vector);
        }
        vector
    }

    /// Learns what each effort would have found of an exact answer.
    fn try_efforts(
        &self,
        vector: &[f32],
        truth: &[Neighbor],
        scratch: &mut Scratch,
        tried: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let mut shares = [0.0; LADDER.len()];
        for (share, ef) in shares.iter_mut().zip(LADDER) {
            self.index.search(vector, truth.len(), ef, scratch, tried)?;
            *share = recall::share(truth, tried);
        }
        self.recall.learn(truth.len(), &shares);
        Ok(())
    }
}

/// Similarity as VSIM prints it: one for the same direction, zero for the opposite, rounding cut off.
pub fn similarity(distance: f32) -> f64 {
    (1.0 - f64::from(distance) / 2.0).clamp(0.0, 1.0)
}
