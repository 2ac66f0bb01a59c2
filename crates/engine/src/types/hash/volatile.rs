//! Fields that expire: the listpack with expiries, the table with its earliest one, and what both do with them.
//!
//! Each knows a time before which no field expires, exact when it is set anew and only too early later on (the field
//! that had it may be gone): it is when somebody should look again. Taking the expired fields out of a table goes step by
//! step along its scan cursor, which misses nothing while the table grows and shrinks.

use std::convert::Infallible;

use quiver_structures::listpack::{Item, ListPack, Place};
use quiver_structures::{Table, Value};

use super::{AsOf, Content, Hash, ItemText, Limits, fits, item_of, pairs_of, set_in_list, store, value_of};
use crate::keyspace::KeyHasher;
use crate::number::parse_i64;

/// The table of a large hash; its keys are fields.
pub(super) type FieldTable = Table<Infallible, KeyHasher>;

/// [`Hash::earliest`] of a hash without expiries.
const NEVER: i64 = i64::MAX;

/// What the listpack holds for a field that does not expire: the times there are begin in 1970.
const NO_EXPIRY: i64 = 0;

/// Buckets of a table looked at in one step of taking expired fields out.
const BUCKETS_PER_STEP: usize = 256;

/// A pair with its expiry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'h> {
    pub(super) field: Item<'h>,
    pub(super) value: Item<'h>,
    pub(super) expire_at: Option<i64>,
}

impl<'h> Found<'h> {
    /// What stands in the listpack.
    fn elements(self) -> [Item<'h>; 3] {
        [self.field, self.value, Item::Int(self.expire_at.unwrap_or(NO_EXPIRY))]
    }
}

/// Listpack of field, value, expiry (unix ms, 0 for none), ...
#[derive(Clone)]
pub(super) struct VolatileList {
    list: ListPack,
    earliest: i64,
}

/// The table of a large hash, with what it knows about its expiries.
pub(super) struct Fields {
    pub(super) table: FieldTable,
    earliest: i64,
    /// A walk that takes expired fields out stands here; none while the cursor is 0.
    cursor: u64,
    /// The earliest expiry this walk left behind.
    left: i64,
}

impl Fields {
    pub(super) fn new() -> Self {
        Self { table: FieldTable::new(KeyHasher), earliest: NEVER, cursor: 0, left: NEVER }
    }

    fn note(&mut self, at: i64) {
        self.earliest = self.earliest.min(at);
        self.left = self.left.min(at);
    }

    /// One step of the walk; up to about `max` fields.
    fn take_expired(&mut self, as_of: AsOf, max: usize, taken: &mut Vec<Vec<u8>>) {
        let mut over: Vec<Vec<u8>> = Vec::new();
        if self.cursor == 0 {
            self.left = NEVER;
        }
        for _ in 0..BUCKETS_PER_STEP {
            let left = &mut self.left;
            self.cursor = self.table.scan(self.cursor, &mut |entry| match entry.expire_at() {
                Some(at) if as_of.sees(Some(at)) => *left = (*left).min(at),
                Some(_) => over.push(entry.key().to_vec()),
                None => {}
            });
            if self.cursor == 0 || over.len() >= max {
                break;
            }
        }
        for field in over {
            // A bucket may be visited twice in one step while the table is small.
            if self.table.remove(KeyHasher.hash(&field), &field).is_some() {
                taken.push(field);
            }
        }
        if self.cursor == 0 {
            self.earliest = std::mem::replace(&mut self.left, NEVER);
        }
    }
}

impl Clone for Fields {
    fn clone(&self) -> Self {
        let mut copy = Self { earliest: self.earliest, ..Self::new() };
        for entry in self.table.iter() {
            store(&mut copy.table, entry.key(), value_of(item_of(entry.value())), entry.expire_at());
        }
        copy
    }
}

impl VolatileList {
    /// Elements per field.
    const WIDTH: usize = 3;

    fn of_pairs(pairs: &ListPack) -> Self {
        let list = pairs_of(pairs).flat_map(|(field, value)| [field, value, Item::Int(NO_EXPIRY)]).collect();
        Self { list, earliest: NEVER }
    }

    /// Takes over elements whose number is a multiple of three, the third of each an expiry.
    pub(super) fn from_list(list: ListPack) -> Self {
        let mut new = Self { list, earliest: NEVER };
        new.earliest = new.iter().filter_map(|found| found.expire_at).min().unwrap_or(NEVER);
        new
    }

    pub(super) fn len(&self) -> usize {
        self.list.len() / Self::WIDTH
    }

    /// The earliest expiry, or a time far beyond all.
    pub(super) fn earliest(&self) -> i64 {
        self.earliest
    }

