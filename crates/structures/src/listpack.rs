//! Listpack: a list of strings and integers in one allocation, for small collections.
//!
//! The bytes are exactly Redis' listpack (`listpack.md` by S. Sanfilippo), so that saving one is a copy and loading one
//! a validation:
//!
//! ```text
//! total bytes u32 LE | elements u16 LE (65535: count them) | element ... | 0xff
//! element: encoding byte(s) | data | length of what stands before, in 7-bit groups readable from the right
//! ```
//!
//! A string that is the canonical decimal form of a 64-bit integer is stored, and comes back, as that integer.
//! Everything but the ends costs O(n): callers switch to another structure when a list grows long.
//!
//! Invariant: the bytes always pass [`ListPack::from_bytes`]. Not done here: knowing pairs from lists, order, duplicates.

mod codec;
mod cursor;
#[cfg(test)]
mod tests;

use std::ops::Range;

use codec::{Encoded, backlen_bytes, decode, decode_backlen};

use crate::size_class::{heap_bytes, size_class};

/// Longest listpack accepted or built, in bytes: what Redis allows.
pub const LISTPACK_BYTES_MAX: usize = 1 << 30;

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// Element count that says: too many for the header.
const UNCOUNTED: u16 = u16::MAX;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An integer, or a string that was one.
    Int(i64),
    /// Any other string.
    Str(&'a [u8]),
}

impl Item<'_> {
    /// Whether the element, written as a string, is `bytes`.
    pub fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Int(int) => parse_int(bytes) == Some(*int),
            Self::Str(string) => *string == bytes,
        }
    }

    /// The element as a string.
    pub fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Int(int) => int.to_string().into_bytes(),
            Self::Str(string) => string.to_vec(),
        }
    }
}

impl<'a> From<&'a [u8]> for Item<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Str(bytes)
    }
}

impl From<i64> for Item<'_> {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

