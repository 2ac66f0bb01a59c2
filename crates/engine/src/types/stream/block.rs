//! A run of entries in one listpack, each as its difference to the first.
//!
//! The elements are those of Redis' streams, so that saving a block is a copy:
//!
//! ```text
//! live | deleted | fields | field ... | 0          the first entry's fields, shared by entries that have the same
//! flags | ms | seq | value ... | elements          an entry with those fields
//! flags | ms | seq | fields | field value ... | elements
//! ```
//!
//! `ms` and `seq` are differences to the block's first id; `elements` counts what stands before it in the entry, for
//! walks from the end. A deleted entry keeps its bytes and gets a flag.
//!
//! Invariants: ids ascend; at least one entry lives. The two counts stand beside the listpack, where changing them moves
//! no bytes; inside they are zero until the block is saved.

use quiver_rdb::Writer;
use quiver_structures::listpack::{Item, Iter, ListPack, Place};
use smallvec::SmallVec;

use super::id::Id;
use super::log::{OTHER_ELEMENTS, OVERHEAD_BYTES};

/// Flag of an entry that was deleted.
const DELETED: i64 = 1;
/// Flag of an entry with the fields of the block's first.
const SAME_FIELDS: i64 = 2;
/// Elements before the fields of the first entry.
const HEAD: usize = 3;

/// A run of entries.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Id the others are told from, that of the first entry ever put here.
    pub(super) first: Id,
    /// Entries that live.
    pub(super) live: u32,
    /// Entries that were deleted and still take room.
    pub(super) deleted: u32,
    list: ListPack,
}

/// An entry where it is stored.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its id.
    pub id: Id,
    pairs: usize,
    flags: i64,
    /// Where its flags stand.
    place: Place,
    /// The first entry's fields, when they are this one's too.
    shared: Option<Iter<'a>>,
    items: Iter<'a>,
}

impl<'a> Entry<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.pairs
    }

    /// Never so for an entry XADD wrote.
    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// Fields and values in the order they were given.
    pub fn pairs(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let (mut shared, mut items) = (self.shared.clone(), self.items.clone());
        (0..self.pairs).map_while(move |_| {
            let field = match &mut shared {
                Some(fields) => fields.next()?,
                None => items.next()?,
            };
            Some((field, items.next()?))
        })
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }
}

impl Block {
    /// A block that begins with this entry; `words` are fields and values in turn.
    pub(super) fn new(id: Id, words: &[&[u8]]) -> Self {
        let mut list = ListPack::new();
        let mut head: SmallVec<[Item<'_>; 16]> = SmallVec::new();
        head.extend([Item::Int(0), Item::Int(0), Item::Int((words.len() / 2) as i64)]);
        head.extend(words.iter().step_by(2).map(|field| Item::Str(field)));
        head.push(Item::Int(0));
        list.extend(&head);
        let mut block = Self { first: id, live: 0, deleted: 0, list };
        block.push(id, words);
        block
    }

    /// Takes over a listpack from elsewhere.
    ///
    /// # Errors
    /// What makes it no block.
    pub(super) fn from_list(first: Id, mut list: ListPack) -> Result<Self, &'static str> {
        let counts = checked_counts(first, &list)?;
        for index in 0..2 {
            let place = list.at(index).expect("its head was checked");
            list.replace(place, Item::Int(0));
        }
        Ok(Self { first, live: counts.0, deleted: counts.1, list })
    }

    /// Adds an entry behind all others.
    pub(super) fn push(&mut self, id: Id, words: &[&[u8]]) {
        let same = self.has_fields(words);
        let fields = words.len() / 2;
        let mut items: SmallVec<[Item<'_>; 24]> = SmallVec::new();
        items.push(Item::Int(if same { SAME_FIELDS } else { 0 }));
        // Differences wrap, as they do in Redis: a later millisecond may have a smaller number.
        items.push(Item::Int(id.ms.wrapping_sub(self.first.ms) as i64));
        items.push(Item::Int(id.seq.wrapping_sub(self.first.seq) as i64));
        if same {
            items.extend(words.iter().skip(1).step_by(2).map(|value| Item::Str(value)));
        } else {
            items.push(Item::Int(fields as i64));
            items.extend(words.iter().map(|word| Item::Str(word)));
        }
        items.push(Item::Int(items.len() as i64));
        self.list.extend(&items);
        self.live += 1;
    }

    /// Marks an entry of this block as deleted.
    pub(super) fn delete(&mut self, entry: Place, flags: i64) {
        self.list.replace(entry, Item::Int(flags | DELETED));
        self.live -= 1;
        self.deleted += 1;
    }

    /// Bytes of the listpack.
    pub(super) fn len_bytes(&self) -> usize {
        self.list.as_bytes().len()
    }

    /// Heap bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.list.allocation_bytes()
    }

    /// Whether an entry of so many bytes of fields and values can be added at all.
    pub(super) fn has_room_for(&self, bytes: usize, words: usize) -> bool {
        self.list.has_room_for(bytes + (words + OTHER_ELEMENTS) * OVERHEAD_BYTES)
    }

