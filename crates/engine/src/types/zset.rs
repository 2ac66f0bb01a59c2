//! Sorted set: distinct members, each with a score, in the order of (score, member).
//!
//! Two encodings, named as Redis names them. A small set is a *listpack* (member, score, member, score, ...); past the
//! configured number of members or length of a member it becomes a *skiplist*, which here is a counting B+-tree and a
//! hash index over one arena of members (`large.rs`), and stays one. Ranks, ranges by score and ranges by member all are
//! intervals of ranks; those cost O(log n) in the large encoding.
//!
//! Invariants: members are distinct, no score is NaN, listpack and tree are in order. A set may be empty only while a
//! command works on it. Not here: what ZADD's conditions mean, the rule that an empty set's key goes.

mod index;
mod large;
mod members;
mod range;
mod rdb;
mod segments;
mod small;
#[cfg(test)]
mod tests;
mod tree;

use std::ops::Range;

use quiver_rdb::{Reader, Writer};
use quiver_structures::listpack::ListPack;

use crate::codec;
use crate::digest::Digest;
use crate::object::{Collection, Object, in_object};
use crate::prefetch::Reach;
use crate::types::hash::ItemText;
use large::Large;
pub use range::{Bound, LexRange, ScoreRange};

/// Most that is kept as a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members (`zset-max-listpack-entries`).
    pub entries: usize,
    /// Bytes of a member (`zset-max-listpack-value`).
    pub value_bytes: usize,
}

/// Members in the order of their scores.
pub struct SortedSet(Content);

enum Content {
    Small(ListPack),
    /// Boxed: its fixed part is many times the size of a listpack's.
    Large(Box<Large>),
}

impl Default for SortedSet {
    fn default() -> Self {
        Self::new()
    }
}

impl SortedSet {
    /// An empty set, for a command that is about to fill it.
    pub fn new() -> Self {
        Self(Content::Small(ListPack::new()))
    }

