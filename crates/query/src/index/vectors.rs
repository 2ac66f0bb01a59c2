//! The vectors of one field, a document's own under its slots; and who is near.
//!
//! A graph is walked while its owner reads ([`VectorIndex::prepare`]) and changed in microseconds
//! ([`VectorIndex::commit`]). A document whose vectors stay what they were keeps its slots.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use quiver_vector::{Accept, Error, Flat, Hnsw, Metric, Neighbor, Node, Params, Scratch, Slot, Storage};

use crate::ast::Policy;
use crate::index::bits::Bits;
use crate::index::clock::Clock;
use crate::index::{DocId, END};
use crate::schema::{VectorAlgorithm, VectorField, VectorType};

/// Links per element and candidates of what is declared without them.
const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;
const EF_RUNTIME: usize = 10;
/// How much farther than the radius a range query looks, if nobody says.
const EPSILON: f64 = 0.01;
/// Neighbours a range query asks for at first, and how many times more each time after.
const RANGE_FIRST: usize = 64;
const RANGE_GROWTH: usize = 4;

thread_local! {
    /// Memory of this thread's searches and insertions.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// The vectors.
#[derive(Debug)]
pub(crate) struct VectorIndex {
    field: VectorField,
    graph: Graph,
    /// Of which document the vector in a slot is, and its digest.
    owners: Vec<(DocId, u64)>,
    /// Slots of documents.
    slots: Vec<Slots>,
    /// Documents with more than one vector.
    several: usize,
    /// Documents with a vector.
    with_any: Bits,
    /// Of these, documents that have anything else than the one vector in the slot of their own number. Mostly there are
    /// none, as both are given out in the same order.
    astray: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Slots {
    #[default]
    None,
    One(Slot),
    Several(Box<[Slot]>),
}

#[derive(Debug)]
enum Graph {
    Flat(Box<Flat>),
    Hnsw(Box<Hnsw>),
}

/// Vectors of a document, ready to be put in.
#[derive(Debug)]
pub(crate) struct Prepared {
    vectors: Vec<Vec<f32>>,
    digests: Vec<u64>,
    /// The links of the only vector, and the slot it takes the place of.
    links: Option<(Option<Slot>, quiver_vector::Prepared)>,
}

/// A document and its distance.
pub(crate) type Near = (DocId, f32);

impl VectorIndex {
    pub(crate) fn new(field: &VectorField) -> Result<Self, Error> {
        let graph = match field.algorithm {
            VectorAlgorithm::Flat { .. } => Graph::Flat(Box::new(Flat::new(params(field))?)),
            _ => Graph::Hnsw(Box::new(Hnsw::new(params(field))?)),
        };
        let (owners, slots, with_any) = (Vec::new(), Vec::new(), Bits::default());
        Ok(Self { field: field.clone(), graph, owners, slots, several: 0, with_any, astray: 0 })
    }

    /// Documents with a vector.
    pub(crate) fn docs(&self) -> usize {
        self.with_any.len()
    }

    /// Vectors.
    pub(crate) fn len(&self) -> usize {
        match &self.graph {
            Graph::Flat(flat) => flat.len(),
            Graph::Hnsw(hnsw) => hnsw.len(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let graph = match &self.graph {
            Graph::Flat(flat) => flat.memory_bytes(),
            Graph::Hnsw(hnsw) => hnsw.memory_bytes(),
        };
        let maps = self.owners.capacity() * size_of::<(DocId, u64)>() + self.slots.capacity() * size_of::<Slots>();
        graph + maps + self.with_any.memory_bytes()
    }

    /// Validates the vectors of a document and finds their neighbours. `doc`: the one whose vectors they replace.
    pub(crate) fn prepare(&self, doc: Option<DocId>, key: u64, vectors: Vec<Vec<f32>>) -> Result<Prepared, Error> {
        let digests: Vec<u64> = vectors.iter().map(|vector| digest(vector)).collect();
        let old = doc.map_or(&[][..], |doc| self.slots_of(doc));
        let mut prepared = Prepared { vectors, digests, links: None };
        if self.unchanged(old, &prepared.digests) {
            return Ok(prepared);
        }
        if let Some(wrong) = prepared.vectors.iter().find(|vector| vector.len() != self.field.dim) {
            return Err(Error::VectorDim { got: wrong.len(), want: self.field.dim });
        }
        if prepared.vectors.iter().flatten().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite);
        }
        if let (Graph::Hnsw(hnsw), [vector]) = (&self.graph, &prepared.vectors[..]) {
            let mut links = quiver_vector::Prepared::new();
            let place = match old {
                [slot] => Some(*slot),
                _ => None,
            };
            SCRATCH.with_borrow_mut(|scratch| match place {
                Some(slot) => hnsw.prepare_update(slot, vector, 0, scratch, &mut links),
                None => hnsw.prepare(vector, key, 0, scratch, &mut links),
            })?;
            prepared.links = Some((place, links));
        }
        Ok(prepared)
    }

    /// Gives a document its vectors, or none.
    pub(crate) fn commit(&mut self, doc: DocId, key: u64, prepared: Option<&mut Prepared>) -> Result<(), Error> {
        let old = self.slots_of(doc).to_vec();
        let Some(prepared) = prepared else {
            self.assign(doc, Slots::None);
            return self.free(&old);
        };
        if self.unchanged(&old, &prepared.digests) {
            return Ok(());
        }
        if let ([slot], [vector]) = (&old[..], &prepared.vectors[..]) {
            match (&mut self.graph, &mut prepared.links) {
                (Graph::Hnsw(hnsw), Some((Some(place), links))) if place == slot => hnsw.commit(links).map(|_| ())?,
                (Graph::Hnsw(hnsw), _) => hnsw.update(*slot, vector, 0)?,
                (Graph::Flat(flat), _) => flat.update(*slot, vector)?,
            }
            self.owners[*slot as usize] = (doc, prepared.digests[0]);
            return Ok(());
        }
        self.assign(doc, Slots::None);
        self.free(&old)?;
        let mut slots = Vec::with_capacity(prepared.vectors.len());
        for (vector, &digest) in prepared.vectors.iter().zip(&prepared.digests) {
            let slot = match (&mut self.graph, &mut prepared.links) {
                (Graph::Hnsw(hnsw), Some((None, links))) => hnsw.commit(links),
                (Graph::Hnsw(hnsw), _) => hnsw.insert(vector, key.wrapping_add(slots.len() as u64), 0),
                (Graph::Flat(flat), _) => flat.insert(vector),
            };
            let slot = match slot {
                Ok(slot) => slot,
                Err(error) => {
                    self.free(&slots)?;
                    return Err(error);
                }
            };
            self.own(slot, doc, digest);
            slots.push(slot);
        }
        self.assign(doc, Slots::of(&slots));
        Ok(())
    }

    /// The `k` documents nearest to a vector among those a filter holds, nearest first, ties by document.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        k: usize,
        ef: Option<usize>,
        filter: Option<&Bits>,
        policy: Option<Policy>,
        clock: &Clock<'_>,
    ) -> Result<Vec<Near>, Error> {
        let ef = ef.unwrap_or(self.ef_runtime());
        let slots = filter.map(|docs| self.slots_of_all(docs));
        let most = slots.as_ref().map_or(self.len(), Bits::len);
        // Several vectors of one document may be among the nearest: then more are asked for, until there is enough.
        let mut wanted = if self.several == 0 { k } else { k.saturating_mul(2).saturating_add(8) };
        loop {
            let found = SCRATCH.with_borrow_mut(|scratch| match (&self.graph, &slots) {
                (Graph::Hnsw(hnsw), None) => {
                    let mut out = Vec::new();
                    hnsw.search(query, wanted, ef, scratch, &mut out).map(|()| out)
                }
                (Graph::Hnsw(hnsw), Some(slots)) if policy != Some(Policy::AdHoc) => {
                    let mut out = Vec::new();
                    let filter = Accepted { slots };
                    hnsw.search_filtered(query, wanted, ef, usize::MAX, filter, scratch, &mut out).map(|_| out)
                }
                (_, Some(slots)) => self.measured(query, slots.iter(), wanted, clock, scratch),
                (Graph::Flat(flat), None) => self.measured(query, flat.live_slots(), wanted, clock, scratch),
            })?;
            let near = self.documents(&found, k);
            if near.len() >= k || found.len() >= most || found.len() < wanted || clock.stopped() {
                return Ok(near);
            }
            wanted = wanted.saturating_mul(2);
        }
    }

    /// Documents within a distance of a vector, in no order; of each its nearest vector.
    pub(crate) fn within(
        &self,
        query: &[f32],
        radius: f64,
        epsilon: Option<f64>,
        clock: &Clock<'_>,
    ) -> Result<Vec<Near>, Error> {
        let mut found = Vec::new();
        SCRATCH.with_borrow_mut(|scratch| match &self.graph {
            Graph::Flat(flat) => flat.measure(query, flat.live_slots(), scratch, |neighbor| {
                found.push(neighbor);
                clock.tick()
            }),
            Graph::Hnsw(hnsw) => {
                let beyond = radius + radius.abs() * epsilon.unwrap_or(self.epsilon());
                let mut wanted = RANGE_FIRST;
                loop {
                    hnsw.search(query, wanted, wanted.max(self.ef_runtime()), scratch, &mut found)?;
                    let farthest = found.last().map_or(f64::INFINITY, |last| f64::from(last.distance));
                    if found.len() < wanted || farthest > beyond || wanted >= hnsw.len() || !clock.tick() {
                        return Ok(());
                    }
                    wanted = wanted.saturating_mul(RANGE_GROWTH).min(hnsw.len());
                }
            }
        })?;
        found.retain(|neighbor| f64::from(neighbor.distance) <= radius);
        found.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
        Ok(self.documents(&found, usize::MAX))
    }

    /// Elements as they are kept, in order of slots, each with its document.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (DocId, u64, Node<'_>)> {
        let nodes = (0..).zip(&self.owners).filter(|(_, owner)| owner.0 != END);
        nodes.filter_map(|(slot, &(doc, digest))| {
            let node = match &self.graph {
                Graph::Flat(flat) => flat.node(slot),
                Graph::Hnsw(hnsw) => hnsw.node(slot),
            };
            Some((doc, digest, node?))
        })
    }

    /// Vectors out of [`Self::nodes`], which may come from anywhere.
    pub(crate) fn from_nodes(
        field: &VectorField,
        owners: &[(DocId, u64)],
        nodes: Vec<Node<'static>>,
    ) -> Result<Self, Error> {
        let mut index = Self::new(field)?;
        let slots: Vec<Slot> = nodes.iter().map(|node| node.slot).collect();
        match &mut index.graph {
            Graph::Flat(flat) => **flat = Flat::from_nodes(params(field), nodes)?,
            Graph::Hnsw(hnsw) => **hnsw = Hnsw::from_nodes(params(field), nodes)?,
        }
        let mut of_docs: Vec<(DocId, Slot)> = owners.iter().map(|owner| owner.0).zip(slots.iter().copied()).collect();
        for (&slot, &(doc, digest)) in slots.iter().zip(owners) {
            index.own(slot, doc, digest);
        }
        of_docs.sort_by_key(|(doc, _)| *doc);
        for of_doc in of_docs.chunk_by(|a, b| a.0 == b.0) {
            let slots: Vec<Slot> = of_doc.iter().map(|(_, slot)| *slot).collect();
            index.assign(of_doc[0].0, Slots::of(&slots));
        }
        Ok(index)
    }

    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Graph::Hnsw(hnsw) = &self.graph {
            hnsw.check()?;
        }
        let owned =
            (0..).zip(&self.slots).flat_map(|(doc, slots): (DocId, _)| slots.all().iter().map(move |s| (doc, *s)));
        let mut count = 0;
        for (doc, slot) in owned {
            count += 1;
            if self.owners.get(slot as usize).is_none_or(|owner| owner.0 != doc) {
                return Err(format!("slot {slot} is not that of document {doc}"));
            }
        }
        let with_any: Bits =
            (0..).zip(&self.slots).filter(|(_, slots)| **slots != Slots::None).map(|(doc, _)| doc).collect();
        let several = self.slots.iter().filter(|slots| matches!(slots, Slots::Several(_))).count();
        let astray = (0..).zip(&self.slots).filter(|(doc, slots)| slots.is_astray(*doc)).count();
        if (count, several, astray) != (self.len(), self.several, self.astray)
            || !with_any.iter().eq(self.with_any.iter())
        {
            let (docs, known) = (with_any.len(), self.docs());
            return Err(format!("{count} vectors of {docs} documents, counted {} of {known}", self.len()));
        }
        Ok(())
    }

    fn slots_of(&self, doc: DocId) -> &[Slot] {
        self.slots.get(doc as usize).map_or(&[], Slots::all)
    }

    fn slots_of_all(&self, docs: &Bits) -> Bits {
        if self.astray == 0 {
            let mut slots = docs.clone();
            slots.intersect(&self.with_any);
            return slots;
        }
        docs.iter().flat_map(|doc| self.slots_of(doc)).copied().collect()
    }

    fn unchanged(&self, slots: &[Slot], digests: &[u64]) -> bool {
        !slots.is_empty() && slots.iter().map(|slot| self.owners[*slot as usize].1).eq(digests.iter().copied())
    }

    fn own(&mut self, slot: Slot, doc: DocId, digest: u64) {
        let at = slot as usize;
        if at >= self.owners.len() {
            self.owners.resize(at + 1, (END, 0));
        }
        self.owners[at] = (doc, digest);
    }

    fn assign(&mut self, doc: DocId, slots: Slots) {
        let at = doc as usize;
        if at >= self.slots.len() {
            if slots == Slots::None {
                return;
            }
            self.slots.resize(at + 1, Slots::None);
        }
        let before = std::mem::replace(&mut self.slots[at], slots);
        let after = &self.slots[at];
        if *after == Slots::None {
            self.with_any.remove(doc);
        } else {
            self.with_any.insert(doc);
        }
        self.astray = self.astray + usize::from(after.is_astray(doc)) - usize::from(before.is_astray(doc));
        let several = |slots: &Slots| usize::from(matches!(slots, Slots::Several(_)));
        self.several = self.several + several(after) - several(&before);
    }

    fn free(&mut self, slots: &[Slot]) -> Result<(), Error> {
        for &slot in slots {
            match &mut self.graph {
                Graph::Flat(flat) => flat.remove(slot)?,
                Graph::Hnsw(hnsw) => hnsw.remove(slot)?,
            }
            self.owners[slot as usize] = (END, 0);
        }
        Ok(())
    }

    fn measure(
        &self,
        query: &[f32],
        slots: impl Iterator<Item = Slot>,
        scratch: &mut Scratch,
        take: impl FnMut(Neighbor) -> bool,
    ) -> Result<(), Error> {
        match &self.graph {
            Graph::Flat(flat) => flat.measure(query, slots, scratch, take),
            Graph::Hnsw(hnsw) => hnsw.measure(query, slots, scratch, take),
        }
    }

    /// The nearest of some slots, all measured.
    fn measured(
        &self,
        query: &[f32],
        slots: impl Iterator<Item = Slot>,
        wanted: usize,
        clock: &Clock<'_>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Neighbor>, Error> {
        let mut found: Vec<Neighbor> = Vec::new();
        let order = |a: &Neighbor, b: &Neighbor| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot));
        let mut bound = f32::INFINITY;
        self.measure(query, slots, scratch, |neighbor| {
            if wanted > 0 && neighbor.distance <= bound {
                found.push(neighbor);
                if found.len() >= wanted.saturating_mul(2).saturating_add(64) {
                    found.select_nth_unstable_by(wanted, order);
                    found.truncate(wanted + 1);
                    bound = found[wanted].distance;
                }
            }
            clock.tick()
        })?;
        found.sort_unstable_by(order);
        found.truncate(wanted);
        Ok(found)
    }

    /// The first `k` documents of vectors in order of distance, each once.
    fn documents(&self, found: &[Neighbor], k: usize) -> Vec<Near> {
        let mut seen = Bits::default();
        let near = found.iter().map(|neighbor| (self.owners[neighbor.slot as usize].0, neighbor.distance));
        let mut near: Vec<Near> = near.filter(|(doc, _)| self.several == 0 || seen.insert(*doc)).collect();
        near.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        near.truncate(k);
        near
    }

    fn ef_runtime(&self) -> usize {
        match self.field.algorithm {
            VectorAlgorithm::Hnsw { ef_runtime, .. } => ef_runtime,
            _ => EF_RUNTIME,
        }
    }

    fn epsilon(&self) -> f64 {
        match self.field.algorithm {
            VectorAlgorithm::Hnsw { epsilon, .. } => epsilon,
            _ => EPSILON,
        }
    }
}