    /// Makes room for as many bytes as the block is expected to grow to.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.list.reserve_total(bytes);
    }

    /// Gives back what a full block does not need.
    pub(super) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    /// Id of the last entry, deleted or not.
    pub(super) fn last_id(&self) -> Id {
        self.entries_back().next().map_or(self.first, |entry| entry.id)
    }

    /// All entries, deleted ones too.
    pub(super) fn entries(&self) -> Entries<'_> {
        let mut items = self.list.iter();
        items.by_ref().take(HEAD - 1).for_each(drop);
        let count = int(items.next()) as usize;
        let fields = items.clone();
        items.by_ref().take(count + 1).for_each(drop);
        Entries { first: self.first, count, fields, items }
    }

    /// All entries from the last to the first.
    pub(super) fn entries_back(&self) -> EntriesBack<'_> {
        EntriesBack { list: &self.list, back: self.list.iter(), entries: self.entries() }
    }

    /// Writes the listpack with its counts.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        let mut list = self.list.clone();
        for (index, count) in [self.live, self.deleted].into_iter().enumerate() {
            let place = list.at(index).expect("a block has a head");
            list.replace(place, Item::Int(count.into()));
        }
        writer.string(list.as_bytes());
    }

    /// Whether an entry's fields are those of the first.
    fn has_fields(&self, words: &[&[u8]]) -> bool {
        let mut items = self.list.iter();
        items.by_ref().take(HEAD - 1).for_each(drop);
        int(items.next()) as usize == words.len() / 2
            && words.iter().step_by(2).zip(items).all(|(field, item)| match item {
                Item::Str(known) => known == *field,
                item @ Item::Int(_) => item.is(field),
            })
    }
}

/// The entries of a block in order.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    first: Id,
    /// Number of the first entry's fields.
    count: usize,
    fields: Iter<'a>,
    items: Iter<'a>,
}

impl<'a> Entries<'a> {
    /// Reads the entry whose flags are the next element of `items`, and steps over it.
    fn read(&self, items: &mut Iter<'a>) -> Option<Entry<'a>> {
        let place = items.front_place();
        let flags = int(Some(items.next()?));
        let (ms, seq) = (int(items.next()), int(items.next()));
        let id = Id { ms: self.first.ms.wrapping_add(ms as u64), seq: self.first.seq.wrapping_add(seq as u64) };
        let same = flags & SAME_FIELDS != 0;
        let pairs = if same { self.count } else { int(items.next()) as usize };
        let entry = Entry { id, pairs, flags, place, shared: same.then(|| self.fields.clone()), items: items.clone() };
        let words = if same { pairs } else { pairs * 2 };
        items.by_ref().take(words + 1).for_each(drop);
        Some(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let mut items = self.items.clone();
        let entry = self.read(&mut items);
        self.items = items;
        entry
    }
}

/// The entries of a block from its end.
#[derive(Clone, Debug)]
pub(super) struct EntriesBack<'a> {
    list: &'a ListPack,
    back: Iter<'a>,
    entries: Entries<'a>,
}

impl<'a> Iterator for EntriesBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let count = int(Some(self.back.next_back()?)) as usize;
        if count == 0 {
            // The zero behind the first entry's fields.
            return None;
        }
        self.back.by_ref().rev().take(count).for_each(drop);
        self.entries.read(&mut self.list.iter_at(self.back.back_place()))
    }
}

impl Entry<'_> {
    /// Where the entry is in its block, and its flags: what [`Block::delete`] takes.
    pub(super) fn place(&self) -> (Place, i64) {
        (self.place, self.flags)
    }
}

/// An element that is a number in every block.
fn int(item: Option<Item<'_>>) -> i64 {
    match item {
        Some(Item::Int(number)) => number,
        _ => unreachable!("blocks are checked when they come from outside"),
    }
}

/// Living and deleted entries of a listpack that is a block in every detail.
fn checked_counts(first: Id, list: &ListPack) -> Result<(u32, u32), &'static str> {
    const DAMAGED: &str = "stream with a damaged block";
    let number = |item: Option<Item<'_>>| match item {
        Some(Item::Int(number)) => Ok(number),
        _ => Err(DAMAGED),
    };
    let mut items = list.iter();
    let claimed = (number(items.next())?, number(items.next())?);
    let fields = usize::try_from(number(items.next())?).map_err(|_| DAMAGED)?;
    if items.by_ref().take(fields).count() != fields || number(items.next())? != 0 {
        return Err(DAMAGED);
    }
    let (mut live, mut deleted, mut last) = (0u32, 0u32, None);
    while let Some(flags) = items.next() {
        let flags = number(Some(flags))?;
        let (ms, seq) = (number(items.next())?, number(items.next())?);
        let id = Id { ms: first.ms.wrapping_add(ms as u64), seq: first.seq.wrapping_add(seq as u64) };
        if flags & !(DELETED | SAME_FIELDS) != 0 || id < first || last.is_some_and(|last| id <= last) {
            return Err(DAMAGED);
        }
        last = Some(id);
        let (words, head) = if flags & SAME_FIELDS != 0 {
            (fields, 3)
        } else {
            let pairs = usize::try_from(number(items.next())?).map_err(|_| DAMAGED)?;
            (pairs.checked_mul(2).ok_or(DAMAGED)?, 4)
        };
        if items.by_ref().take(words).count() != words || number(items.next())? != (words + head) as i64 {
            return Err(DAMAGED);
        }
        let counter = if flags & DELETED == 0 { &mut live } else { &mut deleted };
        *counter = counter.checked_add(1).ok_or(DAMAGED)?;
    }
    if claimed != (live.into(), deleted.into()) || live.checked_add(deleted).is_none_or(|all| all == 0) {
        return Err(DAMAGED);
    }
    Ok((live, deleted))
}
