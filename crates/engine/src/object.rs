//! The values behind keys that are more than a string.
//!
//! Each collection implements [`Collection`] once, beside its own code; the enum, its dispatch, the RDB codec and the
//! digest follow from the one list at the end of this file.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::RwLock;
use quiver_rdb::{Reader, Reason, Writer, code};
use quiver_structures::ValueRef;

use crate::codec;
use crate::digest::Digest;
use crate::keyspace::KeyEntry;
use crate::prefetch::Reach;
use crate::types::array::Array;
use crate::types::hash::Hash;
use crate::types::json::value::Json;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::suggestions::Suggestions;
use crate::types::vset::VectorSet;
use crate::types::zset::SortedSet;

/// What the keyspace asks of a type of value. An implementation knows nothing of commands.
pub trait Collection: Sized + Debug {
    /// The name TYPE prints.
    const TYPE_NAME: &'static str;

    /// The name OBJECT ENCODING prints.
    fn encoding(&self) -> &'static str;
    /// Heap bytes.
    fn memory_bytes(&self) -> usize;
    /// Elements inside; decides whether freeing is left to the background.
    fn len(&self) -> usize;
    /// Whether nothing is inside.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Loads what leads to an element into the cache.
    fn prefetch(&self, _element: &[u8], _reach: Reach) {}
    /// A deep copy, for COPY.
    fn duplicate(&self) -> Self;
    /// Digest of the content, independent of encoding and order of insertion.
    fn digest(&self) -> Digest;
    /// The id of the module value it is saved as, if it is.
    const MODULE_ID: Option<u64> = None;

    /// The RDB type byte [`Self::write`] writes after.
    fn rdb_kind(&self) -> u8;
    /// Writes the next part of the value without its type byte, until `writer` holds about `room` bytes; `true` when all
    /// of it is out. `at` says how far the parts before have come, 0 for nowhere, and the value does not change between
    /// parts. What is short comes in one part.
    fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool;
    /// Writes the value without its type byte.
    fn write(&self, writer: &mut Writer<'_>) {
        self.write_part(writer, &mut 0, usize::MAX);
    }
    /// Whether [`Self::read`] takes values of this RDB type.
    fn reads(kind: u8) -> bool;
    /// Reads a value of an RDB type that [`Self::reads`] takes.
    ///
    /// # Errors
    /// The bytes are no such value; names place and reason.
    fn read(reader: &mut Reader<'_>, kind: u8) -> codec::Result<Self>;

    /// This type in an object.
    fn of(object: &Object) -> Option<&Self>;
    /// This type in an object, for changing.
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
    /// As an object.
    fn into_object(self) -> Object;
}

/// A vector set is changed only under its shard's lock; the inner lock lets a search go on with a handle after the
/// shard was released.
pub type SharedVectorSet = Arc<RwLock<VectorSet>>;

/// Implements the conversions between a collection and its variant of [`Object`].
macro_rules! in_object {
    ($variant:ident) => {
        fn of(object: &Object) -> Option<&Self> {
            match object {
                Object::$variant(value) => Some(value),
                _ => None,
            }
        }
        fn of_mut(object: &mut Object) -> Option<&mut Self> {
            match object {
                Object::$variant(value) => Some(value),
                _ => None,
            }
        }
        fn into_object(self) -> Object {
            Object::$variant(self)
        }
    };
}
pub(crate) use in_object;

impl Collection for SharedVectorSet {
    const TYPE_NAME: &'static str = "vectorset";
    const MODULE_ID: Option<u64> = Some(quiver_rdb::vectorset::MODULE_ID);

