//! A sorted set of any size: its members in an arena, an index over them by hash and one by order.
//!
//! A member is kept once; both indexes hold 32-bit handles. With members of 15 bytes this takes about 55 bytes per
//! member, all of it in few large allocations.
//!
//! Invariant: arena, index and tree hold the same members, the tree with the arena's scores. Not here: scores that are
//! NaN, which have no place in an order.

use std::ops::Range;

use super::index::Index;
use super::members::{Handle, Members};
use super::tree::Tree;
use crate::keyspace::KeyHasher;
use crate::prefetch::Reach;

/// Granules up to which a set that has become mostly holes is built anew: what one command may take the time for.
const REBUILD_MAX: usize = 32 * 1024;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Large {
    members: Members,
    index: Index,
    tree: Tree,
}

impl Large {
    pub(super) fn new() -> Self {
        Self { members: Members::new(), index: Index::new(), tree: Tree::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.members.memory_bytes() + self.index.memory_bytes() + self.tree.memory_bytes()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|(_, handle)| self.members.score(handle))
    }

    /// The score a member has, if it is there; else it is added with `score`.
    pub(super) fn score_or_insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let hash = hash(member);
        if let Some(handle) = self.find_hashed(hash, member) {
            return Some(self.members.score(handle));
        }
        self.insert_hashed(hash, member, score);
        None
    }

    /// Sets the score of a member; `true` when it is new.
    pub(super) fn set(&mut self, member: &[u8], score: f64) -> bool {
        let hash = hash(member);
        let Some(handle) = self.find_hashed(hash, member) else {
            self.insert_hashed(hash, member, score);
            return true;
        };
        self.remove_from_tree(handle);
        self.members.set_score(handle, score);
        self.insert_in_tree(handle, score);
        false
    }

    /// Loads what leads to a member into the cache; its place in the order is not known by then.
    pub(super) fn prefetch(&self, member: &[u8], reach: Reach) {
        let hash = hash(member);
        match reach {
            Reach::Near => self.index.prefetch(hash),
            Reach::Far => self.index.candidates(hash).for_each(|handle| self.members.prefetch(handle)),
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (hash, handle) = self.find(member)?;
        let score = self.members.score(handle);
        self.remove_handle(hash, handle);
        self.shrink();
        Some(score)
    }

    /// Entries that come before a member.
    pub(super) fn rank(&self, member: &[u8]) -> Option<usize> {
        let (_, handle) = self.find(member)?;
        Some(self.tree.count_while(self.up_to(handle, self.members.score(handle))) - 1)
    }

    /// Number of leading entries whose scores pass a test that is true up to some score and false from there on.
    pub(super) fn count_scores(&self, test: impl Fn(f64) -> bool) -> usize {
        self.tree.count_while(|(score, _)| test(score))
    }

    /// The same with a test of members.
    pub(super) fn count_members(&self, test: impl Fn(&[u8]) -> bool) -> usize {
        self.tree.count_while(|(_, handle)| test(self.members.member(handle)))
    }

    /// Calls `visit` for `count` entries from rank `first` on, or from there down when `back`, until it answers `false`.
    pub(super) fn visit(&self, first: usize, count: usize, back: bool, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        for (score, handle) in self.tree.walk(first, count, back) {
            if !visit(self.members.member(handle), score) {
                return;
            }
        }
    }

    /// Removes the entries of a range of ranks.
    pub(super) fn remove_range(&mut self, range: Range<usize>) {
        let doomed: Vec<Handle> = self.tree.walk(range.start, range.len(), false).map(|(_, handle)| handle).collect();
        for handle in doomed {
            self.remove_handle(hash(self.members.member(handle)), handle);
        }
        self.shrink();
    }

    /// One step of a walk over all members; see [`Index::scan`].
    pub(super) fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        self.index.scan(cursor, &mut |handle| visit(self.members.member(handle), self.members.score(handle)))
    }

    fn find(&self, member: &[u8]) -> Option<(u32, Handle)> {
        let hash = hash(member);
        Some((hash, self.find_hashed(hash, member)?))
    }

    #[inline]
    fn find_hashed(&self, hash: u32, member: &[u8]) -> Option<Handle> {
        self.index.find(hash, |handle| self.members.member(handle) == member)
    }

    fn insert_hashed(&mut self, hash: u32, member: &[u8], score: f64) {
        let handle = self.members.add(member, score);
        self.index.insert(hash, handle);
        self.insert_in_tree(handle, score);
    }

    fn remove_handle(&mut self, hash: u32, handle: Handle) {
        self.remove_from_tree(handle);
        self.index.remove(hash, handle);
        self.members.remove(handle);
    }

    fn insert_in_tree(&mut self, handle: Handle, score: f64) {
        let Self { members, tree, .. } = self;
        tree.insert((score, handle), up_to(members, handle, score));
    }

    fn remove_from_tree(&mut self, handle: Handle) {
        let Self { members, tree, .. } = self;
        tree.remove_last(up_to(members, handle, members.score(handle)));
    }

    fn up_to(&self, handle: Handle, score: f64) -> impl Fn((f64, Handle)) -> bool + '_ {
        up_to(&self.members, handle, score)
    }

    /// Builds a set anew that has become mostly holes, if that is quick.
    fn shrink(&mut self) {
        let (used, all) = self.members.usage();
        if used * 4 >= all || used > REBUILD_MAX {
            return;
        }
        let mut anew = Self::new();
        for (score, handle) in self.tree.walk(0, self.len(), false) {
            let member = self.members.member(handle);
            anew.insert_hashed(hash(member), member, score);
        }
        *self = anew;
    }

    /// Panics if an invariant is broken.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.index.check(|handle| hash(self.members.member(handle)));
        self.tree.check(|a, b| (a.0, self.members.member(a.1)) < (b.0, self.members.member(b.1)));
        assert_eq!(self.index.len(), self.tree.len(), "index and tree");
        for (score, handle) in self.tree.walk(0, self.len(), false) {
            assert_eq!(score.to_bits(), self.members.score(handle).to_bits(), "score of a member");
            assert_eq!(self.find(self.members.member(handle)).map(|found| found.1), Some(handle), "by hash");
        }
    }
}

fn hash(member: &[u8]) -> u32 {
    KeyHasher.hash(member) as u32
}

/// Whether an entry is the one of `handle` or comes before it.
#[inline]
fn up_to(members: &Members, handle: Handle, score: f64) -> impl Fn((f64, Handle)) -> bool + '_ {
    move |(known, other)| {
        known < score || known == score && (other == handle || members.member(other) < members.member(handle))
    }
}
