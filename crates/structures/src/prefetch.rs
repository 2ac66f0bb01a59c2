//! Asking the processor for a cache line before it is needed, so that the misses of a batch overlap.

/// Asks for the first cache line of `data`. A hint: nothing is read, and nothing waits.
#[inline]
pub fn prefetch<T: ?Sized>(data: &T) {
    prefetch_at(std::ptr::from_ref(data).cast());
}

/// Asks for the cache line at `pointer`; any address is fine.
#[inline]
pub(crate) fn prefetch_at(pointer: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint: it neither reads into the program nor faults.
    #[expect(unsafe_code, reason = "there is no safe prefetch; a batch of random reads takes half the time with it")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(pointer.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pointer;
}
