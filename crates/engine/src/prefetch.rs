//! Loading what a batch of commands will need into the cache, step by step for all of them, so that their misses overlap
//! instead of following one another (design: the largest single gain of the data path).
//!
//! A key leads from bucket to entry; the entry of a collection leads to the object, that to a table or a list, and the
//! table to the element a command names. Each pass asks for what the one before it has brought.

use quiver_resp::{Argv, Requests};
use quiver_structures::table::{KeyHash, Table};
use quiver_structures::{ValueRef, prefetch};

use crate::command::{Command, Group};
use crate::dispatch::{GROUP_MAX, Step};
use crate::keyspace::{Key, KeyHasher, Keyspace};
use crate::object::Object;

/// What a collection is asked to load for one of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What the object points to.
    Near,
    /// What that points to.
    Far,
}

impl Reach {
    /// Loads the way to `element` in a table of elements.
    #[inline]
    pub(crate) fn into_table<O>(self, table: &Table<O, KeyHasher>, element: &[u8]) {
        let hash = KeyHasher.hash_key(element);
        match self {
            Self::Near => table.prefetch_bucket(hash),
            Self::Far => table.prefetch_entry(hash),
        }
    }

    /// Loads the start of a list of elements, in the pass in which it can be reached.
    #[inline]
    pub(crate) fn into_bytes(self, bytes: &[u8]) {
        const LINE: usize = 64;
        const LINES: usize = 4;
        if self == Self::Near {
            bytes.chunks(LINE).take(LINES).for_each(prefetch);
        }
    }
}

/// Where a command on one collection names the element it is about; `None` for other commands.
pub(crate) fn element_at(command: &Command, one_key: bool) -> Option<usize> {
    let collection = matches!(command.group, Group::Hash | Group::List | Group::Set | Group::SortedSet | Group::Stream);
    (one_key && collection).then_some(match command.name {
        "zadd" | "zincrby" => 3,
        _ => 2,
    })
}

/// Loads what the commands of a plan will touch; `first` is the request of the first of them.
pub(crate) fn prefetch_plan(
    ks: &Keyspace<'_>,
    db: usize,
    plan: &[Step],
    requests: &Requests,
    buf: &[u8],
    first: usize,
) {
    if plan.len() < 2 {
        return;
    }
    let keys = || plan.iter().filter_map(|step| step.located).map(|(hash, shard)| Key { name: b"", hash, shard });
    keys().for_each(|key| ks.prefetch_bucket(db, &key));
    keys().for_each(|key| ks.prefetch_entry(db, &key));
    if plan.iter().any(|step| element_of(step).is_some()) {
        prefetch_elements(ks, db, plan, |index| requests.argv(first + index, buf));
    }
}

fn element_of(step: &Step) -> Option<usize> {
    step.entry.as_ref().ok()?.element_at
}

fn prefetch_elements<'b>(ks: &Keyspace<'_>, db: usize, plan: &[Step], argv: impl Fn(usize) -> Argv<'b>) {
    let mut found: [Option<(&Object, &[u8])>; GROUP_MAX] = [None; GROUP_MAX];
    for (index, (step, slot)) in plan.iter().zip(&mut found).enumerate() {
        let (Some(at), Some((hash, shard))) = (element_of(step), step.located) else { continue };
        let argv = argv(index);
        let name = argv.at(1);
        if let Some(ValueRef::Object(object)) = ks.untouched(db, &Key { name, hash, shard }) {
            prefetch(object);
            *slot = Some((object, argv.get(at).unwrap_or(name)));
        }
    }
    for reach in [Reach::Near, Reach::Far] {
        found.iter().flatten().for_each(|(object, element)| object.prefetch(element, reach));
    }
}
