//! Exclusive access to one entry of a table, and what a lookup, an insertion and a removal hand out.

use super::entry::{EntryRef, OwnedEntry};
use super::value::{Encoding, Outside, Value, ValueRef};
use super::{KeyHash, Position, Table};

/// The outcome of [`Table::entry`].
pub enum Lookup<'t, 'k, O, H> {
    /// The key is there.
    Found(EntryMut<'t, O, H>),
    /// The key is not there.
    Vacant(Vacant<'t, 'k, O, H>),
}

/// The place where a key that is not there would go.
pub struct Vacant<'t, 'k, O, H> {
    table: &'t mut Table<O, H>,
    hash: u64,
    key: &'k [u8],
}

impl<'t, 'k, O, H: KeyHash> Vacant<'t, 'k, O, H> {
    pub(super) fn new(table: &'t mut Table<O, H>, hash: u64, key: &'k [u8]) -> Self {
        Self { table, hash, key }
    }

    /// Stores a value under the key.
    ///
    /// # Panics
    /// When the key is longer than `u32::MAX` bytes.
    pub fn insert(self, value: Value<'_, O>, expire_at_ms: Option<i64>, access: u32) -> EntryMut<'t, O, H> {
        let entry = OwnedEntry::new(self.key, value, expire_at_ms, access);
        let at = self.table.insert(self.hash, entry);
        EntryMut::new(self.table, at)
    }
}

/// An entry for change. It may move to another allocation; the table follows.
pub struct EntryMut<'t, O, H> {
    table: &'t mut Table<O, H>,
    at: Position,
}

impl<'t, O, H: KeyHash> EntryMut<'t, O, H> {
    pub(super) fn new(table: &'t mut Table<O, H>, at: Position) -> Self {
        Self { table, at }
    }

    /// The entry as it stands, for everything that reads.
    pub fn get(&self) -> EntryRef<'_, O> {
        self.table.segments.get(self.at.bucket).slot(self.at.place).view().expect("positions point to entries")
    }

