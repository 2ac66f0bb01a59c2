//! List: byte strings in order, quick at both ends.
//!
//! Two encodings, named as Redis names them. A small list is one *listpack*; one that outgrows the configured size of a
//! listpack becomes a *quicklist*, a queue of them (`quicklist.rs`). A quicklist that has shrunk to a single listpack of
//! half that size is a listpack again: half, so that a list at the border does not change with every push and pop.
//!
//! Invariants: a listpack's elements are the list's; a quicklist has no empty node. A list may be empty only while a
//! command works on it. Not here: compression of inner nodes (`list-compress-depth` is accepted and changes nothing).

mod limits;
mod quicklist;
mod rdb;
#[cfg(test)]
mod tests;

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::{Item, ListPack, Place, parse_int};
use smallvec::SmallVec;

use crate::codec;
use crate::digest::Digest;
use crate::object::{Collection, Object, in_object};
use crate::prefetch::Reach;
use crate::types::hash::ItemText;
pub use limits::Limits;
pub use quicklist::Elements;
use quicklist::QuickList;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The head: index 0.
    Left,
    /// The tail: index -1.
    Right,
}

/// Byte strings in order.
#[derive(Clone)]
pub struct List(Content);

#[derive(Clone)]
enum Content {
    Small(ListPack),
    Large(Box<QuickList>),
}

impl Default for List {
    fn default() -> Self {
        Self(Content::Small(ListPack::new()))
    }
}

impl List {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.len(),
            Content::Large(list) => list.len(),
        }
    }

    /// Listpacks and elements that stand alone.
    pub fn node_count(&self) -> usize {
        match &self.0 {
            Content::Small(_) => 1,
            Content::Large(list) => list.nodes().len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements from `start` on, in order.
    pub fn iter_from(&self, start: usize) -> Elements<'_> {
        match &self.0 {
            Content::Small(list) => Elements::of_one(list.iter_from(start), false),
            Content::Large(list) => list.iter_from(start),
        }
    }

    /// The elements from `start` on towards the head.
    pub fn iter_back_from(&self, start: usize) -> Elements<'_> {
        match &self.0 {
            Content::Small(list) => Elements::of_one(list.iter_before(start + 1), true),
            Content::Large(list) => list.iter_back_from(start),
        }
    }

    /// All elements.
    pub fn iter(&self) -> Elements<'_> {
        self.iter_from(0)
    }

    /// Element `index`. Cost: the listpacks between it and the nearer end, and one listpack.
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        if index >= self.len() { None } else { self.iter_from(index).next() }
    }

    /// The element at an end.
    #[inline]
    pub fn peek(&self, end: End) -> Option<Item<'_>> {
        match &self.0 {
            Content::Small(list) => match end {
                End::Left => list.iter().next(),
                End::Right => list.iter().next_back(),
            },
            Content::Large(list) => list.peek(end),
        }
    }

    /// Makes a listpack a quicklist if it would be too large with these elements, which are about to come in.
    pub fn grow_for<'e>(&mut self, elements: impl Iterator<Item = &'e [u8]>, limits: Limits) {
        let Content::Small(list) = &mut self.0 else { return };
        let (count, bytes) = elements.fold((0, 0), |(count, bytes), element| (count + 1, bytes + element.len()));
        if limits.exceeded_by(list.as_bytes().len() + bytes, list.len() + count) {
            self.0 = Content::Large(Box::new(QuickList::from_pack(std::mem::take(list), limits)));
        }
    }

    /// Makes a quicklist that fits a listpack one: of half the size it may have, if elements were taken out.
    pub fn shrink(&mut self, limits: Limits, taken_out: bool) {
        if let Content::Large(list) = &mut self.0
            && let Some(only) = list.only_pack()
            && limits.is_small(only, taken_out)
        {
            self.0 = Content::Small(std::mem::take(only));
        }
    }

    /// Adds an element at an end. [`List::grow_for`] comes first.
    #[inline]
    pub fn push(&mut self, end: End, element: &[u8], limits: Limits) {
        match (&mut self.0, end) {
            (Content::Small(list), End::Left) => list.push_front(element),
            (Content::Small(list), End::Right) => list.push(element),
            (Content::Large(list), end) => list.push(end, element, limits),
        }
    }

    /// Takes elements away at an end, all if there are fewer.
    pub fn drop_end(&mut self, end: End, count: usize) {
        let len = self.len();
        let count = count.min(len);
        match end {
            End::Left => self.remove_range(0, count),
            End::Right => self.remove_range(len - count, count),
        }
    }

    /// Takes `count` elements away from `start` on.
    pub fn remove_range(&mut self, start: usize, count: usize) {
        match &mut self.0 {
            Content::Small(list) => remove_range_in(list, start, count),
            Content::Large(list) => list.remove_range(start, count),
        }
    }

    /// Replaces element `index`; `false` when there is none. [`List::grow_for`] comes first.
    pub fn set(&mut self, index: usize, element: &[u8], limits: Limits) -> bool {
        if index >= self.len() {
            return false;
        }
        match &mut self.0 {
            Content::Small(list) => list.replace(list.at(index).expect("the index is within the list"), element),
            Content::Large(list) => list.set(index, element, limits),
        }
        true
    }

    /// Adds an element before or behind that at `pivot`, which must exist. [`List::grow_for`] comes first.
    pub fn insert(&mut self, pivot: usize, behind: bool, element: &[u8], limits: Limits) {
        match &mut self.0 {
            Content::Small(list) => insert_in(list, pivot + usize::from(behind), element),
            Content::Large(list) => list.insert(pivot, behind, element, limits),
        }
    }

    /// The index of the first element equal to `element`.
    pub fn position(&self, element: &[u8]) -> Option<usize> {
        let needle = Needle::new(element);
        self.iter().position(|item| needle.is(item))
    }

    /// Takes away up to `count` elements equal to `element`, the first ones seen from an end; how many there were.
    pub fn remove(&mut self, element: &[u8], count: usize, from: End) -> usize {
        let needle = Needle::new(element);
        match &mut self.0 {
            Content::Small(list) => remove_in(list, &needle, count, from),
            Content::Large(list) => list.remove(&needle, count, from),
        }
    }

    /// The sizes of the nodes of a quicklist.
    #[cfg(test)]
    fn node_lens(&self) -> Vec<usize> {
        match &self.0 {
            Content::Small(list) => vec![list.len()],
            Content::Large(list) => list.node_lens(),
        }
    }
}

