//! Elements out of and into an index, links included: what a snapshot is made of.
//!
//! A graph taken apart with [`Hnsw::node`] and put together with [`Hnsw::from_nodes`] is the same graph: it answers
//! every search alike and grows alike, because entry point and vacant slots follow from the elements. Input from
//! outside may be anything, so all of it is checked before it is believed.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::graph::LEVEL_MAX;
use crate::hnsw::Hnsw;
use crate::space::{Encoded, Space};
use crate::{Error, Metric, Params, Slot, Storage};

/// Slots below this are accepted however few elements there are; above, [`SPARSE_FACTOR`] per element.
const SPARSE_SLOTS: usize = 1 << 20;
const SPARSE_FACTOR: usize = 1024;

/// All there is to know about one element.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    /// Place in the index, to which links of others refer.
    pub slot: Slot,
    /// Norm of the vector as it was given; under cosine `vector` holds it divided by this.
    pub norm: f32,
    /// The vector as it is kept.
    pub vector: NodeVector<'a>,
    /// Neighbours on every level from 0 to the element's own, in their order.
    pub links: Vec<Cow<'a, [Slot]>>,
}

/// A vector as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeVector<'a> {
    /// Under [`Storage::F32`], [`Storage::F16`] and [`Storage::Bf16`].
    F32(Cow<'a, [f32]>),
    /// Under [`Storage::I8`]: element `i` is `code[i] * scale`.
    I8 {
        /// Largest magnitude of an element over 127.
        scale: f32,
        /// One byte per dimension.
        code: Cow<'a, [i8]>,
    },
    /// Under [`Storage::Binary`]: one bit per dimension from the lowest of the first byte on, set for positive ones.
    Bits(Cow<'a, [u8]>),
}

impl NodeVector<'_> {
    /// The vector of an element that lives in `slot`.
    pub(crate) fn of(space: &Space, slot: Slot) -> Option<NodeVector<'_>> {
        Some(match space.storage {
            Storage::F32 => NodeVector::F32(Cow::Borrowed(space.floats(slot)?)),
            Storage::F16 | Storage::Bf16 => NodeVector::F32(Cow::Owned(space.halves(slot)?)),
            Storage::I8 => NodeVector::I8 { scale: space.scale(slot), code: Cow::Borrowed(space.code(slot)) },
            Storage::Binary => NodeVector::Bits(space.code(slot).iter().map(|byte| byte.cast_unsigned()).collect()),
        })
    }
}

/// One more than the largest slot that `elements` elements are believed to have.
pub(crate) fn slots_max(elements: usize) -> usize {
    elements.saturating_mul(SPARSE_FACTOR).clamp(SPARSE_SLOTS, 1 << 31)
}

impl Hnsw {
    /// The element in `slot`, borrowed.
    pub fn node(&self, slot: Slot) -> Option<Node<'_>> {
        let level = self.graph.level(slot)?;
        let vector = NodeVector::of(&self.space, slot)?;
        let links = (0..=level).map(|level| Cow::Borrowed(self.graph.links(slot, level))).collect();
        Some(Node { slot, norm: self.space.norm(slot), vector, links })
    }

    /// An index out of its elements, in any order, without searching. Slots may have gaps. A level in several pieces,
    /// as other systems may have written it, is joined.
    /// # Errors
    /// A parameter out of range; elements that are not a graph, with the reason.
    pub fn from_nodes<'a>(params: Params, nodes: impl IntoIterator<Item = Node<'a>>) -> Result<Self, Error> {
        let mut index = Self::new(params)?;
        let nodes: Vec<Node<'a>> = nodes.into_iter().collect();
        let (slots_max, mut encoded) = (slots_max(nodes.len()), Encoded::default());
        for node in &nodes {
            if node.slot as usize >= slots_max {
                return Err(corrupt(format!("slot {} for {} elements", node.slot, nodes.len())));
            }
            index.restore(node, &mut encoded).map_err(|error| corrupt(format!("slot {}: {error}", node.slot)))?;
        }
        index.check_links().map_err(corrupt)?;
        let vacant = (0..index.slots() as Slot).filter(|&slot| !index.is_live(slot)).map(Reverse);
        index.vacant = vacant.collect();
        index.entry = index.graph.highest();
        for level in 0..=index.max_level() {
            for pair in index.pieces(level).windows(2) {
                index.bridge(pair[0], pair[1], level);
            }
        }
        Ok(index)
    }

    fn restore(&mut self, node: &Node<'_>, encoded: &mut Encoded) -> Result<(), String> {
        let level = node.links.len().checked_sub(1).filter(|&level| level <= LEVEL_MAX);
        let level = level.ok_or_else(|| format!("{} levels", node.links.len()))?;
        if self.is_live(node.slot) {
            return Err("two elements".to_owned());
        }
        if let Some((level, links)) =
            node.links.iter().enumerate().find(|(level, links)| links.len() > self.graph.capacity(*level))
        {
            return Err(format!("{} links on level {level}", links.len()));
        }
        restore_vector(&mut self.space, node, encoded)?;
        self.graph.occupy(node.slot, level);
        for (level, links) in node.links.iter().enumerate() {
            self.graph.set_links(node.slot, level, links);
        }
        self.len += 1;
        Ok(())
    }
}

/// Greatest norm of a kept vector under cosine: one, but for rounding to bytes.
const DIRECTION_MAX: f64 = 4.0;

/// Stores the vector of a node that comes from outside; `encoded` is memory to work in.
pub(crate) fn restore_vector(space: &mut Space, node: &Node<'_>, encoded: &mut Encoded) -> Result<(), String> {
    if !(node.norm.is_finite() && node.norm >= 0.0) {
        return Err(format!("norm {}", node.norm));
    }
    let mut kept_norm = 0.0;
    match (&node.vector, space.storage) {
        (NodeVector::F32(vector), Storage::F32 | Storage::F16 | Storage::Bf16) => {
            kept_norm = space.validate(vector).map_err(|error| error.to_string())?;
            encoded.encode_kept(space, vector, node.norm);
        }
        (NodeVector::I8 { scale, code }, Storage::I8) => {
            kept_norm = space.validate_code(code, *scale).map_err(|error| error.to_string())?;
            encoded.encode_code(space, code, *scale, node.norm);
        }
        (NodeVector::Bits(bits), Storage::Binary) => {
            if bits.len() != space.dim.div_ceil(8) {
                return Err(format!("{} bytes for {} dimensions", bits.len(), space.dim));
            }
            let code: Vec<i8> = bits.iter().map(|byte| byte.cast_signed()).collect();
            encoded.encode_bits(space, &code, node.norm);
        }
        _ => return Err("vector of another storage".to_owned()),
    }
    if space.metric == Metric::Cosine && kept_norm > DIRECTION_MAX {
        return Err(format!("a vector of length {kept_norm}"));
    }
    space.write(node.slot, encoded);
    Ok(())
}

fn corrupt(reason: String) -> Error {
    Error::Corrupt(reason)
}