    /// The entry for as long as the table was borrowed.
    pub fn into_ref(self) -> EntryRef<'t, O> {
        self.table.segments.get(self.at.bucket).slot(self.at.place).view().expect("positions point to entries")
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.get().key()
    }

    /// The value.
    pub fn value(&self) -> ValueRef<'_, O> {
        self.get().value()
    }

    /// Unix time in milliseconds at which the entry expires, if it does.
    pub fn expire_at(&self) -> Option<i64> {
        self.get().expire_at()
    }

    /// Replaces value and expiry. Gives a replaced object back, so that it can be dropped elsewhere.
    pub fn replace(&mut self, value: Value<'_, O>, expire_at_ms: Option<i64>) -> Option<Box<O>> {
        self.table.replace(self.at, value, expire_at_ms, None)
    }

    /// Replaces the value and keeps the expiry. Gives a replaced object back.
    pub fn set_value(&mut self, value: Value<'_, O>) -> Option<Box<O>> {
        let expire_at_ms = self.expire_at();
        self.replace(value, expire_at_ms)
    }

    /// Sets or clears the expiry (Unix time in milliseconds).
    pub fn set_expire(&mut self, expire_at_ms: Option<i64>) {
        self.change(|entry| entry.set_expire(expire_at_ms));
    }

    /// The object, if the value is one. What it owns is not counted by the table.
    pub fn object_mut(&mut self) -> Option<&mut O> {
        self.table.segments.get_mut(self.at.bucket).slot_mut(self.at.place).object_mut()
    }

    /// The object for as long as the table was borrowed, if the value is one.
    pub fn into_object_mut(self) -> Option<&'t mut O> {
        self.table.segments.get_mut(self.at.bucket).slot_mut(self.at.place).object_mut()
    }

    /// Edits the value as bytes (an integer becomes its decimal form) and marks the entry edited. `None`, and no call,
    /// when the value is an object. Short values are copied out and in; prefer [`append`](Self::append) and
    /// [`write_at`](Self::write_at) where they do.
    pub fn edit_bytes<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let mut bytes = match self.value() {
            ValueRef::Object(_) => return None,
            ValueRef::Int(int) => int.to_string().into_bytes(),
            ValueRef::Bytes(_) if self.get().encoding() == Encoding::Heap => self.take_heap(),
            ValueRef::Bytes(bytes) => bytes.to_vec(),
        };
        let result = edit(&mut bytes);
        self.put_bytes(bytes);
        Some(result)
    }

    /// Appends to the value; its new length, or `None` when it is an object. Amortised O(`tail`) once the value has
    /// left the entry's own allocation.
    pub fn append(&mut self, tail: &[u8]) -> Option<usize> {
        if !self.change(|entry| entry.append(tail)) {
            self.edit_bytes(|bytes| bytes.extend_from_slice(tail))?;
        }
        match self.value() {
            ValueRef::Bytes(bytes) => Some(bytes.len()),
            ValueRef::Int(_) | ValueRef::Object(_) => None,
        }
    }

    /// Writes `data` over the value from `offset` on, filling a gap with zero bytes; the new length, or `None` when the
    /// value is an object. The caller bounds `offset`: the value becomes that long.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) -> Option<usize> {
        let end = offset + data.len();
        let overwritten = self.change(|entry| {
            let bytes = entry.bytes_mut()?;
            bytes.get_mut(offset..end)?.copy_from_slice(data);
            Some(bytes.len())
        });
        if overwritten.is_some() {
            return overwritten;
        }
        self.edit_bytes(|bytes| {
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset..end].copy_from_slice(data);
            bytes.len()
        })
    }

    /// Removes the entry.
    pub fn remove(self) -> Removed<O> {
        Removed(self.table.remove_at(self.at))
    }

    /// Takes the vector of a Heap entry and leaves it an empty one.
    fn take_heap(&mut self) -> Vec<u8> {
        match self.change(OwnedEntry::take_outside) {
            Some(Outside::Heap(bytes)) => bytes,
            Some(Outside::Object(_)) | None => Vec::new(),
        }
    }

    /// Stores edited bytes, keeping room for growth in those that stay outside the entry.
    fn put_bytes(&mut self, bytes: Vec<u8>) {
        let expire_at_ms = self.expire_at();
        self.change(|entry| {
            if entry.view().encoding() == Encoding::Heap && bytes.len() > super::INLINE_BYTES_MAX {
                entry.put_heap(bytes);
            } else {
                entry.replace(Value::Owned(bytes), expire_at_ms);
            }
            entry.mark_edited();
        });
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut OwnedEntry<O>) -> R) -> R {
        self.table.change(self.at, change)
    }
}

/// A removed entry, which owns its key and value. Large ones are worth dropping on another thread.
pub struct Removed<O>(OwnedEntry<O>);

/// A value taken out of a [`Removed`] entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Owned<O> {
    /// A 64-bit integer.
    Int(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A collection or other object.
    Object(Box<O>),
}

impl<O> Removed<O> {
    /// The entry, for everything that reads.
    pub fn get(&self) -> EntryRef<'_, O> {
        self.0.view()
    }

    /// The value by itself. Inline bytes are copied.
    pub fn into_value(mut self) -> Owned<O> {
        match self.0.view().value() {
            ValueRef::Int(int) => return Owned::Int(int),
            ValueRef::Bytes(bytes) if self.0.view().encoding() == Encoding::Inline => {
                return Owned::Bytes(bytes.to_vec());
            }
            ValueRef::Bytes(_) | ValueRef::Object(_) => {}
        }
        match self.0.take_outside().expect("heap bytes and objects are outside the entry") {
            Outside::Heap(bytes) => Owned::Bytes(bytes),
            Outside::Object(object) => Owned::Object(object),
        }
    }
}
