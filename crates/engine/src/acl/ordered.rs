//! A map that remembers the order of insertion: lists of rules are printed as they were given, and checked for what is
//! already there in O(log n), so that a long list is built in O(n log n).
//!
//! Removal leaves a hole; the holes are closed when they are as many as what is left.

use std::collections::BTreeMap;

/// Keys with values in the order they came.
#[derive(Clone, Debug)]
pub(crate) struct Ordered<K, V> {
    slots: Vec<Option<(K, V)>>,
    index: BTreeMap<K, usize>,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self { slots: Vec::new(), index: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V> Ordered<K, V> {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = *self.index.get(key)?;
        self.slots[slot].as_mut().map(|(_, value)| value)
    }

    /// Adds behind all others; what was there under the key keeps its place and its value.
    pub(crate) fn add(&mut self, key: K, value: V) {
        if !self.index.contains_key(&key) {
            self.index.insert(key.clone(), self.slots.len());
            self.slots.push(Some((key, value)));
        }
    }

    /// Takes a key out; `false` when it was not there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        let Some(slot) = self.index.remove(key) else { return false };
        self.slots[slot] = None;
        if self.slots.len() > 2 * self.index.len() + 8 {
            self.slots.retain(Option::is_some);
            for (slot, (key, _)) in self.slots.iter().flatten().enumerate() {
                self.index.insert(key.clone(), slot);
            }
        }
        true
    }

    /// The keys from `first` on that `belongs` holds for, which are neighbours in the order of keys.
    pub(crate) fn run_of(&self, first: &K, belongs: impl Fn(&K) -> bool) -> Vec<K> {
        self.index.range(first..).map(|(key, _)| key).take_while(|key| belongs(key)).cloned().collect()
    }

    /// In the order of insertion.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().flatten().map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_insertion_survives_removals() {
        let mut map = Ordered::default();
        (0..100).rev().for_each(|i| map.add(i, i * 2));
        map.add(50, 0);
        (0..100).filter(|i| i % 10 != 0).for_each(|i| assert!(map.remove(&i)));
        assert!(!map.remove(&1));
        map.add(1, 7);
        let kept: Vec<(i32, i32)> = map.iter().map(|(key, value)| (*key, *value)).collect();
        let tens = (0..10).rev().map(|i| (i * 10, i * 20));
        assert_eq!(kept, tens.chain([(1, 7)]).collect::<Vec<_>>());
        assert_eq!(map.get_mut(&30), Some(&mut 60));
        assert_eq!(map.run_of(&30, |key| *key <= 50), [30, 40, 50]);
    }
}
