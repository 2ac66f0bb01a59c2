//! Links between slots: one flat list of fixed capacity per element and level.
//!
//! A list holds slots from its start and [`NONE`] in what is left, so a walk reads it without a length. Level 0 has
//! room for `2 * m` links in rows of their own; the few elements with upper levels have those lists in one box.
//! Links go both ways: [`Graph::link`] and [`Graph::unlink`] change both ends, so a removed element is found from its
//! own lists alone.

use crate::Slot;
use crate::rows::Rows;

/// End of a list that is not full.
pub(crate) const NONE: Slot = Slot::MAX;

/// Levels are drawn and stored up to this one; with `m` of 2 a level 31 is one element in four billion.
pub(crate) const LEVEL_MAX: usize = 31;

#[derive(Debug)]
pub(crate) struct Graph {
    m: usize,
    base: Rows<Slot>,
    /// One more than an element's place in `towers`; zero, as in fresh rows, for those on level 0 only.
    upper: Rows<u32>,
    /// Lists of levels 1 and up, `m` links each, lowest level first; empty where vacant.
    towers: Vec<Box<[Slot]>>,
    vacant_towers: Vec<u32>,
    /// Level plus one; zero, as in fresh rows, is no element.
    levels: Rows<u8>,
    slots: usize,
    upper_bytes: usize,
}

impl Graph {
    pub(crate) fn new(m: usize) -> Self {
        Self {
            m,
            base: Rows::new(m * 2),
            upper: Rows::new(1),
            towers: Vec::new(),
            vacant_towers: Vec::new(),
            levels: Rows::new(1),
            slots: 0,
            upper_bytes: 0,
        }
    }

    /// Slots that exist, with an element or without.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Highest level of the element in `slot`, if there is one.
    #[inline]
    pub(crate) fn level(&self, slot: Slot) -> Option<usize> {
        usize::from(self.levels.get(slot as usize)?[0]).checked_sub(1)
    }

    pub(crate) fn is_live(&self, slot: Slot) -> bool {
        self.level(slot).is_some()
    }

    /// Links an element can have on `level`.
    pub(crate) fn capacity(&self, level: usize) -> usize {
        if level == 0 { self.m * 2 } else { self.m }
    }

    /// Gives `slot` an element without links.
    pub(crate) fn occupy(&mut self, slot: Slot, level: usize) {
        debug_assert!(!self.is_live(slot), "slot {slot} is taken");
        let at = slot as usize;
        self.levels.ensure(at);
        self.base.ensure(at);
        self.upper.ensure(at);
        self.slots = self.slots.max(at + 1);
        self.levels.row_mut(at)[0] = u8::try_from(level + 1).expect("levels end at LEVEL_MAX");
        self.base.row_mut(at).fill(NONE);
        if level > 0 {
            let place = self.vacant_towers.pop().unwrap_or_else(|| {
                self.towers.push(Box::default());
                self.towers.len() as u32 - 1
            });
            self.towers[place as usize] = vec![NONE; level * self.m].into_boxed_slice();
            self.upper.row_mut(at)[0] = place + 1;
            self.upper_bytes += level * self.m * size_of::<Slot>();
        }
    }

    /// Takes the element out of `slot`; its links must be gone.
    pub(crate) fn vacate(&mut self, slot: Slot) {
        let level = self.level(slot).expect("a slot with an element");
        debug_assert!((0..=level).all(|level| self.links(slot, level).is_empty()), "slot {slot} still has links");
        self.levels.row_mut(slot as usize)[0] = 0;
        if level > 0 {
            let place = self.tower(slot);
            self.towers[place] = Box::default();
            self.vacant_towers.push(place as u32);
            self.upper.row_mut(slot as usize)[0] = 0;
            self.upper_bytes -= level * self.m * size_of::<Slot>();
        }
    }

    /// The list of an element with its unused end.
    #[inline]
    pub(crate) fn list(&self, slot: Slot, level: usize) -> &[Slot] {
        match level {
            0 => self.base.row(slot as usize),
            _ => &self.towers[self.tower(slot)][(level - 1) * self.m..][..self.m],
        }
    }

    /// The neighbours of an element on one of its levels.
    pub(crate) fn links(&self, slot: Slot, level: usize) -> &[Slot] {
        let list = self.list(slot, level);
        let len = list.iter().position(|&link| link == NONE).unwrap_or(list.len());
        &list[..len]
    }

    pub(crate) fn has_room(&self, slot: Slot, level: usize) -> bool {
        self.list(slot, level).last() == Some(&NONE)
    }

    pub(crate) fn linked(&self, a: Slot, b: Slot, level: usize) -> bool {
        self.list(a, level).contains(&b)
    }

    /// Joins two elements that have room and are not joined.
    pub(crate) fn link(&mut self, a: Slot, b: Slot, level: usize) {
        debug_assert!(a != b && !self.linked(a, b, level), "{a} and {b} are linked on level {level}");
        self.push(a, b, level);
        self.push(b, a, level);
    }

    /// Parts two elements that are joined.
    pub(crate) fn unlink(&mut self, a: Slot, b: Slot, level: usize) {
        self.take(a, b, level);
        self.take(b, a, level);
    }

    /// Slots with an element, ascending.
    pub(crate) fn live(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.slots() as Slot).filter(|&slot| self.is_live(slot))
    }

    /// The element on the highest level, the smallest slot among several: where walks start. O(slots).
    pub(crate) fn highest(&self) -> Option<(Slot, usize)> {
        let leveled = self.live().filter_map(|slot| Some((slot, self.level(slot)?)));
        leveled.reduce(|best, other| if other.1 > best.1 { other } else { best })
    }

    pub(crate) fn clear(&mut self) {
        self.base.clear();
        self.upper.clear();
        self.towers = Vec::new();
        self.vacant_towers = Vec::new();
        self.levels.clear();
        self.slots = 0;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let towers =
            self.towers.capacity() * size_of::<Box<[Slot]>>() + self.vacant_towers.capacity() * size_of::<u32>();
        let rows = self.base.memory_bytes() + self.upper.memory_bytes() + self.levels.memory_bytes();
        rows + towers + self.upper_bytes
    }

    /// Writes a list as it was stored; the caller checks it against the others.
    pub(crate) fn set_links(&mut self, slot: Slot, level: usize, links: &[Slot]) {
        self.list_mut(slot, level)[..links.len()].copy_from_slice(links);
    }

    fn list_mut(&mut self, slot: Slot, level: usize) -> &mut [Slot] {
        match level {
            0 => self.base.row_mut(slot as usize),
            _ => {
                let (place, m) = (self.tower(slot), self.m);
                &mut self.towers[place][(level - 1) * m..][..m]
            }
        }
    }

    /// Where the upper lists of an element that has some are.
    #[inline]
    fn tower(&self, slot: Slot) -> usize {
        self.upper.row(slot as usize)[0] as usize - 1
    }

    fn push(&mut self, slot: Slot, link: Slot, level: usize) {
        let list = self.list_mut(slot, level);
        let end = list.iter().position(|&link| link == NONE).expect("a list with room");
        list[end] = link;
    }

    /// The last link moves into the gap: order within a list carries no meaning, only its determinism matters.
    fn take(&mut self, slot: Slot, link: Slot, level: usize) {
        let list = self.list_mut(slot, level);
        let at = list.iter().position(|&other| other == link).expect("links go both ways");
        let end = list.iter().position(|&link| link == NONE).unwrap_or(list.len());
        list[at] = list[end - 1];
        list[end - 1] = NONE;
    }
}
