//! The vector index: HNSW and flat search as a library with no server in it.
//!
//! [`Flat`] reads every vector. [`Hnsw`] is a graph after Malkov and Yashunin (2016) with real deletion, reusable slots
//! and a deterministic shape. Walks run on codes; the nearest of a walk are measured again on the best precision that is
//! kept. [`Storage`] says what is kept, [`Metric`] what near means. Batches are `ndarray` views of shape (n, dim).
//!
//! Invariants: the same operations give the same graph on every machine, because every decision about links is made
//! on exact integer products; links go both ways; every element can be reached from the entry point along level 0.
//! [`Hnsw::check`] proves them.
//!
//! [`Hnsw`] does not lock: searches take `&self` and a [`Scratch`] per thread, changes `&mut self`; they come apart into
//! pieces for owners who do. [`Shared`] is such an owner: many threads search and change one index at the same time.
//!
//! What it does not do: know names or attributes of elements, or touch a disk ([`Hnsw::node`] and [`Hnsw::from_nodes`]
//! are the codec's doors).

#![forbid(unsafe_code)]

mod flat;
mod graph;
mod hnsw;
mod params;
mod quantize;
mod rows;
mod scan;
mod scratch;
mod shared;
mod space;

pub use flat::Flat;
pub use hnsw::{Accept, Filtered, Hnsw, Node, NodeVector, Plan, Prepared, Round};
pub use params::{DIM_MAX, Error, M_MAX, Metric, Params, Storage};
pub use scratch::Scratch;
pub use shared::Shared;

/// Place of an element in an index; reused after the element is removed.
pub type Slot = u32;

/// One result of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The element.
    pub slot: Slot,
    /// Distance to the query under the index's [`Metric`]; smaller is nearer.
    pub distance: f32,
}
