//! Keys that changed and were not looked at by an index since.
//!
//! A name is in here once however often its key changes. Names come out in the order they came in, by numbers: who asks
//! an index waits for all numbers given out before it asked, and for none that came later.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::keyspace::KeyHasher;

/// Names that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<(u64, Arc<[u8]>)>,
    /// Those of the queue; one put back may be in the queue a second time, where it is passed over.
    names: HashSet<Arc<[u8]>, KeyHasher>,
    /// The number of the name that is being looked at.
    taken: Option<u64>,
    next: u64,
}

impl Pending {
    /// Adds a name; whether it was not waiting yet.
    pub(super) fn push(&mut self, name: &[u8]) -> bool {
        if self.names.contains(name) {
            return false;
        }
        let name: Arc<[u8]> = name.into();
        self.names.insert(Arc::clone(&name));
        self.queue.push_back((self.next, name));
        self.next += 1;
        true
    }

    /// Names that wait.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number behind all that were given out.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// Whether a name with a number below `end` waits, or is being looked at.
    pub(super) fn any_before(&self, end: u64) -> bool {
        let first = self.queue.front().map(|(number, _)| *number);
        self.taken.into_iter().chain(first).any(|number| number < end)
    }

    /// The next name with a number below `end`. The one taken before it is done.
    pub(super) fn take(&mut self, end: u64) -> Option<(u64, Arc<[u8]>)> {
        self.taken = None;
        while self.any_before(end) {
            let (number, name) = self.queue.pop_front()?;
            if self.names.remove(&name) {
                self.taken = Some(number);
                return Some((number, name));
            }
        }
        None
    }

    /// The name taken last is done.
    pub(super) fn done(&mut self) {
        self.taken = None;
    }

    /// Puts the name taken last back in its place.
    pub(super) fn put_back(&mut self, number: u64, name: Arc<[u8]>) {
        self.taken = None;
        self.names.insert(Arc::clone(&name));
        self.queue.push_front((number, name));
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        (self.queue, self.names) = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_once_and_a_number_is_served_by_a_look_after_it() {
        let mut pending = Pending::default();
        assert!(pending.push(b"a") && pending.push(b"b") && !pending.push(b"a"));
        let end = pending.end();
        let (number, name) = pending.take(end).unwrap();
        assert_eq!((number, &*name), (0, b"a".as_slice()));
        assert!(pending.push(b"a"), "it changed after it was taken");
        pending.put_back(number, name);
        assert_eq!(pending.len(), 2);
        assert_eq!(&*pending.take(end).unwrap().1, b"a");
        assert_eq!(&*pending.take(end).unwrap().1, b"b");
        assert!(pending.any_before(end), "it is still being looked at");
        assert!(pending.take(end).is_none() && pending.take(u64::MAX).is_none());
    }
}
