//! Random members of a set.

use std::collections::HashSet;

use quiver_structures::listpack::Item;

use super::{Content, Set};
use crate::rng::Rng;

impl Set {
    /// One member, each equally likely; `None` when there is none.
    pub fn random(&self, rng: &mut Rng) -> Option<Item<'_>> {
        match &self.0 {
            Content::Ints(ints) => ints.get(rng.below(ints.len())).map(Item::Int),
            Content::Small(list) => list.get(rng.below(list.len())),
            Content::Large(table) => table.sample(rng.next()).map(|entry| Item::Str(entry.key())),
        }
    }

    /// `count` members drawn one after the other, repetitions and all, until `visit` answers `false`.
    pub fn random_repeated<'s>(&'s self, count: usize, rng: &mut Rng, visit: &mut dyn FnMut(Item<'s>) -> bool) {
        // A walk from the listpack's start for every draw would cost O(n) each.
        let listed: Vec<Item<'s>> = match &self.0 {
            Content::Small(list) => list.iter().collect(),
            Content::Ints(_) | Content::Large(_) => Vec::new(),
        };
        for _ in 0..count {
            let member = if listed.is_empty() { self.random(rng) } else { Some(listed[rng.below(listed.len())]) };
            if !member.is_some_and(&mut *visit) {
                return;
            }
        }
    }

    /// `count` different members, or all when there are not more. Cost: O(count) where that is a small part of a
    /// hashtable, else O(n).
    pub fn random_distinct(&self, count: usize, rng: &mut Rng) -> Vec<Item<'_>> {
        let len = self.len();
        match &self.0 {
            _ if count >= len => self.iter().collect(),
            _ if count == 0 => Vec::new(),
            Content::Large(_) if count <= len / 3 => self.draw_distinct(count, rng),
            _ => self.select_distinct(count, rng),
        }
    }

    /// Draws and refuses repetitions: at most half as many again as `count` are needed on average.
    fn draw_distinct(&self, count: usize, rng: &mut Rng) -> Vec<Item<'_>> {
        let mut seen = HashSet::with_capacity(count);
        let mut drawn = Vec::with_capacity(count);
        // So many draws fail together only if sampling were broken; then the slow way serves.
        for _ in 0..count * 8 + 64 {
            // Members in a table are bytes.
            let Some(member @ Item::Str(name)) = self.random(rng) else { break };
            if seen.insert(name) {
                drawn.push(member);
                if drawn.len() == count {
                    return drawn;
                }
            }
        }
        self.select_distinct(count, rng)
    }

    /// One pass that takes each member with the probability that is right for what is still wanted (Knuth, algorithm S).
    fn select_distinct(&self, count: usize, rng: &mut Rng) -> Vec<Item<'_>> {
        let (mut wanted, mut left) = (count, self.len());
        let mut selected = Vec::with_capacity(count);
        for member in self.iter() {
            if rng.below(left) < wanted {
                selected.push(member);
                wanted -= 1;
            }
            left -= 1;
        }
        selected
    }
}
