//! Numbers in their order, each with a document: what ranges are read from. And columns, where a document's own numbers
//! are looked up.
//!
//! Pairs stand in leaves of up to 512, twelve bytes each; changing one moves the rest of its leaf, and finding it is two
//! binary searches. That is less than a tree of nodes takes, and reads faster.
//!
//! Invariants ([`Sorted::check`]): pairs ascend strictly by number and document, no leaf is empty, none is not a number.

use std::collections::BTreeMap;

use crate::ast::End;
use crate::index::DocId;

/// Pairs of a leaf at most.
const LEAF: usize = 512;

/// Pairs of number and document.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    leaves: Vec<Leaf>,
    len: usize,
}

#[derive(Debug, Default)]
struct Leaf {
    values: Vec<f64>,
    docs: Vec<DocId>,
}

/// Two ends of a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) min: End,
    pub(crate) max: End,
}

impl Range {
    /// Whether a number lies within.
    #[inline]
    pub(crate) fn contains(&self, value: f64) -> bool {
        !self.is_below(value) && !self.is_above(value)
    }

    /// Whether a number lies below the range.
    #[inline]
    fn is_below(&self, value: f64) -> bool {
        if self.min.exclusive { value <= self.min.value } else { value < self.min.value }
    }

    #[inline]
    fn is_above(&self, value: f64) -> bool {
        if self.max.exclusive { value >= self.max.value } else { value > self.max.value }
    }
}

impl Sorted {
    /// Pairs.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pair = size_of::<f64>() + size_of::<DocId>();
        let leaves = self.leaves.iter().map(|leaf| leaf.values.capacity() * pair).sum::<usize>();
        leaves + self.leaves.capacity() * size_of::<Leaf>()
    }

    /// Puts a pair in; whether it was not there. The number is one.
    pub(crate) fn insert(&mut self, value: f64, doc: DocId) -> bool {
        if self.leaves.is_empty() {
            self.leaves.push(Leaf::default());
        }
        let at = self.leaf(value, doc).min(self.leaves.len() - 1);
        let leaf = &mut self.leaves[at];
        let Err(place) = leaf.find(value, doc) else { return false };
        leaf.values.insert(place, value);
        leaf.docs.insert(place, doc);
        self.len += 1;
        if leaf.docs.len() > LEAF {
            // Rising numbers, such as times, fill their leaves: only what follows the last one is split off.
            let half = if at + 1 == self.leaves.len() && place + 1 == LEAF + 1 { LEAF } else { LEAF / 2 };
            let leaf = &mut self.leaves[at];
            let upper = Leaf { values: leaf.values.split_off(half), docs: leaf.docs.split_off(half) };
            self.leaves.insert(at + 1, upper);
        }
        true
    }

    /// Takes a pair out; whether it was there.
    pub(crate) fn remove(&mut self, value: f64, doc: DocId) -> bool {
        let at = self.leaf(value, doc);
        let Some(leaf) = self.leaves.get_mut(at) else { return false };
        let Ok(place) = leaf.find(value, doc) else { return false };
        leaf.values.remove(place);
        leaf.docs.remove(place);
        self.len -= 1;
        if leaf.docs.is_empty() {
            self.leaves.remove(at);
        } else if let Some([leaf, next]) = self.leaves.get_mut(at..at + 2)
            && leaf.docs.len() + next.docs.len() <= LEAF / 2
        {
            leaf.values.append(&mut next.values);
            leaf.docs.append(&mut next.docs);
            self.leaves.remove(at + 1);
        }
        true
    }

    /// How many pairs lie in a range.
    pub(crate) fn count(&self, range: Range) -> usize {
        self.within(range).map(|(leaf, start, end)| leaf.docs[start..end].len()).sum()
    }

    /// Calls `take` with the documents of all pairs in a range, ordered by number, until it says to stop.
    pub(crate) fn read(&self, range: Range, mut take: impl FnMut(&[DocId]) -> bool) {
        for (leaf, start, end) in self.within(range) {
            if !take(&leaf.docs[start..end]) {
                return;
            }
        }
    }

    /// All pairs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (f64, DocId)> + '_ {
        self.leaves.iter().flat_map(|leaf| leaf.values.iter().copied().zip(leaf.docs.iter().copied()))
    }

    /// Pairs out of any order, each once.
    pub(crate) fn from_pairs(mut pairs: Vec<(f64, DocId)>) -> Self {
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        pairs.dedup();
        let leaves = pairs.chunks(LEAF * 3 / 4).map(|pairs| Leaf {
            values: pairs.iter().map(|pair| pair.0).collect(),
            docs: pairs.iter().map(|pair| pair.1).collect(),
        });
        Self { leaves: leaves.collect(), len: pairs.len() }
    }

    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.iter().count() != self.len || self.leaves.iter().any(|leaf| leaf.docs.is_empty()) {
            return Err(format!("{} numbers, or an empty leaf", self.len));
        }
        let mut before: Option<(f64, DocId)> = None;
        for (value, doc) in self.iter() {
            let sorted = before.is_none_or(|before| before.0.total_cmp(&value).then(before.1.cmp(&doc)).is_lt());
            if !sorted || value.is_nan() {
                return Err(format!("number {value} of document {doc} after {before:?}"));
            }
            before = Some((value, doc));
        }
        Ok(())
    }

    /// The leaf a pair is in, or would be.
    fn leaf(&self, value: f64, doc: DocId) -> usize {
        self.leaves.partition_point(|leaf| {
            let last = leaf.values.last().zip(leaf.docs.last());
            last.is_some_and(|(last, last_doc)| last.total_cmp(&value).then(last_doc.cmp(&doc)).is_lt())
        })
    }

    /// The leaves that a range touches, and which part of each lies in it.
    fn within(&self, range: Range) -> impl Iterator<Item = (&Leaf, usize, usize)> {
        let first = self.leaves.partition_point(|leaf| leaf.values.last().is_some_and(|&last| range.is_below(last)));
        let leaves = self.leaves[first..].iter();
        let leaves = leaves.take_while(move |leaf| leaf.values.first().is_some_and(|&first| !range.is_above(first)));
        leaves.map(move |leaf| {
            let start = leaf.values.partition_point(|&value| range.is_below(value));
            let end = leaf.values.partition_point(|&value| !range.is_above(value));
            (leaf, start, end.max(start))
        })
    }
}

