//! The entry table: key -> entry, a hash table that grows and shrinks by one bucket at a time.
//!
//! Linear hashing (Litwin, VLDB 1980): with 2^L <= n < 2^(L+1) buckets, the first n - 2^L have been split and are
//! addressed by L + 1 bits of the hash, like their images at the end; the others by L bits. An insertion that makes the
//! table too full splits the next bucket in turn, a removal that makes it too empty merges the last one back. So there
//! is no rehash to pause for, bytes per key do not depend on where between two powers of two a table stands, and a
//! bucket's overflow is chained, which keeps reverse-binary scan cursors valid across growth.
//!
//! A bucket's tags are 16 bits of the hash from a multiple of eight, the largest that is at most the bucket's number of
//! address bits. The next address bit is therefore in the tag: seven splits of eight touch no entry at all, only every
//! eighth doubling asks the hasher for the keys of the buckets it splits.
//!
//! Lookups of a batch are worth staging: [`Table::prefetch_bucket`] for all keys, [`Table::prefetch_entry`] for all,
//! then the lookups themselves.
//!
//! Invariants (see [`Table::check`]): every entry stands in the bucket its hash addresses, under its tag; counters equal
//! what is stored; n buckets hold at most 6 n entries unless the table was frozen. Not done here: expiring, evicting,
//! and what the access clock means.

mod entry;
mod entry_mut;
mod segments;
mod slot;
#[cfg(test)]
mod tests;
mod value;
mod walk;

pub use entry::{ACCESS_MAX, EntryRef};
pub use entry_mut::{EntryMut, Lookup, Owned, Removed, Vacant};
pub use value::{Encoding, INLINE_BYTES_MAX, Value, ValueRef};

use entry::OwnedEntry;
use segments::Segments;
use slot::{BUCKET_BYTES, Bucket, Place, Slot};
use value::Outside;

/// Entries per bucket at which the table grows. With Poisson-distributed chains this costs 12.3 to 13 bytes per key and
/// a second cache line for 8 to 14 % of the lookups; 5 would cost 1.4 bytes more, 7 a second line for a fifth.
const GROW_PER_BUCKET: usize = 6;
/// Entries per bucket at which the table shrinks: far from growing, so that no load makes it do both in turn.
const SHRINK_PER_BUCKET: usize = 2;
/// Splits or merges per change of the table, for catching up after a freeze.
const STEPS_PER_CHANGE: usize = 4;
/// Tags start at multiples of this many hash bits.
const TAG_STRIDE: u32 = 8;

/// The hash of a key, as the table's callers compute it. Pure: one key always has one hash in one table.
pub trait KeyHash {
    /// The 64-bit hash of `key`; all bits should be good, the low ones address buckets.
    fn hash_key(&self, key: &[u8]) -> u64;
}

impl<F: Fn(&[u8]) -> u64> KeyHash for F {
    fn hash_key(&self, key: &[u8]) -> u64 {
        self(key)
    }
}

/// What [`Table::set`] found and replaced.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored<O> {
    /// The key was not there.
    Inserted,
    /// A string or integer was replaced.
    Replaced,
    /// An object was replaced; here it is, so that it can be dropped elsewhere.
    ReplacedObject(Box<O>),
}

/// A hash table of entries; objects are of type `O`, hashes come from `H`.
///
/// Every method that takes a `hash` relies on it being [`KeyHash::hash_key`] of the key: a wrong one finds nothing and
/// stores entries where they cannot be found, but breaks no memory.
pub struct Table<O, H = fn(&[u8]) -> u64> {
    segments: Segments<O>,
    hasher: H,
    buckets: usize,
    len: usize,
    volatile_len: usize,
    entry_bytes: usize,
    overflow_buckets: usize,
    frozen: bool,
}

/// Where an entry stands.
#[derive(Clone, Copy)]
struct Position {
    bucket: usize,
    place: Place,
}

/// The bucket a hash addresses and the tag it has there.
#[derive(Clone, Copy)]
struct Address {
    bucket: usize,
    tag: u16,
}

/// First hash bit of the tags in a bucket addressed by `bits` bits.
#[inline]
fn tag_start(bits: u32) -> u32 {
    bits & !(TAG_STRIDE - 1)
}

impl<O, H: KeyHash> Table<O, H> {
    /// An empty table, which allocates nothing.
    pub const fn new(hasher: H) -> Self {
        Self {
            segments: Segments::new(),
            hasher,
            buckets: 0,
            len: 0,
            volatile_len: 0,
            entry_bytes: 0,
            overflow_buckets: 0,
            frozen: false,
        }
    }

    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries that have an expiry.
    pub fn volatile_len(&self) -> usize {
        self.volatile_len
    }

    /// Bytes the allocator holds for buckets and entries, but not what objects own in turn. Cost: O(1).
    pub fn memory_bytes(&self) -> usize {
        self.entry_bytes + self.segments.bytes() + self.overflow_buckets * BUCKET_BYTES
    }

    /// The hash of `key` in this table.
    pub fn hash_of(&self, key: &[u8]) -> u64 {
        self.hasher.hash_key(key)
    }

