//! An index without a graph: adding costs a copy, searching reads every code in order and finds the nearest for sure
//! (by code; the nearest of those are measured again as in [`crate::Hnsw`]).
//!
//! For sets of some thousands, where reading is as fast as walking, and for those that must not miss.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::hnsw::{Node, NodeVector, restore_vector};
use crate::scan::{exact, measure, scan};
use crate::scratch::Scratch;
use crate::space::{Encoded, Space};
use crate::{Error, Neighbor, Params, Slot};

/// A flat index; `m` and `ef_construction` of its [`Params`] have no meaning.
#[derive(Debug)]
pub struct Flat {
    params: Params,
    space: Space,
    live: Vec<bool>,
    vacant: BinaryHeap<Reverse<Slot>>,
    len: usize,
    encoded: Encoded,
}

impl Flat {
    /// An empty index.
    /// # Errors
    /// A parameter out of range.
    pub fn new(params: Params) -> Result<Self, Error> {
        params.validate()?;
        let space = Space::new(&params, quiver_kernels::best());
        Ok(Self { params, space, live: Vec::new(), vacant: BinaryHeap::new(), len: 0, encoded: Encoded::default() })
    }

    /// What the index was made of.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Elements in the index.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether an element lives in `slot`.
    pub fn is_live(&self, slot: Slot) -> bool {
        self.live.get(slot as usize).is_some_and(|live| *live)
    }

    /// Slots with an element, ascending.
    pub fn live_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..).zip(&self.live).filter(|(_, live)| **live).map(|(slot, _)| slot)
    }

    /// The vector as it was given, as exactly as it is kept.
    pub fn vector(&self, slot: Slot) -> Option<Vec<f32>> {
        self.is_live(slot).then(|| self.space.original(slot))
    }

    /// Bytes allocated for vectors and codes.
    pub fn memory_bytes(&self) -> usize {
        self.space.memory_bytes() + self.live.capacity() + self.vacant.capacity() * size_of::<Slot>()
    }

    /// Adds a vector and returns its slot: the smallest vacant one.
    /// # Errors
    /// A vector of the wrong length or not finite; an index with no slot left.
    pub fn insert(&mut self, vector: &[f32]) -> Result<Slot, Error> {
        let norm = self.space.validate(vector)?;
        let slot = match self.vacant.pop() {
            Some(slot) => slot.0,
            None if self.live.len() < 1 << 31 => {
                self.live.push(false);
                self.live.len() as Slot - 1
            }
            None => return Err(Error::Full),
        };
        self.write(slot, vector, norm);
        self.live[slot as usize] = true;
        self.len += 1;
        Ok(slot)
    }

    /// Gives the element in `slot` another vector.
    /// # Errors
    /// No element in `slot`; a vector of the wrong length or not finite.
    pub fn update(&mut self, slot: Slot, vector: &[f32]) -> Result<(), Error> {
        if !self.is_live(slot) {
            return Err(Error::NoSuchSlot(slot));
        }
        let norm = self.space.validate(vector)?;
        self.write(slot, vector, norm);
        Ok(())
    }

    /// Frees a slot.
    /// # Errors
    /// No element in `slot`.
    pub fn remove(&mut self, slot: Slot) -> Result<(), Error> {
        if !self.is_live(slot) {
            return Err(Error::NoSuchSlot(slot));
        }
        self.live[slot as usize] = false;
        self.vacant.push(Reverse(slot));
        self.len -= 1;
        if self.len == 0 {
            (self.live, self.vacant) = (Vec::new(), BinaryHeap::new());
            self.space.clear();
        }
        Ok(())
    }

    /// The `k` nearest elements, nearest first, ties by slot, into `out`: by code, the nearest measured again.
    ///
    /// Cost: O(len * dim).
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn search(&self, query: &[f32], k: usize, scratch: &mut Scratch, out: &mut Vec<Neighbor>) -> Result<(), Error> {
        scan(&self.space, (self.live_slots(), self.len), query, k, scratch, out)
    }

    /// [`Self::search`] that measures every element in the best precision that is kept.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn exact(&self, query: &[f32], k: usize, scratch: &mut Scratch, out: &mut Vec<Neighbor>) -> Result<(), Error> {
        exact(&self.space, (self.live_slots(), self.len), query, k, scratch, out)
    }

    /// Calls `take` with each element of `slots` and its distance in the best precision that is kept, until it says to
    /// stop.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn measure(
        &self,
        query: &[f32],
        slots: impl IntoIterator<Item = Slot>,
        scratch: &mut Scratch,
        take: impl FnMut(Neighbor) -> bool,
    ) -> Result<(), Error> {
        measure(&self.space, slots.into_iter().filter(|slot| self.is_live(*slot)), query, scratch, take)
    }

    /// The element in `slot`, borrowed; it has no links.
    pub fn node(&self, slot: Slot) -> Option<Node<'_>> {
        self.is_live(slot).then(|| NodeVector::of(&self.space, slot)).flatten().map(|vector| Node {
            slot,
            norm: self.space.norm(slot),
            vector,
            links: Vec::new(),
        })
    }

    /// An index out of its elements, in any order.
    /// # Errors
    /// A parameter out of range; elements that are no index, with the reason.
    pub fn from_nodes<'a>(params: Params, nodes: impl IntoIterator<Item = Node<'a>>) -> Result<Self, Error> {
        let mut index = Self::new(params)?;
        let nodes: Vec<Node<'a>> = nodes.into_iter().collect();
        let mut encoded = Encoded::default();
        for node in &nodes {
            let at = node.slot as usize;
            if at >= crate::hnsw::slots_max(nodes.len()) {
                return Err(Error::Corrupt(format!("slot {at} for {} elements", nodes.len())));
            }
            if at >= index.live.len() {
                index.live.resize(at + 1, false);
            }
            if std::mem::replace(&mut index.live[at], true) {
                return Err(Error::Corrupt(format!("slot {at}: two elements")));
            }
            restore_vector(&mut index.space, node, &mut encoded)
                .map_err(|error| Error::Corrupt(format!("slot {at}: {error}")))?;
            index.len += 1;
        }
        let vacant = (0..).zip(&index.live).filter(|(_, live)| !**live).map(|(slot, _)| Reverse(slot));
        index.vacant = vacant.collect();
        Ok(index)
    }

    fn write(&mut self, slot: Slot, vector: &[f32], norm: f64) {
        self.encoded.encode(&self.space, vector, norm);
        self.space.write(slot, &self.encoded);
    }
}
