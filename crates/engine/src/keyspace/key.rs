//! Keys: what locates one, and the tables they stand in.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use quiver_structures::table::KeyHash;
use quiver_structures::{EntryMut, EntryRef, Table};

use super::shard::shard_of_slot;
use crate::object::Object;
use crate::slot::slot_of;

/// A key with what locates it: computed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The name.
    pub name: &'k [u8],
    /// Keyed hash of the name.
    pub hash: u64,
    /// Home shard.
    pub shard: usize,
}

impl Key<'_> {
    /// The home shard as a set.
    pub fn shard_set(&self) -> u64 {
        1 << self.shard
    }
}

/// The keyed hash of keys, fields and element names: one seed per process, so that nobody can aim keys at one bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher;

static HASH_STATE: OnceLock<ahash::RandomState> = OnceLock::new();

impl KeyHasher {
    /// Sets the seed; only the first call before any hashing counts. Without one a fixed seed serves (tests, tools).
    pub fn seed(seed: u64) {
        HASH_STATE.get_or_init(|| Self::state(seed));
    }

    fn state(seed: u64) -> ahash::RandomState {
        ahash::RandomState::with_seeds(seed, seed.rotate_left(17) ^ 0x9e37_79b9, !seed, 0x2545_f491_4f6c_dd1d)
    }

    /// Locates a key.
    #[inline]
    pub fn key(self, name: &[u8]) -> Key<'_> {
        Key { name, hash: self.hash(name), shard: shard_of_slot(slot_of(name)) }
    }

    /// The keyed hash of any bytes.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = ahash::AHasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        HASH_STATE.get_or_init(|| Self::state(1)).build_hasher()
    }
}

impl KeyHash for KeyHasher {
    #[inline]
    fn hash_key(&self, key: &[u8]) -> u64 {
        self.hash(key)
    }
}

/// The table of one database in one shard.
pub type KeyTable = Table<Object, KeyHasher>;

/// An entry of the keyspace.
pub type KeyEntry<'t> = EntryRef<'t, Object>;

/// An entry of the keyspace, for changing.
pub type KeyEntryMut<'t> = EntryMut<'t, Object, KeyHasher>;
