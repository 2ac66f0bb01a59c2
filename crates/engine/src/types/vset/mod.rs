//! Vector sets: named vectors with attributes, found by similarity (redis.io/docs/latest/develop/data-types/vector-sets).
//!
//! A set is an [`Hnsw`] index by slot, the names of the slots and a table from names to slots. The index keeps vectors
//! normalised, as floats (`NOQUANT`), as one byte per component (`Q8`), or as their signs (`BIN`): the cosine of two sign
//! vectors is one minus twice their share of differing signs.
//!
//! Invariants: a name stands in the table exactly if its slot lives in the index; the graph is a function of the
//! operations alone, because an element's level comes from a fixed hash of its name and a projection from its shape, so
//! replicas build the same graph. Not here: commands, and locks (searches take `&self`).

mod ahead;
mod bulk;
mod codec;
mod expiry;
mod indexes;
mod memo;
mod projection;
mod raw;
mod recall;
mod search;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use quiver_rdb::vectorset::Quantisation;
use quiver_structures::{Table, Value, ValueRef};
use quiver_vector::{Error, Hnsw, Metric, NodeVector, Params, Slot, Storage};

use crate::digest::Digest;
use crate::keyspace::KeyHasher;
use crate::rng::Rng;
use crate::types::hash::AsOf;
pub use ahead::Linked;
pub use bulk::{Ahead, Elements};
use expiry::Expiries;
pub use indexes::INDEXES_MAX;
use indexes::Indexes;
use memo::Memos;
pub use projection::Projection;
pub use raw::RawVector;
use recall::Recall;
pub use search::{Effort, Outcome, Query, Search, similarity};

/// Candidates examined per insertion when VADD does not say.
pub const EF_ADD_DEFAULT: usize = 200;

/// Links per element when VADD does not say.
pub const M_DEFAULT: usize = 16;

/// Named vectors with attributes.
pub struct VectorSet {
    quantisation: Quantisation,
    projection: Option<Arc<Projection>>,
    index: Hnsw,
    slots: Table<Never, KeyHasher>,
    members: Vec<Member>,
    with_attributes: usize,
    text_bytes: usize,
    uid: u64,
    memos: Memos,
    indexes: Indexes,
    expiries: Expiries,
    recall: Recall,
    /// Vectors added, changed and removed so far.
    changes: u64,
    /// Changes of any kind so far.
    version: u64,
    /// Held by whoever finds links ahead.
    builder: Arc<Mutex<()>>,
}

/// What a set is made of, fixed by the command that creates it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Components of an indexed vector.
    pub dim: usize,
    /// How components are kept.
    pub quantisation: Quantisation,
    /// Links per element on upper levels.
    pub m: usize,
    /// Maps incoming vectors to indexed ones (`REDUCE`).
    pub projection: Option<Arc<Projection>>,
}

/// What belongs to a slot besides its vector; empty where no element lives.
#[derive(Clone, Debug, Default)]
struct Member {
    name: Box<[u8]>,
    attributes: Box<[u8]>,
    /// Length of the vector before it was normalised; one for the zero vector.
    norm: f32,
}

/// The table of names holds integers only.
enum Never {}

/// Uids of the sets of this process, as VINFO shows them.
static NEXT_UID: AtomicU64 = AtomicU64::new(0);

impl VectorSet {
    /// An empty set.
    /// # Errors
    /// A shape out of range.
    pub fn new(shape: Shape) -> Result<Self, Error> {
        let index = Hnsw::new(params(shape.dim, shape.quantisation, shape.m))?;
        Ok(Self::around(index, shape.quantisation, shape.projection))
    }

    fn around(index: Hnsw, quantisation: Quantisation, projection: Option<Arc<Projection>>) -> Self {
        let uid = NEXT_UID.fetch_add(1, Ordering::Relaxed);
        let slots = Table::new(KeyHasher);
        Self {
            quantisation,
            projection,
            index,
            slots,
            members: Vec::new(),
            with_attributes: 0,
            text_bytes: 0,
            uid,
            memos: Memos::default(),
            indexes: Indexes::default(),
            expiries: Expiries::default(),
            recall: Recall::default(),
            changes: 0,
            version: 0,
            builder: Arc::default(),
        }
    }