    fn encoding(&self) -> &'static str {
        "raw"
    }
    fn memory_bytes(&self) -> usize {
        RwLock::read(self).memory_bytes()
    }
    fn len(&self) -> usize {
        RwLock::read(self).len()
    }
    fn duplicate(&self) -> Self {
        Self::new(RwLock::new(RwLock::read(self).clone()))
    }
    fn digest(&self) -> Digest {
        RwLock::read(self).digest()
    }
    fn rdb_kind(&self) -> u8 {
        kind_of(&RwLock::read(self))
    }
    fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        let set = RwLock::read(self);
        let kind = kind_of(&set);
        if *at == 0 && kind == code::QUIVER_VECTOR_SET_2 {
            set.write_indexed(writer);
        }
        if *at == 0 && kind != code::MODULE_2 {
            set.write_expiries(writer);
        }
        set.write_part(writer, at, room)
    }
    fn reads(kind: u8) -> bool {
        [code::MODULE_2, code::QUIVER_VECTOR_SET, code::QUIVER_VECTOR_SET_2].contains(&kind)
    }
    fn read(reader: &mut Reader<'_>, kind: u8) -> codec::Result<Self> {
        let fields = if kind == code::QUIVER_VECTOR_SET_2 { VectorSet::read_indexed(reader)? } else { Vec::new() };
        let expiries = if kind == code::MODULE_2 { Vec::new() } else { VectorSet::read_expiries(reader)? };
        let mut set = VectorSet::read(reader)?;
        set.restore_expiries(&expiries).map_err(|reason| reader.error(Reason::Corrupt(reason)))?;
        if !fields.is_empty() {
            set.add_indexes(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        Ok(set.into_shared())
    }
    in_object!(VectorSet);
}

/// Redis' own type where that has room for all there is.
fn kind_of(set: &VectorSet) -> u8 {
    match (set.indexed_fields().len(), set.earliest()) {
        (0, None) => code::MODULE_2,
        (0, Some(_)) => code::QUIVER_VECTOR_SET,
        _ => code::QUIVER_VECTOR_SET_2,
    }
}

macro_rules! objects {
    ($($(#[$doc:meta])* $variant:ident($type:ty);)+) => {
        /// A collection. Strings live in the table entry itself.
        #[derive(Debug)]
        pub enum Object {
            $($(#[$doc])* $variant($type),)+
        }

        impl Object {
            /// The name TYPE prints.
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$type as Collection>::TYPE_NAME,)+ }
            }

            /// The name OBJECT ENCODING prints.
            pub fn encoding(&self) -> &'static str {
                match self { $(Self::$variant(value) => Collection::encoding(value),)+ }
            }

            /// Heap bytes, this value included.
            pub fn memory_bytes(&self) -> usize {
                size_of::<Self>() + match self { $(Self::$variant(value) => Collection::memory_bytes(value),)+ }
            }

            /// Elements inside.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(value) => Collection::len(value),)+ }
            }

            /// Whether nothing is inside.
            pub fn is_empty(&self) -> bool {
                match self { $(Self::$variant(value) => Collection::is_empty(value),)+ }
            }

            /// Loads what leads to an element into the cache.
            pub fn prefetch(&self, element: &[u8], reach: Reach) {
                match self { $(Self::$variant(value) => Collection::prefetch(value, element, reach),)+ }
            }

            /// A deep copy, for COPY.
            pub fn duplicate(&self) -> Self {
                match self { $(Self::$variant(value) => Self::$variant(Collection::duplicate(value)),)+ }
            }

            /// Digest of the content.
            pub fn digest(&self) -> Digest {
                match self { $(Self::$variant(value) => Collection::digest(value),)+ }
            }

            /// The RDB type byte.
            pub fn rdb_kind(&self) -> u8 {
                match self { $(Self::$variant(value) => Collection::rdb_kind(value),)+ }
            }

            /// Writes the value without its type byte.
            pub fn write(&self, writer: &mut Writer<'_>) {
                match self { $(Self::$variant(value) => Collection::write(value, writer),)+ }
            }

            /// Writes the next part of the value; see [`Collection::write_part`].
            pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
                match self { $(Self::$variant(value) => Collection::write_part(value, writer, at, room),)+ }
            }

            /// Whether [`Self::read`] knows an RDB type.
            pub fn reads(kind: u8) -> bool {
                $(<$type as Collection>::reads(kind))||+
            }

            /// Reads a value of an RDB type.
            ///
            /// # Errors
            /// The type is not known, or the bytes are no such value.
            pub fn read(reader: &mut Reader<'_>, kind: u8) -> codec::Result<Self> {
                let module = if kind == code::MODULE_2 { Some(reader.peek_length()?) } else { None };
                $(if <$type as Collection>::reads(kind) && (module.is_none() || <$type as Collection>::MODULE_ID == module) {
                    return Ok(Self::$variant(<$type as Collection>::read(reader, kind)?));
                })+
                Err(reader.invalid("value of a type that is not supported"))
            }
        }
    };
}

objects! {
    /// Sparse sequence addressed by index.
    Array(Array);
    /// Field-value map.
    Hash(Hash);
    /// JSON document.
    Json(Json);
    /// Elements in order.
    List(List);
    /// Members in the order of their scores.
    SortedSet(SortedSet);
    /// Distinct members.
    Set(Set);
    /// Completions with scores.
    Suggestions(Suggestions);
    /// Log of entries with consumer groups.
    Stream(Box<Stream>);
    /// Vectors with names and attributes.
    VectorSet(SharedVectorSet);
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
