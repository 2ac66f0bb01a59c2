//! Long values of one bucket, written part by part with the lock given back in between.
//!
//! The bucket counts as done when this is made. A writer that changes it meanwhile must have the rest written first
//! ([`Parts::finish`]), so what the parts are of never changes under them. The rest is kept here and not with the other
//! copies: it has to follow what is out already.

use quiver_rdb::Writer;
use quiver_structures::ValueRef;

use super::{Cut, select};
use crate::codec;
use crate::keyspace::{KeyHasher, KeyTable};
use crate::object::Object;

/// Elements from which on a value is long: serialising them takes half a millisecond or so.
const LONG_ELEMENTS: usize = 4096;

/// Elements from which on a writer rather waits than serialises them: several milliseconds.
const WAIT_ELEMENTS: usize = 32 * 1024;

/// Bytes of a string from which on the writer rather waits; copying is all that is done to it.
const WAIT_BYTES: usize = 16 << 20;

/// Whether a value is written in parts.
pub(super) fn is_long(value: &ValueRef<'_, Object>) -> bool {
    match value {
        ValueRef::Int(_) => false,
        ValueRef::Bytes(bytes) => bytes.len() > codec::LONG_STRING_BYTES,
        ValueRef::Object(object) => object.len() > LONG_ELEMENTS,
    }
}

/// Whether a writer that wants to change the bucket had better wait.
pub(super) fn is_worth_waiting_for(value: &ValueRef<'_, Object>) -> bool {
    match value {
        ValueRef::Int(_) => false,
        ValueRef::Bytes(bytes) => bytes.len() > WAIT_BYTES,
        ValueRef::Object(object) => object.len() > WAIT_ELEMENTS,
    }
}

/// See the module.
pub(super) struct Parts {
    db: usize,
    bucket: usize,
    /// Keys of the values, the last one first.
    keys: Vec<Box<[u8]>>,
    /// How far the value of the last key is out; `None` before its key is.
    at: Option<usize>,
    /// What is left, serialised by a writer; there are no keys then.
    rest: Vec<u8>,
}

impl Parts {
    pub(super) fn new(db: usize, bucket: usize, keys: Vec<Box<[u8]>>) -> Self {
        Self { db, bucket, keys, at: None, rest: Vec::new() }
    }

    /// Whether the values are those of a bucket.
    pub(super) fn is_of(&self, bucket: usize) -> bool {
        self.bucket == bucket
    }

    /// Whether everything is serialised, so that the bucket may change.
    pub(super) fn is_finished(&self) -> bool {
        self.keys.is_empty()
    }

    /// Appends more, until `out` has about `room` bytes; `true` when all is out.
    pub(super) fn advance(&mut self, cut: &Cut, table: &KeyTable, out: &mut Vec<u8>, room: usize) -> bool {
        while out.len() < room && self.write(cut, table, out, room) {}
        if self.keys.is_empty() && out.is_empty() {
            std::mem::swap(out, &mut self.rest);
        } else if self.keys.is_empty() {
            out.append(&mut self.rest);
        }
        self.keys.is_empty()
    }

    /// Serialises what is left, for a writer that is about to change the bucket.
    pub(super) fn finish(&mut self, cut: &Cut, table: &KeyTable) {
        let mut rest = std::mem::take(&mut self.rest);
        while self.write(cut, table, &mut rest, usize::MAX) {}
        self.rest = rest;
    }

    /// Appends a part of the value whose turn it is; `false` when there is none left.
    fn write(&mut self, cut: &Cut, table: &KeyTable, out: &mut Vec<u8>, room: usize) -> bool {
        let Some(key) = self.keys.last() else { return false };
        let entry = table.get(KeyHasher.hash(key), key).expect("what is written in parts does not change meanwhile");
        let mut writer = Writer::new(out);
        writer.set_compress(cut.options.compress);
        let mut at = self.at.unwrap_or_else(|| {
            select(&mut writer, self.db);
            codec::begin_entry(&mut writer, &entry, cut.hints);
            0
        });
        let whole = codec::write_part(&mut writer, &entry.value(), &mut at, room);
        self.at = (!whole).then_some(at);
        if whole {
            self.keys.pop();
        }
        true
    }
}
