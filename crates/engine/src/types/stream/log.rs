//! The entries of a stream: blocks in order of their ids, and the counters from which groups tell how far they are.
//!
//! A block is closed when the next entry would exceed the configured size. Finding an id is a binary search among the
//! blocks and a walk through one. Blocks leave from the front (trimming) and when their last entry is deleted.
//!
//! Invariants: ids ascend; `len` counts the entries that live; `first_id` is the first of them, zero when there is none;
//! `last_id` is at least the last of them.

use std::collections::VecDeque;

use quiver_structures::listpack::LISTPACK_BYTES_MAX;

use super::block::{Block, Entries, EntriesBack, Entry};
use super::id::{Id, Wanted};

/// Most bytes of a block, and so of an entry with what is stored beside its fields and values.
const BYTES_MAX: usize = LISTPACK_BYTES_MAX;

/// Most bytes that an element takes beyond its data.
pub(super) const OVERHEAD_BYTES: usize = 10;

/// Elements of an entry, or of a new block, beside the fields and values.
pub(super) const OTHER_ELEMENTS: usize = 10;

/// Bytes that a block is given at once when the stream already has another one: it will likely fill, too.
const RESERVED_BYTES_MAX: usize = 4096;

/// When a block is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries, deleted ones included (`stream-node-max-entries`); 0 for no limit.
    pub entries: usize,
    /// Bytes (`stream-node-max-bytes`); 0 for no limit.
    pub bytes: usize,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The stream has reached the last id there is.
    Exhausted,
    /// The id is not greater than the last one.
    NotGreater,
}

/// The entries.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub(super) blocks: VecDeque<Block>,
    pub(super) len: u64,
    pub(super) last_id: Id,
    pub(super) first_id: Id,
    pub(super) max_deleted_id: Id,
    pub(super) entries_added: u64,
}

impl Log {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The greatest id ever given.
    pub fn last_id(&self) -> Id {
        self.last_id
    }

    /// The first entry's id, zero without entries.
    pub fn first_id(&self) -> Id {
        self.first_id
    }

    /// The greatest id ever deleted.
    pub fn max_deleted_id(&self) -> Id {
        self.max_deleted_id
    }

