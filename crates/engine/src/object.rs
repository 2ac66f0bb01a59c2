//! The values behind keys that are more than a string.

use std::sync::Arc;

use parking_lot::RwLock;
use quiver_structures::ValueRef;

use crate::keyspace::KeyEntry;
use crate::types::hash::Hash;
use crate::types::vset::VectorSet;

/// A collection. Strings live in the table entry itself.
#[derive(Debug)]
pub enum Object {
    /// Field-value map.
    Hash(Hash),
    /// Vectors with names and attributes. Changed only under the shard's lock; the inner lock lets a search go on
    /// with a handle after the shard was released.
    VectorSet(Arc<RwLock<VectorSet>>),
}

impl Object {
    /// The name TYPE prints.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Hash(_) => "hash",
            Self::VectorSet(_) => "vectorset",
        }
    }

    /// The name OBJECT ENCODING prints.
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::Hash(hash) => hash.encoding(),
            Self::VectorSet(_) => "raw",
        }
    }

    /// Heap bytes, this value included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Hash(hash) => hash.memory_bytes(),
                Self::VectorSet(set) => set.read().memory_bytes(),
            }
    }

    /// Elements inside; decides whether freeing is left to the background.
    pub fn len(&self) -> usize {
        match self {
            Self::Hash(hash) => hash.len(),
            Self::VectorSet(set) => set.read().len(),
        }
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A deep copy, for COPY.
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Hash(hash) => Self::Hash(hash.clone()),
            Self::VectorSet(set) => Self::VectorSet(Arc::new(RwLock::new(set.read().clone()))),
        }
    }
}

/// The name OBJECT ENCODING prints for an entry: that of Redis for what the client would see there.
pub fn encoding_name(entry: &KeyEntry<'_>) -> &'static str {
    match entry.value() {
        ValueRef::Int(_) => "int",
        ValueRef::Bytes(bytes) if bytes.len() <= EMBEDDED_BYTES_MAX && !entry.is_edited() => "embstr",
        ValueRef::Bytes(_) => "raw",
        ValueRef::Object(object) => object.encoding(),
    }
}

/// Longest string that Redis keeps in one allocation with its object.
const EMBEDDED_BYTES_MAX: usize = 44;

/// The name TYPE prints for a value.
pub fn type_name(value: &ValueRef<'_, Object>) -> &'static str {
    match value {
        ValueRef::Int(_) | ValueRef::Bytes(_) => "string",
        ValueRef::Object(object) => object.type_name(),
    }
}
