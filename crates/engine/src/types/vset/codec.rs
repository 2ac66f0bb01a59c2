//! Vector sets in the module encoding of Redis 8, graph included (layout: [`quiver_rdb::vectorset`]).
//!
//! A node's id is its slot plus one. Files of Redis have ids with gaps, since it never reuses them; where the gaps are
//! wide, elements are renumbered in the order of their ids. Nothing that is read is believed: names must be unique,
//! vectors of about unit length, and [`Hnsw::from_nodes`] proves the links.

use std::borrow::Cow;
use std::sync::Arc;

use quiver_rdb::vectorset::{
    Links, Projection as StoredProjection, Quantisation, VectorSetElement, VectorSetHeader, VectorSetReader,
    VectorSetWriter,
};
use quiver_rdb::{Reader, Reason, Writer};
use quiver_vector::{Hnsw, Node, NodeVector, Slot};

use super::{Projection, VectorSet, params};

/// Ids up to this many per element, and [`GAP_IDS`] more, keep their places.
const GAP_FACTOR: u64 = 4;
const GAP_IDS: u64 = 1024;

/// Largest norm of a stored vector, which is normalised but for rounding to bytes.
const NORM_MAX: f32 = 4.0;

/// An element as it was stored, its links still by id.
struct Stored {
    name: Vec<u8>,
    attributes: Vec<u8>,
    id: u64,
    norm: f32,
    vector: NodeVector<'static>,
    links: Vec<Vec<u64>>,
}

impl VectorSet {
    /// Appends the value without its type byte.
    pub fn write(&self, writer: &mut Writer<'_>) {
        self.write_part(writer, &mut 0, usize::MAX);
    }

    /// Appends the next part of the value, until `writer` holds about `room` bytes; `true` when all of it is out. `at`
    /// is the slot behind the last one that is out; the set must not change between parts.
    pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        let mut out = if *at == 0 {
            VectorSetWriter::begin(writer, &self.header())
        } else {
            VectorSetWriter::go_on(writer, self.quantisation.vector_len(self.dim()), self.with_attributes > 0)
        };
        let mut element = VectorSetElement::default();
        let mut first = true;
        for slot in *at..self.index.slots() {
            let Some(slot) = Slot::try_from(slot).ok().filter(|slot| self.index.is_live(*slot)) else { continue };
            if !first && out.len() >= room {
                *at = slot as usize;
                return false;
            }
            first = false;
            self.fill(slot, &mut element);
            out.element(&element);
        }
        out.finish();
        true
    }

    fn header(&self) -> VectorSetHeader {
        VectorSetHeader {
            dim: self.dim(),
            count: self.len() as u64,
            quantisation: self.quantisation,
            m: u16::try_from(self.m()).expect("M is at most 4096"),
            has_attributes: self.with_attributes > 0,
            projection: self.projection().map(|projection| StoredProjection {
                input_dim: projection.input_dim(),
                matrix: projection.matrix().to_vec(),
            }),
        }
    }

    fn fill(&self, slot: Slot, element: &mut VectorSetElement) {
        element.name.clear();
        element.name.extend_from_slice(self.name(slot));
        element.attributes.clear();
        element.attributes.extend_from_slice(self.attributes(slot));
        let (vector, norm) = self.raw_vector(slot).expect("a live slot has a vector");
        element.vector.clear();
        vector.write_to(&mut element.vector);
        element.id = u64::from(slot) + 1;
        element.norm = norm;
        element.range = vector.range();
        element.links.clear();
        for level in 0..=self.index.level(slot).unwrap_or(0) {
            let max = if level == 0 { self.m() * 2 } else { self.m() };
            element.links.push_level(self.index.links(slot, level).iter().map(|link| u64::from(*link) + 1), max as u64);
        }
    }

    /// Reads a value behind its type byte. The graph is taken over as it was stored, without searching.
    ///
    /// # Errors
    /// Bytes that are no vector set, or a graph or vectors that cannot be, with the reason.
    pub fn read(reader: &mut Reader<'_>) -> crate::codec::Result<Self> {
        let mut stored = VectorSetReader::begin(reader)?;
        let header = stored.header().clone();
        let mut element = VectorSetElement::default();
        let mut elements = Vec::new();
        while stored.next(&mut element)? {
            elements.push(Stored::new(&mut element, &header));
        }
        stored.finish()?;
        if elements.is_empty() {
            return Err(reader.empty("vector set without elements"));
        }
        Self::from_stored(header, elements).map_err(|reason| reader.error(Reason::Corrupt(reason)))
    }

    fn from_stored(header: VectorSetHeader, elements: Vec<Stored>) -> Result<Self, String> {
        let projection = match header.projection {
            None => None,
            Some(StoredProjection { input_dim, matrix }) => {
                let projection = Projection::stored(input_dim, matrix);
                Some(Arc::new(projection.ok_or("vector set: the projection is not finite")?))
            }
        };
        let places = Places::of(&elements)?;
        let mut nodes = Vec::with_capacity(elements.len());
        let mut members = Vec::with_capacity(elements.len());
        for element in elements {
            let slot = places.slot(element.id)?;
            element.validate()?;
            nodes.push(element.node(slot, &places, header.quantisation)?);
            members.push((slot, element.name, element.attributes, element.norm));
        }
        let params = params(header.dim, header.quantisation, usize::from(header.m));
        let index = Hnsw::from_nodes(params, nodes).map_err(|error| format!("vector set: {error}"))?;
        let mut set = Self::around(index, header.quantisation, projection);
        for (slot, name, attributes, norm) in members {
            if set.slot(&name).is_some() {
                return Err("vector set: two elements share a name".to_owned());
            }
            set.enter(slot, &name);
            set.set_attributes(slot, &attributes);
            set.members[slot as usize].norm = norm;
        }
        Ok(set)
    }
}

