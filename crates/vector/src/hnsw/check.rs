//! Proof that an index is what it says it is; for tests, and for graphs that come from a file.

use quiver_kernels::prefetch;

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

    /// Looks up the way back of every link to a larger slot only: where there are no more links to smaller ones, those are
    /// the ways back of the others. For large graphs these look-ups are most of the work.
    pub(super) fn check_links(&self) -> Result<(), String> {
        let balance = self.check_lists(|slot, link| link > slot)?;
        if balance != 0 {
            self.check_lists(|_, _| true)?;
        }
        Ok(())
    }

    /// Checks all lists, and that links which `looked_up` wants go both ways; links to larger slots less those to smaller.
    fn check_lists(&self, looked_up: impl Fn(Slot, Slot) -> bool) -> Result<i64, String> {
        let (mut balance, mut live) = (0, self.live_slots().peekable());
        while let Some(slot) = live.next() {
            if let Some(&next) = live.peek() {
                let ahead = self.graph.links(next, 0).iter().filter(|link| self.is_live(**link));
                ahead.for_each(|link| prefetch(self.graph.list(*link, 0)));
            }
            for level in 0..=self.graph.level(slot).unwrap_or(0) {
                let at = |error| format!("slot {slot} level {level}: {error}");
                balance += self.check_list(slot, level, &looked_up).map_err(at)?;
            }
        }
        Ok(balance)
    }

    fn check_list(&self, slot: Slot, level: usize, looked_up: impl Fn(Slot, Slot) -> bool) -> Result<i64, String> {
        let links = self.graph.links(slot, level);
        let mut balance = 0;
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
            if looked_up(slot, link) && !self.graph.linked(link, slot, level) {
                return Err(format!("linked to {link}, which does not link back"));
            }
            balance += if link > slot { 1 } else { -1 };
        }
        Ok(balance)
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
