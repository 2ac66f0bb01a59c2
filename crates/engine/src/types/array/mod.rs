//! Array: a sparse sequence of byte strings, addressed by unsigned 64-bit indexes, with a cursor for appending
//! (redis.io/docs/latest/develop/data-types/arrays).
//!
//! The index space is cut into slices of [`SLICE_LEN`]; a tree holds those that have elements. Within a slice the
//! elements stand in order of index, two bytes of offset beside each, so that memory follows the number of elements and
//! not the distance between them; a slice without holes in front of an index is addressed directly, any other by a
//! binary search of its offsets. Values that are canonical integers are kept as integers.
//!
//! Invariants: no slice is empty; offsets ascend; `count` is the number of elements. An array may be empty only while a
//! command works on it. Not here: the rule that an empty array's key goes, limits of replies.

mod rdb;
mod slice;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use quiver_rdb::{Reader, Writer, code};

use crate::codec;
use crate::digest::Digest;
use crate::number::{IntText, parse_i64};
use crate::object::{Collection, Object, in_object};
use slice::Slice;

/// Indexes that one slice covers.
pub const SLICE_LEN: u64 = 4096;

/// Largest index of an element; one less than all bits set, so that the length fits.
pub const INDEX_MAX: u64 = u64::MAX - 1;

/// What the allocator rounds up to.
const ALLOCATION_BYTES: usize = 16;

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// The canonical text of an integer.
    Int(i64),
    /// Any other bytes.
    Text(Box<[u8]>),
}

impl Element {
    /// The element that bytes are kept as.
    pub fn new(bytes: &[u8]) -> Self {
        parse_i64(bytes).map_or_else(|| Self::Text(bytes.into()), Self::Int)
    }

    /// Calls `use_bytes` with the bytes: integers are spelled out on the stack.
    pub fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Int(number) => use_bytes(IntText::new(*number).as_bytes()),
            Self::Text(bytes) => use_bytes(bytes),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Int(_) => 0,
            Self::Text(bytes) => bytes.len().next_multiple_of(ALLOCATION_BYTES),
        }
    }
}

/// Sparse sequence; see the module.
#[derive(Clone, Debug, Default)]
pub struct Array(Box<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    slices: BTreeMap<u64, Slice>,
    count: usize,
    /// Heap bytes of the elements.
    element_bytes: usize,
    /// Index of the last appended element; none before the first.
    last_appended: Option<u64>,
}

/// How an array is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Layout {
    /// Slices.
    pub slices: usize,
    /// Those without holes between their first and last element.
    pub dense: usize,
    /// Elements in dense slices.
    pub dense_elements: usize,
    /// Indexes between first and last element of dense slices.
    pub dense_span: usize,
    /// Room in the others.
    pub sparse_room: usize,
}

impl Array {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// Highest index of an element plus one.
    pub fn span(&self) -> u64 {
        self.0.slices.last_key_value().map_or(0, |(id, slice)| id * SLICE_LEN + u64::from(slice.last()) + 1)
    }

    /// The element at an index.
    pub fn get(&self, index: u64) -> Option<&Element> {
        self.0.slices.get(&(index / SLICE_LEN))?.get(offset(index))
    }

    /// Stores an element; `true` when there was none at the index.
    pub fn set(&mut self, index: u64, bytes: &[u8]) -> bool {
        debug_assert!(index <= INDEX_MAX, "callers check indexes");
        let (inner, element) = (&mut *self.0, Element::new(bytes));
        inner.element_bytes += element.heap_bytes();
        match inner.slices.entry(index / SLICE_LEN).or_default().set(offset(index), element) {
            Some(old) => {
                inner.element_bytes -= old.heap_bytes();
                false
            }
            None => {
                inner.count += 1;
                true
            }
        }
    }

    /// Takes an element out; `false` when there was none.
    pub fn remove(&mut self, index: u64) -> bool {
        let (inner, id) = (&mut *self.0, index / SLICE_LEN);
        let Some(slice) = inner.slices.get_mut(&id) else { return false };
        let Some(old) = slice.remove(offset(index)) else { return false };
        inner.element_bytes -= old.heap_bytes();
        inner.count -= 1;
        if slice.is_empty() {
            inner.slices.remove(&id);
        }
        true
    }

    /// Takes the elements between two indexes out, both included; how many there were. Cost: that of the elements, and
    /// of the slices they are in.
    pub fn remove_range(&mut self, first: u64, last: u64) -> usize {
        let inner = &mut *self.0;
        let ids: Vec<u64> = inner.slices.range(first / SLICE_LEN..=last / SLICE_LEN).map(|(id, _)| *id).collect();
        let before = inner.count;
        for id in ids {
            let (from, to) = (first.max(id * SLICE_LEN), last.min(id * SLICE_LEN + (SLICE_LEN - 1)));
            let Some(slice) = inner.slices.get_mut(&id) else { continue };
            for old in slice.remove_range(offset(from), offset(to)) {
                inner.element_bytes -= old.heap_bytes();
                inner.count -= 1;
            }
            if slice.is_empty() {
                inner.slices.remove(&id);
            }
        }
        before - inner.count
    }

