//! Buckets of one cache line: eight tagged pointers, each owning an entry; the eighth may own the next bucket instead.
//!
//! A pointer's top 16 bits are the tag (hash bits, so that a lookup touches hardly any entry but the right one), its low
//! four bits are flags: bit 0 the entry can expire, bit 1 the slot links to an overflow bucket.
//!
//! Invariants: occupied slots are a prefix of the chain; only an eighth slot links; a linked bucket holds two entries or
//! more, so removing collapses it; the expiry flag equals the entry's.
#![expect(unsafe_code, reason = "tags and flags inside the pointers keep a bucket within one cache line")]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::entry::{EntryRef, OwnedEntry};
use super::value::Value;
use crate::prefetch::{prefetch, prefetch_at};

/// Slots per bucket.
pub(super) const SLOTS: usize = 8;
const LAST: usize = SLOTS - 1;
/// Bytes per bucket: one cache line.
pub(super) const BUCKET_BYTES: usize = size_of::<[usize; SLOTS]>();

const TAG_SHIFT: u32 = 48;
const ADDRESS: usize = 0x0000_ffff_ffff_fff0;
const VOLATILE: usize = 1;
const LINK: usize = 2;

const _: () = assert!(usize::BITS == 64, "tags need the unused top bits of 64-bit pointers");

/// Nothing, an entry, or (eighth slot of a bucket) the overflow bucket.
pub(super) struct Slot<O> {
    tagged: *mut u8,
    owns: PhantomData<Box<O>>,
}

// SAFETY: a slot owns what it points to, as a `Box<O>` would.
unsafe impl<O: Send> Send for Slot<O> {}
// SAFETY: shared access to a slot gives shared access to keys, bytes and `O`; the access clock is atomic.
unsafe impl<O: Sync> Sync for Slot<O> {}

impl<O> Slot<O> {
    const EMPTY: Self = Self { tagged: std::ptr::null_mut(), owns: PhantomData };

    pub(super) fn new(entry: OwnedEntry<O>, tag: u16) -> Self {
        let flags = if entry.view().expire_at().is_some() { VOLATILE } else { 0 };
        Self::pack(entry.into_raw().as_ptr(), flags | usize::from(tag) << TAG_SHIFT)
    }

    fn link_to(bucket: Box<Bucket<O>>) -> Self {
        Self::pack(Box::into_raw(bucket).cast(), LINK)
    }

    fn pack(pointer: *mut u8, tag_and_flags: usize) -> Self {
        assert_eq!(pointer.addr() & !ADDRESS, 0, "user addresses fit 48 bits and are aligned to 16");
        Self { tagged: pointer.map_addr(|address| address | tag_and_flags), owns: PhantomData }
    }

    #[inline]
    pub(super) fn tag(&self) -> u16 {
        (self.tagged.addr() >> TAG_SHIFT) as u16
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.tagged.addr() & VOLATILE != 0
    }

    fn is_link(&self) -> bool {
        self.tagged.addr() & LINK != 0
    }

    fn is_empty(&self) -> bool {
        self.tagged.is_null()
    }

    #[inline]
    fn pointer(&self) -> *mut u8 {
        self.tagged.map_addr(|address| address & ADDRESS)
    }

    #[inline]
    fn entry_base(&self) -> Option<NonNull<u8>> {
        if self.is_link() { None } else { NonNull::new(self.pointer()) }
    }

