//! Walking over entries from a rank on, in either direction.

use super::node::Leaf;
use super::{Entry, Tree};

/// Entries one after the other.
pub(in super::super) struct Walk<'t> {
    tree: &'t Tree,
    leaf: &'t Leaf,
    /// The entry to come; when walking back, the one behind it.
    at: usize,
    left: usize,
    back: bool,
}

impl Tree {
    /// `count` entries from rank `first` on, or from there down when `back`. There must be so many.
    pub(in super::super) fn walk(&self, first: usize, count: usize, back: bool) -> Walk<'_> {
        if count == 0 {
            return Walk { tree: self, leaf: self.leaves.get(0), at: 0, left: 0, back };
        }
        let (mut node, mut rank) = (self.root, first);
        for _ in 0..self.height {
            let inner = self.inners.get(node as usize);
            let mut child = 0;
            while rank >= inner.counts[child] as usize {
                rank -= inner.counts[child] as usize;
                child += 1;
            }
            node = inner.children[child];
        }
        let leaf = self.leaves.get(node as usize);
        Walk { tree: self, leaf, at: rank + usize::from(back), left: count, back }
    }
}

impl Iterator for Walk<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        if self.back {
            if self.at == 0 {
                self.leaf = self.tree.leaves.get(self.leaf.prev as usize);
                self.at = self.leaf.len();
            }
            self.at -= 1;
            return Some(self.leaf.entry(self.at));
        }
        if self.at == self.leaf.len() {
            self.leaf = self.tree.leaves.get(self.leaf.next as usize);
            self.at = 0;
        }
        self.at += 1;
        Some(self.leaf.entry(self.at - 1))
    }
}
