//! Set: distinct byte strings.
//!
//! Three encodings, named as Redis names them. A small set of integers is an *intset*, sorted and searched by halves;
//! any other small set a *listpack*, searched from its start; past the configured sizes it becomes a *hashtable*, the
//! keyspace's own entry table without values, and stays one. The rules of the changes are Redis', since OBJECT ENCODING
//! shows them and operators size memory by them.
//!
//! Invariant: members are distinct as strings. A set may be empty only while a command works on it. Not here: the rule
//! that an empty set's key goes, and set operations (`commands/set/algebra.rs`).

mod intset;
mod random;
mod rdb;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use quiver_rdb::{Reader, Writer};
use quiver_structures::listpack::{Item, ListPack};
use quiver_structures::table::Stored;
use quiver_structures::{Table, Value};

use crate::codec;
use crate::digest::Digest;
use crate::keyspace::KeyHasher;
use crate::number::{IntText, parse_i64};
use crate::object::{Collection, Object, in_object};
use crate::prefetch::Reach;
use crate::types::hash::ItemText;
use intset::IntSet;

/// Most that is kept in a compact encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Integers in an intset (`set-max-intset-entries`).
    pub intset_entries: usize,
    /// Members of a listpack (`set-max-listpack-entries`).
    pub listpack_entries: usize,
    /// Bytes of a member of a listpack (`set-max-listpack-value`).
    pub listpack_value_bytes: usize,
}

/// Distinct byte strings.
#[derive(Clone)]
pub struct Set(Content);

enum Content {
    Ints(IntSet),
    Small(ListPack),
    /// Boxed: the table's fixed part is several times the size of a listpack's.
    Large(Box<Members>),
}

type Members = Table<Infallible, KeyHasher>;

/// Most integers in an intset, whatever the configuration says.
const INTSET_ENTRIES_MAX: usize = 1 << 30;

