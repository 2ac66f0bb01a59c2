//! Allocation size classes: what the allocator really hands out for a request.
//!
//! Four classes per doubling and never finer than 16 bytes, as jemalloc spaces them. Entries ask for exact classes, so
//! nothing is lost to rounding, and "does the new content still fit?" is a comparison of classes.

/// Every entry starts at a multiple of this, which leaves four low pointer bits for flags.
pub(crate) const GRANULE: usize = 16;

/// The class a request of `bytes` falls into; at least [`GRANULE`].
pub(crate) const fn size_class(bytes: usize) -> usize {
    if bytes <= GRANULE {
        return GRANULE;
    }
    let quarter = (1usize << (bytes - 1).ilog2()) / 4;
    let step = if quarter < GRANULE { GRANULE } else { quarter };
    // Steps are powers of two; `next_multiple_of` would divide.
    (bytes + step - 1) & !(step - 1)
}

/// Bytes the allocator hands out for a plain allocation, where nothing costs nothing.
pub(crate) const fn heap_bytes(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { size_class(bytes) }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_are_four_per_doubling_and_at_least_sixteen() {
        let expected = [
            (0, 16),
            (1, 16),
            (16, 16),
            (17, 32),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (257, 320),
            (1025, 1280),
        ];
        for (bytes, class) in expected {
            assert_eq!(size_class(bytes), class, "{bytes} bytes");
        }
    }

    #[test]
    fn a_class_is_its_own_class() {
        for bytes in 1..5000 {
            let class = size_class(bytes);
            assert!(class >= bytes);
            assert_eq!(size_class(class), class);
        }
    }
}
