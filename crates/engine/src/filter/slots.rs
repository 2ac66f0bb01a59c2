//! Sets of slots, as one bit for each.

use quiver_vector::Slot;

/// A set of slots. Words behind the last one that is there hold none.
#[derive(Clone, Debug, Default)]
pub struct Slots(Vec<u64>);

impl Slots {
    /// The slots below `end`.
    pub fn below(end: usize) -> Self {
        let mut words = vec![u64::MAX; end / 64];
        if !end.is_multiple_of(64) {
            words.push((1 << (end % 64)) - 1);
        }
        Self(words)
    }

    /// Puts a slot in.
    pub fn insert(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// Whether a slot is in.
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.word(word) & bit != 0
    }

    /// The slots of both.
    pub fn union(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Keeps the slots that are in `other`, too.
    pub fn intersect(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// Takes the slots of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        self.subtract_words(other.0.iter().copied());
    }

    /// Takes slots out that are given as the bits of 64 each.
    pub fn subtract_words(&mut self, words: impl Iterator<Item = u64>) {
        self.0.iter_mut().zip(words).for_each(|(word, other)| *word &= !other);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.checked_ilog2().map(|_| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((at * 64) as Slot + bit)
            })
        })
    }

    /// The bits of 64 slots from `at * 64` on.
    pub fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        (0..self.0.len().max(other.0.len())).all(|at| self.word(at) == other.word(at))
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

/// Word and bit of a slot.
fn place(slot: Slot) -> (usize, u64) {
    (slot as usize / 64, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sets_of_slots_are_sets() {
        let (a, b): (Vec<Slot>, Vec<Slot>) = ((0..500).step_by(7).collect(), (0..900).step_by(3).collect());
        let model = |slots: &[Slot]| slots.iter().copied().collect::<BTreeSet<_>>();
        let (left, right) = (a.iter().copied().collect::<Slots>(), b.iter().copied().collect::<Slots>());
        let same = |set: &Slots, model: BTreeSet<Slot>| {
            assert!(set.iter().eq(model.iter().copied()));
            assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
        };
        same(&left, model(&a));
        let with = |change: fn(&mut Slots, &Slots)| {
            let mut set = left.clone();
            change(&mut set, &right);
            set
        };
        same(&with(Slots::union), &model(&a) | &model(&b));
        same(&with(Slots::intersect), &model(&a) & &model(&b));
        same(&with(Slots::subtract), &model(&a) - &model(&b));
        for end in [0, 1, 63, 64, 65, 200] {
            same(&Slots::below(end), (0..end as Slot).collect());
        }
        let mut set = left.clone();
        a.iter().for_each(|slot| set.remove(*slot));
        assert_eq!((set.is_empty(), set.memory_bytes() > 0, &set), (true, true, &Slots::default()));
        assert!(left.contains(7) && !left.contains(8) && !left.contains(Slot::MAX));
    }
}
