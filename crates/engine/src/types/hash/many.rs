//! Many fields of many hashes: a list of names prepared once, and looked up in one pass over each hash.
//!
//! A small hash is a list, and a lookup of each field would walk it again from its start. Here the hash is walked once,
//! and because hashes of one kind have their fields in one order, the name that comes next is mostly the one expected.

use quiver_structures::listpack::Item;
use quiver_structures::table::KeyHash;

use super::{AsOf, Content, Hash, ItemText, item_of};
use crate::keyspace::KeyHasher;

/// Distinct field names, in the order in which values are wanted.
#[derive(Clone, Debug)]
pub struct FieldSet {
    names: Box<[Box<[u8]>]>,
    hashes: Box<[u64]>,
    /// Places in the list, in the order of the names.
    by_name: Box<[u32]>,
}

impl FieldSet {
    /// `None` when a name comes twice.
    pub fn new<'n>(names: impl Iterator<Item = &'n [u8]>) -> Option<Self> {
        let names: Box<[Box<[u8]>]> = names.map(Box::from).collect();
        let mut by_name: Box<[u32]> = (0..names.len() as u32).collect();
        by_name.sort_unstable_by_key(|place| &names[*place as usize]);
        let distinct = by_name.windows(2).all(|pair| names[pair[0] as usize] != names[pair[1] as usize]);
        let hashes = names.iter().map(|name| KeyHasher.hash_key(name)).collect();
        distinct.then_some(Self { names, hashes, by_name })
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The name at a place.
    pub fn name(&self, place: usize) -> &[u8] {
        &self.names[place]
    }

    /// The place of a name. Cost: O(log n).
    pub fn place(&self, name: &[u8]) -> Option<usize> {
        let found = self.by_name.binary_search_by(|place| self.names[*place as usize].as_ref().cmp(name));
        found.ok().map(|at| self.by_name[at] as usize)
    }
}

impl Hash {
    /// The values of all fields of a set, in its order. Cost: O(fields wanted) in a hashtable, else O(fields stored).
    pub fn get_all(&self, fields: &FieldSet, as_of: AsOf) -> Vec<Option<Item<'_>>> {
        if let Content::Large(stored) = &self.0 {
            fields.hashes.iter().for_each(|hash| stored.table.prefetch_bucket(*hash));
            fields.hashes.iter().for_each(|hash| stored.table.prefetch_entry(*hash));
            let entries = fields.names().zip(&*fields.hashes).map(|(name, hash)| stored.table.get(*hash, name));
            let seen = entries.map(|entry| entry.filter(|entry| as_of.sees(entry.expire_at())));
            return seen.map(|entry| entry.map(|entry| item_of(entry.value()))).collect();
        }
        let mut found = vec![None; fields.len()];
        let (mut expected, mut left) = (0, fields.len());
        for (field, value) in self.iter(as_of) {
            let text = ItemText::new(field);
            let name = text.as_bytes();
            let as_expected = fields.names.get(expected).is_some_and(|next| **next == *name);
            let Some(place) = (if as_expected { Some(expected) } else { fields.place(name) }) else { continue };
            found[place] = Some(value);
            (expected, left) = (place + 1, left - 1);
            if left == 0 {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    #[test]
    fn all_encodings_answer_what_single_lookups_do() {
        let names: Vec<Vec<u8>> =
            (0..40).map(|i| if i % 7 == 0 { i.to_string() } else { format!("f{i}") }.into()).collect();
        for entries in [0, 10, 128] {
            let limits = Limits { entries, value_bytes: 64 };
            for volatile in [false, true] {
                let mut hash = Hash::new();
                for (i, name) in names.iter().enumerate().filter(|(i, _)| i % 3 != 0) {
                    let expire_at = (volatile && i % 5 == 0).then_some(if i % 2 == 0 { 50 } else { 200 });
                    hash.set_expiring(name, i.to_string().as_bytes(), expire_at, limits);
                }
                for step in [1, 2, 11] {
                    let wanted = (0..names.len()).map(|i| names[i * step % names.len()].as_slice());
                    let Some(fields) = FieldSet::new(wanted) else { continue };
                    let all = hash.get_all(&fields, AsOf(100));
                    let singly: Vec<_> = fields.names().map(|name| hash.get(name, AsOf(100))).collect();
                    assert_eq!(all, singly, "{} by {step}", hash.encoding());
                }
            }
        }
        assert!(FieldSet::new([b"a".as_slice(), b"b", b"a"].into_iter()).is_none());
    }
}
