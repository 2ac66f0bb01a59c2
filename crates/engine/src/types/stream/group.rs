//! Consumer groups: who got which entry and has not acknowledged it yet.
//!
//! A group has one list of pending entries, ordered by id, that names each entry's owner; a consumer has the ids of its
//! own. Reading what has been idle longest (XREADGROUP CLAIM) needs them by time of delivery: that index is built when it
//! is first asked for and kept from then on, so that groups that never ask do not pay for it.
//!
//! Invariants: an entry is in its owner's list exactly when the owner is in the entry; released entries (XNACK) have no
//! owner and the delivery time 0.

use std::collections::{BTreeMap, BTreeSet};

use super::id::Id;

/// Owner of an entry that was released.
const NOBODY: u32 = u32::MAX;

/// A consumer within its group. Stays valid until the consumer is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(u32);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was delivered last, unix ms.
    pub delivery_time: i64,
    /// How often it was delivered.
    pub delivery_count: i64,
    owner: u32,
}

impl Pending {
    /// Who has it; nobody when it was released.
    pub fn owner(&self) -> Option<ConsumerId> {
        (self.owner != NOBODY).then_some(ConsumerId(self.owner))
    }
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// Last attempt to read or claim, unix ms.
    pub seen_time: i64,
    /// Last success at it, unix ms; -1 before the first.
    pub active_time: i64,
    pending: BTreeSet<Id>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Ids of its pending entries.
    pub fn pending(&self) -> &BTreeSet<Id> {
        &self.pending
    }
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last entry delivered to anyone.
    pub last_id: Id,
    /// Entries read up to there, where known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<Id, Pending>,
    /// Entries without owner.
    released: usize,
    /// By index; holes are consumers that were removed.
    consumers: Vec<Option<Consumer>>,
    /// Indices in order of the names.
    by_name: Vec<u32>,
    /// Pending entries by time of delivery, once somebody asked for it.
    by_time: Option<BTreeSet<(i64, Id)>>,
}

impl Group {
    /// A group that has read up to `last_id`.
    pub fn new(last_id: Id, entries_read: Option<u64>) -> Self {
        Self { last_id, entries_read, ..Self::default() }
    }

    // --- consumers ----------------------------------------------------------------------------------------------

