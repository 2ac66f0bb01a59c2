//! Proof that an index is what it says it is; for tests, and for graphs that come from a file.

use crate::Slot;
use crate::graph::{LEVEL_MAX, NONE};
use crate::hnsw::Hnsw;
use crate::scratch::Visited;

impl Hnsw {
    /// Walks all of the index and says what is wrong with it: links that do not go both ways, lead to no element, to
    /// a lower level, to themselves or twice to one place; an entry point that is not the one the elements demand;
    /// an element that cannot be reached on one of its levels; slots or elements miscounted.
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self) -> Result<(), String> {
        self.check_links()?;
        self.check_slots()?;
        for level in 0..=self.max_level() {
            self.check_reachable(level)?;
        }
        Ok(())
    }

    pub(super) fn check_links(&self) -> Result<(), String> {
        for slot in self.live_slots() {
            for level in 0..=self.graph.level(slot).unwrap_or(0) {
                self.check_list(slot, level).map_err(|error| format!("slot {slot} level {level}: {error}"))?;
            }
        }
        Ok(())
    }

    fn check_list(&self, slot: Slot, level: usize) -> Result<(), String> {
        let links = self.graph.links(slot, level);
        if self.graph.list(slot, level)[links.len()..].iter().any(|&link| link != NONE) {
            return Err("a gap in the list".to_owned());
        }
        for (i, &link) in links.iter().enumerate() {
            if link == slot {
                return Err("linked to itself".to_owned());
            }
            if links[..i].contains(&link) {
                return Err(format!("linked to {link} twice"));
            }
            if self.graph.level(link).is_none_or(|top| top < level) {
                return Err(format!("linked to {link}, which is not on this level"));
            }
            if !self.graph.linked(link, slot, level) {
                return Err(format!("linked to {link}, which does not link back"));
            }
        }
        Ok(())
    }

    fn check_slots(&self) -> Result<(), String> {
        let live = self.live_slots().count();
        if live != self.len {
            return Err(format!("{live} elements, counted {}", self.len));
        }
        let mut vacant: Vec<Slot> = self.vacant.iter().map(|slot| slot.0).collect();
        vacant.sort_unstable();
        if !vacant.into_iter().eq((0..self.slots() as Slot).filter(|&slot| !self.is_live(slot))) {
            return Err("the vacant slots are not those without an element".to_owned());
        }
        let highest = self.graph.highest();
        if self.entry != highest || highest.is_some_and(|(_, level)| level > LEVEL_MAX) {
            return Err(format!("entry point {:?}, expected {highest:?}", self.entry));
        }
        Ok(())
    }

    fn check_reachable(&self, level: usize) -> Result<(), String> {
        let pieces = self.pieces(level);
        if pieces.len() > 1 {
            return Err(format!("level {level} is in {} pieces, at slots {pieces:?}", pieces.len()));
        }
        Ok(())
    }

    /// One element of each piece of a level, in order of slots.
    pub(super) fn pieces(&self, level: usize) -> Vec<Slot> {
        let (mut seen, mut stack, mut pieces) = (Visited::default(), Vec::new(), Vec::new());
        seen.reset(self.slots());
        for slot in self.live_slots().filter(|&slot| self.graph.level(slot) >= Some(level)) {
            if !seen.insert(slot) {
                continue;
            }
            pieces.push(slot);
            stack.push(slot);
            while let Some(slot) = stack.pop() {
                stack.extend(self.graph.links(slot, level).iter().filter(|&&link| seen.insert(link)));
            }
        }
        pieces
    }
}
