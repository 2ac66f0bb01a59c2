//! Hash: a map from field to value, both byte strings.
//!
//! Two encodings, named as Redis names them. A small hash is a *listpack* (field, value, field, value, ...), one
//! allocation that is searched from its start; past the configured number of fields or length of a string it becomes a
//! *hashtable*, the keyspace's own entry table with one allocation per pair, and stays one. Values that are canonical
//! integers are kept as integers in both.
//!
//! Invariants: fields are distinct; a listpack holds an even number of elements. A hash may be empty only while a
//! command works on it. Not here: expiry of single fields (the table's entries have room for one already), the rule that
//! an empty hash's key goes.

pub(super) mod old_encodings;
mod random;
mod rdb;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use quiver_rdb::{Reader, Writer};
use quiver_structures::listpack::{Item, ListPack};
use quiver_structures::table::Stored;
use quiver_structures::{Table, Value, ValueRef};
use smallvec::SmallVec;

use crate::codec;
use crate::digest::Digest;
use crate::keyspace::KeyHasher;
use crate::number::{IntText, parse_i64};
use crate::object::{Collection, Object, in_object};

/// Most that is kept as a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields (`hash-max-listpack-entries`).
    pub entries: usize,
    /// Bytes of a field or a value (`hash-max-listpack-value`).
    pub value_bytes: usize,
}

/// Field-value map.
pub struct Hash(Content);

enum Content {
    Small(ListPack),
    /// Boxed: the table's fixed part is several times the size of a listpack's.
    Large(Box<Fields>),
}

type Fields = Table<Infallible, KeyHasher>;

/// Most pairs that are put into a new hash at once: their fields are compared with each other.
const FILL_MAX: usize = 16;

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty hash, for a command that is about to fill it.
    pub fn new() -> Self {
        Self(Content::Small(ListPack::new()))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.len() / 2,
            Content::Large(table) => table.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Content::Small(list) => list.is_empty(),
            Content::Large(table) => table.is_empty(),
        }
    }

    /// The name OBJECT ENCODING prints.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Content::Small(_) => "listpack",
            Content::Large(_) => "hashtable",
        }
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.allocation_bytes(),
            Content::Large(table) => size_of::<Fields>() + table.memory_bytes(),
        }
    }

    /// The value of a field. Cost: O(1) in a hashtable, else O(n).
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<Item<'_>> {
        match &self.0 {
            Content::Small(list) => {
                let value = list.next(list.find(field, 2)?).expect("a field has a value behind it");
                Some(list.item(value))
            }
            Content::Large(table) => Some(item_of(table.get(KeyHasher.hash(field), field)?.value())),
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Stores a value; `true` when the field is new. Changes the encoding when `limits` say so.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: Limits) -> bool {
        if let Content::Small(list) = &mut self.0
            && fits(list, field, value, limits)
        {
            let is_new = set_in_list(list, field, value);
            if is_new && list.len() / 2 > limits.entries {
                self.make_large();
            }
            return is_new;
        }
        self.make_large().set_field(field, value)
    }

    /// Stores pairs in order; how many fields are new. More pairs than a listpack may hold make a hashtable even if they
    /// repeat fields, as in Redis.
    pub fn set_all(&mut self, pairs: &[(&[u8], &[u8])], limits: Limits) -> usize {
        if pairs.len() > limits.entries {
            self.make_large();
        }
        if let Content::Small(list) = &mut self.0
            && list.is_empty()
            && (2..=FILL_MAX).contains(&pairs.len())
            && pairs.iter().all(|(field, value)| fits(list, field, value, limits))
        {
            return fill(list, pairs);
        }
        pairs.iter().filter(|(field, value)| self.set(field, value, limits)).count()
    }

    /// Takes a field out; `false` when it was not there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.0 {
            Content::Small(list) => list.find(field, 2).is_some_and(|place| list.remove(place, 2) == 2),
            Content::Large(table) => table.remove(KeyHasher.hash(field), field).is_some(),
        }
    }

    /// All pairs, in the order of insertion (listpack) or none (hashtable).
    pub fn iter(&self) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
        let (small, large) = match &self.0 {
            Content::Small(list) => (Some(pairs_of(list)), None),
            Content::Large(table) => (None, Some(table.iter().map(|e| (Item::Str(e.key()), item_of(e.value()))))),
        };
        small.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// One step of a walk over all pairs, starting and ending with cursor 0; see [`Table::scan`]. A listpack is visited
    /// as a whole, whatever the cursor.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(Item<'_>, Item<'_>)) -> u64 {
        match &self.0 {
            Content::Small(list) => {
                pairs_of(list).for_each(|(field, value)| visit(field, value));
                0
            }
            Content::Large(table) => table.scan(cursor, &mut |e| visit(Item::Str(e.key()), item_of(e.value()))),
        }
    }

    /// The digest of the pairs, whatever their order and encoding.
    pub fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        for (field, value) in self.iter() {
            sum.add(Digest::of(&[ItemText::new(field).as_bytes(), ItemText::new(value).as_bytes()]));
        }
        Digest::of(&[b"hash", &sum.bytes()])
    }

    /// The table, made from the listpack if need be. Cost then: O(n).
    fn make_large(&mut self) -> &mut Self {
        if let Content::Small(list) = &self.0 {
            let mut table = Fields::new(KeyHasher);
            for (field, value) in pairs_of(list) {
                let field = ItemText::new(field);
                store(&mut table, field.as_bytes(), value_of(value));
            }
            self.0 = Content::Large(Box::new(table));
        }
        self
    }

    /// [`Hash::set`] on what is a hashtable or shall stay as it is.
    fn set_field(&mut self, field: &[u8], value: &[u8]) -> bool {
        match &mut self.0 {
            Content::Small(list) => set_in_list(list, field, value),
            Content::Large(table) => {
                let value = parse_i64(value).map_or(Value::Bytes(value), Value::Int);
                store(table, field, value)
            }
        }
    }
}

