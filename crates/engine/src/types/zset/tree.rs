//! The order of a large sorted set: a B+-tree of (score, handle) that counts, so that ranks cost O(log n).
//!
//! Leaves and inner nodes stand in two arenas and name each other by number. An inner node knows of each child its
//! smallest entry and its number of entries. Entries with equal scores are ordered by their members, which the tree does
//! not have: every operation that has to find a place is given a test that is true for all entries up to some point and
//! false for all behind it, and the test looks members up where scores do not decide.
//!
//! Full leaves split in halves, but at either end of the order a new leaf begins instead: sets that are filled in order
//! get full leaves. A node that has become small is joined with a neighbour.
//!
//! Invariants ([`Tree::check`]): smallest entries and counts are exact, so no handle outlives its entry; all leaves are at
//! one depth and linked in order; no node but the root is empty.

mod node;
mod walk;

use super::members::Handle;
use super::segments::Segments;
use node::{FANOUT, Inner, LEAF_LEN, Leaf, NONE};

/// A score and the member it belongs to.
pub(super) type Entry = (f64, Handle);

/// Nodes with fewer parts are joined with a neighbour where both fit well into one.
const JOIN_BELOW: usize = LEAF_LEN / 3;
/// Most parts a join may leave in a node: room to grow, so that no load joins and splits in turn.
const JOINED_MAX: usize = LEAF_LEN * 3 / 4;
const _: () = assert!(LEAF_LEN == FANOUT, "one measure of what is small serves both kinds of nodes");

#[derive(Clone, Debug)]
pub(super) struct Tree {
    leaves: Segments<Leaf, 6>,
    inners: Segments<Inner, 4>,
    free_leaves: Vec<u32>,
    free_inners: Vec<u32>,
    root: u32,
    /// Levels of inner nodes above the leaves.
    height: usize,
    len: usize,
}

/// A node that came into being to the right of another.
struct Sibling {
    smallest: Entry,
    node: u32,
    count: u32,
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut leaves = Segments::new();
        leaves.push(Leaf::EMPTY);
        Self {
            leaves,
            inners: Segments::new(),
            free_leaves: Vec::new(),
            free_inners: Vec::new(),
            root: 0,
            height: 0,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let free = self.free_leaves.capacity() + self.free_inners.capacity();
        self.leaves.memory_bytes() + self.inners.memory_bytes() + free * size_of::<u32>()
    }

    /// Number of entries for which the test is true.
    pub(super) fn count_while(&self, test: impl Fn(Entry) -> bool) -> usize {
        let (mut node, mut rank) = (self.root, 0);
        for _ in 0..self.height {
            let inner = self.inners.get(node as usize);
            let child = inner.partition_point(&test).saturating_sub(1);
            rank += inner.counts[..child].iter().map(|count| *count as usize).sum::<usize>();
            node = inner.children[child];
        }
        rank + self.leaves.get(node as usize).partition_point(&test)
    }

    /// Adds an entry; `up_to` is true for all entries that come before it.
    pub(super) fn insert(&mut self, entry: Entry, up_to: impl Fn(Entry) -> bool) {
        let sibling = self.insert_below(self.root, self.height, entry, &up_to);
        self.len += 1;
        if let Some(sibling) = sibling {
            let mut root = Inner::EMPTY;
            let old = (self.smallest(self.root, self.height), self.root, self.len as u32 - sibling.count);
            root.insert(0, old.0, old.1, old.2);
            root.insert(1, sibling.smallest, sibling.node, sibling.count);
            self.root = self.add_inner(root);
            self.height += 1;
        }
    }

    /// Removes the last entry for which the test is true.
    pub(super) fn remove_last(&mut self, up_to: impl Fn(Entry) -> bool) {
        self.remove_below(self.root, self.height, &up_to);
        self.len -= 1;
        while self.height > 0 && self.inners.get(self.root as usize).len() == 1 {
            let only = self.inners.get(self.root as usize).children[0];
            self.free_inners.push(self.root);
            self.root = only;
            self.height -= 1;
        }
        if self.len == 0 {
            *self = Self::new();
        }
    }