/// The integer whose canonical decimal form `bytes` is: no sign but `-`, no leading zeros, no `-0`.
pub fn parse_int(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Nineteen digits fit an unsigned 64-bit number.
    let mut magnitude = 0u64;
    for digit in digits {
        magnitude = magnitude * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Why bytes are not a listpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CorruptListPack {
    /// Shorter than a header and an end, or longer than [`LISTPACK_BYTES_MAX`].
    #[error("listpack of {0} bytes")]
    Length(usize),
    /// The header's total is not the number of bytes.
    #[error("listpack claims {claimed} bytes and has {actual}")]
    Total {
        /// The header's figure.
        claimed: usize,
        /// The bytes there are.
        actual: usize,
    },
    /// No end where the bytes end.
    #[error("listpack does not end with an end marker")]
    End,
    /// An element is cut off or has no known encoding.
    #[error("listpack element at byte {0} is cut off or of unknown encoding")]
    Element(usize),
    /// An element's length before and behind it disagree.
    #[error("listpack element at byte {0} has a wrong length behind it")]
    Backlen(usize),
    /// The header's count is not the number of elements.
    #[error("listpack claims {claimed} elements and has {actual}")]
    Count {
        /// The header's figure.
        claimed: usize,
        /// The elements there are.
        actual: usize,
    },
}

/// Where an element begins. Valid until the listpack is changed before it; a stale one gives wrong elements or a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

/// A listpack; see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPack {
    bytes: Vec<u8>,
}

impl Default for ListPack {
    fn default() -> Self {
        Self::new()
    }
}

impl ListPack {
    /// An empty listpack (7 bytes).
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(size_class(HEADER_BYTES + 1));
        bytes.extend_from_slice(&[HEADER_BYTES as u8 + 1, 0, 0, 0, 0, 0, END]);
        Self { bytes }
    }

    /// Takes over bytes from elsewhere after checking all of them. Cost: O(n).
    ///
    /// # Errors
    /// What is wrong with the bytes; nothing about them is trusted.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CorruptListPack> {
        if bytes.len() <= HEADER_BYTES || bytes.len() > LISTPACK_BYTES_MAX {
            return Err(CorruptListPack::Length(bytes.len()));
        }
        let list = Self { bytes };
        let (claimed, actual) = (list.total(), list.bytes.len());
        if claimed != actual {
            return Err(CorruptListPack::Total { claimed, actual });
        }
        if list.bytes[list.end()] != END {
            return Err(CorruptListPack::End);
        }
        let actual = list.check_elements()?;
        match list.count() {
            UNCOUNTED => Ok(list),
            claimed if usize::from(claimed) == actual => Ok(list),
            claimed => Err(CorruptListPack::Count { claimed: claimed.into(), actual }),
        }
    }

    /// The bytes, as they stand in a snapshot.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, by themselves.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes the allocator holds for it.
    pub fn allocation_bytes(&self) -> usize {
        heap_bytes(self.bytes.capacity())
    }

    /// Number of elements. Cost: O(1) up to 65534 of them, else O(n).
    pub fn len(&self) -> usize {
        match self.count() {
            UNCOUNTED => self.iter().count(),
            count => count.into(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.end() == HEADER_BYTES
    }

    /// Whether `bytes` more, in one element, keep it within [`LISTPACK_BYTES_MAX`].
    pub fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= LISTPACK_BYTES_MAX && self.bytes.len() + bytes + codec::OVERHEAD_BYTES_MAX <= LISTPACK_BYTES_MAX
    }

    /// The elements, from either end.
    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, rest: HEADER_BYTES..self.end() }
    }

    /// The elements from `index` on, which is walked to from the nearer end.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        let start = self.at(index).map_or(self.end(), |place| place.0);
        Iter { bytes: &self.bytes, rest: start..self.end() }
    }

    /// The elements before `index`, which is walked to from the nearer end.
    pub fn iter_before(&self, index: usize) -> Iter<'_> {
        let end = self.at(index).map_or(self.end(), |place| place.0);
        Iter { bytes: &self.bytes, rest: HEADER_BYTES..end }
    }

    /// The first element's place.
    pub fn first(&self) -> Option<Place> {
        self.place(HEADER_BYTES)
    }

    /// The place of element `index`, walked to from the nearer end.
    pub fn at(&self, index: usize) -> Option<Place> {
        let len = self.len();
        if index >= len {
            return None;
        }
        let mut iter = self.iter();
        if index <= len / 2 {
            iter.by_ref().take(index).for_each(drop);
            return self.place(iter.rest.start);
        }
        iter.by_ref().rev().take(len - index).for_each(drop);
        self.place(iter.rest.end)
    }

    /// The place of the element after that at `place`.
    pub fn next(&self, place: Place) -> Option<Place> {
        self.place(self.range(place).end)
    }

    /// The element at `place`.
    pub fn item(&self, place: Place) -> Item<'_> {
        valid(&self.bytes, place.0).0
    }

    /// Element `index`. Cost: O(n).
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        self.at(index).map(|place| self.item(place))
    }

    /// The first element equal to `needle` among those that are a multiple of `step` elements from the start: 1 for
    /// lists and sets, 2 for the keys of pairs.
    ///
    /// # Panics
    /// When `step` is 0.
    pub fn find(&self, needle: &[u8], step: usize) -> Option<Place> {
        assert!(step > 0, "a search advances");
        let int = parse_int(needle);
        if int.is_none() && step == 2 && needle.len() < codec::SHORT_STRING {
            return self.find_short_field(needle);
        }
        let mut iter = self.iter();
        let mut skip = 0;
        loop {
            let at = iter.rest.start;
            let item = iter.next()?;
            if skip == 0 {
                let found = match item {
                    Item::Int(item) => int == Some(item),
                    Item::Str(item) => item == needle,
                };
                if found {
                    return Some(Place(at));
                }
                skip = step;
            }
            skip -= 1;
        }
    }

    /// [`Self::find`] as hashes need it most: among the keys of pairs, for a string that has one possible encoding. Then
    /// one byte tells most other keys apart, and short strings are stepped over by that byte alone.
    fn find_short_field(&self, needle: &[u8]) -> Option<Place> {
        let head = codec::short_head(needle.len());
        let end = self.end();
        let mut at = HEADER_BYTES;
        while at < end {
            if self.bytes[at] == head
                && let Some(key) = self.bytes.get(at + 1..at + 1 + needle.len())
                && key.last() == needle.last()
                && key == needle
            {
                return Some(Place(at));
            }
            at = self.after(self.after(at));
        }
        None
    }

    /// Where the element behind the one at `at` begins.
    #[inline]
    fn after(&self, at: usize) -> usize {
        match codec::short_len(self.bytes[at]) {
            Some(len) => at + len,
            None => at + valid(&self.bytes, at).1,
        }
    }

    /// Adds an element at the end.
    ///
    /// # Panics
    /// When it would exceed [`LISTPACK_BYTES_MAX`]; so do all that add.
    pub fn push<'a>(&mut self, item: impl Into<Item<'a>>) {
        let end = self.end();
        self.splice(end..end, &[item.into()], 0);
    }

    /// Adds elements at the end, making room for all of them at once.
    pub fn extend(&mut self, items: &[Item<'_>]) {
        let end = self.end();
        self.splice(end..end, items, 0);
    }

    /// Adds an element at the start.
    pub fn push_front<'a>(&mut self, item: impl Into<Item<'a>>) {
        self.splice(HEADER_BYTES..HEADER_BYTES, &[item.into()], 0);
    }

    /// Adds elements before the one at `place`, which is then the place of the first of them.
    pub fn insert(&mut self, place: Place, items: &[Item<'_>]) {
        self.splice(place.0..place.0, items, 0);
    }

    /// Replaces the element at `place`.
    pub fn replace<'a>(&mut self, place: Place, item: impl Into<Item<'a>>) {
        self.splice(self.range(place), &[item.into()], 1);
    }

    /// Removes up to `count` elements from `place` on; how many there were. `place` is then that of the one behind them.
    pub fn remove(&mut self, place: Place, count: usize) -> usize {
        let mut iter = Iter { bytes: &self.bytes, rest: place.0..self.end() };
        let removed = iter.by_ref().take(count).count();
        let range = place.0..iter.rest.start;
        self.splice(range, &[], removed);
        removed
    }

    /// Gives back memory where less than a quarter of it is needed.
    pub fn shrink_if_sparse(&mut self) {
        const KEPT_BYTES: usize = 64;
        if self.bytes.capacity() > KEPT_BYTES && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.shrink_to(size_class(self.bytes.len()));
        }
    }

    /// Gives back memory beyond what the elements need.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Replaces the bytes of `range`, which hold `removed` elements, by `items`.
    fn splice(&mut self, range: Range<usize>, items: &[Item<'_>], removed: usize) {
        let count = self.count();
        let added: usize = items.iter().map(|item| Encoded::new(*item).len()).sum();
        let total = self.bytes.len() - range.len() + added;
        assert!(total <= LISTPACK_BYTES_MAX, "listpacks are at most 1 GiB long");
        self.move_tail(range.end, range.start + added, total);
        let mut at = range.start;
        for item in items {
            at += Encoded::new(*item).write(&mut self.bytes[at..]);
        }
        self.bytes[..4].copy_from_slice(&(total as u32).to_le_bytes());
        // Once uncounted it stays so: the header no longer says how many there were.
        if count != UNCOUNTED {
            let count = (usize::from(count) - removed + items.len()).min(UNCOUNTED.into());
            self.bytes[4..HEADER_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
        }
    }

    /// Moves everything from byte `from` on to byte `to`, which makes the listpack `total` bytes long.
    fn move_tail(&mut self, from: usize, to: usize, total: usize) {
        let old = self.bytes.len();
        if total > self.bytes.capacity() {
            // A size class at a time: a quarter more at most, and nothing the allocator would not hand out anyway.
            self.bytes.reserve_exact(size_class(total) - old);
        }
        self.bytes.resize(old.max(total), 0);
        self.bytes.copy_within(from..old, to);
        self.bytes.truncate(total);
    }

    fn total(&self) -> usize {
        u32::from_le_bytes([self.bytes[0], self.bytes[1], self.bytes[2], self.bytes[3]]) as usize
    }

    fn count(&self) -> u16 {
        u16::from_le_bytes([self.bytes[4], self.bytes[5]])
    }

    fn end(&self) -> usize {
        self.bytes.len() - 1
    }

    fn place(&self, offset: usize) -> Option<Place> {
        (offset < self.end()).then_some(Place(offset))
    }

    fn range(&self, place: Place) -> Range<usize> {
        place.0..place.0 + valid(&self.bytes, place.0).1
    }

    /// The number of elements, once each has been found whole.
    fn check_elements(&self) -> Result<usize, CorruptListPack> {
        let mut at = HEADER_BYTES;
        let mut count = 0;
        while at < self.end() {
            let elements = &self.bytes[at..self.end()];
            let (_, len) = decode(elements).ok_or(CorruptListPack::Element(at))?;
            let next = len + backlen_bytes(len);
            let behind = elements.get(len..next).ok_or(CorruptListPack::Element(at))?;
            if decode_backlen(behind) != Some(len) {
                return Err(CorruptListPack::Backlen(at));
            }
            at += next;
            count += 1;
        }
        Ok(count)
    }
}

impl<'a> FromIterator<Item<'a>> for ListPack {
    fn from_iter<I: IntoIterator<Item = Item<'a>>>(items: I) -> Self {
        let mut list = Self::new();
        items.into_iter().for_each(|item| list.push(item));
        list
    }
}

impl<'a> IntoIterator for &'a ListPack {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The elements of a listpack, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    rest: Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (item, len) = valid(self.bytes, self.rest.start);
        self.rest.start += len;
        Some(item)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let len = decode_backlen(&self.bytes[..self.rest.end]).expect("a listpack's lengths are valid");
        self.rest.end -= len + backlen_bytes(len);
        Some(valid(self.bytes, self.rest.end).0)
    }
}

/// The element at `at`, and the bytes it takes with the length behind it.
fn valid(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let (item, len) = decode(&bytes[at..]).expect("a listpack's elements are valid");
    (item, len + backlen_bytes(len))
}