    pub(super) fn allocation_bytes(&self) -> usize {
        self.list.allocation_bytes()
    }

    /// The listpack in the order Redis keeps: by expiry, fields without one last.
    pub(super) fn in_order(&self) -> ListPack {
        let mut found: Vec<Found<'_>> = self.iter().collect();
        found.sort_by_key(|found| found.expire_at.unwrap_or(NEVER));
        let items: Vec<Item<'_>> = found.into_iter().flat_map(Found::elements).collect();
        let mut list = ListPack::new();
        list.extend(&items);
        list
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        let mut items = self.list.iter();
        std::iter::from_fn(move || {
            let (field, value) = (items.next()?, items.next()?);
            Some(Found { field, value, expire_at: expiry_of(items.next()?) })
        })
    }

    /// Places of value and expiry.
    fn find(&self, field: &[u8]) -> Option<(Place, Place)> {
        let value = self.list.next(self.list.find(field, Self::WIDTH)?).expect("a field has a value behind it");
        Some((value, self.list.next(value).expect("a value has an expiry behind it")))
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<Found<'_>> {
        let (value, expiry) = self.find(field)?;
        let (value, expire_at) = (self.list.item(value), expiry_of(self.list.item(expiry)));
        Some(Found { field: Item::Str(b""), value, expire_at })
    }

    fn set(&mut self, field: &[u8], value: &[u8], expire_at: Option<i64>) -> bool {
        let place = self.find(field);
        match place {
            Some((at, expiry)) => {
                // The expiry first: it stands behind the value, whose place must stay valid.
                self.list.replace(expiry, expire_at.unwrap_or(NO_EXPIRY));
                self.list.replace(at, value);
            }
            None => self.list.extend(&[field.into(), value.into(), Item::Int(expire_at.unwrap_or(NO_EXPIRY))]),
        }
        self.earliest = self.earliest.min(expire_at.unwrap_or(NEVER));
        place.is_none()
    }

    fn set_expiry(&mut self, field: &[u8], expire_at: Option<i64>) {
        if let Some((_, expiry)) = self.find(field) {
            self.list.replace(expiry, expire_at.unwrap_or(NO_EXPIRY));
            self.earliest = self.earliest.min(expire_at.unwrap_or(NEVER));
        }
    }

    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let found = self.list.find(field, Self::WIDTH);
        found.is_some_and(|place| self.list.remove(place, Self::WIDTH) == Self::WIDTH)
    }

    fn take_expired(&mut self, as_of: AsOf, taken: &mut Vec<Vec<u8>>) {
        let (mut kept, mut earliest) = (ListPack::new(), NEVER);
        for found in self.iter() {
            if as_of.sees(found.expire_at) {
                kept.extend(&found.elements());
                earliest = earliest.min(found.expire_at.unwrap_or(NEVER));
            } else {
                taken.push(found.field.to_vec());
            }
        }
        *self = Self { list: kept, earliest };
    }
}

/// A listpack of pairs.
pub(super) fn list_of<'h>(pairs: impl Iterator<Item = (Item<'h>, Item<'h>)>) -> ListPack {
    let items: Vec<Item<'_>> = pairs.flat_map(|(field, value)| [field, value]).collect();
    let mut list = ListPack::new();
    list.extend(&items);
    list
}

fn expiry_of(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Int(at) if at != NO_EXPIRY => Some(at),
        Item::Int(_) | Item::Str(_) => None,
    }
}

impl Hash {
    /// When to look for expired fields next: none expires before. `None` when none does.
    pub fn earliest(&self) -> Option<i64> {
        let earliest = match &self.0 {
            Content::Small(_) | Content::Shared(_) => return None,
            Content::Volatile(list) => list.earliest,
            Content::Large(fields) => fields.earliest,
        };
        (earliest != NEVER).then_some(earliest)
    }

    /// Whether some field may be hidden as of a time.
    pub(super) fn hides_some(&self, as_of: AsOf) -> bool {
        !as_of.sees(self.earliest())
    }

    /// The expiry of a field; the outer `None` when the field is not seen.
    pub fn expiry(&self, field: &[u8], as_of: AsOf) -> Option<Option<i64>> {
        let expire_at = match &self.0 {
            Content::Small(list) => list.find(field, 2).map(|_| None)?,
            Content::Shared(shared) => shared.get(field).map(|_| None)?,
            Content::Volatile(list) => list.get(field)?.expire_at,
            Content::Large(fields) => fields.table.get(KeyHasher.hash(field), field)?.expire_at(),
        };
        as_of.sees(expire_at).then_some(expire_at)
    }

