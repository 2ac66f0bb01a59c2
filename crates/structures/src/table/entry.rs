//! One entry: header, optional expiry, key and value in a single allocation.
//!
//! ```text
//! word u32 | key_len u16 | inline_len u16 | [expiry i64] | [wide key length u64] | fixed part | key | inline value
//! ```
//!
//! `word` is the 24-bit access clock above eight flag bits. The fixed part is an integer, a boxed object's pointer (8
//! bytes) or the raw parts of a `Vec<u8>` (24 bytes); short values stand behind the key instead. A 16-byte key, a
//! 32-byte value and an expiry are exactly 64 bytes.
//!
//! Invariants: the allocation's size is `size_class` of what [`Shape`] computes from the header, so it is never stored;
//! the fixed part always matches the kind in the header; heap parts and object pointers are owned by the entry.
#![expect(unsafe_code, reason = "one allocation per entry halves memory per key and saves a cache miss per lookup")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::value::{Encoding, INLINE_BYTES_MAX, Outside, Prepared, Value, ValueRef};
use crate::size_class::{GRANULE, heap_bytes, size_class};

const HEADER_BYTES: usize = 8;
const KIND: u32 = 0b11;
const EXPIRY: u32 = 1 << 2;
const WIDE_KEY: u32 = 1 << 3;
const EDITED: u32 = 1 << 4;
const FLAGS: u32 = 0xff;
const ACCESS_SHIFT: u32 = 8;
/// Largest access clock value (24 bits).
pub const ACCESS_MAX: u32 = (1 << 24) - 1;

/// Raw parts of a `Vec<u8>`, as they stand in the fixed part of a [`Encoding::Heap`] entry.
#[repr(C)]
#[derive(Clone, Copy)]
struct HeapParts {
    ptr: *mut u8,
    len: usize,
    capacity: usize,
}

impl HeapParts {
    fn of(bytes: Vec<u8>) -> Self {
        let mut bytes = ManuallyDrop::new(bytes);
        Self { ptr: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
    }
}

#[repr(C)]
struct Header {
    word: AtomicU32,
    key_len: u16,
    inline_len: u16,
}

/// Everything that decides where the parts of an entry lie.
#[derive(Clone, Copy)]
struct Shape {
    encoding: Encoding,
    has_expiry: bool,
    key_len: usize,
    inline_len: usize,
}

impl Shape {
    const EXPIRY_AT: usize = HEADER_BYTES;

    fn is_wide(self) -> bool {
        self.key_len > usize::from(u16::MAX)
    }

    fn wide_at(self) -> usize {
        HEADER_BYTES + 8 * usize::from(self.has_expiry)
    }

    fn fixed_at(self) -> usize {
        self.wide_at() + 8 * usize::from(self.is_wide())
    }

    fn key_at(self) -> usize {
        self.fixed_at() + fixed_bytes(self.encoding)
    }

    fn inline_at(self) -> usize {
        self.key_at() + self.key_len
    }

    fn bytes(self) -> usize {
        self.inline_at() + self.inline_len
    }

    fn class(self) -> usize {
        size_class(self.bytes())
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.class(), GRANULE).expect("an entry is smaller than isize::MAX")
    }

    fn flags(self) -> u32 {
        let expiry = if self.has_expiry { EXPIRY } else { 0 };
        let wide = if self.is_wide() { WIDE_KEY } else { 0 };
        self.encoding as u32 | expiry | wide
    }
}

/// Bytes of the fixed part: 0, 8, 8 and 24 in the order of [`Encoding`]. Shifted out of a constant because this is on
/// the path of every lookup, where a table would cost a load or a branch.
fn fixed_bytes(encoding: Encoding) -> usize {
    (0x18_08_08_00 >> (8 * encoding as u32)) & 0xff
}

/// A view of an entry. Copies are free; [`set_access`](Self::set_access) is the one thing it can change.
pub struct EntryRef<'t, O> {
    base: NonNull<u8>,
    table: PhantomData<&'t O>,
}