    fn insert_below(
        &mut self,
        node: u32,
        level: usize,
        entry: Entry,
        up_to: &impl Fn(Entry) -> bool,
    ) -> Option<Sibling> {
        if level == 0 {
            return self.insert_in_leaf(node, entry, up_to);
        }
        let inner = self.inners.get_mut(node as usize);
        let before = inner.partition_point(up_to);
        let at = before.saturating_sub(1);
        if before == 0 {
            inner.set_smallest(0, entry);
        }
        inner.counts[at] += 1;
        let child = inner.children[at];
        let new = self.insert_below(child, level - 1, entry, up_to)?;
        let inner = self.inners.get_mut(node as usize);
        inner.counts[at] -= new.count;
        if inner.len() < FANOUT {
            inner.insert(at + 1, new.smallest, new.node, new.count);
            return None;
        }
        let from = if at + 1 == FANOUT { FANOUT } else { FANOUT / 2 };
        let mut right = inner.split_off(from);
        match (at + 1).checked_sub(from) {
            Some(at) => right.insert(at, new.smallest, new.node, new.count),
            None => inner.insert(at + 1, new.smallest, new.node, new.count),
        }
        let (smallest, count) = (right.smallest(), right.count());
        Some(Sibling { smallest, node: self.add_inner(right), count })
    }

    fn insert_in_leaf(&mut self, node: u32, entry: Entry, up_to: &impl Fn(Entry) -> bool) -> Option<Sibling> {
        let leaf = self.leaves.get_mut(node as usize);
        let at = leaf.partition_point(up_to);
        if leaf.len() < LEAF_LEN {
            leaf.insert(at, entry);
            return None;
        }
        let from = match at {
            LEAF_LEN if leaf.next == NONE => LEAF_LEN,
            0 if leaf.prev == NONE => 0,
            _ => LEAF_LEN / 2,
        };
        let mut right = leaf.split_off(from);
        if at < from || from == 0 {
            leaf.insert(at, entry);
        } else {
            right.insert(at - from, entry);
        }
        let (next, smallest, count) = (leaf.next, right.entry(0), right.len() as u32);
        (right.prev, right.next) = (node, next);
        let new = self.add_leaf(right);
        self.leaves.get_mut(node as usize).next = new;
        if next != NONE {
            self.leaves.get_mut(next as usize).prev = new;
        }
        Some(Sibling { smallest, node: new, count })
    }

    fn remove_below(&mut self, node: u32, level: usize, up_to: &impl Fn(Entry) -> bool) {
        if level == 0 {
            let leaf = self.leaves.get_mut(node as usize);
            let at = leaf.partition_point(up_to).checked_sub(1).expect("the entry to remove is there");
            leaf.remove(at);
            return;
        }
        let inner = self.inners.get_mut(node as usize);
        let at = inner.partition_point(up_to).checked_sub(1).expect("the entry to remove is there");
        inner.counts[at] -= 1;
        let (child, left) = (inner.children[at], inner.counts[at]);
        self.remove_below(child, level - 1, up_to);
        if left == 0 {
            self.inners.get_mut(node as usize).remove(at);
            self.free(child, level - 1);
            return;
        }
        let smallest = self.smallest(child, level - 1);
        self.inners.get_mut(node as usize).set_smallest(at, smallest);
        if self.parts(child, level - 1) < JOIN_BELOW {
            self.join(node, at, level - 1);
        }
    }

