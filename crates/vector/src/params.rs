//! What an index is made of, and how a caller can be wrong about it.

use thiserror::Error;

use crate::Slot;

/// Largest number of dimensions; keeps `i8` products within 32 bits.
pub const DIM_MAX: usize = 32_768;
/// Largest number of links per element and upper level.
pub const M_MAX: usize = 4096;

/// What near means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// One minus the cosine of the angle: 0 to 2; the zero vector is at 1 from everything.
    Cosine,
    /// One minus the inner product.
    InnerProduct,
    /// Squared Euclidean distance.
    L2,
}

/// What is kept of every vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The vector itself for final distances, and its code for the walk: 5 bytes per dimension.
    F32,
    /// The vector in IEEE half precision, and its code: 3 bytes per dimension. Without [`Metric::Cosine`], norms end
    /// at 65,504.
    F16,
    /// The vector as the upper halves of floats, and its code: 3 bytes per dimension, any range, 8 bits of precision.
    Bf16,
    /// The code only, one byte per dimension with one scale per vector.
    I8,
    /// One bit per dimension, the sign; distances are those of the vectors of signs.
    Binary,
}

/// Shape of an index, fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Dimensions of every vector, 1 to [`DIM_MAX`].
    pub dim: usize,
    /// What near means.
    pub metric: Metric,
    /// What is kept of every vector.
    pub storage: Storage,
    /// Links per element on the upper levels, 2 to [`M_MAX`]; level 0 has room for twice as many.
    pub m: usize,
    /// Candidates examined per insertion when the caller names no other number.
    pub ef_construction: usize,
}

impl Params {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if !(1..=DIM_MAX).contains(&self.dim) {
            return Err(Error::Dim(self.dim));
        }
        if !(2..=M_MAX).contains(&self.m) {
            return Err(Error::M(self.m));
        }
        if self.ef_construction == 0 {
            return Err(Error::EfConstruction);
        }
        Ok(())
    }
}

/// Why an operation was refused. A refused operation changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// [`Params::dim`] out of range.
    #[error("{0} dimensions, expected 1 to {DIM_MAX}")]
    Dim(usize),
    /// [`Params::m`] out of range.
    #[error("{0} links per element, expected 2 to {M_MAX}")]
    M(usize),
    /// [`Params::ef_construction`] is zero.
    #[error("ef_construction must be at least 1")]
    EfConstruction,
    /// A vector of another length than the index's.
    #[error("vector of {got} dimensions, the index has {want}")]
    VectorDim {
        /// Dimensions of the vector.
        got: usize,
        /// Dimensions of the index.
        want: usize,
    },
    /// A vector with NaN, an infinity, or elements so large that its norm overflows what its storage measures.
    #[error("vector is not finite, or too large for its norm to be")]
    NotFinite,
    /// No element lives in this slot.
    #[error("no element in slot {0}")]
    NoSuchSlot(Slot),
    /// All slots are taken.
    #[error("the index is full")]
    Full,
    /// A batch with another number of keys than vectors.
    #[error("{keys} keys for {vectors} vectors")]
    Keys {
        /// Rows of the batch.
        vectors: usize,
        /// Keys given.
        keys: usize,
    },
    /// Stored nodes that cannot be a graph.
    #[error("corrupt index: {0}")]
    Corrupt(String),
}