impl Leaf {
    fn find(&self, value: f64, doc: DocId) -> Result<usize, usize> {
        let start = self.values.partition_point(|other| other.total_cmp(&value).is_lt());
        let end = start + self.values[start..].partition_point(|other| other.total_cmp(&value).is_eq());
        match self.docs[start..end].binary_search(&doc) {
            Ok(place) => Ok(start + place),
            Err(place) => Err(start + place),
        }
    }
}

/// What a column holds; one value stands for none.
pub(crate) trait Cell: Copy + PartialEq {
    /// No value.
    const NONE: Self;
    /// Whether it is none.
    fn is_none(&self) -> bool;
}

impl Cell for f64 {
    const NONE: Self = Self::NAN;

    fn is_none(&self) -> bool {
        self.is_nan()
    }
}

impl Cell for [f64; 2] {
    const NONE: Self = [f64::NAN; 2];

    fn is_none(&self) -> bool {
        self[0].is_nan()
    }
}

/// Values of documents: one place for each document, and another for the few with several.
#[derive(Debug)]
pub(crate) struct Column<T> {
    first: Vec<T>,
    more: BTreeMap<DocId, Box<[T]>>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { first: Vec::new(), more: BTreeMap::new() }
    }
}

impl<T: Cell> Column<T> {
    /// A document's first value.
    #[inline]
    pub(crate) fn first(&self, doc: DocId) -> Option<T> {
        self.first.get(doc as usize).copied().filter(|value| !value.is_none())
    }

    /// All values of a document.
    pub(crate) fn values(&self, doc: DocId) -> impl Iterator<Item = T> + '_ {
        let more = if self.more.is_empty() { None } else { self.more.get(&doc) };
        self.first(doc).into_iter().chain(more.into_iter().flatten().copied())
    }

    /// Gives a document its values, or none.
    pub(crate) fn set(&mut self, doc: DocId, values: &[T]) {
        let at = doc as usize;
        let Some((&first, more)) = values.split_first() else {
            if let Some(value) = self.first.get_mut(at) {
                *value = T::NONE;
            }
            self.more.remove(&doc);
            return;
        };
        if at >= self.first.len() {
            self.first.resize(at + 1, T::NONE);
        }
        self.first[at] = first;
        if more.is_empty() {
            self.more.remove(&doc);
        } else {
            self.more.insert(doc, more.into());
        }
    }

    /// Bytes allocated, more or less.
    pub(crate) fn memory_bytes(&self) -> usize {
        let more = self.more.values().map(|values| size_of_val(&**values) + 32).sum::<usize>();
        self.first.capacity() * size_of::<T>() + more
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn end(value: i8, exclusive: bool) -> End {
        End { value: f64::from(value), exclusive }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn ranges_hold_what_a_scan_finds(
            ops in proptest::collection::vec((0..4_u8, -40..40_i8, 0..60_u32), 1..3000),
            min in -45..45_i8, max in -45..45_i8, exclusive in any::<[bool; 2]>(),
        ) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeSet::new());
            for (op, value, doc) in ops {
                if op > 0 {
                    prop_assert_eq!(sorted.insert(f64::from(value), doc), model.insert((value, doc)));
                } else {
                    prop_assert_eq!(sorted.remove(f64::from(value), doc), model.remove(&(value, doc)));
                }
            }
            prop_assert_eq!(sorted.check(), Ok(()));
            let range = Range { min: end(min, exclusive[0]), max: end(max, exclusive[1]) };
            let expected: Vec<DocId> =
                model.iter().filter(|(value, _)| range.contains(f64::from(*value))).map(|pair| pair.1).collect();
            let mut found = Vec::new();
            sorted.read(range, |docs| {
                found.extend_from_slice(docs);
                true
            });
            prop_assert_eq!(sorted.count(range), expected.len());
            prop_assert_eq!(found, expected);
            let again = Sorted::from_pairs(sorted.iter().collect());
            prop_assert_eq!(again.check(), Ok(()));
            prop_assert!(again.iter().eq(sorted.iter()));
        }
    }

    #[test]
    fn a_column_knows_one_value_or_several() {
        let mut column = Column::default();
        column.set(3, &[1.0, 2.0]);
        column.set(1, &[5.0]);
        assert!(column.values(3).eq([1.0, 2.0]) && column.values(1).eq([5.0]) && column.values(2).next().is_none());
        column.set(3, &[]);
        assert_eq!((column.first(3), column.first(1), column.first(99)), (None, Some(5.0), None));
    }
}
