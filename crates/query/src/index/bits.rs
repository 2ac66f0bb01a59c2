//! A set of small numbers, a bit each.

/// The set. It grows with its largest number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// Puts a number in; whether it was not there.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let at = number as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let bit = 1 << (number % 64);
        let fresh = self.words[at] & bit == 0;
        self.words[at] |= bit;
        self.len += usize::from(fresh);
        fresh
    }

    /// Puts ascending numbers in.
    pub(crate) fn insert_all(&mut self, numbers: &[u32]) {
        let Some(&last) = numbers.last() else { return };
        let needed = last as usize / 64 + 1;
        if needed > self.words.len() {
            self.words.resize(needed, 0);
        }
        let mut fresh = 0;
        for number in numbers {
            let (word, bit) = (&mut self.words[*number as usize / 64], 1 << (number % 64));
            fresh += usize::from(*word & bit == 0);
            *word |= bit;
        }
        self.len += fresh;
    }

    /// Keeps only what another set has, too.
    pub(crate) fn intersect(&mut self, other: &Self) {
        self.words.truncate(other.words.len());
        self.len = 0;
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
            self.len += word.count_ones() as usize;
        }
    }

    /// Takes a number out; whether it was there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        let Some(word) = self.words.get_mut(number as usize / 64) else { return false };
        let bit = 1 << (number % 64);
        let found = *word & bit != 0;
        *word &= !bit;
        self.len -= usize::from(found);
        found
    }

    /// Whether a number is in.
    #[inline]
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Numbers in the set.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The smallest number that is not below `from`.
    #[inline]
    pub(crate) fn at_or_after(&self, from: u32) -> Option<u32> {
        let mut at = from as usize / 64;
        let mut word = self.words.get(at)? & (u64::MAX << (from % 64));
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some((at * 64) as u32 + word.trailing_zeros())
    }

    /// All numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let number = self.at_or_after(from?)?;
            from = number.checked_add(1);
            Some(number)
        })
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

impl FromIterator<u32> for Bits {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut bits = Self::default();
        for number in numbers {
            bits.insert(number);
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_its_numbers_in_order() {
        let numbers = [0, 1, 63, 64, 127, 200, 1000];
        let mut bits: Bits = numbers.into_iter().collect();
        assert!(bits.iter().eq(numbers));
        assert!(!bits.insert(64));
        assert!(bits.remove(64) && !bits.remove(64) && !bits.remove(99_999));
        assert_eq!((bits.len(), bits.at_or_after(64), bits.at_or_after(1001)), (6, Some(127), None));
        assert!(bits.contains(63) && !bits.contains(64) && !bits.contains(99_999));
        bits.insert_all(&[64, 200, 2000]);
        assert_eq!((bits.len(), bits.at_or_after(1001)), (8, Some(2000)));
        bits.intersect(&[0, 5, 64, 2000, 5000].into_iter().collect());
        assert!(bits.iter().eq([0, 64, 2000]) && bits.len() == 3);
    }
}
