//! How far a group is: entries it has read, and entries it has yet to read.
//!
//! Streams count entries added; a group counts entries read as long as nothing was deleted from the middle of what it
//! has yet to read. Where that is not known, the counter of an id can sometimes be told from the ends of the stream.

use super::group::Group;
use super::id::Id;
use super::log::Log;

impl Log {
    /// Whether something was deleted from what follows `from`.
    fn has_gaps_from(&self, from: Id) -> bool {
        let deleted = self.max_deleted_id;
        self.len > 0 && deleted != Id::MIN && self.first_id <= deleted && from <= deleted
    }

    /// How many entries were ever added up to and with `id`, where that can be told.
    pub fn entries_up_to(&self, id: Id) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != Id::MIN && id < self.max_deleted_id {
            return None;
        }
        match id.cmp(&self.last_id) {
            std::cmp::Ordering::Equal => return Some(self.entries_added),
            std::cmp::Ordering::Greater => return None,
            std::cmp::Ordering::Less => {}
        }
        if self.max_deleted_id == Id::MIN || self.max_deleted_id < self.first_id {
            let before_first = self.entries_added.saturating_sub(self.len);
            match id.cmp(&self.first_id) {
                std::cmp::Ordering::Less => return Some(before_first),
                std::cmp::Ordering::Equal => return Some(before_first + 1),
                std::cmp::Ordering::Greater => {}
            }
        }
        None
    }
}

impl Group {
    /// Notes that the entry `id` was delivered; whether the group moved on.
    pub fn advance(&mut self, log: &Log, id: Id) -> bool {
        if id <= self.last_id {
            return false;
        }
        let countable = self.last_id >= log.first_id && !log.has_gaps_from(self.last_id);
        match self.entries_read {
            Some(read) if countable => self.entries_read = Some(read.saturating_add(1)),
            _ if log.entries_added > 0 => self.entries_read = log.entries_up_to(id),
            _ => {}
        }
        self.last_id = id;
        true
    }

    /// Entries the group has yet to read, where that can be told.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        let left = |read: u64| (log.entries_added as i64).wrapping_sub(read as i64);
        if log.entries_added == 0 || log.len == 0 {
            return Some(0);
        }
        if self.last_id < log.first_id && log.max_deleted_id < log.first_id {
            return Some(log.len as i64);
        }
        match self.entries_read {
            Some(read) if !log.has_gaps_from(self.last_id) => Some(left(read)),
            _ => log.entries_up_to(self.last_id).map(left),
        }
    }
}