    /// The elements between two indexes, both included, in ascending order.
    pub fn range(&self, first: u64, last: u64) -> impl DoubleEndedIterator<Item = (u64, &Element)> {
        let slices = self.0.slices.range(first / SLICE_LEN..=last / SLICE_LEN);
        slices.flat_map(move |(id, slice)| {
            let start = id * SLICE_LEN;
            let (from, to) = (first.max(start), last.min(start + (SLICE_LEN - 1)));
            slice.range(offset(from), offset(to)).map(move |(offset, element)| (start + u64::from(offset), element))
        })
    }

    /// All elements in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Element)> {
        self.range(0, u64::MAX)
    }

    /// Index at which the next element is appended; `None` when the cursor is at the end of all indexes.
    pub fn next_append(&self) -> Option<u64> {
        match self.0.last_appended {
            None => Some(0),
            Some(last) if last >= INDEX_MAX => None,
            Some(last) => Some(last + 1),
        }
    }

    /// Lets the next element be appended at an index, which may be one beyond all indexes.
    pub fn seek(&mut self, index: u64) {
        self.0.last_appended = index.checked_sub(1);
    }

    /// Appends an element; its index.
    ///
    /// # Panics
    /// When there is no place: see [`Self::next_append`].
    pub fn append(&mut self, bytes: &[u8]) -> u64 {
        let index = self.next_append().expect("callers check the room for all they append");
        self.set(index, bytes);
        self.0.last_appended = Some(index);
        index
    }

    /// Appends an element to the ring of indexes below `size`; its index. See [`Self::fit_ring`].
    pub fn append_to_ring(&mut self, size: u64, bytes: &[u8]) -> u64 {
        let index = self.next_append().unwrap_or(0) % size;
        self.set(index, bytes);
        self.0.last_appended = Some(index);
        index
    }

    /// Makes a ring of `size` indexes of what is there. When the window shrinks, or grows while the ring has wrapped, the
    /// most recent elements are laid out anew from index 0 on, in the order in which they were appended.
    pub fn fit_ring(&mut self, size: u64) {
        let span = self.span();
        let has_wrapped = self.0.last_appended.is_some_and(|last| last + 1 < span);
        if span <= size && !(span < size && has_wrapped) {
            return;
        }
        let kept = usize::try_from(size).unwrap_or(usize::MAX).min(self.count());
        let mut recent: Vec<Option<Element>> = self.recent(kept).map(|(_, element)| element.cloned()).collect();
        recent.reverse();
        *self.0 = Inner::default();
        for (index, element) in (0..).zip(recent) {
            if let Some(element) = element {
                element.with_bytes(|bytes| self.set(index, bytes));
            }
            self.0.last_appended = Some(index);
        }
    }

    /// The last `count` places walked backwards from the append cursor, over the start to the highest index; the newest
    /// first. Before anything was appended the walk begins at the highest index.
    pub fn recent(&self, count: usize) -> impl Iterator<Item = (u64, Option<&Element>)> {
        let top = self.span().saturating_sub(1);
        let mut next = self.0.last_appended.unwrap_or(top);
        (0..count).map(move |_| {
            let index = next;
            next = index.checked_sub(1).unwrap_or(top);
            (index, self.get(index))
        })
    }

    /// How it is laid out. Cost: O(slices).
    pub fn layout(&self) -> Layout {
        let mut layout = Layout { slices: self.0.slices.len(), ..Layout::default() };
        for slice in self.0.slices.values() {
            if slice.is_dense() {
                layout.dense += 1;
                layout.dense_elements += slice.len();
                layout.dense_span += slice.len();
            } else {
                layout.sparse_room += slice.room();
            }
        }
        layout
    }
}

fn offset(index: u64) -> u16 {
    (index % SLICE_LEN) as u16
}

impl Collection for Array {
    const TYPE_NAME: &'static str = "array";

    fn encoding(&self) -> &'static str {
        "sliced-array"
    }
    fn memory_bytes(&self) -> usize {
        let slices: usize = self.0.slices.values().map(Slice::memory_bytes).sum();
        size_of::<Inner>() + slices + self.0.element_bytes
    }
    fn len(&self) -> usize {
        self.count()
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        for (index, element) in self.iter() {
            sum.add(element.with_bytes(|bytes| Digest::of(&[&index.to_le_bytes(), bytes])));
        }
        let cursor = self.next_append().unwrap_or(u64::MAX).to_le_bytes();
        Digest::of(&[b"array", &cursor, &sum.bytes()])
    }
    fn rdb_kind(&self) -> u8 {
        code::QUIVER_ARRAY
    }
    fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        self.write_elements(writer, at, room)
    }
    fn reads(kind: u8) -> bool {
        kind == code::QUIVER_ARRAY
    }
    fn read(reader: &mut Reader<'_>, _: u8) -> codec::Result<Self> {
        Self::read_elements(reader)
    }
    in_object!(Array);
}
