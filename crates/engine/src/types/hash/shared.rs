//! Small hashes with the same fields: one list of names for all of them, and one buffer of values each.
//!
//! Rows of a table, feature vectors, sessions: many hashes are written with the same fields in the same order. The list
//! is a *schema*, interned for the process and counted by its users; a hash that uses one is its values alone. A list
//! becomes a schema when it comes for the second time, so that hashes each of its own kind cost nothing but one
//! comparison. To clients such a hash is a listpack, and it becomes one when its fields change.
//!
//! ```text
//! value: length below 240 | bytes, or 240 + n | n bytes of an integer, little-endian, or 255 | length u32 LE | bytes
//! ```
//!
//! Invariants: the names of a schema are distinct; a buffer holds one value for each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use quiver_structures::listpack::Item;

use crate::keyspace::KeyHasher;
use crate::number::parse_i64;
use crate::rng::mix;

/// Fewest fields worth a schema.
const FIELDS_MIN: usize = 4;

/// Most fields of a schema.
const FIELDS_MAX: usize = 512;

/// Most schemas at once; hashes beyond them do without.
const SCHEMAS_MAX: usize = 4096;

/// Lists of names that are remembered as having come once.
const SEEN_LEN: usize = 4096;

/// A list of field names.
#[derive(Debug)]
pub(super) struct Schema {
    names: Box<[Box<[u8]>]>,
    /// Places in the list, in the order of the names.
    by_name: Box<[u16]>,
}

impl Schema {
    /// `None` when a name comes twice.
    fn new<'n>(names: impl Iterator<Item = &'n [u8]>) -> Option<Self> {
        let names: Box<[Box<[u8]>]> = names.map(Box::from).collect();
        let mut by_name: Box<[u16]> = (0..names.len() as u16).collect();
        by_name.sort_unstable_by_key(|place| &names[usize::from(*place)]);
        let distinct = by_name.windows(2).all(|pair| names[usize::from(pair[0])] != names[usize::from(pair[1])]);
        distinct.then_some(Self { names, by_name })
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        let found = self.by_name.binary_search_by(|place| self.names[usize::from(*place)].as_ref().cmp(name));
        found.ok().map(|at| usize::from(self.by_name[at]))
    }

    fn is<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> bool {
        self.names.iter().map(AsRef::as_ref).eq(names)
    }
}

/// The schemas of the process.
#[derive(Default)]
struct Schemas {
    known: BTreeMap<u64, Weak<Schema>>,
    /// Lists refused since the unused schemas were last looked for.
    refused: usize,
}

static SCHEMAS: LazyLock<Mutex<Schemas>> = LazyLock::new(Mutex::default);

/// Hashes of lists that came once, each at the place it belongs to.
static SEEN: [AtomicU64; SEEN_LEN] = [const { AtomicU64::new(0) }; SEEN_LEN];

/// The schema of a list of names; `None` when it comes for the first time or shall have none.
fn schema_of<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Option<Arc<Schema>> {
    let id = names.clone().fold(1, |id: u64, name| mix(id.rotate_left(5) ^ KeyHasher.hash(name)));
    let seen = &SEEN[id as usize % SEEN_LEN];
    if seen.load(Relaxed) != id {
        seen.store(id, Relaxed);
        return None;
    }
    let mut schemas = SCHEMAS.lock();
    if let Some(known) = schemas.known.get(&id).and_then(Weak::upgrade) {
        return known.is(names).then_some(known);
    }
    if schemas.known.len() >= SCHEMAS_MAX && !schemas.make_room() {
        return None;
    }
    let new = Arc::new(Schema::new(names)?);
    schemas.known.insert(id, Arc::downgrade(&new));
    Some(new)
}

impl Schemas {
    /// Forgets the schemas that nobody uses any more. Looks for them once in a while only.
    fn make_room(&mut self) -> bool {
        if self.refused == 0 {
            self.known.retain(|_, schema| schema.strong_count() > 0);
        }
        let room = self.known.len() < SCHEMAS_MAX;
        self.refused = if room { 0 } else { (self.refused + 1) % SCHEMAS_MAX };
        room
    }
}

/// A hash that uses a schema.
#[derive(Clone)]
pub(super) struct Shared {
    schema: Arc<Schema>,
    values: Box<[u8]>,
}

impl Shared {
    /// The pairs with their schema; `None` when they shall have none.
    pub(super) fn new<'p, P>(pairs: P) -> Option<Self>
    where
        P: ExactSizeIterator<Item = (&'p [u8], &'p [u8])> + Clone,
    {
        if !(FIELDS_MIN..=FIELDS_MAX).contains(&pairs.len()) {
            return None;
        }
        let schema = schema_of(pairs.clone().map(|(name, _)| name))?;
        Some(Self { schema, values: encode_all(pairs.map(|(_, value)| value)) })
    }

