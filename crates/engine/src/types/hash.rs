//! Hash: a map from field to value, both byte strings.
//!
//! Three encodings, named as Redis names them. A small hash is a *listpack* (field, value, field, value, ...), one
//! allocation that is searched from its start. When the first of its fields is given an expiry it becomes a *listpackex*
//! (`volatile.rs`: field, value, expiry, ...). Past the configured number of fields or length of a string it becomes a
//! *hashtable*, the keyspace's own entry table with one allocation per pair, and stays one; the table's entries have
//! room for an expiry. A small hash written at once with fields that others have too is its values alone, beside a list
//! of names that they share (`shared.rs`); its name is listpack, too. Values that are canonical integers are kept as integers in all.
//!
//! A field whose time is over stays until somebody takes it out ([`Hash::take_expired`]); until then readers do not see
//! it, because they say as of which time they look ([`AsOf`]).
//!
//! Invariants: fields are distinct; a listpack holds whole pairs; no field expires before [`Hash::earliest`]. A hash may
//! be empty only while a command works on it. Not here: the rule that an empty hash's key goes, and who takes expired
//! fields out when.

mod many;
pub(super) mod old_encodings;
mod random;
mod rdb;
mod shared;
#[cfg(test)]
mod tests;
mod volatile;

use std::convert::Infallible;

pub use many::FieldSet;
use quiver_rdb::{Reader, Writer};
use quiver_structures::listpack::{self, Item, ListPack};
use quiver_structures::table::Stored;
use quiver_structures::{Value, ValueRef};
use shared::Shared;
use smallvec::SmallVec;
use volatile::{FieldTable, Fields, VolatileList};

use crate::codec;
use crate::digest::Digest;
use crate::keyspace::KeyHasher;
use crate::number::IntText;
use crate::object::{Collection, Object, in_object};
use crate::prefetch::Reach;

/// Most that is kept as a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields (`hash-max-listpack-entries`).
    pub entries: usize,
    /// Bytes of a field or a value (`hash-max-listpack-value`).
    pub value_bytes: usize,
}

/// The time a reader looks at, unix ms: fields whose time is over by then are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf(pub i64);

impl AsOf {
    /// Sees every field that is stored.
    pub const ALL: Self = Self(i64::MIN);

    /// Whether a field with this expiry is seen.
    #[inline]
    pub fn sees(self, expire_at_ms: Option<i64>) -> bool {
        expire_at_ms.is_none_or(|at| at > self.0)
    }
}

/// Field-value map.
pub struct Hash(Content);

