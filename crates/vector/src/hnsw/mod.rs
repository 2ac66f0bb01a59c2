//! Hierarchical navigable small world graph, after Malkov and Yashunin (2016, arXiv:1603.09320).
//!
//! Where it differs from the paper:
//! - Links go both ways. An element can then be removed by its own lists, and a level is an undirected graph whose
//!   connectedness can be kept: a link is given up only if a detour of two links replaces it, a new element that
//!   finds no room is put in the middle of a link, and after a removal the neighbours are joined again if they fell
//!   apart (`connect.rs`). So everything stays reachable along level 0, always, not just probably.
//! - The level of an element comes from its key, the entry point is the smallest slot on the highest level, freed
//!   slots are taken smallest first, and all distances that decide about links are made of exact integer products.
//!   The graph is therefore a function of the operations, on any machine, and of a stored graph and what follows.
//! - One sorted pool instead of two heaps, codes instead of vectors during walks (`search.rs`).
//! - A search that would visit a good part of a small index reads all of it instead, in order (`scan.rs`).

mod batch;
mod bulk;
mod check;
mod codec;
mod connect;
mod filtered;
mod hop;
mod insert;
mod prepare;
mod remove;
mod reorder;
mod search;

pub use bulk::Round;
pub use codec::{Node, NodeVector};
pub(crate) use codec::{restore_vector, slots_max};
pub(crate) use filtered::Asked;
pub use filtered::{Accept, Filtered, Plan};
pub use prepare::Prepared;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use quiver_kernels::Kernels;

use crate::graph::Graph;
use crate::scratch::Scratch;
use crate::space::{Query, Space};
use crate::{Error, Params, Slot};

/// An index of vectors: see the [crate] for what it promises.
#[derive(Debug)]
pub struct Hnsw {
    params: Params,
    space: Space,
    graph: Graph,
    /// Where walks start, and its level.
    entry: Option<(Slot, usize)>,
    /// Vacant slots below `graph.slots()`.
    vacant: BinaryHeap<Reverse<Slot>>,
    len: usize,
    /// Counts changes of the graph, so that whoever worked on it in pieces knows when to look again.
    changes: u64,
    scratch: Scratch,
    work: Work,
}

/// Memory that changes of the graph work in.
#[derive(Debug, Default)]
struct Work {
    chosen: Vec<Slot>,
    neighbors: Vec<Slot>,
    pairs: Vec<(f32, Slot, Slot)>,
}

impl Hnsw {
    /// An empty index; it allocates nothing until the first insertion.
    /// # Errors
    /// A parameter out of range.
    pub fn new(params: Params) -> Result<Self, Error> {
        Self::with_kernels(params, quiver_kernels::best())
    }

    /// [`Self::new`] on chosen kernels, for tests and measurements.
    /// # Errors
    /// A parameter out of range.
    pub fn with_kernels(params: Params, kernels: &'static Kernels) -> Result<Self, Error> {
        params.validate()?;
        Ok(Self {
            params,
            space: Space::new(&params, kernels),
            graph: Graph::new(params.m),
            entry: None,
            vacant: BinaryHeap::new(),
            len: 0,
            changes: 0,
            scratch: Scratch::new(),
            work: Work::default(),
        })
    }

    /// What the index was made of.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Dimensions of every vector.
    pub fn dim(&self) -> usize {
        self.params.dim
    }

    /// Elements in the index.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Highest level of any element; zero in an empty index.
    pub fn max_level(&self) -> usize {
        self.entry.map_or(0, |(_, level)| level)
    }

    /// Where walks start.
    pub fn entry_point(&self) -> Option<Slot> {
        self.entry.map(|(slot, _)| slot)
    }

    /// One more than the largest slot ever taken since the index was last empty.
    pub fn slots(&self) -> usize {
        self.graph.slots()
    }

    /// Whether an element lives in `slot`.
    pub fn is_live(&self, slot: Slot) -> bool {
        self.graph.is_live(slot)
    }

    /// Slots with an element, ascending.
    pub fn live_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.graph.live()
    }

    /// Slots below [`Self::slots`] without an element, in no order.
    pub fn vacant_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.vacant.iter().map(|slot| slot.0)
    }

    /// Highest level of the element in `slot`.
    pub fn level(&self, slot: Slot) -> Option<usize> {
        self.graph.level(slot)
    }

    /// Neighbours of an element on a level; none above its own level or where no element lives.
    pub fn links(&self, slot: Slot, level: usize) -> &[Slot] {
        match self.graph.level(slot) {
            Some(top) if level <= top => self.graph.links(slot, level),
            _ => &[],
        }
    }

    /// The vector as it was given, as exactly as it is kept.
    pub fn vector(&self, slot: Slot) -> Option<Vec<f32>> {
        self.is_live(slot).then(|| self.space.original(slot))
    }

    /// Distance between two elements in the best precision that is kept. Allocates; meant for answers about links.
    pub fn distance(&self, a: Slot, b: Slot) -> Option<f32> {
        let vector = self.vector(a)?;
        let norm = self.space.validate(&vector).ok()?;
        let mut query = Query::default();
        query.prepare(&self.space, &vector, norm);
        self.is_live(b).then(|| self.space.exact(&query, b))
    }

    /// Bytes allocated for vectors, codes and links.
    pub fn memory_bytes(&self) -> usize {
        self.space.memory_bytes() + self.graph.memory_bytes() + self.vacant.capacity() * size_of::<Slot>()
    }

    fn live(&self, slot: Slot) -> Result<usize, Error> {
        self.graph.level(slot).ok_or(Error::NoSuchSlot(slot))
    }
}
