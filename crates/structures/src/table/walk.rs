//! Reading a table as a whole: scan cursors, iteration, random samples, single buckets, and the invariant check.

use super::{EntryRef, KeyHash, Table, tag_start};

/// Tries of [`Table::sample`] before it settles for the next entry in bucket order.
const SAMPLE_TRIES: u32 = 64;
/// Chain length up to which samples are uniform; one bucket in a million is longer at full load.
const SAMPLE_CHAIN: u64 = 16;

impl<O, H: KeyHash> Table<O, H> {
    /// Visits the next bucket of a scan; the cursor for the call after, 0 when the scan is complete. Start with 0.
    ///
    /// Every entry that is in the table during the whole scan is visited at least once, whatever is inserted or removed
    /// between the calls; entries may be visited more than once after the table shrank. The cursor counts in reverse
    /// binary, so that the visited numbers stay visited when an address bit is added or dropped (P. Noordhuis, Redis).
    /// Cursors have no more bits than there are address bits.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(EntryRef<'_, O>)) -> u64 {
        if self.buckets == 0 {
            return 0;
        }
        let level = self.buckets.ilog2();
        let mask = (1u64 << level) - 1;
        let low = (cursor & mask) as usize;
        self.for_each_in_bucket(low, visit);
        // One step covers a bucket together with its image, so that half the address space is in one state of splitting.
        let image = low | (1 << level);
        if image < self.buckets {
            self.for_each_in_bucket(image, visit);
        }
        (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits()
    }

    /// All entries, in bucket order.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_, O>> {
        (0..self.buckets).flat_map(|i| self.bucket(i))
    }

    /// A random entry, uniform up to the quality of `random`; `None` when the table is empty. The same `random` gives
    /// the same entry of the same table. Cost: three bucket reads on average in a table of normal load.
    pub fn sample(&self, random: u64) -> Option<EntryRef<'_, O>> {
        if self.is_empty() {
            return None;
        }
        let mut state = random;
        let mut start = 0;
        for _ in 0..SAMPLE_TRIES {
            start = below(&mut state, self.buckets as u64) as usize;
            let chain_len = self.bucket(start).count() as u64;
            // A slot number drawn from a fixed range and refused when vacant makes every entry equally likely.
            let slot = below(&mut state, chain_len.max(SAMPLE_CHAIN));
            if slot < chain_len {
                return self.bucket(start).nth(slot as usize);
            }
        }
        let mut buckets = (start..self.buckets).chain(0..start);
        buckets.find_map(|i| self.bucket(i).next())
    }

    /// Visits the entries of bucket `i`, overflow included.
    ///
    /// # Panics
    /// When there is no bucket `i`.
    pub fn for_each_in_bucket(&self, i: usize, visit: &mut dyn FnMut(EntryRef<'_, O>)) {
        self.bucket(i).for_each(visit);
    }

    /// Visits the entries of bucket `i` that have an expiry, touching no other.
    ///
    /// # Panics
    /// When there is no bucket `i`.
    pub fn volatile_in_bucket(&self, i: usize, visit: &mut dyn FnMut(EntryRef<'_, O>)) {
        assert!(i < self.buckets, "bucket {i} of {}", self.buckets);
        let slots = self.segments.get(i).slots();
        slots.filter(|slot| slot.is_volatile()).filter_map(super::Slot::view).for_each(visit);
    }

    /// Panics if an invariant of the table is broken. Cost: O(n), hashing every key.
    pub fn check(&self) {
        let (mut len, mut volatile_len, mut entry_bytes, mut overflow_buckets) = (0, 0, 0, 0);
        for i in 0..self.buckets {
            let bucket = self.segments.get(i);
            let level = self.buckets.ilog2();
            let bits = level + u32::from(i >= 1 << level || i + (1 << level) < self.buckets);
            bucket.check(|entry| (self.hash_of(entry.key()) >> tag_start(bits)) as u16);
            overflow_buckets += bucket.links() as usize;
            for entry in self.bucket(i) {
                assert_eq!(self.bucket_of(self.hash_of(entry.key())), i, "bucket of {:?}", entry.key());
                len += 1;
                volatile_len += usize::from(entry.expire_at().is_some());
                entry_bytes += entry.allocation_bytes();
            }
        }
        assert_eq!((len, volatile_len), (self.len, self.volatile_len), "entries and those that can expire");
        assert_eq!(entry_bytes, self.entry_bytes, "bytes of entries");
        assert_eq!(overflow_buckets, self.overflow_buckets, "overflow buckets");
    }

    fn bucket(&self, i: usize) -> impl Iterator<Item = EntryRef<'_, O>> {
        assert!(i < self.buckets, "bucket {i} of {}", self.buckets);
        self.segments.get(i).slots().filter_map(super::Slot::view)
    }
}

/// The next number below `bound` from a SplitMix64 sequence (Steele, Lea, Flood 2014).
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
}
