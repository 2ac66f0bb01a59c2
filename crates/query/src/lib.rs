//! The query engine behind FT.*: a library with no server in it.
//!
//! A [`Schema`] says which attributes of a document are indexed and how. An index takes [`Document`]s under their keys and
//! answers a [`Query`], which the parser makes of the query language; what comes out are the keys that match, scored.
//! Rows of results go through a pipeline of steps (FT.AGGREGATE), or two rankings become one (FT.HYBRID).
//!
//! Invariants: an answer equals that of a scan over all documents, except for approximate vector search, whose recall is
//! the planner's duty; nothing here panics for what a query or a document holds, and everything a query can make large
//! has a bound (see [`limits`]).
//!
//! What it does not do: know commands, replies, hashes or JSON. The engine extracts documents and keeps them current.

#![forbid(unsafe_code)]

pub mod aggregate;
mod analyzer;
pub mod ast;
mod document;
mod error;
mod explain;
pub mod highlight;
pub mod hybrid;
pub mod index;
pub mod limits;
pub mod parse;
mod schema;
pub mod spell;
pub mod suggest;
pub mod text;
mod value;
mod words;

pub use analyzer::Analyzer;
pub use ast::Query;
pub use document::{Document, FieldValue};
pub use error::QueryError;
pub use explain::explain;
pub use index::Index;
pub use parse::{ParseOptions, parse};
pub use schema::{Field, FieldKind, Schema, VectorAlgorithm, VectorField, VectorType};
pub use value::Value;