impl Slots {
    /// Whether there is anything else than the slot of the document's own number.
    fn is_astray(&self, doc: DocId) -> bool {
        match self {
            Self::None => false,
            Self::One(slot) => *slot != doc,
            Self::Several(_) => true,
        }
    }

    fn of(slots: &[Slot]) -> Self {
        match slots {
            [] => Self::None,
            [slot] => Self::One(*slot),
            slots => Self::Several(slots.into()),
        }
    }

    fn all(&self) -> &[Slot] {
        match self {
            Self::None => &[],
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Several(slots) => slots,
        }
    }
}

/// A filter whose answers are all known.
struct Accepted<'a> {
    slots: &'a Bits,
}

impl Accept for Accepted<'_> {
    fn accepts(&mut self, slot: Slot) -> bool {
        self.slots.contains(slot)
    }

    fn cost(&self) -> f64 {
        0.5
    }

    fn known(&self) -> Option<usize> {
        Some(self.slots.len())
    }

    fn accepted_from(&self, from: Slot) -> Option<Slot> {
        self.slots.at_or_after(from)
    }
}

fn params(field: &VectorField) -> Params {
    let (m, ef_construction) = match &field.algorithm {
        VectorAlgorithm::Hnsw { m, ef_construction, .. } => (*m, *ef_construction),
        _ => (M, EF_CONSTRUCTION),
    };
    let storage = match (field.component, field.metric) {
        (VectorType::Float32 | VectorType::Float64, _) => Storage::F32,
        (VectorType::Float16, _) => Storage::F16,
        (VectorType::BFloat16, _) => Storage::Bf16,
        // The upper half of a float holds whole numbers up to 256 exactly; directions need more than its eight bits.
        (VectorType::Int8 | VectorType::Uint8, Metric::Cosine) => Storage::F16,
        (VectorType::Int8 | VectorType::Uint8, _) => Storage::Bf16,
    };
    Params { dim: field.dim, metric: field.metric, storage, m: m.max(2), ef_construction: ef_construction.max(1) }
}

fn digest(vector: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for x in vector {
        x.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

impl VectorType {
    /// Bytes of a component.
    pub const fn size(self) -> usize {
        match self {
            Self::Float64 => 8,
            Self::Float32 => 4,
            Self::Float16 | Self::BFloat16 => 2,
            Self::Int8 | Self::Uint8 => 1,
        }
    }

    /// Components out of their little-endian bytes.
    pub(crate) fn read(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Float32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Self::Float64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
            Self::Float16 => {
                bytes.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
            }
            Self::BFloat16 => {
                bytes.as_chunks().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect()
            }
            Self::Int8 => bytes.iter().map(|byte| f32::from(byte.cast_signed())).collect(),
            Self::Uint8 => bytes.iter().map(|byte| f32::from(*byte)).collect(),
        }
    }
}
