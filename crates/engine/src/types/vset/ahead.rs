//! One element linked ahead: what takes long when an element is added is finding its links, and that only reads. So it is
//! done with the set for reading and nothing else held ([`VectorSet::link_ahead`]), and the element is entered afterwards
//! in a few microseconds ([`VectorSet::add_linked`]).
//!
//! Invariant: an element that was linked ahead has the links that [`VectorSet::add`] would have found, because links that
//! were found before another change are not used. So it makes no difference to replicas how an element was added.

use quiver_vector::{Error, Prepared, Scratch};

use super::{VectorSet, level_key};

/// Links found for an element.
#[derive(Debug, Default)]
pub struct Linked {
    prepared: Prepared,
    norm: f32,
}

impl VectorSet {
    /// Finds the links of an element that is to be added or changed, for [`Self::add_linked`].
    /// # Errors
    /// Those of [`Self::add`].
    pub fn link_ahead(
        &self,
        name: &[u8],
        input: &[f32],
        ef: usize,
        scratch: &mut Scratch,
        linked: &mut Linked,
    ) -> Result<(), Error> {
        let (vector, norm) = self.indexed(input)?;
        linked.norm = norm;
        match self.slot(name) {
            Some(slot) => self.index.prepare_update(slot, &vector, ef, scratch, &mut linked.prepared),
            None => self.index.prepare(&vector, level_key(name), ef, scratch, &mut linked.prepared),
        }
    }

    /// [`Self::add`] with the links that were found for this name; `None`, and nothing changed, when the set has changed
    /// since.
    pub fn add_linked(&mut self, name: &[u8], attributes: Option<&[u8]>, linked: &mut Linked) -> Option<bool> {
        if !self.index.is_current(&linked.prepared) {
            return None;
        }
        let slot = self.index.commit(&mut linked.prepared).ok()?;
        Some(self.note_added(slot, name, linked.norm, attributes))
    }
}
