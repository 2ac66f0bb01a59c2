//! Vector sets in the module encoding of Redis 8, graph included (layout: [`quiver_rdb::vectorset`]).
//!
//! A node's id is its slot plus one. Files of Redis have ids with gaps, since it never reuses them; where the gaps are
//! wide, elements are renumbered in the order of their ids. Nothing that is read is believed: names must be unique,
//! vectors of about unit length, and [`Hnsw::from_nodes`] proves the links.

use std::borrow::Cow;
use std::sync::Arc;

use quiver_rdb::vectorset::{
    Projection as StoredProjection, Quantisation, VectorSetElement, VectorSetHeader, VectorSetReader, VectorSetWriter,
};
use quiver_rdb::{Reader, Reason, Writer};
use quiver_vector::{Hnsw, Node, NodeVector, Slot};

use super::{Member, Projection, VectorSet, params};

/// Ids up to this many per element, and [`GAP_IDS`] more, keep their places.
const GAP_FACTOR: u64 = 4;
const GAP_IDS: u64 = 1024;

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
        let mut items = VectorSetReader::begin(reader)?;
        let header = items.header().clone();
        let mut element = VectorSetElement::default();
        let mut stored = Stored::new(&header);
        while items.next(&mut element)? {
            stored.push(&element);
        }
        items.finish()?;
        if stored.elements.is_empty() {
            return Err(reader.empty("vector set without elements"));
        }
        Self::from_stored(header, &stored).map_err(|reason| reader.error(Reason::Corrupt(reason)))
    }

    fn from_stored(header: VectorSetHeader, stored: &Stored) -> Result<Self, String> {
        let projection = match header.projection {
            None => None,
            Some(StoredProjection { input_dim, matrix }) => {
                let projection = Projection::stored(input_dim, matrix);
                Some(Arc::new(projection.ok_or("vector set: the projection is not finite")?))
            }
        };
        let places = Places::of(&stored.elements)?;
        let links: Vec<Slot> = stored.links.iter().map(|id| places.slot(*id)).collect::<Result<_, _>>()?;
        let nodes: Vec<Node<'_>> =
            (0..stored.elements.len()).map(|at| stored.node(at, &links, &places)).collect::<Result<_, _>>()?;
        let slots: Vec<Slot> = nodes.iter().map(|node| node.slot).collect();
        let params = params(header.dim, header.quantisation, usize::from(header.m));
        let index = Hnsw::from_nodes(params, nodes).map_err(|error| format!("vector set: {error}"))?;
        let mut set = Self::around(index, header.quantisation, projection);
        set.members.resize_with(set.index.slots(), Member::default);
        for (at, slot) in slots.into_iter().enumerate() {
            let (name, attributes) = stored.texts_of(at);
            set.enter(slot, name);
            if !attributes.is_empty() {
                set.set_attributes(slot, attributes);
            }
            set.members[slot as usize].norm = stored.elements[at].norm;
        }
        if set.slots.len() != set.index.len() {
            return Err("vector set: two elements share a name".to_owned());
        }
        Ok(set)
    }
}

/// The elements of a value as they are stored, each part of all in one piece: ten thousands of allocations less.
struct Stored {
    elements: Vec<StoredElement>,
    /// Names and attributes.
    texts: Vec<u8>,
    vectors: Vectors,
    /// Ids, list by list, and where each list ends.
    links: Vec<u64>,
    ends: Vec<usize>,
    dim: usize,
}

/// An element, with the ends of its parts.
struct StoredElement {
    id: u64,
    norm: f32,
    range: f32,
    name_end: usize,
    attributes_end: usize,
    lists_end: usize,
}

/// Components, as many for each element.
enum Vectors {
    F32(Pieces<f32>),
    Int8(Pieces<i8>),
    Binary(Pieces<u8>),
}

/// Rows in pieces that do not move when more come.
struct Pieces<T> {
    width: usize,
    rows: usize,
    pieces: Vec<Vec<T>>,
}

/// Components of one piece, or one row where that has more.
const PIECE: usize = 1 << 17;

