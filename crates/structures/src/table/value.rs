//! Values on their way into and out of entries, and the four ways an entry keeps one.

use std::borrow::Cow;

/// Longest value kept behind its key; longer ones get an allocation of their own, which grows with amortised cost.
pub const INLINE_BYTES_MAX: usize = 1024;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes behind the key, in the entry's own allocation.
    Inline = 0,
    /// A 64-bit integer.
    Int = 1,
    /// A boxed object.
    Object = 2,
    /// Bytes in an allocation of their own.
    Heap = 3,
}

/// A value as read.
#[derive(Debug)]
pub enum ValueRef<'t, O> {
    /// A 64-bit integer.
    Int(i64),
    /// A byte string; [`EntryRef::encoding`](super::EntryRef::encoding) says where it is kept.
    Bytes(&'t [u8]),
    /// A collection or other object.
    Object(&'t O),
}

impl<O> Clone for ValueRef<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for ValueRef<'_, O> {}

/// A value to store.
#[derive(Debug)]
pub enum Value<'v, O> {
    /// A 64-bit integer.
    Int(i64),
    /// Bytes to be copied.
    Bytes(&'v [u8]),
    /// Bytes whose allocation is taken over when they are too long to be inline.
    Owned(Vec<u8>),
    /// A collection or other object.
    Object(Box<O>),
}

/// The parts of a value that live outside the entry's allocation.
pub(super) enum Outside<O> {
    Heap(Vec<u8>),
    Object(Box<O>),
}

/// A value sorted by where it will be kept.
pub(super) enum Prepared<'v, O> {
    Int(i64),
    Inline(Cow<'v, [u8]>),
    Heap(Vec<u8>),
    Object(Box<O>),
}

impl<'v, O> From<Value<'v, O>> for Prepared<'v, O> {
    fn from(value: Value<'v, O>) -> Self {
        match value {
            Value::Int(int) => Self::Int(int),
            Value::Bytes(bytes) if bytes.len() <= INLINE_BYTES_MAX => Self::Inline(Cow::Borrowed(bytes)),
            Value::Bytes(bytes) => Self::Heap(bytes.to_vec()),
            Value::Owned(bytes) if bytes.len() <= INLINE_BYTES_MAX => Self::Inline(Cow::Owned(bytes)),
            Value::Owned(mut bytes) => {
                // Room left over from parsing would be paid for as long as the value lives.
                if bytes.capacity() - bytes.len() > bytes.len() / 4 {
                    bytes.shrink_to_fit();
                }
                Self::Heap(bytes)
            }
            Value::Object(object) => Self::Object(object),
        }
    }
}

impl<O> Prepared<'_, O> {
    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Self::Int(_) => Encoding::Int,
            Self::Inline(_) => Encoding::Inline,
            Self::Heap(_) => Encoding::Heap,
            Self::Object(_) => Encoding::Object,
        }
    }

    pub(super) fn inline_len(&self) -> usize {
        if let Self::Inline(bytes) = self { bytes.len() } else { 0 }
    }
}
