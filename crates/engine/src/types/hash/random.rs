//! Random pairs of a hash.

use std::collections::HashSet;

use quiver_structures::listpack::Item;

use super::{AsOf, Content, Hash, item_of, pairs_of};
use crate::rng::Rng;

type Pair<'h> = (Item<'h>, Item<'h>);

impl Hash {
    /// One pair, each equally likely; `None` when none is seen.
    pub fn random_pair(&self, as_of: AsOf, rng: &mut Rng) -> Option<Pair<'_>> {
        match &self.0 {
            Content::Small(list) => {
                let field = list.at(rng.below(list.len() / 2) * 2)?;
                let value = list.next(field).expect("a field has a value behind it");
                Some((list.item(field), list.item(value)))
            }
            Content::Large(fields) if !self.hides_some(as_of) => {
                let entry = fields.table.sample(rng.next())?;
                Some((Item::Str(entry.key()), item_of(entry.value())))
            }
            Content::Shared(_) | Content::Volatile(_) | Content::Large(_) => {
                let len = self.len_at(as_of);
                self.iter(as_of).nth(rng.below(len))
            }
        }
    }

    /// `count` pairs drawn one after the other, repetitions and all, until `visit` answers `false`.
    pub fn random_pairs<'h>(
        &'h self,
        count: usize,
        as_of: AsOf,
        rng: &mut Rng,
        visit: &mut dyn FnMut(Pair<'h>) -> bool,
    ) {
        let listed: Vec<Pair<'h>> = match &self.0 {
            Content::Small(list) => pairs_of(list).collect(),
            Content::Large(_) if !self.hides_some(as_of) => Vec::new(),
            Content::Shared(_) | Content::Volatile(_) | Content::Large(_) => self.iter(as_of).collect(),
        };
        for _ in 0..count {
            let pair =
                if listed.is_empty() { self.random_pair(as_of, rng) } else { Some(listed[rng.below(listed.len())]) };
            if !pair.is_some_and(&mut *visit) {
                return;
            }
        }
    }

    /// `count` different pairs, or all when there are not more. Cost: O(count) where that is a small part of a
    /// hashtable, else O(n).
    pub fn random_distinct(&self, count: usize, as_of: AsOf, rng: &mut Rng) -> Vec<Pair<'_>> {
        let len = self.len_at(as_of);
        if count >= len {
            return self.iter(as_of).collect();
        }
        match &self.0 {
            _ if count == 0 => Vec::new(),
            Content::Large(_) if count <= len / 3 && !self.hides_some(as_of) => self.draw_distinct(count, as_of, rng),
            _ => self.select_distinct(count, as_of, rng),
        }
    }

    /// Draws and refuses repetitions: at most half as many again as `count` are needed on average.
    fn draw_distinct(&self, count: usize, as_of: AsOf, rng: &mut Rng) -> Vec<Pair<'_>> {
        let mut seen = HashSet::with_capacity(count);
        let mut drawn = Vec::with_capacity(count);
        // So many draws fail together only if sampling were broken; then the slow way serves.
        for _ in 0..count * 8 + 64 {
            // Fields in a table are bytes.
            let Some((field @ Item::Str(name), value)) = self.random_pair(as_of, rng) else { break };
            if seen.insert(name) {
                drawn.push((field, value));
                if drawn.len() == count {
                    return drawn;
                }
            }
        }
        self.select_distinct(count, as_of, rng)
    }

    /// One pass that takes each pair with the probability that is right for what is still wanted (Knuth, algorithm S).
    fn select_distinct(&self, count: usize, as_of: AsOf, rng: &mut Rng) -> Vec<Pair<'_>> {
        let (mut wanted, mut left) = (count, self.len_at(as_of));
        let mut selected = Vec::with_capacity(count);
        for pair in self.iter(as_of) {
            if rng.below(left) < wanted {
                selected.push(pair);
                wanted -= 1;
            }
            left -= 1;
        }
        selected
    }
}