    /// Joins child `at` of an inner node with a neighbour under the same node, if both fit well into one.
    fn join(&mut self, node: u32, at: usize, level: usize) {
        let inner = self.inners.get(node as usize);
        let fits = |left: usize| {
            left + 1 < inner.len()
                && self.parts(inner.children[left], level) + self.parts(inner.children[left + 1], level) <= JOINED_MAX
        };
        let Some(left) = [Some(at), at.checked_sub(1)].into_iter().flatten().find(|left| fits(*left)) else { return };
        let (into, from) = (inner.children[left], inner.children[left + 1]);
        if level == 0 {
            let moved = self.leaves.get(from as usize).clone();
            self.leaves.get_mut(into as usize).append(&moved);
        } else {
            let moved = self.inners.get(from as usize).clone();
            self.inners.get_mut(into as usize).append(&moved);
        }
        let inner = self.inners.get_mut(node as usize);
        inner.counts[left] += inner.counts[left + 1];
        inner.remove(left + 1);
        self.free(from, level);
    }

    /// Entries of a leaf, children of an inner node.
    fn parts(&self, node: u32, level: usize) -> usize {
        if level == 0 { self.leaves.get(node as usize).len() } else { self.inners.get(node as usize).len() }
    }

    fn smallest(&self, node: u32, level: usize) -> Entry {
        if level == 0 { self.leaves.get(node as usize).entry(0) } else { self.inners.get(node as usize).smallest() }
    }

    fn free(&mut self, node: u32, level: usize) {
        if level > 0 {
            return self.free_inners.push(node);
        }
        let Leaf { prev, next, .. } = *self.leaves.get(node as usize);
        if prev != NONE {
            self.leaves.get_mut(prev as usize).next = next;
        }
        if next != NONE {
            self.leaves.get_mut(next as usize).prev = prev;
        }
        self.free_leaves.push(node);
    }

    fn add_leaf(&mut self, leaf: Leaf) -> u32 {
        if let Some(number) = self.free_leaves.pop() {
            *self.leaves.get_mut(number as usize) = leaf;
            return number;
        }
        self.leaves.push(leaf);
        self.leaves.len() as u32 - 1
    }

    fn add_inner(&mut self, inner: Inner) -> u32 {
        if let Some(number) = self.free_inners.pop() {
            *self.inners.get_mut(number as usize) = inner;
            return number;
        }
        self.inners.push(inner);
        self.inners.len() as u32 - 1
    }

    /// Panics if an invariant is broken; `in_order` says whether the first entry comes before the second.
    #[cfg(test)]
    pub(super) fn check(&self, in_order: impl Fn(Entry, Entry) -> bool) {
        let mut leaves = Vec::new();
        let count = self.check_below(self.root, self.height, &mut leaves);
        assert_eq!(count, self.len, "entries");
        for (i, number) in leaves.iter().enumerate() {
            let leaf = self.leaves.get(*number as usize);
            assert_eq!(leaf.prev, i.checked_sub(1).map_or(NONE, |i| leaves[i]), "link back");
            assert_eq!(leaf.next, leaves.get(i + 1).copied().unwrap_or(NONE), "link on");
        }
        let entries: Vec<Entry> = self.walk(0, self.len, false).collect();
        assert_eq!(entries.len(), self.len, "entries on the walk");
        assert!(entries.windows(2).all(|pair| in_order(pair[0], pair[1])), "order");
        assert_eq!(leaves.len() + self.free_leaves.len(), self.leaves.len(), "leaves");
    }

    #[cfg(test)]
    fn check_below(&self, node: u32, level: usize, leaves: &mut Vec<u32>) -> usize {
        if level == 0 {
            leaves.push(node);
            return self.leaves.get(node as usize).len();
        }
        let inner = self.inners.get(node as usize);
        assert!(inner.len() > 0, "no inner node is empty");
        let mut sum = 0;
        for at in 0..inner.len() {
            let child = inner.children[at];
            let count = self.check_below(child, level - 1, leaves);
            assert_eq!(count, inner.counts[at] as usize, "count of a child");
            assert!(count > 0, "no child is empty");
            let (known, is) = (inner.entry(at), self.smallest(child, level - 1));
            assert!(known.0.to_bits() == is.0.to_bits() && known.1 == is.1, "smallest entry of a child");
            sum += count;
        }
        sum
    }
}