    /// The consumers in order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.by_name.iter().map(|index| self.at(*index))
    }

    /// The consumer of this name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        self.place_of(name).ok().map(|place| ConsumerId(self.by_name[place]))
    }

    /// A consumer.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.at(id.0)
    }

    /// A consumer, for noting times.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.at_mut(id.0)
    }

    /// Makes a consumer, or finds the one of that name; whether it is new.
    pub fn find_or_create(&mut self, name: &[u8], now_ms: i64) -> (ConsumerId, bool) {
        let place = match self.place_of(name) {
            Ok(place) => return (ConsumerId(self.by_name[place]), false),
            Err(place) => place,
        };
        let consumer = Consumer { name: name.into(), seen_time: now_ms, active_time: -1, pending: BTreeSet::new() };
        // Holes are looked for only where there is one.
        let has_hole = self.by_name.len() < self.consumers.len();
        let hole = if has_hole { self.consumers.iter().position(Option::is_none) } else { None };
        let index = hole.unwrap_or(self.consumers.len());
        match hole {
            Some(hole) => self.consumers[hole] = Some(consumer),
            None => self.consumers.push(Some(consumer)),
        }
        let index = u32::try_from(index).expect("fewer consumers than fit in memory");
        self.by_name.insert(place, index);
        (ConsumerId(index), true)
    }

    /// Removes a consumer with its pending entries; how many those were.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let index = self.by_name.remove(self.place_of(name).ok()?);
        let consumer = self.consumers[index as usize].take().expect("named consumers exist");
        for id in &consumer.pending {
            self.forget(*id);
        }
        Some(consumer.pending.len())
    }

    // --- pending entries ----------------------------------------------------------------------------------------

    /// Number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Number of entries without owner.
    pub fn released_len(&self) -> usize {
        self.released
    }

    /// A pending entry.
    pub fn pending(&self, id: Id) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Pending entries between two ids, both included.
    pub fn pending_range(&self, from: Id, to: Id) -> impl DoubleEndedIterator<Item = (Id, &Pending)> {
        // An empty range may not be asked for.
        let range = if from <= to { from..=to } else { Id::MIN..=Id::MIN };
        let empty = from > to;
        self.pending.range(range).filter(move |_| !empty).map(|(id, pending)| (*id, pending))
    }

    /// Name of an entry's owner, empty when it has none.
    pub fn owner_name(&self, pending: &Pending) -> &[u8] {
        pending.owner().map_or(b"", |owner| self.consumer(owner).name())
    }

    /// Makes an entry pending for a consumer, whoever had it before.
    pub fn deliver(&mut self, id: Id, to: ConsumerId, delivery_time: i64, delivery_count: i64) {
        self.put(id, Pending { delivery_time, delivery_count, owner: to.0 });
    }

    /// Takes an entry from its owner, for anyone to claim.
    pub fn release(&mut self, id: Id, delivery_count: i64) {
        self.put(id, Pending { delivery_time: 0, delivery_count, owner: NOBODY });
    }

    /// Puts back an entry that was saved, without an owner so far.
    pub(super) fn restore_pending(&mut self, id: Id, delivery_time: i64, delivery_count: i64) {
        self.put(id, Pending { delivery_time, delivery_count, owner: NOBODY });
    }

    /// Takes an entry off the list; `false` when it was not on it.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let Some(owner) = self.forget(id) else { return false };
        if owner != NOBODY {
            self.at_mut(owner).pending.remove(&id);
        }
        true
    }

    /// Up to `most` pending entries that were delivered at `until` or before, the oldest first.
    pub fn delivered_until(&mut self, until: i64, most: usize) -> Vec<Id> {
        let all = &self.pending;
        let by_time = self.by_time.get_or_insert_with(|| all.iter().map(|(id, p)| (p.delivery_time, *id)).collect());
        by_time.iter().take_while(|(time, _)| *time <= until).take(most).map(|(_, id)| *id).collect()
    }

    /// Heap bytes, nearly: trees count as if two thirds full.
    pub fn memory_bytes(&self) -> usize {
        let tree = |len: usize, item: usize| len * item * 3 / 2;
        let by_time = self.by_time.as_ref().map_or(0, BTreeSet::len);
        let consumers =
            self.consumers().map(|consumer| consumer.name.len() + tree(consumer.pending.len(), size_of::<Id>()));
        tree(self.pending.len(), size_of::<(Id, Pending)>())
            + tree(by_time, size_of::<(i64, Id)>())
            + self.consumers.capacity() * size_of::<Option<Consumer>>()
            + self.by_name.capacity() * size_of::<u32>()
            + consumers.sum::<usize>()
    }

    /// Asserts what the module promises. Cost: O(n); for tests and after loading.
    pub fn check(&self) {
        let mut owned = 0;
        for index in &self.by_name {
            for id in &self.at(*index).pending {
                assert_eq!(self.pending.get(id).map(|pending| pending.owner), Some(*index), "owner of {id:?}");
                owned += 1;
            }
        }
        assert_eq!(owned + self.released, self.pending.len(), "every pending entry has an owner or was released");
        assert!(self.by_name.windows(2).all(|two| self.at(two[0]).name < self.at(two[1]).name), "names ascend");
        assert_eq!(self.by_name.len(), self.consumers.iter().flatten().count(), "consumers have one name each");
        if let Some(by_time) = &self.by_time {
            let times: BTreeSet<_> = self.pending.iter().map(|(id, pending)| (pending.delivery_time, *id)).collect();
            assert_eq!(*by_time, times, "the index by time");
        }
    }

    fn put(&mut self, id: Id, new: Pending) {
        let old = self.pending.insert(id, new);
        let old_owner = old.map_or(NOBODY, |old| old.owner);
        if let Some(by_time) = &mut self.by_time {
            if let Some(old) = old {
                by_time.remove(&(old.delivery_time, id));
            }
            by_time.insert((new.delivery_time, id));
        }
        let was_released = old.is_some() && old_owner == NOBODY;
        self.released = self.released + usize::from(new.owner == NOBODY) - usize::from(was_released);
        if old_owner != new.owner {
            if old_owner != NOBODY {
                self.at_mut(old_owner).pending.remove(&id);
            }
            if new.owner != NOBODY {
                self.at_mut(new.owner).pending.insert(id);
            }
        }
    }

    /// Takes an entry off all lists but its owner's; who that is.
    fn forget(&mut self, id: Id) -> Option<u32> {
        let old = self.pending.remove(&id)?;
        if let Some(by_time) = &mut self.by_time {
            by_time.remove(&(old.delivery_time, id));
        }
        self.released -= usize::from(old.owner == NOBODY);
        Some(old.owner)
    }

    fn at(&self, index: u32) -> &Consumer {
        self.consumers[index as usize].as_ref().expect("ids are of consumers that exist")
    }

    fn at_mut(&mut self, index: u32) -> &mut Consumer {
        self.consumers[index as usize].as_mut().expect("ids are of consumers that exist")
    }

    /// Where a name stands in the order of names, or would.
    fn place_of(&self, name: &[u8]) -> Result<usize, usize> {
        self.by_name.binary_search_by(|index| (*self.at(*index).name).cmp(name))
    }
}