impl<O> Clone for EntryRef<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for EntryRef<'_, O> {}

impl<'t, O> EntryRef<'t, O> {
    /// # Safety
    /// `base` must have come from [`OwnedEntry::into_raw`], and that entry must stay alive and unchanged for `'t`.
    pub(super) unsafe fn from_raw(base: NonNull<u8>) -> Self {
        Self { base, table: PhantomData }
    }

    /// The key.
    pub fn key(&self) -> &'t [u8] {
        let shape = self.shape();
        self.bytes_at(shape.key_at(), shape.key_len)
    }

    /// The value.
    pub fn value(&self) -> ValueRef<'t, O> {
        let shape = self.shape();
        match shape.encoding {
            // SAFETY: an Int entry's fixed part holds an i64.
            Encoding::Int => ValueRef::Int(unsafe { self.read(shape.fixed_at()) }),
            Encoding::Inline => ValueRef::Bytes(self.bytes_at(shape.inline_at(), shape.inline_len)),
            Encoding::Heap => ValueRef::Bytes(self.heap_bytes(self.heap_parts(shape))),
            Encoding::Object => ValueRef::Object(self.object_at(shape)),
        }
    }

    /// Unix time in milliseconds at which the entry expires, if it does.
    pub fn expire_at(&self) -> Option<i64> {
        let shape = self.shape();
        // SAFETY: the flag says that an i64 stands behind the header.
        shape.has_expiry.then(|| unsafe { self.read(Shape::EXPIRY_AT) })
    }

    /// The access clock (24 bits), whose meaning is the caller's: LRU time or LFU counter.
    pub fn access(&self) -> u32 {
        self.header().word.load(Relaxed) >> ACCESS_SHIFT
    }

    /// Sets the access clock; only the low 24 bits of `access` are kept.
    pub fn set_access(&self, access: u32) {
        let word = &self.header().word;
        // Not a read-modify-write: the flags below the clock change only under exclusive access to the table.
        word.store((word.load(Relaxed) & FLAGS) | (access << ACCESS_SHIFT), Relaxed);
    }

    /// How the value is stored.
    pub fn encoding(&self) -> Encoding {
        self.shape().encoding
    }

    /// Whether the bytes were changed in place (appended to, edited) since the value was last set.
    pub fn is_edited(&self) -> bool {
        self.header().word.load(Relaxed) & EDITED != 0
    }

    /// Bytes the allocator holds for this entry: its own allocation, heap bytes and the object's box, but not what the
    /// object owns in turn.
    pub fn allocation_bytes(&self) -> usize {
        let shape = self.shape();
        let outside = match shape.encoding {
            Encoding::Heap => heap_bytes(self.heap_parts(shape).capacity),
            Encoding::Object => heap_bytes(size_of::<O>()),
            Encoding::Inline | Encoding::Int => 0,
        };
        shape.class() + outside
    }

    fn header(&self) -> &'t Header {
        // SAFETY: a live entry begins with a header and is aligned to 16; only its atomic changes under shared access.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let header = self.header();
        let word = header.word.load(Relaxed);
        let has_expiry = word & EXPIRY != 0;
        let encoding = match word & KIND {
            0 => Encoding::Inline,
            1 => Encoding::Int,
            2 => Encoding::Object,
            _ => Encoding::Heap,
        };
        let key_len = if word & WIDE_KEY == 0 {
            usize::from(header.key_len)
        } else {
            // SAFETY: the flag says that the length stands behind the header and the expiry.
            unsafe { self.read(HEADER_BYTES + 8 * usize::from(has_expiry)) }
        };
        Shape { encoding, has_expiry, key_len, inline_len: usize::from(header.inline_len) }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.base.as_ptr().wrapping_add(offset)
    }

    /// # Safety
    /// An initialised `T` must stand at `offset`, which must be a multiple of its alignment.
    unsafe fn read<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: the caller's promise; the base is aligned to 16.
        unsafe { self.at(offset).cast::<T>().read() }
    }

    fn bytes_at(&self, offset: usize, len: usize) -> &'t [u8] {
        // SAFETY: private; `offset` and `len` come from this entry's shape, so the range is inside and initialised.
        unsafe { std::slice::from_raw_parts(self.at(offset), len) }
    }

    fn heap_parts(&self, shape: Shape) -> HeapParts {
        debug_assert_eq!(shape.encoding, Encoding::Heap);
        // SAFETY: a Heap entry's fixed part holds the parts of a vector.
        unsafe { self.read(shape.fixed_at()) }
    }

    fn heap_bytes(&self, parts: HeapParts) -> &'t [u8] {
        // SAFETY: the parts are those of a vector owned by this entry, unchanged for 't.
        unsafe { std::slice::from_raw_parts(parts.ptr, parts.len) }
    }

    fn object_ptr(&self, shape: Shape) -> *mut O {
        debug_assert_eq!(shape.encoding, Encoding::Object);
        // SAFETY: an Object entry's fixed part holds the box's pointer.
        unsafe { self.read(shape.fixed_at()) }
    }

    fn object_at(&self, shape: Shape) -> &'t O {
        // SAFETY: the box is owned by this entry, unchanged for 't.
        unsafe { &*self.object_ptr(shape) }
    }
}