    /// The set behind a key.
    pub fn into_shared(self) -> Arc<RwLock<Self>> {
        Arc::new(RwLock::new(self))
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Components of an indexed vector.
    pub fn dim(&self) -> usize {
        self.index.dim()
    }

    /// How components are kept.
    pub fn quantisation(&self) -> Quantisation {
        self.quantisation
    }

    /// Links per element on upper levels.
    pub fn m(&self) -> usize {
        self.index.params().m
    }

    /// What maps incoming vectors to indexed ones.
    pub fn projection(&self) -> Option<&Projection> {
        self.projection.as_deref()
    }

    /// Highest level of the graph.
    pub fn max_level(&self) -> usize {
        self.index.max_level()
    }

    /// Slots ever taken since the set was last empty.
    pub fn slots(&self) -> usize {
        self.index.slots()
    }

    /// Elements with attributes.
    pub fn with_attributes(&self) -> usize {
        self.with_attributes
    }

    /// Exact answers that searches by `RECALL` were compared with, and the mean recall of the 10 nearest at each effort
    /// that was tried.
    pub fn sampled_recall(&self) -> (u32, impl Iterator<Item = (usize, f64)>) {
        let (audits, means) = self.recall.sampled();
        (audits, recall::LADDER.into_iter().zip(means))
    }

    /// Grows with every change of an element.
    pub fn version(&self) -> u64 {
        self.version + self.changes
    }

    /// What to hold while links are found ahead ([`Ahead::find`]).
    pub fn builder(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.builder)
    }

