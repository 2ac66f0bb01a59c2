//! Memory for rows of numbers: zeroed, on cache lines, in huge pages where it is large.
//!
//! A walk through a graph reads rows all over an index, each on another page; with pages of 4 KiB most reads miss the
//! TLB as well as the cache. A huge slab therefore starts on a boundary of 2 MiB and asks the kernel for huge pages (`madvise`; a refusal is no error). A `Vec` can ask for neither alignment nor pages, which is why this
//! stands among the kernels.

#![expect(
    unsafe_code,
    reason = "a Vec has no alignment beyond its elements'; searches of 115,000 vectors gain from huge pages"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const LINE_BYTES: usize = 64;
const HUGE_BYTES: usize = 2 << 20;

/// Numbers, and arrays of them, for which all bytes zero is a value.
///
/// # Safety
/// All bytes zero must be a valid value, and the type must need no drop.
pub unsafe trait Zeroed: Copy {}

macro_rules! zeroed {
    ($($type:ty),*) => {
        $(
            // SAFETY: zero is a number.
            unsafe impl Zeroed for $type {}
        )*
    };
}

zeroed!(i8, u8, u16, u32, f32);

// SAFETY: an array of zeros is one.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// A fixed number of elements, zero at first; a slice in every other respect.
pub struct Slab<T> {
    start: NonNull<T>,
    len: usize,
    align: usize,
}

impl<T: Zeroed> Slab<T> {
    /// `len` zeros. Fails as a `Vec` does when there is no memory.
    pub fn new(len: usize) -> Self {
        Self::aligned(len, LINE_BYTES)
    }

    /// `len` zeros in huge pages, if they fill at least one: for memory that stays.
    pub fn huge(len: usize) -> Self {
        if len.saturating_mul(size_of::<T>()) < HUGE_BYTES {
            return Self::new(len);
        }
        let mut slab = Self::aligned(len, HUGE_BYTES);
        advise(&mut slab);
        slab
    }

    fn aligned(len: usize, align: usize) -> Self {
        let layout = layout::<T>(len, align);
        if layout.size() == 0 {
            return Self { start: NonNull::dangling(), len, align };
        }
        // SAFETY: the layout has a size.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast::<T>()) else { handle_alloc_error(layout) };
        Self { start, len, align }
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        size_of_val::<[T]>(self)
    }
}

fn layout<T>(len: usize, align: usize) -> Layout {
    let layout = Layout::array::<T>(len).and_then(|layout| layout.align_to(align));
    layout.expect("a slab fits the address space")
}

#[cfg(all(target_os = "linux", not(miri)))]
fn advise<T>(slab: &mut Slab<T>) {
    use rustix::mm::{Advice, madvise};
    let bytes = slab.len * size_of::<T>();
    // SAFETY: the range is memory of this slab's own; the advice changes no byte of it.
    let advised = unsafe { madvise(slab.start.as_ptr().cast(), bytes, Advice::LinuxHugepage) };
    // A kernel without huge pages refuses, and small ones do.
    let _ = advised;
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise<T>(_: &mut Slab<T>) {}

impl<T> Deref for Slab<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were allocated and zeroed, which is a value, and are borrowed with the slab.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Slab<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the slab is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        let layout = layout::<T>(self.len, self.align);
        if layout.size() > 0 {
            // SAFETY: allocated in `aligned` with this layout; the elements need no drop.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

impl<T> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({})", self.len)
    }
}

// SAFETY: a slab owns its elements, which are plain numbers; a shared one is only read.
unsafe impl<T: Send> Send for Slab<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Slab<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_is_a_slice_of_zeros_on_a_cache_line() {
        for len in [0, 1, 7, 64, 1000] {
            let mut slab = Slab::<u32>::new(len);
            assert!(slab.len() == len && slab.iter().all(|x| *x == 0));
            assert!(len == 0 || slab.as_ptr().addr().is_multiple_of(LINE_BYTES));
            slab.fill(7);
            assert_eq!(slab.iter().sum::<u32>() as usize, 7 * len);
            assert_eq!(slab.bytes(), 4 * len);
        }
    }

    #[test]
    fn a_huge_slab_starts_on_a_huge_page_if_it_fills_one() {
        assert_eq!(Slab::<u8>::huge(1000).len(), 1000);
        let mut slab = Slab::<[f32; 2]>::huge(HUGE_BYTES / 8 + 5);
        assert!(slab.as_ptr().addr().is_multiple_of(HUGE_BYTES));
        let last = slab.len() - 1;
        slab[last] = [1.0, 2.0];
        assert!(slab[..last].iter().all(|pair| *pair == [0.0; 2]));
    }
}
