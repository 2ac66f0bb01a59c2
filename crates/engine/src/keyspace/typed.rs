//! Access to values by their type, and strings as text.

use quiver_structures::table::Lookup;
use quiver_structures::{Value, ValueRef};

use super::{Key, KeyEntryMut, Keyspace, table_in};
use crate::command::CommandResult;
use crate::error::CommandError;
use crate::notify::Class;
use crate::number::IntText;
use crate::object::{Collection, Object};

impl Keyspace<'_> {
    /// The string under a key.
    pub fn string(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>, CommandError> {
        self.get(key).map(|entry| Text::of(entry.value())).transpose()
    }

    /// The string under a key that a command is about to change: neither a hit nor a miss.
    pub fn peek_string(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>, CommandError> {
        self.peek(key).map(|entry| Text::of(entry.value())).transpose()
    }

    /// The collection of type `T` under a key, for reading.
    ///
    /// # Errors
    /// The key holds another type (as for the two below).
    pub fn value<T: Collection>(&mut self, key: Key<'_>) -> Result<Option<&T>, CommandError> {
        match self.get(key).map(|entry| entry.value()) {
            None => Ok(None),
            Some(ValueRef::Object(object)) => T::of(object).map(Some).ok_or(CommandError::WrongType),
            Some(_) => Err(CommandError::WrongType),
        }
    }

    /// The collection of type `T` under a key that this turn has looked up with [`Keyspace::value`], for commands that
    /// read several at once. Counts nothing and deletes nothing; `None` also for another type.
    pub fn seen<T: Collection>(&self, key: &Key<'_>) -> Option<&T> {
        let entry = self.table(key)?.get(key.hash, key.name)?;
        match entry.value() {
            ValueRef::Object(object) if !self.is_over(&entry) => T::of(object),
            _ => None,
        }
    }

    /// The collection under a key, for changing. Call [`Keyspace::changed`] when something did change.
    pub fn value_mut<T: Collection>(&mut self, key: Key<'_>) -> Result<Option<&mut T>, CommandError> {
        match self.get_mut(key).map(KeyEntryMut::into_object_mut) {
            None => Ok(None),
            Some(object) => object.and_then(T::of_mut).map(Some).ok_or(CommandError::WrongType),
        }
    }

    /// The collection under a key, for changing, made anew when there is none. The handler must leave it non-empty or
    /// delete the key.
    pub fn value_or_new<T: Collection + Default>(&mut self, key: Key<'_>) -> Result<&mut T, CommandError> {
        if self.expired(&key) {
            // Only a replica still has it: what is written there anew must not meet the old content.
            self.delete_quiet(&key);
        }
        if self.notify_classes.any(Class::NEW) && self.peek(key).is_none() {
            self.notify(Class::NEW, "new", key.name);
        }
        let object = match table_in(&mut self.shards, self.db, &key).entry(key.hash, key.name) {
            Lookup::Found(entry) => {
                self.stamps.touch(&entry.get());
                entry.into_object_mut()
            }
            Lookup::Vacant(vacant) => {
                let new = Value::Object(Box::new(T::default().into_object()));
                vacant.insert(new, None, self.stamps.fresh()).into_object_mut()
            }
        };
        object.and_then(T::of_mut).ok_or(CommandError::WrongType)
    }

    /// Deletes the key when the object in it became empty; call after taking elements out. Whether it did.
    pub fn delete_if_empty(&mut self, key: Key<'_>) -> bool {
        let empty = matches!(self.peek(key).map(|e| e.value()), Some(ValueRef::Object(object)) if object.is_empty());
        empty && self.delete_quiet(&key)
    }
}

/// A string value as its bytes: integers are spelled out on the stack.
#[derive(Debug)]
pub enum Text<'e> {
    /// Stored as an integer.
    Int(i64, IntText),
    /// Stored as bytes.
    Bytes(&'e [u8]),
}

impl<'e> Text<'e> {
    /// The text of a value.
    pub fn of(value: ValueRef<'e, Object>) -> Result<Self, CommandError> {
        match value {
            ValueRef::Int(number) => Ok(Self::Int(number, IntText::new(number))),
            ValueRef::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            ValueRef::Object(_) => Err(CommandError::WrongType),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Int(_, text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The value a string is stored as: an integer where it is the canonical text of one.
pub fn string_value(bytes: &[u8]) -> Value<'_, Object> {
    match crate::number::parse_i64(bytes) {
        Some(number) if bytes.len() <= 20 => Value::Int(number),
        _ => Value::Bytes(bytes),
    }
}

/// Refuses a value that is no string.
pub fn expect_string(value: &ValueRef<'_, Object>) -> CommandResult {
    if matches!(value, ValueRef::Object(_)) { Err(CommandError::WrongType) } else { Ok(()) }
}
