//! Cursors of FT.AGGREGATE: the rows of an answer that were not read yet.
//!
//! An answer is worked out whole, at one moment; a cursor keeps what of it is left. It goes when it was not read for as
//! long as was said, with its index, or when nothing is left in it.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::error::CommandError;

/// A row: names and values as they are shown, already in the client's protocol.
pub(crate) type Row = Vec<(Vec<u8>, quiver_query::Value)>;

/// Rows left of an answer.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) index: Box<[u8]>,
    pub(crate) rows: VecDeque<Row>,
    /// Rows a read gives unless it says otherwise.
    pub(crate) count: usize,
    pub(crate) max_idle_ms: i64,
    pub(crate) used_ms: i64,
    /// Matches of the query.
    pub(crate) total: usize,
}

/// Open cursors by number.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<BTreeMap<u64, Cursor>>);

/// Most cursors of one index.
const PER_INDEX_MAX: usize = 128;

impl Cursors {
    /// Keeps a cursor under this number, or the next free one.
    pub(crate) fn open(&self, number: u64, cursor: Cursor) -> Result<u64, CommandError> {
        let mut open = self.0.lock();
        let now_ms = cursor.used_ms;
        open.retain(|_, known| now_ms - known.used_ms <= known.max_idle_ms);
        if open.values().filter(|known| known.index == cursor.index).count() >= PER_INDEX_MAX {
            return Err(CommandError::text("Too many cursors allocated for index"));
        }
        // Clients read it as a signed number, and 0 means that there is none.
        let mut number = (number & (i64::MAX as u64)).max(1);
        while open.contains_key(&number) {
            number = number % (i64::MAX as u64) + 1;
        }
        open.insert(number, cursor);
        Ok(number)
    }

    /// Takes a cursor out to read it; `None` when there is none.
    pub(crate) fn take(&self, number: u64, now_ms: i64) -> Option<Cursor> {
        let mut open = self.0.lock();
        open.retain(|_, known| now_ms - known.used_ms <= known.max_idle_ms);
        open.remove(&number)
    }

    /// Puts one back that was taken.
    pub(crate) fn put_back(&self, number: u64, cursor: Cursor) {
        self.0.lock().insert(number, cursor);
    }

    /// Drops the cursors of an index.
    pub(crate) fn drop_of(&self, index: &[u8]) {
        self.0.lock().retain(|_, cursor| *cursor.index != *index);
    }

    /// Drops all.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// How many there are, of an index and at all.
    pub(crate) fn counts(&self, index: &[u8], now_ms: i64) -> (usize, usize) {
        let mut open = self.0.lock();
        open.retain(|_, known| now_ms - known.used_ms <= known.max_idle_ms);
        (open.values().filter(|cursor| *cursor.index == *index).count(), open.len())
    }

    /// Most that an index may have.
    pub(crate) fn capacity() -> usize {
        PER_INDEX_MAX
    }

    /// Drops those that were not read for too long; how many.
    pub(crate) fn collect(&self, now_ms: i64) -> usize {
        let mut open = self.0.lock();
        let before = open.len();
        open.retain(|_, known| now_ms - known.used_ms <= known.max_idle_ms);
        before - open.len()
    }
}
