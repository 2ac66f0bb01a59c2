//! Random pairs of a hash.

use std::collections::HashSet;

use quiver_structures::listpack::Item;

use super::{Content, Hash, item_of, pairs_of};
use crate::rng::Rng;

type Pair<'h> = (Item<'h>, Item<'h>);

impl Hash {
    /// One pair, each equally likely; `None` when there is none.
    pub fn random_pair(&self, rng: &mut Rng) -> Option<Pair<'_>> {
        match &self.0 {
            Content::Small(list) => {
                let field = list.at(rng.below(list.len() / 2) * 2)?;
                let value = list.next(field).expect("a field has a value behind it");
                Some((list.item(field), list.item(value)))
            }
            Content::Large(table) => {
                let entry = table.sample(rng.next())?;
                Some((Item::Str(entry.key()), item_of(entry.value())))
            }
        }
    }

    /// `count` pairs drawn one after the other, repetitions and all, until `visit` answers `false`.
    pub fn random_pairs<'h>(&'h self, count: usize, rng: &mut Rng, visit: &mut dyn FnMut(Pair<'h>) -> bool) {
        let listed: Vec<Pair<'h>> = match &self.0 {
            Content::Small(list) => pairs_of(list).collect(),
            Content::Large(_) => Vec::new(),
        };
        for _ in 0..count {
            let pair = if listed.is_empty() { self.random_pair(rng) } else { Some(listed[rng.below(listed.len())]) };
            if !pair.is_some_and(&mut *visit) {
                return;
            }
        }
    }

    /// `count` different pairs, or all when there are not more. Cost: O(count) where that is a small part of a
    /// hashtable, else O(n).
    pub fn random_distinct(&self, count: usize, rng: &mut Rng) -> Vec<Pair<'_>> {
        let len = self.len();
        if count >= len {
            return self.iter().collect();
        }
        match &self.0 {
            _ if count == 0 => Vec::new(),
            Content::Large(_) if count <= len / 3 => self.draw_distinct(count, rng),
            _ => self.select_distinct(count, rng),
        }
    }

    /// Draws and refuses repetitions: at most half as many again as `count` are needed on average.
    fn draw_distinct(&self, count: usize, rng: &mut Rng) -> Vec<Pair<'_>> {
        let mut seen = HashSet::with_capacity(count);
        let mut drawn = Vec::with_capacity(count);
        // So many draws fail together only if sampling were broken; then the slow way serves.
        for _ in 0..count * 8 + 64 {
            // Fields in a table are bytes.
            let Some((field @ Item::Str(name), value)) = self.random_pair(rng) else { break };
            if seen.insert(name) {
                drawn.push((field, value));
                if drawn.len() == count {
                    return drawn;
                }
            }
        }
        self.select_distinct(count, rng)
    }

    /// One pass that takes each pair with the probability that is right for what is still wanted (Knuth, algorithm S).
    fn select_distinct(&self, count: usize, rng: &mut Rng) -> Vec<Pair<'_>> {
        let (mut wanted, mut left) = (count, self.len());
        let mut selected = Vec::with_capacity(count);
        for pair in self.iter() {
            if rng.below(left) < wanted {
                selected.push(pair);
                wanted -= 1;
            }
            left -= 1;
        }
        selected
    }
}