    /// The entry, if the slot holds one.
    #[inline]
    pub(super) fn view(&self) -> Option<EntryRef<'_, O>> {
        // SAFETY: a slot that is neither empty nor a link owns an entry, which stays unchanged while `self` is borrowed.
        self.entry_base().map(|base| unsafe { EntryRef::from_raw(base) })
    }

    /// Takes the slot's content.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::EMPTY)
    }

    /// Turns the slot into the entry it owns.
    pub(super) fn into_entry(self) -> Option<OwnedEntry<O>> {
        let base = self.entry_base()?;
        std::mem::forget(self);
        // SAFETY: the slot owned the entry and has just been forgotten.
        Some(unsafe { OwnedEntry::from_raw(base) })
    }

    /// The same entry under another tag.
    pub(super) fn with_tag(self, tag: u16) -> Self {
        let low = (1 << TAG_SHIFT) - 1;
        let tagged = self.tagged.map_addr(|address| (address & low) | usize::from(tag) << TAG_SHIFT);
        std::mem::forget(self);
        Self { tagged, owns: PhantomData }
    }

    /// Runs `change` on the slot's entry, which may move; tag and place stay.
    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut OwnedEntry<O>) -> R) -> R {
        let tag = self.tag();
        // Taken out meanwhile: should `change` panic, the slot is empty instead of dangling.
        let mut entry = self.take().into_entry().expect("positions point to entries");
        let result = change(&mut entry);
        *self = Self::new(entry, tag);
        result
    }

    /// Overwrites the entry's value if nothing need move for it; see [`OwnedEntry::overwrite`].
    pub(super) fn overwrite(&mut self, value: &Value<'_, O>, expire_at_ms: Option<i64>) -> bool {
        self.lent().is_some_and(|mut entry| entry.overwrite(value, expire_at_ms))
    }

    /// The entry as its owner sees it, for changes that leave its allocation where it is and its expiry set or unset.
    fn lent(&mut self) -> Option<ManuallyDrop<OwnedEntry<O>>> {
        // SAFETY: the slot owns the entry; this second owner is never dropped and only used while `self` is borrowed.
        self.entry_base().map(|base| ManuallyDrop::new(unsafe { OwnedEntry::from_raw(base) }))
    }

    /// The object of the slot's entry, if its value is one.
    pub(super) fn object_mut(&mut self) -> Option<&mut O> {
        let mut entry = self.lent()?;
        let object = std::ptr::from_mut(entry.object_mut()?);
        // SAFETY: the object is owned by the slot's entry, and the result keeps the slot exclusively borrowed.
        Some(unsafe { &mut *object })
    }

    /// The overflow bucket, if the slot links to one.
    #[inline]
    fn link(&self) -> Option<&Bucket<O>> {
        if !self.is_link() {
            return None;
        }
        // SAFETY: a linking slot owns the boxed bucket it points to.
        Some(unsafe { &*self.pointer().cast::<Bucket<O>>() })
    }

    fn link_mut(&mut self) -> Option<&mut Bucket<O>> {
        if !self.is_link() {
            return None;
        }
        // SAFETY: a linking slot owns the boxed bucket it points to, and is borrowed exclusively.
        Some(unsafe { &mut *self.pointer().cast::<Bucket<O>>() })
    }

    pub(super) fn take_link(&mut self) -> Option<Box<Bucket<O>>> {
        if !self.is_link() {
            return None;
        }
        let pointer = self.pointer().cast::<Bucket<O>>();
        std::mem::forget(self.take());
        // SAFETY: the slot owned the box and has just forgotten it.
        Some(unsafe { Box::from_raw(pointer) })
    }
}

impl<O> Drop for Slot<O> {
    fn drop(&mut self) {
        // A loop, because a frozen table can grow chains longer than a stack is deep.
        let mut next = self.take_link();
        while let Some(mut bucket) = next {
            next = bucket.slots[LAST].take_link();
        }
        if let Some(base) = self.entry_base() {
            // SAFETY: the slot owns the entry and is going away.
            drop(unsafe { OwnedEntry::<O>::from_raw(base) });
        }
    }
}

/// Where in a chain an entry stands: how many links in, and in which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) depth: u32,
    pub(super) slot: u8,
}

/// One cache line of slots and, through the last of them, the chain behind it. All zero bytes are an empty bucket.
#[repr(C, align(64))]
pub(super) struct Bucket<O> {
    slots: [Slot<O>; SLOTS],
}

impl<O> Bucket<O> {
    pub(super) const fn new() -> Self {
        Self { slots: [const { Slot::EMPTY }; SLOTS] }
    }

    /// Finds `key` among the entries tagged `tag`.
    #[inline]
    pub(super) fn find(&self, tag: u16, key: &[u8]) -> Option<(Place, EntryRef<'_, O>)> {
        let mut bucket = self;
        let mut depth = 0;
        loop {
            let mut candidates = bucket.tagged(tag);
            while candidates != 0 {
                let slot = candidates.trailing_zeros();
                if let Some(entry) = bucket.slots[slot as usize % SLOTS].view()
                    && entry.key() == key
                {
                    return Some((Place { depth, slot: slot as u8 }, entry));
                }
                candidates &= candidates - 1;
            }
            bucket = bucket.slots[LAST].link()?;
            depth += 1;
        }
    }

    /// Bit i: slot i carries `tag`, unless it is empty or a link.
    #[inline]
    fn tagged(&self, tag: u16) -> u32 {
        let mut bits = 0;
        for (i, slot) in self.slots.iter().enumerate() {
            bits |= u32::from(slot.tag() == tag) << i;
        }
        bits
    }

    /// Asks for the entries tagged `tag`, or for the overflow bucket when this one has none.
    #[inline]
    pub(super) fn prefetch_entries(&self, tag: u16) {
        let mut candidates = self.tagged(tag);
        while candidates != 0 {
            let pointer = self.slots[candidates.trailing_zeros() as usize % SLOTS].pointer();
            prefetch_at(pointer);
            // The last byte of a 64-byte entry: another line unless the entry is aligned to one.
            prefetch_at(pointer.wrapping_add(BUCKET_BYTES - 1));
            candidates &= candidates - 1;
        }
        if self.slots[LAST].is_link() {
            prefetch_at(self.slots[LAST].pointer());
        }
    }