    /// Number of this set in this process.
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        let members = self.members.capacity() * size_of::<Member>();
        let projection = self.projection.as_ref().map_or(0, |projection| projection.memory_bytes());
        size_of::<Self>()
            + self.index.memory_bytes()
            + self.slots.memory_bytes()
            + members
            + self.text_bytes
            + projection
            + self.memos.memory_bytes()
            + self.indexes.memory_bytes()
            + self.expiries.memory_bytes()
    }

    /// The slot of an element.
    pub fn slot(&self, name: &[u8]) -> Option<Slot> {
        match self.slots.get(KeyHasher.hash(name), name)?.value() {
            ValueRef::Int(slot) => Slot::try_from(slot).ok(),
            ValueRef::Bytes(_) | ValueRef::Object(_) => None,
        }
    }

    /// The element in a slot.
    pub fn name(&self, slot: Slot) -> &[u8] {
        &self.members[slot as usize].name
    }

    /// The names of all elements, in no order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names_seen(AsOf::ALL)
    }

    /// The names of the elements that are seen as of a time, in no order.
    pub fn names_seen(&self, as_of: AsOf) -> impl Iterator<Item = &[u8]> {
        self.index.live_slots().filter(move |slot| self.is_seen(*slot, as_of)).map(|slot| self.name(slot))
    }

    /// Whether a vector of `dim` components can be asked for.
    pub fn takes(&self, dim: usize) -> bool {
        dim == self.dim() || self.projection.as_ref().is_some_and(|projection| projection.input_dim() == dim)
    }

    /// Adds an element, or gives it another vector; its attributes stay unless `attributes` says otherwise, its expiry
    /// goes. `true` when it is new.
    /// # Errors
    /// A vector of the wrong length, or not finite. Nothing changed then.
    pub fn add(&mut self, name: &[u8], input: &[f32], attributes: Option<&[u8]>, ef: usize) -> Result<bool, Error> {
        let (vector, norm) = self.indexed(input)?;
        let slot = match self.slot(name) {
            Some(slot) => self.index.update(slot, &vector, ef).map(|()| slot)?,
            None => self.index.insert(&vector, level_key(name), ef)?,
        };
        Ok(self.note_added(slot, name, norm, attributes))
    }

    /// Notes what belongs to an element whose vector was given or changed; `true` when it is new.
    fn note_added(&mut self, slot: Slot, name: &[u8], norm: f32, attributes: Option<&[u8]>) -> bool {
        let new = self.slot(name).is_none();
        if new {
            self.enter(slot, name);
        } else {
            self.set_expiry(slot, None);
        }
        self.members[slot as usize].norm = norm;
        self.changes += 1;
        if let Some(attributes) = attributes {
            self.set_attributes(slot, attributes);
        }
        new
    }

    /// Removes an element; `false` when there is none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(slot) = self.slot(name) else { return false };
        self.index.remove(slot).expect("names lead to live slots");
        self.slots.remove(KeyHasher.hash(name), name);
        self.set_expiry(slot, None);
        // Forgets what filters have answered about it, too.
        self.set_attributes(slot, b"");
        self.text_bytes -= name.len();
        self.members[slot as usize] = Member::default();
        self.members.truncate(self.index.slots());
        self.changes += 1;
        true
    }

    /// The attributes of an element, empty for none.
    pub fn attributes(&self, slot: Slot) -> &[u8] {
        &self.members[slot as usize].attributes
    }

    /// Sets the attributes of an element, or clears them with an empty text.
    pub fn set_attributes(&mut self, slot: Slot, attributes: &[u8]) {
        self.memos.forget(slot);
        self.version += 1;
        let old = std::mem::replace(&mut self.members[slot as usize].attributes, attributes.into());
        self.with_attributes -= usize::from(!old.is_empty());
        self.with_attributes += usize::from(!attributes.is_empty());
        self.text_bytes = self.text_bytes + attributes.len() - old.len();
        self.indexes.change(slot, &old, attributes);
    }

    /// The vector of an element as it was given, as exactly as it is kept; signs under one bit per component.
    pub fn vector(&self, slot: Slot) -> Option<Vec<f32>> {
        let mut vector = self.index.vector(slot)?;
        if self.quantisation == Quantisation::Binary {
            to_signs(&mut vector);
        }
        Some(vector)
    }

    /// The vector of an element as it is kept, and its length before it was normalised.
    pub fn raw_vector(&self, slot: Slot) -> Option<(RawVector, f32)> {
        let vector = match self.index.node(slot)?.vector {
            NodeVector::F32(vector) => RawVector::F32(vector.into_owned()),
            NodeVector::I8 { scale, code } => RawVector::Int8 { code: code.into_owned(), range: raw::range_of(scale) },
            NodeVector::Bits(bits) => RawVector::Binary(raw::to_words(&bits, self.dim())),
        };
        Some((vector, self.members[slot as usize].norm))
    }

    /// Neighbours of an element and their similarity, level by level from the top.
    pub fn links(&self, slot: Slot) -> Vec<Vec<(Slot, f64)>> {
        let similarity = |link| self.index.distance(slot, link).map_or(0.0, similarity);
        let levels = (0..=self.index.level(slot).unwrap_or(0)).rev();
        levels
            .map(|level| self.index.links(slot, level).iter().map(|&link| (link, similarity(link))).collect())
            .collect()
    }

    /// A random element of those seen; `None` where there is none.
    pub fn random(&self, rng: &mut Rng, as_of: AsOf) -> Option<&[u8]> {
        if self.hides_some(as_of) {
            return self.random_distinct(1, rng, as_of).pop();
        }
        Some(self.slots.sample(rng.next())?.key())
    }

    /// `count` distinct random elements of those seen, or all.
    pub fn random_distinct(&self, count: usize, rng: &mut Rng, as_of: AsOf) -> Vec<&[u8]> {
        if count < self.len() / 4 && !self.hides_some(as_of) {
            let mut picked = BTreeSet::new();
            while picked.len() < count {
                picked.extend(self.random(rng, as_of));
            }
            return picked.into_iter().collect();
        }
        let mut names: Vec<&[u8]> = self.names_seen(as_of).collect();
        let count = count.min(names.len());
        for i in 0..count {
            let other = i + rng.below(names.len() - i);
            names.swap(i, other);
        }
        names.truncate(count);
        names
    }

    /// Digest of names, attributes, vectors as they are kept, and which fields are indexed; links do not count.
    pub fn digest(&self) -> Digest {
        let mut elements = Digest::default();
        let mut vector = Vec::new();
        for slot in self.index.live_slots() {
            let member = &self.members[slot as usize];
            vector.clear();
            if let Some((raw, _)) = self.raw_vector(slot) {
                raw.write_to(&mut vector);
            }
            let expiry = self.expiry(slot).unwrap_or(0).to_le_bytes();
            let norm = member.norm.to_le_bytes();
            elements.add(Digest::of(&[&member.name, &member.attributes, &vector, &norm, &expiry]));
        }
        let numbers = [self.dim(), self.m(), self.quantisation as usize];
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let projection = self.projection.as_ref().map_or_else(Vec::new, |projection| projection.matrix_bytes());
        let elements = elements.bytes();
        let mut parts: Vec<&[u8]> = vec![b"vectorset", &numbers, &projection, &elements];
        parts.extend(self.indexed_fields().map(|(field, _)| field));
        Digest::of(&parts)
    }

    /// Proves the invariants, for tests.
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self) -> Result<(), String> {
        self.index.check()?;
        let live: Vec<Slot> = self.index.live_slots().collect();
        if self.slots.len() != live.len() {
            return Err(format!("{} names for {} elements", self.slots.len(), live.len()));
        }
        if let Some(slot) = live.iter().find(|slot| self.slot(self.name(**slot)) != Some(**slot)) {
            return Err(format!("the name of slot {slot} leads elsewhere"));
        }
        let attributes = live.iter().filter(|slot| !self.attributes(**slot).is_empty()).count();
        let text: usize = self.members.iter().map(|member| member.name.len() + member.attributes.len()).sum();
        if let Some((slot, _)) = self.expiring().find(|(slot, _)| !self.index.is_live(*slot)) {
            return Err(format!("slot {slot} expires, but no element lives there"));
        }
        if attributes != self.with_attributes || text != self.text_bytes {
            return Err("attributes or bytes are miscounted".to_owned());
        }
        self.check_indexes()
    }

    /// A vector as the index takes it, and its length (one for zero).
    fn indexed(&self, input: &[f32]) -> Result<(Vec<f32>, f32), Error> {
        let mut vector = match &self.projection {
            Some(projection) if projection.input_dim() == input.len() => projection.apply(input),
            _ => input.to_vec(),
        };
        if vector.len() != self.dim() {
            return Err(Error::VectorDim { got: vector.len(), want: self.dim() });
        }
        let norm = norm_of(&vector)?;
        if self.quantisation == Quantisation::Binary {
            to_signs(&mut vector);
        }
        Ok((vector, norm))
    }

    /// Gives a slot its name.
    fn enter(&mut self, slot: Slot, name: &[u8]) {
        self.slots.set(KeyHasher.hash(name), name, Value::Int(i64::from(slot)), None, 0);
        if self.members.len() <= slot as usize {
            self.members.resize_with(slot as usize + 1, Member::default);
        }
        self.members[slot as usize].name = name.into();
        self.text_bytes += name.len();
    }
}

