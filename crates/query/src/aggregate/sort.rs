//! Order of rows by some of their properties, and the first rows in it.

use std::cmp::Ordering;

use crate::Value;

/// By which places rows are sorted, and which of them from the largest down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    keys: Vec<(usize, bool)>,
}

impl Sort {
    pub(super) fn new(keys: Vec<(usize, bool)>) -> Self {
        Self { keys }
    }

    /// Order of two rows. Rows without a property come last, whatever the direction.
    pub(super) fn order(&self, a: &[Value], b: &[Value]) -> Ordering {
        for &(place, descending) in &self.keys {
            let (a, b) = (a.get(place).unwrap_or(&Value::Null), b.get(place).unwrap_or(&Value::Null));
            let order = match (*a == Value::Null, *b == Value::Null) {
                (false, false) if descending => b.order(a),
                (false, false) => a.order(b),
                (a_missing, b_missing) => a_missing.cmp(&b_missing),
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// The first few of many, kept while they arrive. Equal ones stay in the order of their arrival.
///
/// Twice as many as wanted are let in before the worse half is dropped, so each arrival costs constant time on average.
#[derive(Debug)]
pub(super) struct First<T> {
    wanted: usize,
    kept: Vec<(u64, T)>,
    arrived: u64,
}

impl<T> First<T> {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, kept: Vec::new(), arrived: 0 }
    }

    /// Lets one in; what was dropped, if that was the moment to.
    pub(super) fn push(&mut self, item: T, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
        if self.wanted == 0 {
            return vec![item];
        }
        self.kept.push((self.arrived, item));
        self.arrived += 1;
        if self.kept.len() < self.wanted.saturating_mul(2).max(16) {
            return Vec::new();
        }
        self.kept.select_nth_unstable_by(self.wanted, |a, b| order(&a.1, &b.1).then(a.0.cmp(&b.0)));
        self.kept.drain(self.wanted..).map(|(_, item)| item).collect()
    }

    /// Those that are wanted, in their order.
    pub(super) fn into_sorted(mut self, order: impl Fn(&T, &T) -> Ordering) -> impl Iterator<Item = T> {
        self.kept.sort_unstable_by(|a, b| order(&a.1, &b.1).then(a.0.cmp(&b.0)));
        self.kept.truncate(self.wanted);
        self.kept.into_iter().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_equal_those_of_a_stable_sort(items: Vec<u8>, wanted in 0_usize..40) {
            let mut first = First::new(wanted);
            for item in items.iter().enumerate() {
                first.push(item, |a, b| a.1.cmp(b.1));
            }
            let mut sorted: Vec<_> = items.iter().enumerate().collect();
            sorted.sort_by_key(|item| item.1);
            sorted.truncate(wanted);
            prop_assert_eq!(first.into_sorted(|a, b| a.1.cmp(b.1)).collect::<Vec<_>>(), sorted);
        }
    }
}
