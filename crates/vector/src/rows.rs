//! Rows of equal length, found by number: the slabs an index is made of.
//!
//! Memory comes in chunks of a power of two of rows, so growing never copies what stands in a full one. A chunk that is
//! large enough fills whole huge pages. The last chunk starts small and doubles: many indexes stay tiny, and large
//! ones have no more to spare than a part of one chunk. A chunk none of whose rows was asked for takes no memory. Rows
//! of a multiple of 64 bytes start on a cache line. Fresh rows hold zeros.

use quiver_kernels::{Slab, Zeroed};

/// Rows of the smallest and largest chunks, as powers of two.
const SHIFT_MIN: u32 = 10;
const SHIFT_MAX: u32 = 15;
const FIRST_ROWS: usize = 8;
const HUGE_BYTES: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct Rows<T> {
    stride: usize,
    shift: u32,
    chunks: Vec<Slab<T>>,
}

impl<T: Zeroed> Rows<T> {
    /// No rows yet, each of `stride` elements.
    pub(crate) fn new(stride: usize) -> Self {
        let whole = |shift: &u32| ((stride * size_of::<T>()) << shift).is_multiple_of(HUGE_BYTES);
        let shift = (SHIFT_MIN..=SHIFT_MAX).find(whole).unwrap_or(SHIFT_MIN);
        Self { stride, shift, chunks: Vec::new() }
    }

    /// A row that [`Self::ensure`] made.
    #[inline]
    pub(crate) fn row(&self, at: usize) -> &[T] {
        &self.chunks[at >> self.shift][self.start(at)..][..self.stride]
    }

    /// A row, if there is memory for it.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&[T]> {
        self.chunks.get(at >> self.shift)?.get(self.start(at)..)?.get(..self.stride)
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, at: usize) -> &mut [T] {
        let start = self.start(at);
        &mut self.chunks[at >> self.shift][start..][..self.stride]
    }

    /// Makes row `at` exist.
    pub(crate) fn ensure(&mut self, at: usize) {
        let chunk = at >> self.shift;
        while self.chunks.len() <= chunk {
            self.chunks.push(Slab::new(0));
        }
        let end = (at & self.mask()) + 1;
        let old = &mut self.chunks[chunk];
        if old.len() >= end * self.stride {
            return;
        }
        // Few steps: what they leave behind in the allocator is memory as well.
        let least = if chunk == 0 { FIRST_ROWS } else { (1 << self.shift) / 4 };
        let rows = end.next_power_of_two().max(least);
        let whole = rows == 1 << self.shift;
        let mut fresh = if whole { Slab::huge(rows * self.stride) } else { Slab::new(rows * self.stride) };
        fresh[..old.len()].copy_from_slice(old);
        *old = fresh;
    }

    /// Gives all memory back.
    pub(crate) fn clear(&mut self) {
        self.chunks = Vec::new();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(Slab::bytes).sum::<usize>() + self.chunks.capacity() * size_of::<Slab<T>>()
    }

    #[inline]
    fn mask(&self) -> usize {
        (1 << self.shift) - 1
    }

    /// Where a row starts in its chunk.
    #[inline]
    fn start(&self, at: usize) -> usize {
        (at & self.mask()) * self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_content_while_the_slab_grows() {
        let mut rows = Rows::<u32>::new(16);
        for at in 0..3000_usize {
            assert!(rows.get(at).is_none_or(|row| row == [0; 16]));
            rows.ensure(at);
            rows.row_mut(at).fill(u32::try_from(at).unwrap());
            if at % 97 == 0 {
                assert!((0..=at).all(|i| rows.row(i).iter().all(|&x| x as usize == i)));
            }
        }
    }

    #[test]
    fn rows_of_whole_lines_start_on_a_line() {
        let mut rows = Rows::<i8>::new(128);
        for at in 0..2100 {
            rows.ensure(at);
        }
        assert!((0..2100).all(|at| rows.row(at).as_ptr().align_offset(64) == 0));
    }

    #[test]
    fn only_chunks_with_rows_take_memory() {
        let mut rows = Rows::<f32>::new(16);
        assert_eq!(rows.memory_bytes(), 0);
        rows.ensure(0);
        assert!(rows.memory_bytes() < 1024);
        rows.ensure(1_000_000);
        assert!(rows.memory_bytes() < 3_000_000);
        assert!(rows.get(500_000).is_none());
        rows.clear();
        assert!(rows.get(0).is_none());
    }
}
