//! The elements within one stretch of indexes: offsets in order, and an element beside each.

use super::{Element, SLICE_LEN};

/// A stretch of [`SLICE_LEN`] indexes that has elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    /// In ascending order.
    offsets: Vec<u16>,
    /// One for each offset.
    elements: Vec<Element>,
}

impl Slice {
    /// Where an offset stands, or would.
    fn find(&self, offset: u16) -> Result<usize, usize> {
        // Without holes in front of it, which is how most arrays are filled, an offset's place is known.
        let direct = usize::from(offset.wrapping_sub(self.offsets.first().copied().unwrap_or(0)));
        if self.offsets.get(direct) == Some(&offset) {
            return Ok(direct);
        }
        if self.offsets.last().is_none_or(|last| *last < offset) {
            return Err(self.offsets.len());
        }
        self.offsets.binary_search(&offset)
    }

    pub(super) fn get(&self, offset: u16) -> Option<&Element> {
        self.elements.get(self.find(offset).ok()?)
    }

    /// Stores an element; the one that was there.
    pub(super) fn set(&mut self, offset: u16, element: Element) -> Option<Element> {
        match self.find(offset) {
            Ok(at) => Some(std::mem::replace(&mut self.elements[at], element)),
            Err(at) => {
                self.reserve();
                self.offsets.insert(at, offset);
                self.elements.insert(at, element);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, offset: u16) -> Option<Element> {
        let at = self.find(offset).ok()?;
        self.offsets.remove(at);
        Some(self.elements.remove(at))
    }

    /// Takes out what is between two offsets, both included.
    pub(super) fn remove_range(&mut self, first: u16, last: u16) -> Vec<Element> {
        let range = self.places(first, last);
        self.offsets.drain(range.clone());
        self.elements.drain(range).collect()
    }

    /// What is between two offsets, both included.
    pub(super) fn range(&self, first: u16, last: u16) -> impl DoubleEndedIterator<Item = (u16, &Element)> {
        let range = self.places(first, last);
        self.offsets[range.clone()].iter().copied().zip(&self.elements[range])
    }

    fn places(&self, first: u16, last: u16) -> std::ops::Range<usize> {
        let from = self.find(first).unwrap_or_else(|at| at);
        let to = self.find(last).map_or_else(|at| at, |at| at + 1);
        from..to.max(from)
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The highest offset. Of a slice that is not empty.
    pub(super) fn last(&self) -> u16 {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Whether there is no hole between the first and the last element.
    pub(super) fn is_dense(&self) -> bool {
        let first = self.offsets.first().copied().unwrap_or(0);
        usize::from(self.last() - first) + 1 == self.offsets.len()
    }

    /// Elements there is room for.
    pub(super) fn room(&self) -> usize {
        self.elements.capacity()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + size_of::<u64>()
            + self.offsets.capacity() * size_of::<u16>()
            + self.elements.capacity() * size_of::<Element>()
    }

    /// Room for one more element: a quarter more when it must grow, and never more than a slice can hold.
    fn reserve(&mut self) {
        let len = self.elements.len();
        if len == self.elements.capacity() {
            let more = (len / 4).clamp(1, SLICE_LEN as usize);
            self.elements.reserve_exact(more);
            self.offsets.reserve_exact(more);
        }
    }

    /// Panics if an invariant is broken.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(!self.is_empty(), "a slice without elements");
        assert_eq!(self.offsets.len(), self.elements.len());
        assert!(self.offsets.is_sorted_by(|a, b| a < b), "offsets ascend");
        assert!(u64::from(self.last()) < SLICE_LEN);
    }
}