enum Content {
    Small(ListPack),
    Shared(Shared),
    /// Boxed, because few hashes have fields that expire.
    Volatile(Box<VolatileList>),
    /// Boxed: the table's fixed part is several times the size of a listpack's.
    Large(Box<Fields>),
}

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

    /// Number of fields stored, those whose time is over included.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.len() / 2,
            Content::Shared(shared) => shared.len(),
            Content::Volatile(list) => list.len(),
            Content::Large(fields) => fields.table.len(),
        }
    }

    /// Number of fields seen as of a time. Cost: O(1) unless some time is over, else O(n).
    pub fn len_at(&self, as_of: AsOf) -> usize {
        if self.hides_some(as_of) { self.iter(as_of).count() } else { self.len() }
    }

    /// Whether no fields are stored.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Content::Small(list) => list.is_empty(),
            Content::Shared(_) => false,
            Content::Volatile(list) => list.len() == 0,
            Content::Large(fields) => fields.table.is_empty(),
        }
    }

    /// The name OBJECT ENCODING prints.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Content::Small(_) | Content::Shared(_) => "listpack",
            Content::Volatile(_) => "listpackex",
            Content::Large(_) => "hashtable",
        }
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Content::Small(list) => list.allocation_bytes(),
            Content::Shared(shared) => shared.heap_bytes(),
            Content::Volatile(list) => size_of::<VolatileList>() + list.allocation_bytes(),
            Content::Large(fields) => size_of::<Fields>() + fields.table.memory_bytes(),
        }
    }

    /// The value of a field. Cost: O(1) in a hashtable, else O(n).
    #[inline]
    pub fn get(&self, field: &[u8], as_of: AsOf) -> Option<Item<'_>> {
        match &self.0 {
            Content::Small(list) => {
                let value = list.next(list.find(field, 2)?).expect("a field has a value behind it");
                Some(list.item(value))
            }
            Content::Shared(shared) => shared.get(field),
            Content::Volatile(list) => {
                let found = list.get(field)?;
                as_of.sees(found.expire_at).then_some(found.value)
            }
            Content::Large(fields) => {
                let entry = fields.table.get(KeyHasher.hash(field), field)?;
                as_of.sees(entry.expire_at()).then(|| item_of(entry.value()))
            }
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, field: &[u8], as_of: AsOf) -> bool {
        self.get(field, as_of).is_some()
    }

    /// Stores a value; `true` when the field is new. An expiry it had is gone. Changes the encoding when `limits` say so.
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
        self.set_expiring(field, value, None, limits)
    }

    /// Stores pairs in order; how many fields are new. More pairs than a listpack may hold make a hashtable even if they
    /// repeat fields, as in Redis.
    pub fn set_all(&mut self, pairs: &[(&[u8], &[u8])], limits: Limits) -> usize {
        if pairs.len() > limits.entries {
            self.make_large();
        }
        if let Content::Small(list) = &mut self.0
            && list.is_empty()
            && pairs.len() > 1
            && pairs.iter().all(|(field, value)| fits(list, field, value, limits))
        {
            if let Some(shared) = Shared::new(pairs.iter().copied()) {
                self.0 = Content::Shared(shared);
                return pairs.len();
            }
            if pairs.len() <= FILL_MAX {
                return fill(list, pairs);
            }
        }
        if let Content::Shared(shared) = &mut self.0
            && pairs.iter().all(|(_, value)| value.len() <= limits.value_bytes)
            && shared.overwrite(pairs.iter().copied())
        {
            return 0;
        }
        pairs.iter().filter(|(field, value)| self.set(field, value, limits)).count()
    }

    /// Takes a field out; `false` when it was not there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if matches!(&self.0, Content::Shared(shared) if shared.get(field).is_some()) {
            self.unshare();
        }
        match &mut self.0 {
            Content::Shared(_) => false,
            Content::Small(list) => list.find(field, 2).is_some_and(|place| list.remove(place, 2) == 2),
            Content::Volatile(list) => list.remove(field),
            Content::Large(fields) => fields.table.remove(KeyHasher.hash(field), field).is_some(),
        }
    }

    /// All pairs that are seen, in the order of insertion (listpacks) or none (hashtable).
    pub fn iter(&self, as_of: AsOf) -> Pairs<'_> {
        match &self.0 {
            Content::Small(list) => Pairs::Small(list.iter()),
            Content::Shared(shared) => Pairs::Other(Box::new(shared.iter())),
            Content::Volatile(list) => {
                let seen = list.iter().filter(move |found| as_of.sees(found.expire_at));
                Pairs::Other(Box::new(seen.map(|found| (found.field, found.value))))
            }
            Content::Large(fields) => {
                let seen = fields.table.iter().filter(move |entry| as_of.sees(entry.expire_at()));
                Pairs::Other(Box::new(seen.map(|entry| (Item::Str(entry.key()), item_of(entry.value())))))
            }
        }
    }

    /// One step of a walk over all pairs, starting and ending with cursor 0; see [`Table::scan`]. A listpack is visited
    /// as a whole, whatever the cursor.
    ///
    /// [`Table::scan`]: quiver_structures::Table::scan
    pub fn scan(&self, cursor: u64, as_of: AsOf, visit: &mut dyn FnMut(Item<'_>, Item<'_>)) -> u64 {
        match &self.0 {
            Content::Large(fields) => fields.table.scan(cursor, &mut |entry| {
                if as_of.sees(entry.expire_at()) {
                    visit(Item::Str(entry.key()), item_of(entry.value()));
                }
            }),
            Content::Small(_) | Content::Shared(_) | Content::Volatile(_) => {
                self.iter(as_of).for_each(|(field, value)| visit(field, value));
                0
            }
        }
    }

    /// The digest of the pairs and their expiries, whatever their order and encoding.
    pub fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        self.for_each_stored(&mut |field, value, expire_at| {
            let (field, value) = (ItemText::new(field), ItemText::new(value));
            let pair = [field.as_bytes(), value.as_bytes()];
            sum.add(match expire_at {
                None => Digest::of(&pair),
                Some(at) => Digest::of(&[pair[0], pair[1], &at.to_le_bytes()]),
            });
        });
        Digest::of(&[b"hash", &sum.bytes()])
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
    fn prefetch(&self, element: &[u8], reach: Reach) {
        match &self.0 {
            Content::Small(list) => reach.into_bytes(list.as_bytes()),
            Content::Shared(shared) => reach.into_bytes(shared.as_bytes()),
            Content::Volatile(_) => {}
            Content::Large(fields) => reach.into_table(&fields.table, element),
        }
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
    fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        self.write_part(writer, at, room)
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
        Self(match &self.0 {
            Content::Small(list) => Content::Small(list.clone()),
            Content::Shared(shared) => Content::Shared(shared.clone()),
            Content::Volatile(list) => Content::Volatile(list.clone()),
            Content::Large(fields) => Content::Large(fields.clone()),
        })
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |item| ItemText::new(item).as_bytes().escape_ascii().to_string();
        f.debug_map().entries(self.iter(AsOf::ALL).map(|(field, value)| (text(field), text(value)))).finish()
    }
}

/// Pairs of a hash, one after the other.
pub enum Pairs<'h> {
    /// Of a listpack.
    Small(listpack::Iter<'h>),
    /// Of any other.
    Other(Box<dyn Iterator<Item = (Item<'h>, Item<'h>)> + 'h>),
}

impl<'h> Iterator for Pairs<'h> {
    type Item = (Item<'h>, Item<'h>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(items) => Some((items.next()?, items.next()?)),
            Self::Other(pairs) => pairs.next(),
        }
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

fn store(table: &mut FieldTable, field: &[u8], value: Value<'_, Infallible>, expire_at: Option<i64>) -> bool {
    table.set(KeyHasher.hash(field), field, value, expire_at, 0) == Stored::Inserted
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