impl Stored {
    fn new(element: &mut VectorSetElement, header: &VectorSetHeader) -> Self {
        Self {
            name: std::mem::take(&mut element.name),
            attributes: std::mem::take(&mut element.attributes),
            id: element.id,
            norm: element.norm,
            vector: node_vector(header.quantisation, header.dim, &element.vector, element.range),
            links: link_lists(&element.links),
        }
    }

    fn validate(&self) -> Result<(), String> {
        let norm = match &self.vector {
            NodeVector::F32(vector) => vector.iter().map(|x| x * x).sum::<f32>().sqrt(),
            NodeVector::I8 { scale, code } => {
                let squares: f32 = code.iter().map(|code| f32::from(*code).powi(2)).sum();
                if *scale < 0.0 {
                    return Err("vector set: a range is negative".to_owned());
                }
                squares.sqrt() * scale
            }
            NodeVector::Bits(_) => 1.0,
        };
        if norm.is_nan() || norm > NORM_MAX {
            return Err(format!("vector set: a stored vector has length {norm}"));
        }
        if !(self.norm.is_finite() && self.norm >= 0.0) {
            return Err(format!("vector set: the length of a vector is {}", self.norm));
        }
        Ok(())
    }

    fn node(&self, slot: Slot, places: &Places, quantisation: Quantisation) -> Result<Node<'static>, String> {
        let list = |ids: &Vec<u64>| -> Result<Cow<'static, [Slot]>, String> {
            ids.iter().map(|id| places.slot(*id)).collect::<Result<Vec<_>, _>>().map(Cow::Owned)
        };
        let links = self.links.iter().map(list).collect::<Result<_, _>>()?;
        // The index is given signs as they are; the length belongs to the vector they were taken from.
        let norm = if quantisation == Quantisation::Binary { 1.0 } else { self.norm };
        Ok(Node { slot, norm, vector: self.vector.clone(), links })
    }
}

/// Where the ids of a file go.
enum Places {
    /// Id less one, up to this id.
    Kept(u64),
    /// The place among these ids, which are sorted.
    Packed(Vec<u64>),
}

impl Places {
    fn of(elements: &[Stored]) -> Result<Self, String> {
        let max = elements.iter().map(|element| element.id).max().unwrap_or(0);
        if max <= elements.len() as u64 * GAP_FACTOR + GAP_IDS {
            return Ok(Self::Kept(max));
        }
        let mut ids: Vec<u64> = elements.iter().map(|element| element.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("vector set: two elements share an id".to_owned());
        }
        Ok(Self::Packed(ids))
    }

    fn slot(&self, id: u64) -> Result<Slot, String> {
        let slot = match self {
            Self::Kept(max) => id.checked_sub(1).filter(|_| id <= *max),
            Self::Packed(ids) => ids.binary_search(&id).ok().map(|place| place as u64),
        };
        let slot = slot.and_then(|slot| Slot::try_from(slot).ok());
        slot.ok_or_else(|| format!("vector set: a link to {id}, which is no element"))
    }
}

fn link_lists(links: &Links) -> Vec<Vec<u64>> {
    links.levels().map(|(ids, _)| ids.to_vec()).collect()
}

/// A stored vector as the index keeps it; its length was checked by the reader.
fn node_vector(quantisation: Quantisation, dim: usize, bytes: &[u8], range: f32) -> NodeVector<'static> {
    match quantisation {
        Quantisation::F32 => {
            let (floats, _) = bytes.as_chunks::<4>();
            NodeVector::F32(floats.iter().map(|x| f32::from_le_bytes(*x)).collect())
        }
        Quantisation::Int8 => {
            NodeVector::I8 { scale: range / 127.0, code: bytes.iter().map(|byte| *byte as i8).collect() }
        }
        Quantisation::Binary => NodeVector::Bits(bytes[..dim.div_ceil(8)].to_vec().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw::to_words;
    use super::*;

    #[test]
    fn signs_fill_whole_words_and_come_back() {
        let bits: Vec<u8> = (0..9).collect();
        let words = to_words(&bits, 70);
        assert_eq!(words.len(), 16);
        let NodeVector::Bits(again) = node_vector(Quantisation::Binary, 70, &words, 0.0) else { panic!() };
        assert_eq!(*again, *bits);
    }
}
