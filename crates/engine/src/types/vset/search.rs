//! Searches of a vector set, and the memory they work in.

use quiver_rdb::vectorset::Quantisation;
use quiver_vector::{Error, Neighbor, Scratch, Slot};

use super::VectorSet;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Elements wanted.
    pub count: usize,
    /// Candidates kept during the walk.
    pub ef: usize,
    /// Measure every element instead of walking.
    pub exact: bool,
}

/// Working memory of one thread's searches and their results.
#[derive(Debug, Default)]
pub struct Search {
    scratch: Scratch,
    buffer: Vec<f32>,
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
}

impl VectorSet {
    /// The nearest elements to a query, into `search.found`. Allocates nothing once `search` is warm and the query is
    /// a vector that needs no projection.
    /// # Errors
    /// A vector that does not fit or is not finite, or a slot where no element lives.
    pub fn search(&self, query: Query<'_>, effort: Effort, search: &mut Search) -> Result<(), Error> {
        let Search { scratch, buffer, found } = search;
        let vector = match query {
            Query::Slot(slot) => {
                *buffer = self.vector(slot).ok_or(Error::NoSuchSlot(slot))?;
                buffer.as_slice()
            }
            Query::Vector(input) if self.projection.is_none() && self.quantisation != Quantisation::Binary => input,
            Query::Vector(input) => {
                *buffer = self.indexed(input)?.0;
                buffer.as_slice()
            }
        };
        let count = effort.count.min(self.len());
        if effort.exact {
            self.index.exact(vector, count, scratch, found)
        } else {
            self.index.search(vector, count, effort.ef.min(self.len()), scratch, found)
        }
    }
}

/// Similarity as VSIM prints it: one for the same direction, zero for the opposite, rounding cut off.
pub fn similarity(distance: f32) -> f64 {
    (1.0 - f64::from(distance) / 2.0).clamp(0.0, 1.0)
}