impl Clone for VectorSet {
    /// A deep copy with the same graph, under a uid of its own.
    fn clone(&self) -> Self {
        let nodes = self.index.live_slots().filter_map(|slot| self.index.node(slot));
        let index = Hnsw::from_nodes(*self.index.params(), nodes).expect("the nodes of an index are one");
        let mut copy = Self::around(index, self.quantisation, self.projection.clone());
        for slot in self.index.live_slots() {
            copy.enter(slot, self.name(slot));
        }
        copy.members.clone_from(&self.members);
        copy.with_attributes = self.with_attributes;
        copy.text_bytes = self.text_bytes;
        copy.expiries.clone_from(&self.expiries);
        copy.indexes.clone_from(&self.indexes);
        copy
    }
}

impl fmt::Debug for VectorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorSet")
            .field("len", &self.len())
            .field("dim", &self.dim())
            .field("quantisation", &self.quantisation)
            .finish_non_exhaustive()
    }
}

fn params(dim: usize, quantisation: Quantisation, m: usize) -> Params {
    let storage = match quantisation {
        Quantisation::F32 => Storage::F32,
        Quantisation::Int8 => Storage::I8,
        Quantisation::Binary => Storage::Binary,
    };
    Params { dim, metric: Metric::Cosine, storage, m, ef_construction: EF_ADD_DEFAULT }
}

/// The length of a vector, one for zero.
fn norm_of(vector: &[f32]) -> Result<f32, Error> {
    let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if norm.is_nan() || norm > f64::from(f32::MAX) {
        return Err(Error::NotFinite);
    }
    Ok(if norm == 0.0 { 1.0 } else { norm as f32 })
}

fn to_signs(vector: &mut [f32]) {
    vector.iter_mut().for_each(|x| *x = if *x > 0.0 { 1.0 } else { -1.0 });
}

/// FNV-1a of a name: not keyed, so that the levels of a graph are the same in every process.
fn level_key(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
