//! The two kinds of nodes: arrays of scores and handles side by side, so that a search reads scores alone.

use super::super::members::Handle;
use super::Entry;

/// Entries of a leaf.
pub(super) const LEAF_LEN: usize = 64;
/// Children of an inner node.
pub(super) const FANOUT: usize = 64;
/// No such node.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    scores: [f64; LEAF_LEN],
    handles: [u32; LEAF_LEN],
    len: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Leaf {
    pub(super) const EMPTY: Self =
        Self { scores: [0.0; LEAF_LEN], handles: [0; LEAF_LEN], len: 0, prev: NONE, next: NONE };

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn entry(&self, at: usize) -> Entry {
        (self.scores[at], Handle(self.handles[at]))
    }

    #[inline]
    pub(super) fn partition_point(&self, test: &impl Fn(Entry) -> bool) -> usize {
        partition_point(&self.scores, &self.handles, self.len(), test)
    }

    pub(super) fn insert(&mut self, at: usize, (score, handle): Entry) {
        let len = self.len();
        insert(&mut self.scores, len, at, score);
        insert(&mut self.handles, len, at, handle.0);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize) {
        let len = self.len();
        self.scores.copy_within(at + 1..len, at);
        self.handles.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Takes the entries from `from` on into a leaf of their own, without links.
    pub(super) fn split_off(&mut self, from: usize) -> Self {
        let mut right = Self::EMPTY;
        let len = self.len();
        right.scores[..len - from].copy_from_slice(&self.scores[from..len]);
        right.handles[..len - from].copy_from_slice(&self.handles[from..len]);
        right.len = (len - from) as u32;
        self.len = from as u32;
        right
    }

    pub(super) fn append(&mut self, other: &Self) {
        let (at, more) = (self.len(), other.len());
        self.scores[at..at + more].copy_from_slice(&other.scores[..more]);
        self.handles[at..at + more].copy_from_slice(&other.handles[..more]);
        self.len += other.len;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Inner {
    /// Smallest entry of each child.
    scores: [f64; FANOUT],
    handles: [u32; FANOUT],
    pub(super) children: [u32; FANOUT],
    /// Entries below each child.
    pub(super) counts: [u32; FANOUT],
    len: u32,
}

impl Inner {
    pub(super) const EMPTY: Self =
        Self { scores: [0.0; FANOUT], handles: [0; FANOUT], children: [0; FANOUT], counts: [0; FANOUT], len: 0 };

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The smallest entry of a child.
    #[inline]
    pub(super) fn entry(&self, at: usize) -> Entry {
        (self.scores[at], Handle(self.handles[at]))
    }

    pub(super) fn smallest(&self) -> Entry {
        self.entry(0)
    }

    pub(super) fn set_smallest(&mut self, at: usize, (score, handle): Entry) {
        self.scores[at] = score;
        self.handles[at] = handle.0;
    }

    /// Entries below all children.
    pub(super) fn count(&self) -> u32 {
        self.counts[..self.len()].iter().sum()
    }

    /// Children whose smallest entry passes the test.
    #[inline]
    pub(super) fn partition_point(&self, test: &impl Fn(Entry) -> bool) -> usize {
        partition_point(&self.scores, &self.handles, self.len(), test)
    }

    pub(super) fn insert(&mut self, at: usize, (score, handle): Entry, child: u32, count: u32) {
        let len = self.len();
        insert(&mut self.scores, len, at, score);
        insert(&mut self.handles, len, at, handle.0);
        insert(&mut self.children, len, at, child);
        insert(&mut self.counts, len, at, count);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize) {
        let len = self.len();
        self.scores.copy_within(at + 1..len, at);
        self.handles.copy_within(at + 1..len, at);
        self.children.copy_within(at + 1..len, at);
        self.counts.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Takes the children from `from` on into a node of their own.
    pub(super) fn split_off(&mut self, from: usize) -> Self {
        let mut right = Self::EMPTY;
        for at in from..self.len() {
            right.insert(at - from, self.entry(at), self.children[at], self.counts[at]);
        }
        self.len = from as u32;
        right
    }

    pub(super) fn append(&mut self, other: &Self) {
        for at in 0..other.len() {
            self.insert(self.len(), other.entry(at), other.children[at], other.counts[at]);
        }
    }
}

fn insert<T: Copy>(array: &mut [T], len: usize, at: usize, value: T) {
    array.copy_within(at..len, at + 1);
    array[at] = value;
}

/// The number of leading entries that pass the test.
#[inline]
fn partition_point(scores: &[f64], handles: &[u32], len: usize, test: &impl Fn(Entry) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = (low + high) / 2;
        if test((scores[middle], Handle(handles[middle]))) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
