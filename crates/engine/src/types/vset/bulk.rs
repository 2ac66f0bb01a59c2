//! Many elements at once: linked in rounds on all cores, whose graph is the same for any number of them.
//!
//! Most of the time goes into finding links, which only reads. That part can be done ahead, while searches and changes go
//! on ([`Ahead`]); whoever adds the elements then finds out whether it still holds, and does it over where it does not.

use std::collections::HashMap;

use parking_lot::RwLock;
use quiver_rdb::vectorset::Quantisation;
use quiver_vector::{Error, Round, Slot};

use super::{VectorSet, level_key, to_signs};

/// Elements to add or to change, each with a vector and, if any has, attributes.
#[derive(Debug)]
pub struct Elements<'a> {
    names: Vec<&'a [u8]>,
    attributes: Vec<&'a [u8]>,
    /// As the index takes them, one after the other.
    vectors: Vec<f32>,
    norms: Vec<f32>,
    /// Places of the last mention of each name.
    last: Vec<usize>,
    /// Components of a vector as it was given.
    width: usize,
}

/// Links found for elements that a set does not have.
#[derive(Debug)]
pub struct Ahead {
    fresh: Vec<usize>,
    round: Round,
}

impl<'a> Elements<'a> {
    /// Elements for a set: a name for each of the vectors in `input`, and attributes for each or none. Of a name given
    /// twice the last mention counts.
    /// # Errors
    /// Vectors of the wrong length, or not finite.
    pub fn new(
        set: &VectorSet,
        names: Vec<&'a [u8]>,
        input: Vec<f32>,
        attributes: Vec<&'a [u8]>,
    ) -> Result<Self, Error> {
        let width = input.len() / names.len().max(1);
        let mut norms = Vec::with_capacity(names.len());
        let mut vectors = match &set.projection {
            Some(projection) if projection.input_dim() == width => {
                input.chunks_exact(width).flat_map(|row| projection.apply(row)).collect()
            }
            _ if width == set.dim() => input,
            _ => return Err(Error::VectorDim { got: width, want: set.dim() }),
        };
        for row in vectors.chunks_exact(set.dim()) {
            norms.push(super::norm_of(row)?);
        }
        if set.quantisation == Quantisation::Binary {
            to_signs(&mut vectors);
        }
        let places: HashMap<&[u8], usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let last = (0..names.len()).filter(|at| places[names[*at]] == *at).collect();
        Ok(Self { names, attributes, vectors, norms, last, width })
    }

    /// The name of each.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        self.names.iter().copied()
    }

    /// Components of a vector as it was given.
    pub fn width(&self) -> usize {
        self.width
    }

    fn vector(&self, at: usize) -> &[f32] {
        let dim = self.vectors.len() / self.names.len();
        &self.vectors[at * dim..][..dim]
    }

    /// Places of the elements that a set does not have, and their vectors and keys.
    fn fresh(&self, set: &VectorSet) -> (Vec<usize>, Vec<&[f32]>, Vec<u64>) {
        let fresh: Vec<usize> = self.last.iter().copied().filter(|at| set.slot(self.names[*at]).is_none()).collect();
        let vectors = fresh.iter().map(|at| self.vector(*at)).collect();
        let keys = fresh.iter().map(|at| level_key(self.names[*at])).collect();
        (fresh, vectors, keys)
    }
}

impl Ahead {
    /// Finds the links of those elements that a set does not have, holding it for one of them at a time. `None` where
    /// there is nothing to gain. One caller at a time.
    /// # Errors
    /// A vector that the index refuses.
    pub fn find(set: &RwLock<VectorSet>, elements: &Elements<'_>, ef: usize) -> Result<Option<Self>, Error> {
        let (fresh, round) = {
            let mut set = set.write();
            let (fresh, vectors, keys) = elements.fresh(&set);
            (fresh, set.index.round_begin(&vectors, &keys, ef)?)
        };
        Ok(round.map(|mut round| {
            round.prepare(0, |work| work(&set.read().index));
            Self { fresh, round }
        }))
    }
}

impl VectorSet {
    /// Adds elements or gives them other vectors, as [`Self::add`] does one by one; the number of those that are new.
    /// # Errors
    /// A vector that the index refuses, or no room. Nothing changed then.
    pub fn add_many(&mut self, elements: &Elements<'_>, ahead: Option<&Ahead>, ef: usize) -> Result<usize, Error> {
        let (fresh, vectors, keys) = elements.fresh(self);
        for at in &elements.last {
            self.index.validate(elements.vector(*at))?;
        }
        let known = elements.last.iter().copied().filter(|at| self.slot(elements.names[*at]).is_some());
        let known: Vec<(usize, Slot)> =
            known.map(|at| (at, self.slot(elements.names[at]).expect("it was found just now"))).collect();
        let ready = ahead.filter(|ahead| ahead.fresh == fresh).and_then(|ahead| self.index.round_commit(&ahead.round));
        let slots = match ready {
            Some(slots) => slots,
            None => self.index.insert_rows(&vectors, &keys, ef, 0)?,
        };
        for (at, slot) in fresh.iter().zip(&slots) {
            self.note_many(*slot, elements, *at);
        }
        for (at, slot) in known {
            self.index.update(slot, elements.vector(at), ef)?;
            self.note_many(slot, elements, at);
        }
        Ok(fresh.len())
    }

    fn note_many(&mut self, slot: Slot, elements: &Elements<'_>, at: usize) {
        self.note_added(slot, elements.names[at], elements.norms[at], elements.attributes.get(at).copied());
    }
}