    /// Sets or clears the expiry of a field; does nothing when there is no such field. Times are those of unix ms from 1
    /// on.
    pub fn set_expiry(&mut self, field: &[u8], expire_at: Option<i64>) {
        if expire_at.is_some() {
            self.make_volatile();
        }
        match &mut self.0 {
            Content::Small(_) | Content::Shared(_) => {}
            Content::Volatile(list) => list.set_expiry(field, expire_at),
            Content::Large(fields) => {
                if let Some(mut entry) = fields.table.get_mut(KeyHasher.hash(field), field) {
                    entry.set_expire(expire_at);
                    fields.note(expire_at.unwrap_or(NEVER));
                }
            }
        }
    }

    /// Stores a value with an expiry or none; `true` when the field is new.
    pub fn set_expiring(&mut self, field: &[u8], value: &[u8], expire_at: Option<i64>, limits: Limits) -> bool {
        if let Content::Shared(shared) = &mut self.0
            && expire_at.is_none()
            && value.len() <= limits.value_bytes
            && shared.replace(field, value)
        {
            return false;
        }
        self.unshare();
        if expire_at.is_some() {
            self.make_volatile();
        }
        let small = match &self.0 {
            Content::Small(list) => fits(list, field, value, limits),
            Content::Volatile(list) => fits(&list.list, field, value, limits),
            Content::Shared(_) | Content::Large(_) => false,
        };
        if !small {
            self.make_large();
        }
        let is_new = match &mut self.0 {
            Content::Small(list) => set_in_list(list, field, value),
            Content::Shared(_) => unreachable!("it was made a listpack"),
            Content::Volatile(list) => list.set(field, value, expire_at),
            Content::Large(fields) => {
                let value = parse_i64(value).map_or(Value::Bytes(value), Value::Int);
                fields.note(expire_at.unwrap_or(NEVER));
                store(&mut fields.table, field, value, expire_at)
            }
        };
        if is_new && small && self.len() > limits.entries {
            self.make_large();
        }
        is_new
    }

    /// Stores a value in a field that keeps its expiry; `true` when the field is new.
    pub fn set_keeping(&mut self, field: &[u8], value: &[u8], limits: Limits) -> bool {
        if self.earliest().is_none() {
            return self.set(field, value, limits);
        }
        let expire_at = self.expiry(field, AsOf::ALL).flatten();
        self.set_expiring(field, value, expire_at, limits)
    }

    /// Takes fields whose time is over out, adding their names to `taken`: about `max` and those in a bounded number of
    /// buckets. [`Hash::earliest`] tells whether there is more to look for.
    pub fn take_expired(&mut self, as_of: AsOf, max: usize, taken: &mut Vec<Vec<u8>>) {
        match &mut self.0 {
            Content::Small(_) | Content::Shared(_) => {}
            Content::Volatile(list) => list.take_expired(as_of, taken),
            Content::Large(fields) => fields.take_expired(as_of, max, taken),
        }
    }

    /// Visits every stored pair with its expiry.
    pub(super) fn for_each_stored(&self, visit: &mut dyn FnMut(Item<'_>, Item<'_>, Option<i64>)) {
        match &self.0 {
            Content::Small(list) => pairs_of(list).for_each(|(field, value)| visit(field, value, None)),
            Content::Shared(shared) => shared.iter().for_each(|(field, value)| visit(field, value, None)),
            Content::Volatile(list) => list.iter().for_each(|found| visit(found.field, found.value, found.expire_at)),
            Content::Large(fields) => fields
                .table
                .iter()
                .for_each(|entry| visit(Item::Str(entry.key()), item_of(entry.value()), entry.expire_at())),
        }
    }

    /// Makes it a listpack if it shares its names. Cost then: O(n).
    pub(super) fn unshare(&mut self) {
        if let Content::Shared(shared) = &self.0 {
            self.0 = Content::Small(list_of(shared.iter()));
        }
    }

    /// Makes room for expiries. A hash that has it keeps it, as in Redis. Cost: O(n) once.
    pub fn make_volatile(&mut self) {
        self.unshare();
        if let Content::Small(list) = &self.0 {
            self.0 = Content::Volatile(Box::new(VolatileList::of_pairs(list)));
        }
    }

    /// Makes it a table if it is not one. Cost then: O(n).
    pub(super) fn make_large(&mut self) {
        if matches!(self.0, Content::Large(_)) {
            return;
        }
        // Not recomputed: whoever keeps an index by it need not hear of the change.
        let mut fields = Fields { earliest: self.earliest().unwrap_or(NEVER), ..Fields::new() };
        self.for_each_stored(&mut |field, value, expire_at| {
            store(&mut fields.table, ItemText::new(field).as_bytes(), value_of(value), expire_at);
        });
        self.0 = Content::Large(Box::new(fields));
    }
}