/// An entry and everything it owns.
pub(super) struct OwnedEntry<O> {
    base: NonNull<u8>,
    owns: PhantomData<Box<O>>,
}

// SAFETY: an entry owns its allocations, as a `Box<O>` would.
unsafe impl<O: Send> Send for OwnedEntry<O> {}

impl<O> OwnedEntry<O> {
    /// # Panics
    /// When the key is longer than `u32::MAX` bytes.
    pub(super) fn new(key: &[u8], value: Value<'_, O>, expire_at_ms: Option<i64>, access: u32) -> Self {
        assert!(u32::try_from(key.len()).is_ok(), "keys are shorter than 4 GiB");
        let value = Prepared::from(value);
        let shape = Shape {
            encoding: value.encoding(),
            has_expiry: expire_at_ms.is_some(),
            key_len: key.len(),
            inline_len: value.inline_len(),
        };
        let mut entry = Self { base: allocate(shape), owns: PhantomData };
        entry.write_header(shape, access);
        entry.copy_in(shape.key_at(), key);
        entry.write_expiry(expire_at_ms);
        entry.write_value(shape, value);
        entry
    }

    pub(super) fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).base
    }

    /// # Safety
    /// `base` must have come from [`Self::into_raw`], and no other owner may be made from it.
    pub(super) unsafe fn from_raw(base: NonNull<u8>) -> Self {
        Self { base, owns: PhantomData }
    }

    pub(super) fn view(&self) -> EntryRef<'_, O> {
        EntryRef { base: self.base, table: PhantomData }
    }

    /// Replaces value and expiry, in place when the size class stays the same. Gives back what the old value owned
    /// outside the entry. The access clock stays; the edited mark goes.
    pub(super) fn replace(&mut self, value: Value<'_, O>, expire_at_ms: Option<i64>) -> Option<Outside<O>> {
        let old_outside = self.take_outside();
        let value = Prepared::from(value);
        let old = self.view().shape();
        let new = Shape {
            encoding: value.encoding(),
            has_expiry: expire_at_ms.is_some(),
            key_len: old.key_len,
            inline_len: value.inline_len(),
        };
        self.reshape(old, new, old.key_at()..old.inline_at(), new.key_at());
        self.write_expiry(expire_at_ms);
        self.write_value(new, value);
        old_outside
    }

    /// The common case of [`replace`](Self::replace), without its generality: the new value goes where the old one is
    /// and nothing moves. `false`, and no change, when that is not so.
    pub(super) fn overwrite(&mut self, value: &Value<'_, O>, expire_at_ms: Option<i64>) -> bool {
        let old = self.view().shape();
        if old.has_expiry != expire_at_ms.is_some() {
            return false;
        }
        match (old.encoding, value) {
            (Encoding::Int, Value::Int(int)) => self.write(old.fixed_at(), *int),
            (Encoding::Inline, Value::Bytes(bytes)) if bytes.len() <= INLINE_BYTES_MAX => {
                let new = Shape { inline_len: bytes.len(), ..old };
                if new.class() != old.class() {
                    return false;
                }
                self.write_header(new, self.view().access());
                self.copy_in(new.inline_at(), bytes);
            }
            _ => return false,
        }
        self.write_expiry(expire_at_ms);
        true
    }

    /// Sets or clears the expiry; the value stays.
    pub(super) fn set_expire(&mut self, expire_at_ms: Option<i64>) {
        let old = self.view().shape();
        if old.has_expiry != expire_at_ms.is_some() {
            let new = Shape { has_expiry: expire_at_ms.is_some(), ..old };
            let edited = self.view().is_edited();
            self.reshape(old, new, old.fixed_at()..old.bytes(), new.fixed_at());
            if edited {
                self.mark_edited();
            }
        }
        self.write_expiry(expire_at_ms);
    }

    /// Appends to an inline value that stays inline, or to heap bytes; `false` (and no change) for anything else.
    pub(super) fn append(&mut self, tail: &[u8]) -> bool {
        let old = self.view().shape();
        match old.encoding {
            Encoding::Inline if old.inline_len + tail.len() <= INLINE_BYTES_MAX => {
                let new = Shape { inline_len: old.inline_len + tail.len(), ..old };
                self.reshape(old, new, HEADER_BYTES..old.bytes(), HEADER_BYTES);
                self.copy_in(old.bytes(), tail);
            }
            Encoding::Heap => {
                let Some(Outside::Heap(mut bytes)) = self.take_outside() else { return false };
                bytes.extend_from_slice(tail);
                self.put_heap(bytes);
            }
            Encoding::Inline | Encoding::Int | Encoding::Object => return false,
        }
        self.mark_edited();
        true
    }

    /// The value's bytes for change in place, if it is a byte string.
    pub(super) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let shape = self.view().shape();
        let (start, len) = match shape.encoding {
            Encoding::Inline => (self.view().at(shape.inline_at()), shape.inline_len),
            Encoding::Heap => {
                let parts = self.view().heap_parts(shape);
                (parts.ptr, parts.len)
            }
            Encoding::Int | Encoding::Object => return None,
        };
        self.mark_edited();
        // SAFETY: the entry owns these initialised bytes, and `&mut self` makes this the only access to them.
        Some(unsafe { std::slice::from_raw_parts_mut(start, len) })
    }

    /// The object for change, if the value is one.
    pub(super) fn object_mut(&mut self) -> Option<&mut O> {
        let shape = self.view().shape();
        if shape.encoding != Encoding::Object {
            return None;
        }
        // SAFETY: the box is owned by this entry, and `&mut self` makes this the only access to it.
        Some(unsafe { &mut *self.view().object_ptr(shape) })
    }

    /// Takes what the value owns outside the entry and leaves an empty value of the same layout.
    pub(super) fn take_outside(&mut self) -> Option<Outside<O>> {
        let shape = self.view().shape();
        match shape.encoding {
            Encoding::Int | Encoding::Inline => None,
            Encoding::Heap => {
                let parts = self.view().heap_parts(shape);
                self.put_heap(Vec::new());
                // SAFETY: the parts are those of a vector, and the entry has just forgotten them.
                Some(Outside::Heap(unsafe { Vec::from_raw_parts(parts.ptr, parts.len, parts.capacity) }))
            }
            Encoding::Object => {
                let object = self.view().object_ptr(shape);
                let empty = Shape { encoding: Encoding::Int, ..shape };
                self.write_header(empty, self.view().access());
                self.write_value(empty, Prepared::Int(0));
                // SAFETY: the pointer is that of a box, and the entry has just forgotten it.
                Some(Outside::Object(unsafe { Box::from_raw(object) }))
            }
        }
    }

    /// Puts `bytes` back into a Heap entry whose vector was taken, however short they have become.
    pub(super) fn put_heap(&mut self, bytes: Vec<u8>) {
        let shape = self.view().shape();
        assert_eq!(shape.encoding, Encoding::Heap, "only a Heap entry has room for a vector's parts");
        self.write(shape.fixed_at(), HeapParts::of(bytes));
    }

    pub(super) fn mark_edited(&mut self) {
        let word = &self.view().header().word;
        word.store(word.load(Relaxed) | EDITED, Relaxed);
    }

    /// Gives the entry the shape `new`, carrying the bytes of `keep` to `keep_at`; the rest is left to the caller to
    /// write. Moves to another allocation only when the size class differs.
    fn reshape(&mut self, old: Shape, new: Shape, keep: std::ops::Range<usize>, keep_at: usize) {
        let access = self.view().access();
        let source = self.view().at(keep.start);
        if new.class() == old.class() {
            if keep.start != keep_at {
                // SAFETY: both ranges are inside this allocation, whose class holds both shapes; they may overlap.
                unsafe { std::ptr::copy(source, self.view().at(keep_at), keep.len()) };
            }
        } else {
            let base = allocate(new);
            let target = base.as_ptr().wrapping_add(keep_at);
            // SAFETY: the kept range is inside the old allocation and, at `keep_at`, inside the new one.
            unsafe { std::ptr::copy_nonoverlapping(source, target, keep.len()) };
            // SAFETY: the old allocation was made with this layout and is not used again.
            unsafe { dealloc(self.base.as_ptr(), old.layout()) };
            self.base = base;
        }
        self.write_header(new, access);
    }

    fn write_header(&mut self, shape: Shape, access: u32) {
        let header = Header {
            word: AtomicU32::new(shape.flags() | (access << ACCESS_SHIFT)),
            key_len: u16::try_from(shape.key_len).unwrap_or(u16::MAX),
            inline_len: u16::try_from(shape.inline_len).expect("inline values are at most INLINE_BYTES_MAX long"),
        };
        self.write(0, header);
        if shape.is_wide() {
            self.write(shape.wide_at(), shape.key_len);
        }
    }

    fn write_expiry(&mut self, expire_at_ms: Option<i64>) {
        if let Some(at_ms) = expire_at_ms {
            self.write(Shape::EXPIRY_AT, at_ms);
        }
    }

    fn write_value(&mut self, shape: Shape, value: Prepared<'_, O>) {
        match value {
            Prepared::Int(int) => self.write(shape.fixed_at(), int),
            Prepared::Inline(bytes) => self.copy_in(shape.inline_at(), &bytes),
            Prepared::Heap(bytes) => self.write(shape.fixed_at(), HeapParts::of(bytes)),
            Prepared::Object(object) => self.write(shape.fixed_at(), Box::into_raw(object)),
        }
    }

    fn write<T>(&mut self, offset: usize, value: T) {
        // SAFETY: private; `offset` comes from the shape the allocation was made for, and 8-byte fields stand at
        // multiples of eight from a base aligned to 16.
        unsafe { self.view().at(offset).cast::<T>().write(value) };
    }

    fn copy_in(&mut self, offset: usize, bytes: &[u8]) {
        // SAFETY: private; the shape the allocation was made for has room for `bytes` at `offset`, and a caller's
        // slice cannot lie inside an entry that is borrowed exclusively.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.view().at(offset), bytes.len()) };
    }
}

impl<O> Drop for OwnedEntry<O> {
    fn drop(&mut self) {
        let outside = self.take_outside();
        let layout = self.view().shape().layout();
        // SAFETY: the allocation was made with this layout; what it owned has been taken out of it.
        unsafe { dealloc(self.base.as_ptr(), layout) };
        drop(outside);
    }
}

fn allocate(shape: Shape) -> NonNull<u8> {
    let layout = shape.layout();
    // SAFETY: the layout is at least GRANULE bytes large.
    let base = unsafe { alloc(layout) };
    NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout))
}