impl<T> Pieces<T> {
    fn new(width: usize) -> Self {
        Self { width, rows: (PIECE / width).max(1), pieces: Vec::new() }
    }

    fn push(&mut self, row: impl Iterator<Item = T>) {
        if self.pieces.last().is_none_or(|piece| piece.len() == self.rows * self.width) {
            // Most sets are small, and the first piece grows with what comes.
            let rows = if self.pieces.is_empty() { 1 } else { self.rows };
            self.pieces.push(Vec::with_capacity(rows * self.width));
        }
        self.pieces.last_mut().expect("there is one now").extend(row);
    }

    fn row(&self, at: usize) -> &[T] {
        &self.pieces[at / self.rows][at % self.rows * self.width..][..self.width]
    }
}

impl Stored {
    fn new(header: &VectorSetHeader) -> Self {
        let vectors = match header.quantisation {
            Quantisation::F32 => Vectors::F32(Pieces::new(header.dim)),
            Quantisation::Int8 => Vectors::Int8(Pieces::new(header.dim)),
            Quantisation::Binary => Vectors::Binary(Pieces::new(header.dim.div_ceil(8))),
        };
        let (elements, texts, links, ends) = Default::default();
        Self { elements, texts, vectors, links, ends, dim: header.dim }
    }

    /// Takes an element, the length of whose vector was checked by the reader.
    fn push(&mut self, element: &VectorSetElement) {
        self.texts.extend_from_slice(&element.name);
        let name_end = self.texts.len();
        self.texts.extend_from_slice(&element.attributes);
        match &mut self.vectors {
            Vectors::F32(rows) => {
                let (floats, _) = element.vector.as_chunks::<4>();
                rows.push(floats.iter().map(|x| f32::from_le_bytes(*x)));
            }
            Vectors::Int8(rows) => rows.push(element.vector.iter().map(|byte| byte.cast_signed())),
            Vectors::Binary(rows) => rows.push(element.vector[..self.dim.div_ceil(8)].iter().copied()),
        }
        for (ids, _) in element.links.levels() {
            self.links.extend_from_slice(ids);
            self.ends.push(self.links.len());
        }
        self.elements.push(StoredElement {
            id: element.id,
            norm: element.norm,
            range: element.range,
            name_end,
            attributes_end: self.texts.len(),
            lists_end: self.ends.len(),
        });
    }

    fn texts_of(&self, at: usize) -> (&[u8], &[u8]) {
        let start = at.checked_sub(1).map_or(0, |before| self.elements[before].attributes_end);
        let StoredElement { name_end, attributes_end, .. } = self.elements[at];
        (&self.texts[start..name_end], &self.texts[name_end..attributes_end])
    }

    /// The element as the index takes it, with its share of `links`.
    fn node<'a>(&'a self, at: usize, links: &'a [Slot], places: &Places) -> Result<Node<'a>, String> {
        let StoredElement { id, norm, range, lists_end, .. } = self.elements[at];
        if !(norm.is_finite() && norm >= 0.0) {
            return Err(format!("vector set: the length of a vector is {norm}"));
        }
        if range < 0.0 {
            return Err("vector set: a range is negative".to_owned());
        }
        let first = at.checked_sub(1).map_or(0, |before| self.elements[before].lists_end);
        let list = |list: usize| {
            let start = list.checked_sub(1).map_or(0, |before| self.ends[before]);
            Cow::Borrowed(&links[start..self.ends[list]])
        };
        let (vector, norm) = match &self.vectors {
            Vectors::F32(rows) => (NodeVector::F32(Cow::Borrowed(rows.row(at))), norm),
            Vectors::Int8(rows) => (NodeVector::I8 { scale: range / 127.0, code: Cow::Borrowed(rows.row(at)) }, norm),
            // The index is given signs as they are; the length belongs to the vector they were taken from.
            Vectors::Binary(rows) => (NodeVector::Bits(Cow::Borrowed(rows.row(at))), 1.0),
        };
        Ok(Node { slot: places.slot(id)?, norm, vector, links: (first..lists_end).map(list).collect() })
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
    fn of(elements: &[StoredElement]) -> Result<Self, String> {
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
