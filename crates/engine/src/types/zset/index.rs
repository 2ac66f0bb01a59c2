//! From the hash of a member to its handle: linear hashing (Litwin, VLDB 1980) over buckets of one cache line.
//!
//! With 2^L <= n < 2^(L+1) buckets, the first n - 2^L have been split and are addressed by L + 1 bits of the hash, like
//! their images at the end; the others by L bits. An insertion that makes the index too full splits the next bucket in
//! turn, a removal that makes it too empty merges the last one back: no pause for a rehash, and reverse-binary cursors
//! stay valid. Slots keep 32 bits of the hash, so that splitting touches no member.
//!
//! Invariants: an entry stands in the chain its hash addresses; only the last bucket of a chain may have free slots.

use quiver_structures::prefetch;
use smallvec::SmallVec;

use super::members::Handle;
use super::segments::Segments;

const SLOTS: usize = 7;
/// Entries per bucket at which the index grows.
const GROW_PER_BUCKET: usize = 5;
/// Entries per bucket at which it shrinks: far from growing, so that no load makes it do both in turn.
const SHRINK_PER_BUCKET: usize = 2;
/// No further bucket.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; SLOTS],
    handles: [u32; SLOTS],
    len: u32,
    /// Where the chain goes on, in `overflow`.
    next: u32,
}

impl Bucket {
    const EMPTY: Self = Self { hashes: [0; SLOTS], handles: [0; SLOTS], len: 0, next: NONE };

    fn slots(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.len as usize).map(|i| (self.hashes[i], self.handles[i]))
    }

    fn set(&mut self, slot: usize, (hash, handle): (u32, u32)) {
        self.hashes[slot] = hash;
        self.handles[slot] = handle;
    }
}

/// Which bucket: one of the numbered ones, or one that continues a chain.
#[derive(Clone, Copy)]
enum At {
    Head(usize),
    Overflow(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    buckets: Segments<Bucket, 9>,
    overflow: Segments<Bucket, 9>,
    overflow_free: Vec<u32>,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        let mut buckets = Segments::new();
        buckets.push(Bucket::EMPTY);
        Self { buckets, overflow: Segments::new(), overflow_free: Vec::new(), len: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.buckets.memory_bytes() + self.overflow.memory_bytes() + self.overflow_free.capacity() * size_of::<u32>()
    }

    /// The handle under this hash that `is` what is looked for.
    #[inline]
    pub(super) fn find(&self, hash: u32, is: impl Fn(Handle) -> bool) -> Option<Handle> {
        let mut bucket = self.buckets.get(self.bucket_of(hash));
        loop {
            for slot in 0..bucket.len as usize {
                if bucket.hashes[slot] == hash && is(Handle(bucket.handles[slot])) {
                    return Some(Handle(bucket.handles[slot]));
                }
            }
            if bucket.next == NONE {
                return None;
            }
            bucket = self.overflow.get(bucket.next as usize);
        }
    }

    /// Asks for the bucket of a hash.
    pub(super) fn prefetch(&self, hash: u32) {
        prefetch(self.buckets.get(self.bucket_of(hash)));
    }

    /// Handles under this hash in the first bucket of its chain, where nearly all are.
    pub(super) fn candidates(&self, hash: u32) -> impl Iterator<Item = Handle> + '_ {
        let slots = self.buckets.get(self.bucket_of(hash)).slots();
        slots.filter(move |(known, _)| *known == hash).map(|(_, handle)| Handle(handle))
    }

    /// Adds a handle that is not there.
    pub(super) fn insert(&mut self, hash: u32, handle: Handle) {
        self.len += 1;
        if self.len > self.buckets.len() * GROW_PER_BUCKET {
            self.split();
        }
        self.push(self.bucket_of(hash), (hash, handle.0));
    }

    /// Takes out a handle that is there.
    pub(super) fn remove(&mut self, hash: u32, handle: Handle) {
        let head = self.bucket_of(hash);
        let (hole, slot) = self.place_of(head, handle);
        let (last, before) = self.last_of(head);
        let bucket = self.bucket_mut(last);
        bucket.len -= 1;
        let moved = (bucket.hashes[bucket.len as usize], bucket.handles[bucket.len as usize]);
        let emptied = bucket.len == 0;
        self.bucket_mut(hole).set(slot, moved);
        if let (true, At::Overflow(number), Some(before)) = (emptied, last, before) {
            self.bucket_mut(before).next = NONE;
            self.overflow_free.push(number);
        }
        self.len -= 1;
        if self.buckets.len() > 1 && self.len < self.buckets.len() * SHRINK_PER_BUCKET {
            self.merge();
        }
    }

