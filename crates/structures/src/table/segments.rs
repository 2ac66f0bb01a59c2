//! The bucket array, in segments that never move: growing by one bucket costs at most one allocation.
//!
//! Bucket numbers from 2^k - 1 up to 2^(k+1) - 2 form generation k. A generation is one segment up to 64 buckets, then
//! segments of 64 until it has 32 of them, then 32 larger ones. So an array of one bucket is one cache line,
//! the unused tail is at most a thirty-second, and the directory stays small enough for the first-level cache.
//! (Resizable arrays in optimal time and space, Brodnik et al. 1999, with a constant instead of a square root.)
#![expect(unsafe_code, reason = "page-aligned zeroed segments: untouched tails of large segments cost no memory")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::slot::{BUCKET_BYTES, Bucket};
use crate::size_class::size_class;

const PAGE_BYTES: usize = 4096;
/// log2 of the buckets in the smallest segment that a generation is divided into.
const SMALL_LG: usize = 6;
/// log2 of the segments in a large generation.
const PARTS_LG: usize = 5;
const GENERATIONS: usize = 48;

/// log2 of the buckets per segment of generation `k`.
const fn segment_lg(k: usize) -> usize {
    if k <= SMALL_LG {
        k
    } else if k <= SMALL_LG + PARTS_LG {
        SMALL_LG
    } else {
        k - PARTS_LG
    }
}

/// Number of each generation's first segment.
const FIRST: [usize; GENERATIONS] = {
    let mut first = [0; GENERATIONS];
    let mut k = 1;
    while k < GENERATIONS {
        first[k] = first[k - 1] + (1 << (k - 1 - segment_lg(k - 1)));
        k += 1;
    }
    first
};

/// Segment and offset of a bucket.
#[inline]
fn locate(index: usize) -> (usize, usize) {
    let biased = index + 1;
    let k = biased.ilog2() as usize;
    let within = biased - (1 << k);
    let lg = segment_lg(k);
    (FIRST[k] + (within >> lg), within & ((1 << lg) - 1))
}

/// Buckets in segment `number`, of which `locate(index)` says that `index` is its first bucket.
fn segment_len(index: usize) -> usize {
    1 << segment_lg((index + 1).ilog2() as usize)
}

/// A growable array of buckets, addressed by number.
pub(super) struct Segments<O> {
    segments: Vec<Segment<O>>,
    bytes: usize,
}

impl<O> Segments<O> {
    pub(super) const fn new() -> Self {
        Self { segments: Vec::new(), bytes: 0 }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> &Bucket<O> {
        let (segment, offset) = locate(index);
        &self.segments[segment][offset]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> &mut Bucket<O> {
        let (segment, offset) = locate(index);
        &mut self.segments[segment][offset]
    }

    /// Makes room for bucket `index`, the next after all that have room.
    pub(super) fn reserve(&mut self, index: usize) {
        let (segment, offset) = locate(index);
        if segment == self.segments.len() {
            assert_eq!(offset, 0, "buckets are added in order");
            let segment = Segment::new(segment_len(index));
            self.bytes += segment.bytes();
            self.segments.push(segment);
        }
    }

    /// Frees what buckets numbered `index` and above have to themselves.
    pub(super) fn truncate(&mut self, index: usize) {
        let (segment, offset) = locate(index);
        for freed in self.segments.drain((segment + usize::from(offset > 0)).min(self.segments.len())..) {
            self.bytes -= freed.bytes();
        }
    }

    /// Bytes of the segments and of the directory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.segments.capacity() * size_of::<Segment<O>>()
    }
}

/// A run of buckets of fixed length.
struct Segment<O> {
    buckets: NonNull<Bucket<O>>,
    len: usize,
}

// SAFETY: a segment owns its buckets, as a `Box<[Bucket<O>]>` would.
unsafe impl<O: Send> Send for Segment<O> {}
// SAFETY: as above.
unsafe impl<O: Sync> Sync for Segment<O> {}

impl<O> Segment<O> {
    fn new(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the layout is at least one bucket large.
        let start = unsafe { alloc_zeroed(layout) };
        // All zero bytes are empty buckets, so the segment is initialised.
        let Some(buckets) = NonNull::new(start.cast()) else { handle_alloc_error(layout) };
        Self { buckets, len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len * BUCKET_BYTES;
        // Page alignment keeps allocators from shifting large blocks within their first page, which costs one more.
        Layout::from_size_align(bytes, bytes.min(PAGE_BYTES)).expect("a segment is smaller than isize::MAX")
    }

    fn bytes(&self) -> usize {
        size_class(self.len * BUCKET_BYTES)
    }
}

impl<O> Deref for Segment<O> {
    type Target = [Bucket<O>];

    #[inline]
    fn deref(&self) -> &[Bucket<O>] {
        // SAFETY: the segment owns `len` initialised buckets from here on.
        unsafe { std::slice::from_raw_parts(self.buckets.as_ptr(), self.len) }
    }
}

impl<O> DerefMut for Segment<O> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Bucket<O>] {
        // SAFETY: the segment owns `len` initialised buckets from here on and is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.buckets.as_ptr(), self.len) }
    }
}

impl<O> Drop for Segment<O> {
    fn drop(&mut self) {
        // SAFETY: the buckets are initialised and dropped once.
        unsafe { std::ptr::drop_in_place(std::ptr::slice_from_raw_parts_mut(self.buckets.as_ptr(), self.len)) };
        // SAFETY: the allocation was made with this layout.
        unsafe { dealloc(self.buckets.as_ptr().cast(), Self::layout(self.len)) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Segments, locate, segment_len};

    #[test]
    fn consecutive_buckets_fill_segment_after_segment() {
        let (mut segment, mut offset, mut len) = (0, 0, 1);
        for index in 0..20_000 {
            assert_eq!(locate(index), (segment, offset), "bucket {index}");
            offset += 1;
            if offset == len {
                (segment, offset) = (segment + 1, 0);
                len = segment_len(index + 1);
            }
        }
    }

    #[test]
    fn truncating_frees_what_reserving_allocated() {
        let mut segments = Segments::<()>::new();
        for index in 0..1000 {
            segments.reserve(index);
            assert_eq!(segments.get(index).links(), 0);
        }
        segments.truncate(1);
        assert_eq!(segments.segments.len(), 1);
        segments.truncate(0);
        assert_eq!(segments.bytes, 0);
        segments.reserve(0);
        assert_eq!(segments.segments.len(), 1);
    }
}