/// Bytes beside the text of a listpack's element, generously.
const OVERHEAD_BYTES: usize = 16;

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Set {
    /// An empty intset, for a command that is about to fill it.
    pub fn new() -> Self {
        Self(Content::Ints(IntSet::new()))
    }

    /// An empty listpack, for members in the order they come.
    pub fn new_listpack() -> Self {
        Self(Content::Small(ListPack::new()))
    }

    /// An empty set in the encoding that suits so many members of which this is the first.
    pub fn for_members(first: &[u8], count: usize, limits: Limits) -> Self {
        if count <= limits.intset_entries && parse_i64(first).is_some() {
            return Self::new();
        }
        let mut set = Self::new_listpack();
        set.expect_members(count, limits);
        set
    }

    /// Changes the encoding before so many members come, new or not.
    pub fn expect_members(&mut self, count: usize, limits: Limits) {
        let limit = match &self.0 {
            Content::Ints(_) => limits.intset_entries,
            Content::Small(_) => limits.listpack_entries,
            Content::Large(_) => return,
        };
        if count > limit {
            self.make_large();
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Ints(ints) => ints.len(),
            Content::Small(list) => list.len(),
            Content::Large(table) => table.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name OBJECT ENCODING prints.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Content::Ints(_) => "intset",
            Content::Small(_) => "listpack",
            Content::Large(_) => "hashtable",
        }
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Content::Ints(ints) => ints.as_bytes().len(),
            Content::Small(list) => list.allocation_bytes(),
            Content::Large(table) => size_of::<Members>() + table.memory_bytes(),
        }
    }

    /// Whether this is a member. Cost: O(1) in a hashtable, O(log n) in an intset, else O(n).
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Content::Ints(ints) => parse_i64(member).is_some_and(|int| ints.contains(int)),
            Content::Small(list) => list.find(member, 1).is_some(),
            Content::Large(table) => table.get(KeyHasher.hash(member), member).is_some(),
        }
    }

    /// [`Set::contains`] for a member of another set.
    #[inline]
    pub fn contains_item(&self, member: Item<'_>) -> bool {
        match (&self.0, member) {
            (Content::Ints(ints), Item::Int(int)) => ints.contains(int),
            _ => self.contains(ItemText::new(member).as_bytes()),
        }
    }

    /// Adds a member; `true` when it is new. Changes the encoding when `limits` say so.
    #[inline]
    pub fn add(&mut self, member: &[u8], limits: Limits) -> bool {
        match &mut self.0 {
            Content::Large(table) => store(table, member),
            Content::Small(list) => {
                if list.find(member, 1).is_some() {
                    return false;
                }
                if list.len() < limits.listpack_entries
                    && member.len() <= limits.listpack_value_bytes
                    && list.has_room_for(member.len() + OVERHEAD_BYTES)
                {
                    list.push(member);
                } else {
                    store(self.make_large(), member);
                }
                true
            }
            Content::Ints(_) => match parse_i64(member) {
                Some(int) => self.add_int(int, limits),
                None => {
                    self.leave_intset(member, limits);
                    true
                }
            },
        }
    }

    /// [`Set::add`] for a member of another set.
    #[inline]
    pub fn add_item(&mut self, member: Item<'_>, limits: Limits) -> bool {
        match (&self.0, member) {
            (Content::Ints(_), Item::Int(int)) => self.add_int(int, limits),
            _ => self.add(ItemText::new(member).as_bytes(), limits),
        }
    }

    /// Takes a member out; `false` when it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Content::Ints(ints) => parse_i64(member).is_some_and(|int| ints.remove(int)),
            Content::Small(list) => list.find(member, 1).is_some_and(|place| list.remove(place, 1) == 1),
            Content::Large(table) => table.remove(KeyHasher.hash(member), member).is_some(),
        }
    }

    /// [`Set::remove`] for a member of another set.
    pub fn remove_item(&mut self, member: Item<'_>) -> bool {
        self.remove(ItemText::new(member).as_bytes())
    }

    /// All members: ascending (intset), in the order they came (listpack), or in none (hashtable).
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let (ints, small, large) = match &self.0 {
            Content::Ints(ints) => (Some(ints.iter().map(Item::Int)), None, None),
            Content::Small(list) => (None, Some(list.iter()), None),
            Content::Large(table) => (None, None, Some(table.iter().map(|entry| Item::Str(entry.key())))),
        };
        ints.into_iter().flatten().chain(small.into_iter().flatten()).chain(large.into_iter().flatten())
    }

    /// One step of a walk over all members, starting and ending with cursor 0; see [`Table::scan`]. A compact set is
    /// visited as a whole, whatever the cursor.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(Item<'_>)) -> u64 {
        match &self.0 {
            Content::Large(table) => table.scan(cursor, &mut |entry| visit(Item::Str(entry.key()))),
            Content::Ints(_) | Content::Small(_) => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// Makes a set all of whose members are integers an intset, if it is not too large for one.
    pub fn make_ints(&mut self, limits: Limits) {
        if matches!(self.0, Content::Ints(_)) || self.len() > limits.intset_entries.min(INTSET_ENTRIES_MAX) {
            return;
        }
        let mut ints = IntSet::new();
        let all = self.iter().all(|member| {
            let int = match member {
                Item::Int(int) => Some(int),
                Item::Str(text) => parse_i64(text),
            };
            int.is_some_and(|int| ints.add(int))
        });
        if all {
            self.0 = Content::Ints(ints);
        }
    }

    /// The digest of the members, whatever their order and encoding.
    pub fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        for member in self.iter() {
            sum.add(Digest::of(&[ItemText::new(member).as_bytes()]));
        }
        Digest::of(&[b"set", &sum.bytes()])
    }

    /// [`Set::add`] of an integer to an intset.
    fn add_int(&mut self, int: i64, limits: Limits) -> bool {
        let Content::Ints(ints) = &mut self.0 else { return self.add(IntText::new(int).as_bytes(), limits) };
        let is_new = ints.add(int);
        if ints.len() > limits.intset_entries.min(INTSET_ENTRIES_MAX) {
            self.make_large();
        }
        is_new
    }

    /// Adds what is no integer to an intset, which thereby ends to be one.
    fn leave_intset(&mut self, member: &[u8], limits: Limits) {
        let Content::Ints(ints) = &self.0 else { return };
        let text_bytes = |int: Option<i64>| int.map_or(0, |int| IntText::new(int).as_bytes().len());
        // The longest text is that of the least or of the greatest.
        let longest = text_bytes(ints.iter().next()).max(text_bytes(ints.iter().next_back()));
        let mut list = ListPack::new();
        if ints.len() < limits.listpack_entries
            && member.len().max(longest) <= limits.listpack_value_bytes
            && list.has_room_for(ints.len() * OVERHEAD_BYTES + member.len() + OVERHEAD_BYTES)
        {
            let items: Vec<Item<'_>> = ints.iter().map(Item::Int).chain([Item::Str(member)]).collect();
            list.extend(&items);
            self.0 = Content::Small(list);
        } else {
            store(self.make_large(), member);
        }
    }

    /// The table, made from the compact encoding if need be. Cost then: O(n).
    fn make_large(&mut self) -> &mut Members {
        if !matches!(self.0, Content::Large(_)) {
            let mut table = Members::new(KeyHasher);
            for member in self.iter() {
                store(&mut table, ItemText::new(member).as_bytes());
            }
            self.0 = Content::Large(Box::new(table));
        }
        match &mut self.0 {
            Content::Large(table) => table,
            Content::Ints(_) | Content::Small(_) => unreachable!("it was just made a table"),
        }
    }
}

impl Collection for Set {
    const TYPE_NAME: &'static str = "set";

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
            Content::Ints(_) => {}
            Content::Small(list) => reach.into_bytes(list.as_bytes()),
            Content::Large(table) => reach.into_table(table, element),
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
    in_object!(Set);
}

impl Clone for Content {
    fn clone(&self) -> Self {
        match self {
            Self::Ints(ints) => Self::Ints(ints.clone()),
            Self::Small(list) => Self::Small(list.clone()),
            Self::Large(table) => {
                let mut copy = Members::new(KeyHasher);
                table.iter().for_each(|entry| {
                    store(&mut copy, entry.key());
                });
                Self::Large(Box::new(copy))
            }
        }
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |item| ItemText::new(item).as_bytes().escape_ascii().to_string();
        f.debug_set().entries(self.iter().map(text)).finish()
    }
}

/// Adds a member to a table; `true` when it is new.
fn store(table: &mut Members, member: &[u8]) -> bool {
    table.set(KeyHasher.hash(member), member, Value::Bytes(b""), None, 0) == Stored::Inserted
}
