//! Which elements a filtered search of an index in process may return: one bit each, so that a filter is an index of its
//! own and the search can plan with it.

use quiver_vector::{Accept, Slot};

/// The elements a filtered search may return, by slot.
pub(crate) struct Accepted {
    words: Vec<u64>,
    count: usize,
}

impl Accepted {
    pub(crate) fn new<'s>(slots: impl Iterator<Item = &'s Slot>) -> Self {
        let mut accepted = Self { words: Vec::new(), count: 0 };
        slots.for_each(|slot| accepted.add(*slot));
        accepted
    }

    fn add(&mut self, slot: Slot) {
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.count += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }
}

impl Accept for &Accepted {
    fn accepts(&mut self, slot: Slot) -> bool {
        self.words.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    fn cost(&self) -> f64 {
        0.25 // A bit, and the place it is found at.
    }

    fn known(&self) -> Option<usize> {
        Some(self.count)
    }

    fn accepted_from(&self, from: Slot) -> Option<Slot> {
        let start = from as usize / 64;
        let masked = |i: usize, word: u64| if i == 0 { word & (u64::MAX << (from % 64)) } else { word };
        let mut words = self.words.get(start..)?.iter().enumerate().map(|(i, word)| (i, masked(i, *word)));
        let (i, word) = words.find(|(_, word)| *word != 0)?;
        Slot::try_from((start + i) * 64 + word.trailing_zeros() as usize).ok()
    }
}