    /// A set of distinct members in order, in the smallest encoding.
    pub fn from_sorted<M: AsRef<[u8]>>(entries: &[(M, f64)], limits: Limits) -> Self {
        let mut set = Self::new();
        let longest = entries.iter().map(|(member, _)| member.as_ref().len()).max().unwrap_or(0);
        set.expect(entries.len(), longest, limits);
        for (member, score) in entries {
            set.set(member.as_ref(), *score, limits);
        }
        set
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.len() / 2,
            Content::Large(large) => large.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Content::Small(list) => list.is_empty(),
            Content::Large(large) => large.len() == 0,
        }
    }

    /// Whether the set is in the encoding for any size.
    pub fn is_large(&self) -> bool {
        matches!(self.0, Content::Large(_))
    }

    /// The name OBJECT ENCODING prints.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Content::Small(_) => "listpack",
            Content::Large(_) => "skiplist",
        }
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.allocation_bytes(),
            Content::Large(large) => large.memory_bytes(),
        }
    }

    /// The score of a member. Cost: O(1) in a skiplist, else O(n).
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Content::Small(list) => small::score(list, member),
            Content::Large(large) => large.score(member),
        }
    }

    /// Prepares for `count` members of which the longest has so many bytes: as a listpack if such a set may be one.
    /// Called before anything is added; an existing listpack gives way only to many members.
    pub fn expect(&mut self, count: usize, longest: usize, limits: Limits) {
        if count > limits.entries || self.is_empty() && longest > limits.value_bytes {
            self.make_large();
        }
    }

    /// The score a member has, if it is there; else it is added with `score`.
    pub fn score_or_insert(&mut self, member: &[u8], score: f64, limits: Limits) -> Option<f64> {
        if let Content::Small(list) = &mut self.0 {
            let known = small::score(list, member);
            if known.is_some() {
                return known;
            }
            if fits(list, member, limits) {
                small::insert(list, member, score);
                return None;
            }
        }
        self.make_large().score_or_insert(member, score)
    }

    /// Sets the score of a member; `true` when it is new. Changes the encoding when `limits` say so.
    pub fn set(&mut self, member: &[u8], score: f64, limits: Limits) -> bool {
        if let Content::Small(list) = &mut self.0 {
            let known = small::remove(list, member).is_some();
            if known || fits(list, member, limits) {
                small::insert(list, member, score);
                return !known;
            }
        }
        self.make_large().set(member, score)
    }

    /// Takes a member out; the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Content::Small(list) => small::remove(list, member),
            Content::Large(large) => large.remove(member),
        }
    }

    /// Members before this one. Cost: O(log n) in a skiplist.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.0 {
            Content::Small(list) => small::pairs(list).position(|(known, _)| known.is(member)),
            Content::Large(large) => large.rank(member),
        }
    }

    /// The ranks of the members whose scores are in a range.
    pub fn ranks_of_scores(&self, range: &ScoreRange) -> Range<usize> {
        let count = |test: &dyn Fn(f64) -> bool| match &self.0 {
            Content::Small(list) => small::pairs(list).take_while(|(_, score)| test(*score)).count(),
            Content::Large(large) => large.count_scores(test),
        };
        let start = count(&|score| range.is_above(score));
        start..count(&|score| range.reaches(score)).max(start)
    }

    /// The ranks of the members in a range, which is meant for sets whose scores are all equal. In others the search
    /// ends at the first member that ends it, coming from the end that `back` names.
    pub fn ranks_of_members(&self, range: &LexRange<'_>, back: bool) -> Range<usize> {
        let (above, reaches) = (|member: &[u8]| range.is_above(member), |member: &[u8]| range.reaches(member));
        match &self.0 {
            Content::Large(large) => {
                let start = large.count_members(above);
                start..large.count_members(reaches).max(start)
            }
            Content::Small(list) => {
                let texts: Vec<ItemText<'_>> = small::pairs(list).map(|(member, _)| ItemText::new(member)).collect();
                let (Some(first), Some(last)) = (texts.first(), texts.last()) else { return 0..0 };
                if above(last.as_bytes()) || !reaches(first.as_bytes()) {
                    return 0..0;
                }
                if back {
                    let end = texts.iter().rposition(|text| reaches(text.as_bytes())).map_or(0, |at| at + 1);
                    let start = texts[..end].iter().rposition(|text| above(text.as_bytes())).map_or(0, |at| at + 1);
                    return start..end;
                }
                let start = texts.iter().position(|text| !above(text.as_bytes())).unwrap_or(texts.len());
                let count = texts[start..].iter().take_while(|text| reaches(text.as_bytes())).count();
                start..start + count
            }
        }
    }

    /// Calls `visit` for the members of a range of ranks, from its end when `back`, until it answers `false`. Ranks that
    /// do not exist are left out.
    pub fn visit(&self, ranks: Range<usize>, back: bool, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        let end = ranks.end.min(self.len());
        if ranks.start >= end {
            return;
        }
        let first = if back { end - 1 } else { ranks.start };
        match &self.0 {
            Content::Small(list) => small::visit(list, first, end - ranks.start, back, visit),
            Content::Large(large) => large.visit(first, end - ranks.start, back, visit),
        }
    }

    /// Calls `visit` for all members in order.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], f64)) {
        self.visit(0..self.len(), false, &mut |member, score| {
            visit(member, score);
            true
        });
    }

    /// Whether all scores are equal.
    pub fn has_one_score(&self) -> bool {
        let score_at = |rank: usize| {
            let mut found = None;
            self.visit(rank..rank + 1, false, &mut |_, score| {
                found = Some(score);
                true
            });
            found
        };
        score_at(0) == score_at(self.len().saturating_sub(1))
    }

    /// Takes out the members of a range of ranks.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks.is_empty() {
            return;
        }
        match &mut self.0 {
            Content::Small(list) => small::remove_range(list, ranks),
            Content::Large(large) => large.remove_range(ranks),
        }
    }

    /// One step of a walk over all members, starting and ending with cursor 0. A listpack is visited as a whole,
    /// whatever the cursor.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        match &self.0 {
            Content::Small(list) => {
                small::pairs(list).for_each(|(member, score)| visit(ItemText::new(member).as_bytes(), score));
                0
            }
            Content::Large(large) => large.scan(cursor, visit),
        }
    }

    /// The digest of the members and scores, whatever their encoding.
    pub fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        // Both zeros are one score.
        self.for_each(|member, score| sum.add(Digest::of(&[member, &(score + 0.0).to_le_bytes()])));
        Digest::of(&[b"zset", &sum.bytes()])
    }

    /// The large encoding, made from the listpack if need be. Cost then: O(n).
    fn make_large(&mut self) -> &mut Large {
        if let Content::Small(list) = &self.0 {
            let mut large = Large::new();
            for (member, score) in small::pairs(list) {
                large.set(ItemText::new(member).as_bytes(), score);
            }
            self.0 = Content::Large(Box::new(large));
        }
        match &mut self.0 {
            Content::Large(large) => large,
            Content::Small(_) => unreachable!("it has just been made large"),
        }
    }
}

impl Collection for SortedSet {
    const TYPE_NAME: &'static str = "zset";

    fn encoding(&self) -> &'static str {
        self.encoding()
    }
    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }
    fn len(&self) -> usize {
        self.len()
    }
    fn prefetch(&self, element: &[u8], reach: Reach) {
        match &self.0 {
            Content::Small(list) => reach.into_bytes(list.as_bytes()),
            Content::Large(large) => large.prefetch(element, reach),
        }
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        self.digest()
    }
    fn rdb_kind(&self) -> u8 {
        self.rdb_kind()
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
    in_object!(SortedSet);
}

impl Clone for SortedSet {
    fn clone(&self) -> Self {
        match &self.0 {
            Content::Small(list) => Self(Content::Small(list.clone())),
            Content::Large(large) => Self(Content::Large(large.clone())),
        }
    }
}

impl std::fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        self.for_each(|member, score| {
            map.entry(&member.escape_ascii().to_string(), &score);
        });
        map.finish()
    }
}

/// Whether a new member may go into a listpack.
fn fits(list: &ListPack, member: &[u8], limits: Limits) -> bool {
    /// Both elements' headers and the longest score, generously.
    const OVERHEAD_BYTES: usize = 64;
    list.len() / 2 < limits.entries
        && member.len() <= limits.value_bytes
        && list.has_room_for(member.len() + OVERHEAD_BYTES)
}