    /// Entries ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// First ids of the blocks, in order.
    pub fn block_ids(&self) -> impl Iterator<Item = Id> {
        self.blocks.iter().map(|block| block.first)
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Block::memory_bytes).sum();
        blocks + self.blocks.capacity() * size_of::<Block>()
    }

    /// Whether an entry of these fields and values can be stored at all.
    pub fn can_hold(words: &[&[u8]]) -> bool {
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        bytes + (words.len() + OTHER_ELEMENTS) * OVERHEAD_BYTES < BYTES_MAX
    }

    /// The id a new entry gets.
    ///
    /// # Errors
    /// No greater id exists, or the one that is asked for is not greater.
    pub fn next_id(&self, wanted: Wanted, now_ms: i64) -> Result<Id, Refusal> {
        if self.last_id == Id::MAX {
            return Err(Refusal::Exhausted);
        }
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        let id = match wanted {
            Wanted::Auto if now_ms > self.last_id.ms => Id { ms: now_ms, seq: 0 },
            Wanted::Auto => self.last_id.next().ok_or(Refusal::Exhausted)?,
            Wanted::Within(ms) if ms == self.last_id.ms => {
                Id { ms, seq: self.last_id.seq.checked_add(1).ok_or(Refusal::NotGreater)? }
            }
            Wanted::Within(ms) => Id { ms, seq: 0 },
            Wanted::Exact(id) => id,
        };
        if id > self.last_id { Ok(id) } else { Err(Refusal::NotGreater) }
    }

    /// Adds an entry that [`Self::can_hold`] takes with an id of [`Self::next_id`]; `words` are fields and values in turn. Cost: O(its size).
    pub fn append(&mut self, id: Id, words: &[&[u8]], limits: Limits) {
        debug_assert!(id > self.last_id, "ids ascend");
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        match self.blocks.back_mut() {
            Some(block) if has_room(block, bytes, words.len(), limits) => block.push(id, words),
            full => {
                let is_first = full.is_none();
                if let Some(block) = full {
                    block.shrink();
                }
                self.push_block(id, words, is_first, limits);
            }
        }
        self.len += 1;
        self.entries_added += 1;
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
    }

    fn push_block(&mut self, id: Id, words: &[&[u8]], is_first: bool, limits: Limits) {
        let mut block = Block::new(id, words);
        if is_first {
            self.blocks.reserve_exact(1);
        } else {
            // The size that the first entry suggests, so that a block of few entries does not hold what many would need.
            let expected = block.len_bytes().saturating_mul(limits.entries.max(1));
            block.reserve(expected.min(bytes_limit(limits)).min(RESERVED_BYTES_MAX));
        }
        self.blocks.push_back(block);
    }

    /// The entry with this id. Cost: O(log blocks + entries of a block).
    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        let block = &self.blocks[self.block_of(id)?];
        find(block, id)
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: Id) -> bool {
        // Most questions are about the newest entries or those that were trimmed.
        id >= self.first_id && id <= self.last_id && self.get(id).is_some()
    }

    /// Deletes an entry; `false` when there is none. Remembers the id, as XDEL does.
    pub fn delete(&mut self, id: Id) -> bool {
        if !self.remove(id) {
            return false;
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        self.find_first_if(id);
        true
    }

    /// Takes an entry out without a trace in the counters, as trimming does; [`Self::find_first_if`] is the caller's.
    pub(super) fn remove(&mut self, id: Id) -> bool {
        let Some(index) = self.block_of(id) else { return false };
        let Some((place, flags)) = find(&self.blocks[index], id).map(|entry| entry.place()) else { return false };
        let block = &mut self.blocks[index];
        if block.live == 1 {
            self.blocks.remove(index);
        } else {
            block.delete(place, flags);
        }
        self.len -= 1;
        true
    }

    /// Finds the first entry anew if it was `removed` or there is none.
    pub(super) fn find_first_if(&mut self, removed: Id) {
        if self.len == 0 || removed == self.first_id {
            self.find_first();
        }
    }

    /// Finds the first entry anew.
    pub(super) fn find_first(&mut self) {
        let first = self.blocks.front().and_then(|block| block.entries().find(|entry| !entry.is_deleted()));
        self.first_id = first.map_or(Id::MIN, |entry| entry.id);
    }

    /// The last entry's id, zero without entries. Unlike [`Self::last_id`] it goes back when entries are deleted.
    pub fn last_entry_id(&self) -> Id {
        self.range_back(Id::MIN, Id::MAX).next().map_or(Id::MIN, |entry| entry.id)
    }

    /// Sets what XSETID may: the last id, and where given the entries ever added and the greatest deleted id.
    pub fn set_counters(&mut self, last_id: Id, entries_added: Option<u64>, max_deleted_id: Option<Id>) {
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }

    /// The entries between two ids, both included, in order.
    pub fn range(&self, from: Id, to: Id) -> Range<'_> {
        let next_block = self.block_at(from);
        Range { log: self, next_block, entries: None, from, to }
    }

    /// The entries between two ids, both included, from the last to the first.
    pub fn range_back(&self, from: Id, to: Id) -> RangeBack<'_> {
        let blocks_left = self.blocks.partition_point(|block| block.first <= to);
        RangeBack { log: self, blocks_left, entries: None, from, to }
    }

    /// The block an id would be in; `None` before all of them.
    fn block_of(&self, id: Id) -> Option<usize> {
        self.blocks.partition_point(|block| block.first <= id).checked_sub(1)
    }

    /// The block a walk from an id on begins with.
    fn block_at(&self, id: Id) -> usize {
        self.block_of(id).unwrap_or(0)
    }
}

fn find(block: &Block, id: Id) -> Option<Entry<'_>> {
    block.entries().take_while(|entry| entry.id <= id).find(|entry| entry.id == id && !entry.is_deleted())
}

fn bytes_limit(limits: Limits) -> usize {
    if limits.bytes == 0 { BYTES_MAX } else { limits.bytes.min(BYTES_MAX) }
}

fn has_room(block: &Block, bytes: usize, words: usize, limits: Limits) -> bool {
    let entries = block.live as usize + block.deleted as usize;
    block.len_bytes() + bytes < bytes_limit(limits)
        && (limits.entries == 0 || entries < limits.entries)
        && block.has_room_for(bytes, words)
        && entries < u32::MAX as usize
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    log: &'a Log,
    next_block: usize,
    entries: Option<Entries<'a>>,
    from: Id,
    to: Id,
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(entries) = &mut self.entries {
                for entry in entries.by_ref() {
                    if entry.id > self.to {
                        return None;
                    }
                    if entry.id >= self.from && !entry.is_deleted() {
                        return Some(entry);
                    }
                }
            }
            let block = self.log.blocks.get(self.next_block).filter(|block| block.first <= self.to)?;
            self.entries = Some(block.entries());
            self.next_block += 1;
        }
    }
}

/// Entries from the last to the first.
#[derive(Clone, Debug)]
pub struct RangeBack<'a> {
    log: &'a Log,
    blocks_left: usize,
    entries: Option<EntriesBack<'a>>,
    from: Id,
    to: Id,
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(entries) = &mut self.entries {
                for entry in entries.by_ref() {
                    if entry.id < self.from {
                        return None;
                    }
                    if entry.id <= self.to && !entry.is_deleted() {
                        return Some(entry);
                    }
                }
            }
            self.blocks_left = self.blocks_left.checked_sub(1)?;
            self.entries = Some(self.log.blocks[self.blocks_left].entries_back());
        }
    }
}