    /// First stage of a batch of lookups: asks for the bucket's cache line.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if self.buckets > 0 {
            self.segments.get(self.bucket_of(hash)).prefetch();
        }
    }

    /// Second stage: reads the bucket and asks for the entries that may be the one looked for.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if self.buckets > 0 {
            let at = self.address(hash);
            self.segments.get(at.bucket).prefetch_entries(at.tag);
        }
    }

    /// The entry of `key`.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_, O>> {
        Some(self.find(hash, key)?.1)
    }

    /// The entry of `key`, for change.
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<EntryMut<'_, O, H>> {
        let at = self.find(hash, key)?.0;
        Some(EntryMut::new(self, at))
    }

    /// Looks `key` up once, for whatever follows from its being there or not.
    pub fn entry<'t, 'k>(&'t mut self, hash: u64, key: &'k [u8]) -> Lookup<'t, 'k, O, H> {
        match self.find(hash, key) {
            Some((at, _)) => Lookup::Found(EntryMut::new(self, at)),
            None => Lookup::Vacant(Vacant::new(self, hash, key)),
        }
    }

    /// Stores `value` under `key` with this expiry (or none) and access clock, whatever was there before. One lookup;
    /// an entry whose size class stays the same is overwritten in place.
    ///
    /// # Panics
    /// When the key is longer than `u32::MAX` bytes.
    pub fn set(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Value<'_, O>,
        expire_at_ms: Option<i64>,
        access: u32,
    ) -> Stored<O> {
        let Some((at, _)) = self.find(hash, key) else {
            self.insert(hash, OwnedEntry::new(key, value, expire_at_ms, access));
            return Stored::Inserted;
        };
        let old = self.replace(at, value, expire_at_ms, Some(access));
        old.map_or(Stored::Replaced, Stored::ReplacedObject)
    }

    /// Removes `key`; the result owns the value, so that it can be dropped elsewhere.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Removed<O>> {
        Some(self.get_mut(hash, key)?.remove())
    }

    /// Removes all entries. A frozen table keeps its buckets, any other gives all memory back. Cost: O(n); to drop
    /// elsewhere, replace the table by a new one instead.
    pub fn clear(&mut self) {
        if self.frozen {
            for i in 0..self.buckets {
                self.segments.get_mut(i).drain(drop);
            }
        } else {
            self.segments = Segments::new();
            self.buckets = 0;
        }
        (self.len, self.volatile_len, self.entry_bytes, self.overflow_buckets) = (0, 0, 0, 0);
    }

    /// While frozen, the table neither splits nor merges buckets: [`bucket_of`](Self::bucket_of) and
    /// [`bucket_count`](Self::bucket_count) stay as they are and chains may grow. A table without buckets gets its
    /// first. Thawed, it catches up by a few buckets per insertion and removal, or in [`maintain`](Self::maintain).
    pub fn freeze(&mut self, frozen: bool) {
        if frozen && self.buckets == 0 {
            self.split();
        }
        self.frozen = frozen;
    }

    /// Whether the geometry is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Splits or merges up to `steps` buckets toward the right number, none while frozen; `true` when more
    /// remains to be done.
    pub fn maintain(&mut self, steps: usize) -> bool {
        for _ in 0..steps {
            if self.is_overfull(self.len) {
                self.split();
            } else if self.is_sparse() {
                self.merge();
            } else {
                return false;
            }
        }
        self.is_overfull(self.len) || self.is_sparse()
    }

    /// Buckets in the table, not counting overflow.
    pub fn bucket_count(&self) -> usize {
        self.buckets
    }

    /// The bucket that a key with this hash belongs to. Meaningless (0) when there are no buckets.
    #[inline]
    pub fn bucket_of(&self, hash: u64) -> usize {
        self.address(hash).bucket
    }

    #[inline]
    fn address(&self, hash: u64) -> Address {
        if self.buckets == 0 {
            return Address { bucket: 0, tag: 0 };
        }
        let level = self.buckets.ilog2();
        let low = hash as usize & ((1 << level) - 1);
        let image = low | (1 << level);
        // The buckets below n - 2^L are those whose images exist.
        let is_split = image < self.buckets;
        let bits = level + u32::from(is_split);
        Address { bucket: hash as usize & ((1 << bits) - 1), tag: (hash >> tag_start(bits)) as u16 }
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(Position, EntryRef<'_, O>)> {
        if self.buckets == 0 {
            return None;
        }
        let Address { bucket, tag } = self.address(hash);
        let (place, entry) = self.segments.get(bucket).find(tag, key)?;
        Some((Position { bucket, place }, entry))
    }

    /// Adds an entry that is known not to be there.
    fn insert(&mut self, hash: u64, entry: OwnedEntry<O>) -> Position {
        debug_assert_eq!(hash, self.hash_of(entry.view().key()), "the caller's hash is the table's");
        self.grow();
        let view = entry.view();
        self.len += 1;
        self.volatile_len += usize::from(view.expire_at().is_some());
        self.entry_bytes += view.allocation_bytes();
        let Address { bucket, tag } = self.address(hash);
        let (place, overflow) = self.segments.get_mut(bucket).push(Slot::new(entry, tag));
        self.overflow_buckets += overflow;
        Position { bucket, place }
    }

    fn remove_at(&mut self, at: Position) -> OwnedEntry<O> {
        let (slot, freed) = self.segments.get_mut(at.bucket).remove(at.place);
        self.overflow_buckets -= freed;
        let entry = slot.into_entry().expect("positions point to entries");
        let view = entry.view();
        self.len -= 1;
        self.volatile_len -= usize::from(view.expire_at().is_some());
        self.entry_bytes -= view.allocation_bytes();
        self.shrink();
        entry
    }

    /// Replaces value and expiry of the entry at `at`, and its access clock if one is given. Gives back a replaced object.
    fn replace(
        &mut self,
        at: Position,
        value: Value<'_, O>,
        expire_at_ms: Option<i64>,
        access: Option<u32>,
    ) -> Option<Box<O>> {
        let slot = self.segments.get_mut(at.bucket).slot_mut(at.place);
        if let (Some(access), Some(entry)) = (access, slot.view()) {
            entry.set_access(access);
        }
        if slot.overwrite(&value, expire_at_ms) {
            return None;
        }
        match self.change(at, |entry| entry.replace(value, expire_at_ms)) {
            Some(Outside::Object(object)) => Some(object),
            Some(Outside::Heap(_)) | None => None,
        }
    }

    /// Runs `change` on the entry at `at` and keeps the counters true.
    fn change<R>(&mut self, at: Position, change: impl FnOnce(&mut OwnedEntry<O>) -> R) -> R {
        let slot = self.segments.get_mut(at.bucket).slot_mut(at.place);
        let count = |slot: &Slot<O>| {
            let bytes = slot.view().expect("positions point to entries").allocation_bytes();
            (bytes, usize::from(slot.is_volatile()))
        };
        let (old_bytes, old_volatile) = count(slot);
        let result = slot.change(change);
        let (bytes, volatile) = count(slot);
        self.entry_bytes = self.entry_bytes - old_bytes + bytes;
        self.volatile_len = self.volatile_len - old_volatile + volatile;
        result
    }

    fn is_overfull(&self, len: usize) -> bool {
        !self.frozen && len > self.buckets * GROW_PER_BUCKET
    }

    fn is_sparse(&self) -> bool {
        !self.frozen && self.buckets > 1 && self.len < self.buckets * SHRINK_PER_BUCKET
    }

    /// Makes room for one more entry.
    fn grow(&mut self) {
        for _ in 0..STEPS_PER_CHANGE {
            if !self.is_overfull(self.len + 1) {
                break;
            }
            self.split();
        }
    }

    fn shrink(&mut self) {
        for _ in 0..STEPS_PER_CHANGE {
            if !self.is_sparse() {
                break;
            }
            self.merge();
        }
    }

    /// Adds a bucket and moves the entries that belong there out of the bucket it is the image of.
    fn split(&mut self) {
        let image = self.buckets;
        self.segments.reserve(image);
        self.buckets += 1;
        if image == 0 {
            return;
        }
        let bits = image.ilog2();
        let low = image - (1 << bits);
        let retag = tag_start(bits + 1) != tag_start(bits);
        let mut chain = std::mem::replace(self.segments.get_mut(low), Bucket::new());
        let mut grown = 0;
        let freed = chain.drain(|slot| {
            let bit = (slot.tag() >> (bits - tag_start(bits))) & 1;
            let slot = if retag { retagged(&self.hasher, slot, bits + 1) } else { slot };
            let target = if bit == 0 { low } else { image };
            grown += self.segments.get_mut(target).push(slot).1;
        });
        self.overflow_buckets = self.overflow_buckets + grown - freed;
    }

    /// Moves the entries of the last bucket back into the one it is the image of, and drops it.
    fn merge(&mut self) {
        let image = self.buckets - 1;
        let bits = image.ilog2();
        let low = image - (1 << bits);
        let retag = tag_start(bits + 1) != tag_start(bits);
        let chains = [low, image].map(|i| std::mem::replace(self.segments.get_mut(i), Bucket::new()));
        let (mut grown, mut freed) = (0, 0);
        for (mut chain, number) in chains.into_iter().zip([low, image]) {
            // The bits that the tags lost when the bucket was split are those of the bucket's number.
            let number_bits = (number >> tag_start(bits)) as u16;
            freed += chain.drain(|slot| {
                let tag = if retag { slot.tag() << TAG_STRIDE | number_bits } else { slot.tag() };
                grown += self.segments.get_mut(low).push(slot.with_tag(tag)).1;
            });
        }
        self.overflow_buckets = self.overflow_buckets + grown - freed;
        self.buckets = image;
        self.segments.truncate(image);
    }
}

/// The slot with the tag its entry has in a bucket addressed by `bits` bits.
fn retagged<O>(hasher: &impl KeyHash, slot: Slot<O>, bits: u32) -> Slot<O> {
    let hash = hasher.hash_key(slot.view().expect("chains hold entries").key());
    slot.with_tag((hash >> tag_start(bits)) as u16)
}