    pub(super) fn slot(&self, place: Place) -> &Slot<O> {
        let mut bucket = self;
        for _ in 0..place.depth {
            bucket = bucket.slots[LAST].link().expect("a place is at most as deep as its chain");
        }
        &bucket.slots[usize::from(place.slot)]
    }

    fn nth_mut(&mut self, depth: u32) -> &mut Self {
        let mut bucket = self;
        for _ in 0..depth {
            bucket = bucket.slots[LAST].link_mut().expect("a place is at most as deep as its chain");
        }
        bucket
    }

    pub(super) fn slot_mut(&mut self, place: Place) -> &mut Slot<O> {
        &mut self.nth_mut(place.depth).slots[usize::from(place.slot)]
    }

    /// The chain's buckets, this one first.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |bucket| bucket.slots[LAST].link())
    }

    /// Buckets linked behind this one.
    pub(super) fn links(&self) -> u32 {
        let mut links = 0;
        let mut bucket = self;
        while let Some(next) = bucket.slots[LAST].link() {
            bucket = next;
            links += 1;
        }
        links
    }

    /// The occupied slots of the whole chain.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot<O>> {
        self.chain().flat_map(|bucket| bucket.slots.iter().filter(|slot| !slot.is_empty() && !slot.is_link()))
    }

    fn occupied(&self) -> usize {
        self.slots.iter().take_while(|slot| !slot.is_empty() && !slot.is_link()).count()
    }

    /// Adds an entry at the end of the chain. The place, and how many overflow buckets it took (0 or 1).
    pub(super) fn push(&mut self, entry: Slot<O>) -> (Place, usize) {
        let depth = self.links();
        let bucket = self.nth_mut(depth);
        let free = bucket.occupied();
        if free < SLOTS {
            bucket.slots[free] = entry;
            return (Place { depth, slot: free as u8 }, 0);
        }
        let mut overflow = Box::new(Self::new());
        overflow.slots[0] = bucket.slots[LAST].take();
        overflow.slots[1] = entry;
        bucket.slots[LAST] = Slot::link_to(overflow);
        (Place { depth: depth + 1, slot: 1 }, 1)
    }

    /// Takes the entry at `place`, filling the hole with the chain's last. Also how many overflow buckets were freed.
    pub(super) fn remove(&mut self, place: Place) -> (Slot<O>, usize) {
        let depth = self.links();
        let last = self.nth_mut(depth);
        let top = Place { depth, slot: last.occupied().checked_sub(1).expect("a place points to an entry") as u8 };
        let mut removed = last.slots[usize::from(top.slot)].take();
        if place != top {
            std::mem::swap(&mut removed, self.slot_mut(place));
        }
        if depth == 0 || top.slot > 1 {
            return (removed, 0);
        }
        let parent = self.nth_mut(depth - 1);
        let mut overflow = parent.slots[LAST].take_link().expect("a bucket above the last one links");
        parent.slots[LAST] = overflow.slots[0].take();
        (removed, 1)
    }

    /// Empties the chain, passing each slot on in order; the overflow buckets freed.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Slot<O>)) -> usize {
        let mut links = 0;
        let mut next = self.slots[LAST].take_link();
        let mut slots = std::mem::replace(self, Self::new()).slots;
        loop {
            slots.into_iter().filter(|slot| !slot.is_empty()).for_each(&mut each);
            let Some(mut bucket) = next else { return links };
            links += 1;
            next = bucket.slots[LAST].take_link();
            slots = bucket.slots;
        }
    }

    pub(super) fn prefetch(&self) {
        prefetch(self);
    }

    /// Panics if the chain breaks one of the module's invariants; `tag_of` gives the tag an entry must carry.
    pub(super) fn check(&self, tag_of: impl Fn(&EntryRef<'_, O>) -> u16) {
        for (depth, bucket) in self.chain().enumerate() {
            let occupied = bucket.occupied();
            let rest = &bucket.slots[occupied..];
            let links = bucket.slots[LAST].is_link();
            assert!(rest.iter().all(Slot::is_empty) || (links && occupied == LAST), "occupied slots are a prefix");
            assert!(depth == 0 || links || occupied >= 2, "a linked bucket holds at least two entries");
        }
        for slot in self.slots() {
            let entry = slot.view().expect("occupied slots hold entries");
            assert_eq!(slot.tag(), tag_of(&entry), "tag of {:?}", entry.key());
            assert_eq!(slot.is_volatile(), entry.expire_at().is_some(), "expiry flag of {:?}", entry.key());
        }
    }
}
