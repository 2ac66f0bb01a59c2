//! Memory a search works in, kept by the caller so that a warm search allocates nothing.

use crate::Slot;
use crate::graph::NONE;
use crate::hnsw::{Asked, Prepared};
use crate::space::Query;

/// Working memory of one thread's searches; serves indexes of any shape, one search at a time.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) query: Query,
    pub(crate) walk: Walk,
    pub(crate) asked: Asked,
    pub(crate) candidates: Vec<(f32, Slot)>,
    pub(crate) prepared: Prepared,
}

impl Scratch {
    /// Nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The part of a scratch that changes during a walk.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) visited: Visited,
    pub(crate) pool: Pool,
    pub(crate) batch: Vec<Slot>,
    /// Changes of the index the walk knows of.
    pub(crate) changes: u64,
}

impl Walk {
    /// Empties the pool, bounds it to `capacity` elements, and forgets what was visited.
    pub(crate) fn reset(&mut self, capacity: usize, slots: usize) {
        self.pool.reset(capacity);
        self.visited.reset(slots);
    }

    /// The first element of an empty pool.
    pub(crate) fn start(&mut self, (distance, slot): (f32, Slot)) {
        self.visited.insert(slot);
        self.pool.offer(distance, slot);
    }
}

/// A set of slots that is emptied by counting up: a slot is in it if its mark is the current epoch.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    marks: Vec<u16>,
    epoch: u16,
}

impl Visited {
    /// Empties the set and makes room for `slots` slots.
    pub(crate) fn reset(&mut self, slots: usize) {
        self.grow(slots);
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.marks.fill(0);
            self.epoch = 1;
        }
    }

    /// Makes room for `slots` slots; those that are new are not in the set.
    pub(crate) fn grow(&mut self, slots: usize) {
        if self.marks.len() < slots {
            // Zero is no epoch.
            self.marks.resize(slots.next_power_of_two(), 0);
        }
    }

    /// Puts the slots of a list that were not in the set at the start of `out` and says how many. No branch asks
    /// whether one was: the answer is as good as random, and guessing it wrong costs more than a distance.
    #[inline]
    pub(crate) fn fresh(&mut self, list: &[Slot], out: &mut Vec<Slot>) -> usize {
        if out.len() < list.len() {
            out.resize(list.len(), 0);
        }
        let mut count = 0;
        for &slot in list {
            if slot == NONE {
                break;
            }
            let mark = &mut self.marks[slot as usize];
            out[count] = slot;
            count += usize::from(*mark != self.epoch);
            *mark = self.epoch;
        }
        count
    }

    /// Whether `slot` was not in the set.
    #[inline]
    pub(crate) fn insert(&mut self, slot: Slot) -> bool {
        let mark = &mut self.marks[slot as usize];
        let fresh = *mark != self.epoch;
        *mark = self.epoch;
        fresh
    }
}

/// The nearest slots seen so far, sorted, each marked once it was expanded: one array does the work of the paper's
/// two heaps.
///
/// An entry is one integer, so that order is one comparison and ties fall to the smaller slot: the distance's bits
/// made monotone, then the slot, then the mark.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    entries: Vec<u64>,
    capacity: usize,
    cursor: usize,
}

const EXPANDED: u64 = 1;

/// Bits of a distance and a slot in the order of a sorted pool.
#[inline]
pub(crate) fn entry(distance: f32, slot: Slot) -> u64 {
    let bits = distance.to_bits();
    let ordered = bits ^ (((bits.cast_signed() >> 31).cast_unsigned()) | 0x8000_0000);
    u64::from(ordered) << 32 | u64::from(slot) << 1
}

#[inline]
pub(crate) fn entry_slot(entry: u64) -> Slot {
    (entry as u32) >> 1
}

#[inline]
pub(crate) fn entry_distance(entry: u64) -> f32 {
    let ordered = (entry >> 32) as u32;
    let flip = if ordered & 0x8000_0000 == 0 { u32::MAX } else { 0x8000_0000 };
    f32::from_bits(ordered ^ flip)
}

impl Pool {
    /// Empties the pool and bounds it to `capacity` entries.
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.entries.clear();
        self.entries.reserve(capacity + 1);
        self.capacity = capacity;
        self.cursor = 0;
    }

    /// Takes a slot in if it is among the nearest; the caller offers each slot once.
    #[inline]
    pub(crate) fn offer(&mut self, distance: f32, slot: Slot) {
        let entry = entry(distance, slot);
        if self.entries.len() == self.capacity {
            if self.entries.last().is_none_or(|&last| entry >= last) {
                return;
            }
            self.entries.pop();
        }
        let at = self.entries.partition_point(|&other| other < entry);
        self.entries.insert(at, entry);
        self.cursor = self.cursor.min(at);
    }

    /// The nearest slot not yet expanded, which then is.
    #[inline]
    pub(crate) fn expand(&mut self) -> Option<Slot> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if *entry & EXPANDED == 0 {
                *entry |= EXPANDED;
                return Some(entry_slot(*entry));
            }
        }
        None
    }

    /// The slot [`Self::expand`] would return now.
    #[inline]
    pub(crate) fn next(&self) -> Option<Slot> {
        self.entries.get(self.cursor).map(|&entry| entry_slot(entry))
    }

    /// Makes room for more entries.
    pub(crate) fn widen(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// Forgets slots that are not wanted any more.
    pub(crate) fn retain(&mut self, wanted: impl Fn(Slot) -> bool) {
        self.entries.retain(|&entry| wanted(entry_slot(entry)));
        self.cursor = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Most entries it takes.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The memory of the pool, empty, for a search that sorts otherwise.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u64> {
        self.entries.clear();
        &mut self.entries
    }

    /// Nearest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (f32, Slot)> {
        self.entries.iter().map(|&entry| (entry_distance(entry), entry_slot(entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_order_by_distance_then_slot_and_give_both_back() {
        let distances = [f32::NEG_INFINITY, -2.5, -1e-40, 0.0, 1e-40, 0.5, 2.0, f32::INFINITY];
        for (i, &a) in distances.iter().enumerate() {
            assert_eq!((entry_distance(entry(a, 9)), entry_slot(entry(a, 9))), (a, 9));
            assert!(entry(a, 3) < entry(a, 4));
            assert!(distances[i + 1..].iter().all(|&b| entry(a, 1_000_000) < entry(b, 0)));
        }
    }

    #[test]
    fn a_pool_keeps_the_nearest_and_expands_each_once_nearest_first() {
        let mut pool = Pool::default();
        pool.reset(4);
        for (slot, distance) in [5.0, 1.0, 4.0, 2.0, 3.0, 9.0].into_iter().enumerate() {
            pool.offer(distance, slot as Slot);
        }
        assert_eq!(pool.iter().map(|(_, slot)| slot).collect::<Vec<_>>(), [1, 3, 4, 2]);
        assert_eq!(pool.expand(), Some(1));
        assert_eq!(pool.expand(), Some(3));
        pool.offer(0.5, 7);
        assert_eq!([pool.expand(), pool.expand(), pool.expand()], [Some(7), Some(4), None]);
    }

    #[test]
    fn a_visited_set_forgets_at_every_reset_even_when_the_epoch_wraps() {
        let mut visited = Visited::default();
        for _ in 0..70_000 {
            visited.reset(3);
            assert!(visited.insert(2));
            assert!(!visited.insert(2));
        }
    }
}