    /// Replaces all values at once; `false`, and nothing changed, when the fields are not these in this order.
    pub(super) fn overwrite<'p, P>(&mut self, pairs: P) -> bool
    where
        P: ExactSizeIterator<Item = (&'p [u8], &'p [u8])> + Clone,
    {
        let same = pairs.len() == self.len() && self.schema.is(pairs.clone().map(|(name, _)| name));
        if same {
            self.values = encode_all(pairs.map(|(_, value)| value));
        }
        same
    }

    pub(super) fn len(&self) -> usize {
        self.schema.names.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.values.len()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.values
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<Item<'_>> {
        let place = self.schema.place(field)?;
        self.values().nth(place)
    }

    /// Replaces the value of a field; `false`, and nothing changed, when there is no such field.
    pub(super) fn replace(&mut self, field: &[u8], value: &[u8]) -> bool {
        let Some(place) = self.schema.place(field) else { return false };
        let mut rest = &*self.values;
        for _ in 0..place {
            decode(&mut rest);
        }
        let start = self.values.len() - rest.len();
        decode(&mut rest);
        let end = self.values.len() - rest.len();
        let mut encoded = Vec::with_capacity(encoded_len(value));
        encode(value, &mut encoded);
        if encoded.len() == end - start {
            self.values[start..end].copy_from_slice(&encoded);
        } else {
            self.values = [&self.values[..start], &encoded, &self.values[end..]].concat().into();
        }
        true
    }

    fn values(&self) -> Values<'_> {
        Values(&self.values)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Item<'_>, Item<'_>)> + use<'_> {
        self.schema.names.iter().map(|name| Item::Str(name)).zip(self.values())
    }

    /// Panics if an invariant is broken.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.values().count(), self.len(), "one value for each field");
    }
}

/// The values of a buffer, in order.
#[derive(Clone, Debug)]
struct Values<'v>(&'v [u8]);

impl<'v> Iterator for Values<'v> {
    type Item = Item<'v>;

    fn next(&mut self) -> Option<Item<'v>> {
        if self.0.is_empty() { None } else { Some(decode(&mut self.0)) }
    }
}

/// First byte of an integer without bytes; one of `n` bytes has this plus `n`.
const INTEGER: u8 = 240;

/// First byte of a long string.
const LONG: u8 = 255;

/// Bytes an integer takes: 0 for zero, and as few as hold its sign.
fn integer_len(number: i64) -> usize {
    let bits = 65 - (number ^ (number >> 63)).leading_zeros() as usize;
    if number == 0 { 0 } else { bits.div_ceil(8) }
}

fn encoded_len(value: &[u8]) -> usize {
    match parse_i64(value) {
        Some(number) => 1 + integer_len(number),
        None if value.len() < usize::from(INTEGER) => 1 + value.len(),
        None => 5 + value.len(),
    }
}

fn encode_all<'v>(values: impl Iterator<Item = &'v [u8]> + Clone) -> Box<[u8]> {
    let mut out = Vec::with_capacity(values.clone().map(encoded_len).sum());
    values.for_each(|value| encode(value, &mut out));
    out.into()
}

/// Values are at most as long as a listpack can be.
fn encode(value: &[u8], out: &mut Vec<u8>) {
    match parse_i64(value) {
        Some(number) => {
            let len = integer_len(number);
            out.push(INTEGER + len as u8);
            out.extend_from_slice(&number.to_le_bytes()[..len]);
        }
        None if value.len() < usize::from(INTEGER) => {
            out.push(value.len() as u8);
            out.extend_from_slice(value);
        }
        None => {
            out.push(LONG);
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
    }
}

/// Takes a value off the front of a buffer.
fn decode<'v>(bytes: &mut &'v [u8]) -> Item<'v> {
    let (first, rest) = bytes.split_first().expect("a buffer has a value for each field");
    let (len, integer, rest) = match *first {
        LONG => {
            let (len, rest) = rest.split_first_chunk::<4>().expect("a long value has a length");
            (u32::from_le_bytes(*len) as usize, false, rest)
        }
        first if first >= INTEGER => (usize::from(first - INTEGER), true, rest),
        len => (usize::from(len), false, rest),
    };
    let (value, rest) = rest.split_at(len);
    *bytes = rest;
    if !integer {
        return Item::Str(value);
    }
    let mut wide = [if value.last().is_some_and(|top| *top >= 0x80) { 0xff } else { 0 }; 8];
    wide[..len].copy_from_slice(value);
    Item::Int(i64::from_le_bytes(wide))
}