impl Collection for List {
    const TYPE_NAME: &'static str = "list";

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Content::Small(_) => "listpack",
            Content::Large(_) => "quicklist",
        }
    }
    fn memory_bytes(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.allocation_bytes(),
            Content::Large(list) => size_of::<QuickList>() + list.memory_bytes(),
        }
    }
    fn len(&self) -> usize {
        self.len()
    }
    fn prefetch(&self, _: &[u8], reach: Reach) {
        if let Content::Small(list) = &self.0 {
            reach.into_bytes(list.as_bytes());
        }
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        let start = Digest::of(&[b"list"]);
        self.iter().fold(start, |sum, item| Digest::of(&[&sum.bytes(), ItemText::new(item).as_bytes()]))
    }
    fn rdb_kind(&self) -> u8 {
        code::LIST_QUICKLIST_2
    }
    fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        self.write_part(writer, at, room)
    }
    fn reads(kind: u8) -> bool {
        Self::reads(kind)
    }
    fn read(reader: &mut Reader<'_>, kind: u8) -> codec::Result<Self> {
        Self::read(reader, kind)
    }
    in_object!(List);
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |item| ItemText::new(item).as_bytes().escape_ascii().to_string();
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

/// An element looked for, with the integer it may be stored as.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    int: Option<i64>,
}

impl<'a> Needle<'a> {
    /// Looks for these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, int: parse_int(bytes) }
    }

    /// Whether this is it.
    #[inline]
    pub fn is(&self, item: Item<'_>) -> bool {
        match item {
            Item::Int(int) => self.int == Some(int),
            Item::Str(bytes) => self.bytes == bytes,
        }
    }
}

fn remove_range_in(list: &mut ListPack, start: usize, count: usize) {
    if count > 0
        && let Some(place) = list.at(start)
    {
        list.remove(place, count);
        list.shrink_if_sparse();
    }
}

fn insert_in(list: &mut ListPack, index: usize, element: &[u8]) {
    match list.at(index) {
        Some(place) => list.insert(place, &[element.into()]),
        None => list.push(element),
    }
}

fn remove_in(list: &mut ListPack, needle: &Needle<'_>, count: usize, from: End) -> usize {
    let mut found: SmallVec<[Place; 16]> = SmallVec::new();
    let mut place = list.first();
    while let Some(at) = place {
        if needle.is(list.item(at)) {
            found.push(at);
            if from == End::Left && found.len() == count {
                break;
            }
        }
        place = list.next(at);
    }
    let first = if from == End::Right { found.len().saturating_sub(count) } else { 0 };
    // From the end on, so that the places still to come stay where they are.
    for place in found[first..].iter().rev() {
        list.remove(*place, 1);
    }
    if found.len() > first {
        list.shrink_if_sparse();
    }
    found.len() - first
}
