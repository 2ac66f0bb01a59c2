//! Trimming: entries leave from the front.
//!
//! Approximately means whole blocks, which costs nothing per entry; exactly marks entries in the last block it touches.
//! Where a group still waits for an entry (ACKED) entries are looked at one by one, and those that must stay are passed
//! over.

use super::Stream;
use super::id::Id;
use super::log::Log;

/// What an entry's references in groups mean for its removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They stay when the entry goes.
    #[default]
    Keep,
    /// They go with the entry.
    Delete,
    /// The entry stays while a group has not read and acknowledged it.
    Acknowledged,
}

/// Which entries are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Those before the last so many.
    MaxLen(u64),
    /// Those before this id.
    MinId(Id),
}

/// What to trim.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// Which entries go.
    pub threshold: Threshold,
    /// Only what is cheap to remove.
    pub approximate: bool,
    /// Most entries to remove, 0 for any number. Only with `approximate`.
    pub limit: u64,
    /// What happens to references.
    pub references: References,
}

/// What was trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Number of entries.
    pub count: u64,
    /// The last of them.
    pub last: Id,
}

impl Stream {
    /// Removes entries from the front. Cost: O(number of entries removed), less for whole blocks.
    pub fn trim(&mut self, trim: &Trim) -> Trimmed {
        match trim.references {
            References::Acknowledged if !self.groups.is_empty() => self.trim_acknowledged(trim),
            References::Delete if !self.groups.is_empty() => {
                let mut removed = Vec::new();
                let trimmed = self.log.trim(trim, &mut |id| removed.push(id));
                for id in removed {
                    self.drop_references(id);
                }
                trimmed
            }
            _ => self.log.trim(trim, &mut |_| ()),
        }
    }

    /// Removes entries that no group waits for, oldest first.
    fn trim_acknowledged(&mut self, trim: &Trim) -> Trimmed {
        let to = match trim.threshold {
            Threshold::MaxLen(_) => Some(Id::MAX),
            Threshold::MinId(id) => id.previous(),
        };
        let Some(to) = to else { return Trimmed::default() };
        let most = match trim.threshold {
            Threshold::MaxLen(len) => self.log.len().saturating_sub(len),
            Threshold::MinId(_) => u64::MAX,
        };
        let most = if trim.limit == 0 { most } else { most.min(trim.limit) };
        let range = self.log.range(Id::MIN, to);
        let removable = range.map(|entry| entry.id).filter(|id| !self.is_referenced(*id));
        let ids: Vec<Id> = removable.take(usize::try_from(most).unwrap_or(usize::MAX)).collect();
        for id in &ids {
            self.log.remove(*id);
        }
        self.log.find_first();
        Trimmed { count: ids.len() as u64, last: ids.last().copied().unwrap_or_default() }
    }

    /// Whether a group has not read and acknowledged what has this id.
    pub fn is_referenced(&self, id: Id) -> bool {
        self.groups.values().any(|group| id > group.last_id || group.pending(id).is_some())
    }

    /// Takes an id out of all lists of pending entries; whether it was in one.
    pub fn drop_references(&mut self, id: Id) -> bool {
        let mut found = false;
        for group in self.groups.values_mut() {
            found |= group.acknowledge(id);
        }
        found
    }
}

impl Log {
    /// Removes entries from the front; `removed` hears of each.
    fn trim(&mut self, trim: &Trim, removed: &mut dyn FnMut(Id)) -> Trimmed {
        let mut trimmed = Trimmed::default();
        while let Some(block) = self.blocks.front() {
            let live = u64::from(block.live);
            let (done, whole) = match trim.threshold {
                Threshold::MaxLen(len) => (self.len <= len, self.len - live >= len),
                Threshold::MinId(id) => (block.first >= id, block.last_id() < id),
            };
            if done || (trim.limit > 0 && trimmed.count + live > trim.limit) {
                break;
            }
            if whole {
                for entry in block.entries().filter(|entry| !entry.is_deleted()) {
                    removed(entry.id);
                    trimmed.last = entry.id;
                }
                self.blocks.pop_front();
                self.len -= live;
                trimmed.count += live;
                continue;
            }
            if !trim.approximate {
                self.trim_front_block(trim.threshold, &mut trimmed, removed);
            }
            break;
        }
        if trimmed.count > 0 {
            self.find_first();
        }
        trimmed
    }

    /// Marks entries of the first block, which does not go as a whole.
    fn trim_front_block(&mut self, threshold: Threshold, trimmed: &mut Trimmed, removed: &mut dyn FnMut(Id)) {
        let block = self.blocks.front_mut().expect("the caller saw it");
        let most = match threshold {
            Threshold::MaxLen(len) => self.len - len,
            Threshold::MinId(_) => u64::MAX,
        };
        let entries = block.entries().filter(|entry| !entry.is_deleted());
        let before = entries.take_while(|entry| match threshold {
            Threshold::MaxLen(_) => true,
            Threshold::MinId(id) => entry.id < id,
        });
        let places: Vec<_> =
            before.take(usize::try_from(most).unwrap_or(usize::MAX)).map(|entry| (entry.id, entry.place())).collect();
        let Some((last, _)) = places.last() else { return };
        trimmed.last = *last;
        trimmed.count += places.len() as u64;
        self.len -= places.len() as u64;
        for (id, _) in &places {
            removed(*id);
        }
        if places.len() == block.live as usize {
            // All that lived were before the threshold; only deleted ones are behind it.
            self.blocks.pop_front();
        } else {
            places.into_iter().for_each(|(_, (place, flags))| block.delete(place, flags));
        }
    }
}
