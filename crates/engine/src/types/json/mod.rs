//! JSON: documents with their fields in the order they were given.
//!
//! - this file: the nodes of a document and their places; `text`: from and to JSON text; `path`: JSONPath and the older
//!   path syntax of RedisJSON; `select`: the nodes a path leads to; `filter`: conditions inside of paths.
//!
//! A node's *place* is the list of positions on the way to it, which stays valid until something before it is removed.
//!
//! Invariants: no document is nested deeper than [`DEPTH_MAX`], so all that follows its shape may recurse; numbers are
//! finite. Not here: replies and errors (`commands/json`).

pub mod filter;
pub mod path;
pub mod select;
#[cfg(test)]
mod tests;
pub mod text;
pub mod value;

use indexmap::IndexMap;

use crate::keyspace::KeyHasher;

/// Deepest nesting of a document.
pub const DEPTH_MAX: usize = 128;

/// The fields of an object.
pub type Fields = IndexMap<Box<str>, Node, KeyHasher>;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction or exponent that fits.
    Int(i64),
    /// Any other number; finite.
    Float(f64),
    /// A string.
    Str(Box<str>),
    /// Values in order.
    Array(Vec<Self>),
    /// Fields in the order they were given.
    Object(Box<Fields>),
}

/// The way to a node: positions among the children of one node after the other.
pub type Place = Vec<usize>;

impl Node {
    /// The name JSON.TYPE prints.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "number",
            Self::Str(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// Whether it can have children.
    pub fn is_container(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// Number of children.
    pub fn child_count(&self) -> usize {
        match self {
            Self::Array(items) => items.len(),
            Self::Object(fields) => fields.len(),
            _ => 0,
        }
    }

    /// A child by position.
    pub fn child(&self, at: usize) -> Option<&Self> {
        match self {
            Self::Array(items) => items.get(at),
            Self::Object(fields) => fields.get_index(at).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A child by position, for change.
    pub fn child_mut(&mut self, at: usize) -> Option<&mut Self> {
        match self {
            Self::Array(items) => items.get_mut(at),
            Self::Object(fields) => fields.get_index_mut(at).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Position and value of a field.
    pub fn field(&self, name: &str) -> Option<(usize, &Self)> {
        match self {
            Self::Object(fields) => fields.get_full(name).map(|(at, _, value)| (at, value)),
            _ => None,
        }
    }

    /// The node at a place.
    pub fn at(&self, place: &[usize]) -> Option<&Self> {
        place.iter().try_fold(self, |node, at| node.child(*at))
    }

    /// The node at a place, for change.
    pub fn at_mut(&mut self, place: &[usize]) -> Option<&mut Self> {
        place.iter().try_fold(self, |node, at| node.child_mut(*at))
    }

    /// Removes what is at a place that is not the root; `false` when there is nothing. The order of the rest stays.
    pub fn remove(&mut self, place: &[usize]) -> bool {
        let Some((last, parent)) = place.split_last() else { return false };
        match self.at_mut(parent) {
            Some(Self::Array(items)) if *last < items.len() => {
                items.remove(*last);
                true
            }
            Some(Self::Object(fields)) => fields.shift_remove_index(*last).is_some(),
            _ => false,
        }
    }

    /// Levels of containers in it.
    pub fn depth(&self) -> usize {
        let children = (0..self.child_count()).filter_map(|at| self.child(at));
        match self.is_container() {
            true => 1 + children.map(Self::depth).max().unwrap_or(0),
            false => 0,
        }
    }

    /// Heap bytes behind it.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Str(string) => string.len(),
            Self::Array(items) => {
                items.capacity() * size_of::<Self>() + items.iter().map(Self::heap_bytes).sum::<usize>()
            }
            Self::Object(fields) => {
                // Entry, its hash, and its slot in the table.
                let entry = size_of::<(Box<str>, Self)>() + 2 * size_of::<usize>();
                let inside = fields.iter().map(|(name, value)| name.len() + value.heap_bytes()).sum::<usize>();
                size_of::<Fields>() + fields.capacity() * entry + inside
            }
            _ => 0,
        }
    }
}

/// An object without fields.
pub fn empty_object() -> Node {
    Node::Object(Box::default())
}