    /// Visits the next bucket of a scan; the cursor for the call after, 0 when the scan is complete. What is there during
    /// the whole scan is visited at least once.
    pub(super) fn scan(&self, cursor: u64, visit: &mut dyn FnMut(Handle)) -> u64 {
        let level = self.buckets.len().ilog2();
        let mask = (1u64 << level) - 1;
        let low = (cursor & mask) as usize;
        self.visit_chain(low, visit);
        // One step covers a bucket together with its image, so that half the address space is in one state of splitting.
        let image = low | (1 << level);
        if image < self.buckets.len() {
            self.visit_chain(image, visit);
        }
        (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits()
    }

    #[inline]
    fn bucket_of(&self, hash: u32) -> usize {
        let count = self.buckets.len();
        let level = count.ilog2();
        let low = hash as usize & ((1 << level) - 1);
        let image = hash as usize & ((2 << level) - 1);
        // The buckets below n - 2^L are those whose images exist.
        if low | (1 << level) < count { image } else { low }
    }

    fn bucket(&self, at: At) -> &Bucket {
        match at {
            At::Head(number) => self.buckets.get(number),
            At::Overflow(number) => self.overflow.get(number as usize),
        }
    }

    fn bucket_mut(&mut self, at: At) -> &mut Bucket {
        match at {
            At::Head(number) => self.buckets.get_mut(number),
            At::Overflow(number) => self.overflow.get_mut(number as usize),
        }
    }

    fn chain(&self, head: usize) -> impl Iterator<Item = At> + '_ {
        std::iter::successors(Some(At::Head(head)), |at| {
            let next = self.bucket(*at).next;
            (next != NONE).then_some(At::Overflow(next))
        })
    }

    fn visit_chain(&self, head: usize, visit: &mut dyn FnMut(Handle)) {
        for at in self.chain(head) {
            self.bucket(at).slots().for_each(|(_, handle)| visit(Handle(handle)));
        }
    }

    fn place_of(&self, head: usize, handle: Handle) -> (At, usize) {
        let found = self.chain(head).find_map(|at| {
            let slot = self.bucket(at).slots().position(|(_, known)| known == handle.0)?;
            Some((at, slot))
        });
        found.expect("the handle is in the chain of its hash")
    }

    /// The last bucket of a chain, and the one before it.
    fn last_of(&self, head: usize) -> (At, Option<At>) {
        self.chain(head).fold((At::Head(head), None), |(last, before), at| match at {
            At::Head(_) => (at, before),
            At::Overflow(_) => (at, Some(last)),
        })
    }

    fn push(&mut self, head: usize, entry: (u32, u32)) {
        let last = self.last_of(head).0;
        let bucket = self.bucket_mut(last);
        if (bucket.len as usize) < SLOTS {
            bucket.set(bucket.len as usize, entry);
            bucket.len += 1;
            return;
        }
        let mut next = Bucket::EMPTY;
        next.set(0, entry);
        next.len = 1;
        let number = match self.overflow_free.pop() {
            Some(number) => {
                *self.overflow.get_mut(number as usize) = next;
                number
            }
            None => {
                self.overflow.push(next);
                self.overflow.len() as u32 - 1
            }
        };
        self.bucket_mut(last).next = number;
    }

    /// Empties a chain.
    fn take(&mut self, head: usize) -> SmallVec<[(u32, u32); 32]> {
        let mut entries = SmallVec::new();
        let mut at = At::Head(head);
        loop {
            let bucket = std::mem::replace(self.bucket_mut(at), Bucket::EMPTY);
            entries.extend(bucket.slots());
            if let At::Overflow(number) = at {
                self.overflow_free.push(number);
            }
            if bucket.next == NONE {
                return entries;
            }
            at = At::Overflow(bucket.next);
        }
    }

    /// Adds a bucket and moves there what it is to hold from the one it is the image of.
    fn split(&mut self) {
        let image = self.buckets.len();
        let low = image - (1 << image.ilog2());
        self.buckets.push(Bucket::EMPTY);
        for entry in self.take(low) {
            self.push(self.bucket_of(entry.0), entry);
        }
    }

    /// Drops the last bucket after moving its entries back.
    fn merge(&mut self) {
        let entries = self.take(self.buckets.len() - 1);
        self.buckets.pop();
        for entry in entries {
            self.push(self.bucket_of(entry.0), entry);
        }
    }

    /// Panics if an invariant is broken; `hash_of` is the hash of a handle's member.
    #[cfg(test)]
    pub(super) fn check(&self, hash_of: impl Fn(Handle) -> u32) {
        let (mut len, mut chained) = (0, 0);
        for head in 0..self.buckets.len() {
            for at in self.chain(head) {
                let bucket = self.bucket(at);
                chained += usize::from(matches!(at, At::Overflow(_)));
                assert!(bucket.next == NONE || bucket.len as usize == SLOTS, "only the last bucket has room");
                assert!(bucket.len > 0 || matches!(at, At::Head(_)), "no empty overflow");
                for (hash, handle) in bucket.slots() {
                    assert_eq!(hash, hash_of(Handle(handle)), "hash of a slot");
                    assert_eq!(self.bucket_of(hash), head, "bucket of a hash");
                    len += 1;
                }
            }
        }
        assert_eq!(len, self.len, "entries");
        assert_eq!(chained + self.overflow_free.len(), self.overflow.len(), "overflow buckets");
        assert!(self.buckets.len() == 1 || self.len <= self.buckets.len() * GROW_PER_BUCKET, "not overfull");
    }
}
