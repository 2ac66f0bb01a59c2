//! Walks that begin anywhere and know where they are: for listpacks whose elements form records of their own.
//!
//! Invariant: a place handed out here is that of an element, as long as nothing changes before it.

use super::{Iter, ListPack, Place};
use crate::size_class::size_class;

impl ListPack {
    /// The elements from the one at `place` on, from either end.
    pub fn iter_at(&self, place: Place) -> Iter<'_> {
        Iter { bytes: &self.bytes, rest: place.0..self.end() }
    }

    /// Makes room for `bytes` in all, so that elements added up to there are not moved.
    pub fn reserve_total(&mut self, bytes: usize) {
        let bytes = size_class(bytes);
        if bytes > self.bytes.capacity() {
            self.bytes.reserve_exact(bytes - self.bytes.len());
        }
    }
}

impl Iter<'_> {
    /// Where the next element from the front begins; not a place when none is left.
    pub fn front_place(&self) -> Place {
        Place(self.rest.start)
    }

    /// Where the element that came last from the back begins; not a place before one did.
    pub fn back_place(&self) -> Place {
        Place(self.rest.end)
    }
}