impl Collection for Hash {
    const TYPE_NAME: &'static str = "hash";

    fn encoding(&self) -> &'static str {
        self.encoding()
    }
    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }
    fn len(&self) -> usize {
        self.len()
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        self.digest()
    }
    fn rdb_kind(&self) -> u8 {
        self.rdb_kind()
    }
    fn write(&self, writer: &mut Writer<'_>) {
        self.write(writer);
    }
    fn reads(kind: u8) -> bool {
        Self::reads(kind)
    }
    fn read(reader: &mut Reader<'_>, kind: u8) -> codec::Result<Self> {
        Self::read(reader, kind)
    }
    in_object!(Hash);
}

impl Clone for Hash {
    fn clone(&self) -> Self {
        match &self.0 {
            Content::Small(list) => Self(Content::Small(list.clone())),
            Content::Large(table) => {
                let mut copy = Fields::new(KeyHasher);
                for entry in table.iter() {
                    store(&mut copy, entry.key(), value_of(item_of(entry.value())));
                }
                Self(Content::Large(Box::new(copy)))
            }
        }
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |item| ItemText::new(item).as_bytes().escape_ascii().to_string();
        f.debug_map().entries(self.iter().map(|(field, value)| (text(field), text(value)))).finish()
    }
}

/// A field or value as bytes: integers are spelled out on the stack.
#[derive(Debug)]
pub enum ItemText<'a> {
    /// Stored as an integer.
    Int(IntText),
    /// Stored as bytes.
    Str(&'a [u8]),
}

impl<'a> ItemText<'a> {
    /// The text of an item.
    pub fn new(item: Item<'a>) -> Self {
        match item {
            Item::Int(number) => Self::Int(IntText::new(number)),
            Item::Str(bytes) => Self::Str(bytes),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Int(text) => text.as_bytes(),
            Self::Str(bytes) => bytes,
        }
    }
}

/// Whether a pair may go into a listpack, its number of elements aside.
#[inline]
fn fits(list: &ListPack, field: &[u8], value: &[u8], limits: Limits) -> bool {
    /// Both elements' headers, generously.
    const OVERHEAD_BYTES: usize = 32;
    field.len() <= limits.value_bytes
        && value.len() <= limits.value_bytes
        && list.has_room_for(field.len() + value.len() + OVERHEAD_BYTES)
}

#[inline]
fn set_in_list(list: &mut ListPack, field: &[u8], value: &[u8]) -> bool {
    if let Some(place) = list.find(field, 2) {
        let place = list.next(place).expect("a field has a value behind it");
        list.replace(place, value);
        return false;
    }
    list.extend(&[field.into(), value.into()]);
    true
}

/// Puts pairs into an empty listpack with one allocation; how many fields there are.
fn fill(list: &mut ListPack, pairs: &[(&[u8], &[u8])]) -> usize {
    let mut items: SmallVec<[Item<'_>; 2 * FILL_MAX]> = SmallVec::new();
    for (field, value) in pairs {
        match items.iter().step_by(2).position(|known| *known == Item::Str(field)) {
            Some(at) => items[2 * at + 1] = Item::Str(value),
            None => items.extend([Item::Str(field), Item::Str(value)]),
        }
    }
    list.extend(&items);
    items.len() / 2
}

fn store(table: &mut Fields, field: &[u8], value: Value<'_, Infallible>) -> bool {
    table.set(KeyHasher.hash(field), field, value, None, 0) == Stored::Inserted
}

fn pairs_of(list: &ListPack) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
    let mut items = list.iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

fn item_of(value: ValueRef<'_, Infallible>) -> Item<'_> {
    match value {
        ValueRef::Int(number) => Item::Int(number),
        ValueRef::Bytes(bytes) => Item::Str(bytes),
        ValueRef::Object(never) => match *never {},
    }
}

fn value_of(item: Item<'_>) -> Value<'_, Infallible> {
    match item {
        Item::Int(number) => Value::Int(number),
        Item::Str(bytes) => Value::Bytes(bytes),
    }
}
