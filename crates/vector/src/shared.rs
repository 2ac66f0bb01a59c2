//! An index that many threads search and change at the same time.
//!
//! A lock around an [`Hnsw`] that nobody holds for long: changes are prepared while reading and committed in a few
//! microseconds, and whoever reads looks up every few elements of a walk whether a writer waits, and lets it through.
//! So a search never waits longer than for one commit at a time, a commit never longer than for a few steps of a walk.
//!
//! Invariants are those of [`Hnsw`]: every result is an element that lived at some moment of the search. What this does
//! not give is a snapshot: a walk goes on in the index as it has become.

use parking_lot::{RwLock, RwLockReadGuard};

use crate::{Error, Hnsw, Neighbor, Params, Prepared, Scratch, Slot};

/// Elements a walk expands before it looks whether a writer waits: a few microseconds.
const STRIDE: usize = 4;

/// An [`Hnsw`] behind a lock that is never held for long.
#[derive(Debug)]
pub struct Shared {
    index: RwLock<Hnsw>,
}

impl Shared {
    /// An empty index.
    /// # Errors
    /// A parameter out of range.
    pub fn new(params: Params) -> Result<Self, Error> {
        Ok(Hnsw::new(params)?.into())
    }

    /// The index for reading; keeps writers out as long as it is held.
    pub fn read(&self) -> RwLockReadGuard<'_, Hnsw> {
        self.index.read()
    }

    /// The index alone.
    pub fn into_inner(self) -> Hnsw {
        self.index.into_inner()
    }

    /// [`Hnsw::insert`], beside searches and other insertions.
    /// # Errors
    /// A vector of the wrong length or not finite; an index with no slot left.
    pub fn insert(&self, vector: &[f32], key: u64, ef: usize, scratch: &mut Scratch) -> Result<Slot, Error> {
        self.change(scratch, |index, scratch, prepared| index.prepare_begin(vector, key, ef, scratch, prepared))
    }

    /// [`Hnsw::update`], beside searches and other changes.
    /// # Errors
    /// No element in `slot`; a vector of the wrong length or not finite.
    pub fn update(&self, slot: Slot, vector: &[f32], ef: usize, scratch: &mut Scratch) -> Result<(), Error> {
        self.change(scratch, |index, scratch, prepared| index.prepare_update_begin(slot, vector, ef, scratch, prepared))
            .map(|_| ())
    }

    /// [`Hnsw::remove`].
    /// # Errors
    /// No element in `slot`.
    pub fn remove(&self, slot: Slot) -> Result<(), Error> {
        self.index.write().remove(slot)
    }

    /// [`Hnsw::search_graph`], beside changes.
    /// # Errors
    /// A query of the wrong length or not finite.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Neighbor>,
    ) -> Result<(), Error> {
        let mut index = self.index.read();
        index.search_begin(query, k, ef, scratch)?;
        while !index.search_advance(scratch, STRIDE) {
            RwLockReadGuard::bump(&mut index);
        }
        index.search_finish(k, scratch, out);
        Ok(())
    }

    fn change(
        &self,
        scratch: &mut Scratch,
        begin: impl FnOnce(&Hnsw, &mut Scratch, &mut Prepared) -> Result<(), Error>,
    ) -> Result<Slot, Error> {
        let mut prepared = std::mem::take(&mut scratch.prepared);
        let result = self.change_with(scratch, &mut prepared, begin);
        scratch.prepared = prepared;
        result
    }

    fn change_with(
        &self,
        scratch: &mut Scratch,
        prepared: &mut Prepared,
        begin: impl FnOnce(&Hnsw, &mut Scratch, &mut Prepared) -> Result<(), Error>,
    ) -> Result<Slot, Error> {
        {
            let mut index = self.index.read();
            begin(&index, scratch, prepared)?;
            while !index.prepare_advance(scratch, prepared, STRIDE) {
                RwLockReadGuard::bump(&mut index);
            }
        }
        self.index.write().commit(prepared)
    }
}

impl From<Hnsw> for Shared {
    fn from(index: Hnsw) -> Self {
        Self { index: RwLock::new(index) }
    }
}
