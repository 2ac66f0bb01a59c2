//! Vectors of an index and distances between them.
//!
//! Two precisions: codes, for everything that decides about links and for walks; and the best that is kept, for the
//! distances a caller sees. A distance on codes is `base + bias[x] - dot * (scale * scale[x])` for every metric: for
//! L2, base and bias are squared norms and the scale of the asking side carries the factor two. Codes are bytes, or
//! bits under [`Storage::Binary`], whose product is a matter of counting those that differ.

mod encoded;
mod query;

pub(crate) use encoded::Encoded;
pub(crate) use query::Query;

use half::{bf16, f16};
use quiver_kernels::{Kernels, prefetch};

use crate::quantize::norm;
use crate::rows::Rows;
use crate::{Error, Metric, Params, Slot, Storage};

/// Codes are padded with zeros to whole cache lines, so that kernels have no tail to handle.
const LINE: usize = 64;

/// Norms up to here have squared distances that stay finite in single precision. A code of a longer vector stands for one
/// of this norm in its direction: walks find their way by it, and distances are measured on the vector itself.
const NORM_MAX: f64 = 4e18;

#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) metric: Metric,
    pub(crate) storage: Storage,
    pub(crate) dim: usize,
    kernels: &'static Kernels,
    codes: Rows<i8>,
    /// Scale and bias of each code.
    coefs: Rows<[f32; 2]>,
    norms: Rows<f32>,
    full: Full,
}

/// What is kept besides the codes.
#[derive(Debug)]
enum Full {
    Nothing,
    Floats(Rows<f32>),
    Halves(Rows<u16>),
}

/// One side of a distance on codes.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    code: &'a [i8],
    scale: f32,
    base: f32,
}

impl Space {
    pub(crate) fn new(params: &Params, kernels: &'static Kernels) -> Self {
        let full = match params.storage {
            Storage::F32 => Full::Floats(Rows::new(params.dim.next_multiple_of(LINE / size_of::<f32>()))),
            Storage::F16 | Storage::Bf16 => {
                Full::Halves(Rows::new(params.dim.next_multiple_of(LINE / size_of::<u16>())))
            }
            Storage::I8 | Storage::Binary => Full::Nothing,
        };
        Self {
            metric: params.metric,
            storage: params.storage,
            dim: params.dim,
            kernels,
            codes: Rows::new(code_bytes(params.storage, params.dim)),
            coefs: Rows::new(1),
            norms: Rows::new(1),
            full,
        }
    }

    /// The norm of a vector the index can hold.
    pub(crate) fn validate(&self, vector: &[f32]) -> Result<f64, Error> {
        if vector.len() != self.dim {
            return Err(Error::VectorDim { got: vector.len(), want: self.dim });
        }
        let norm = norm(vector);
        // A NaN fails the comparison too.
        if norm <= self.norm_max() { Ok(norm) } else { Err(Error::NotFinite) }
    }

    /// [`Self::validate`] for a vector of bytes that are worth `scale` each.
    pub(crate) fn validate_code(&self, code: &[i8], scale: f32) -> Result<f64, Error> {
        if code.len() != self.dim {
            return Err(Error::VectorDim { got: code.len(), want: self.dim });
        }
        let squares: i64 = code.iter().map(|&x| i64::from(i32::from(x) * i32::from(x))).sum();
        let norm = (squares as f64).sqrt() * f64::from(scale.abs());
        if norm <= self.norm_max() { Ok(norm) } else { Err(Error::NotFinite) }
    }

    fn norm_max(&self) -> f64 {
        match (self.metric, self.storage) {
            (Metric::Cosine, _) | (_, Storage::F32) => f64::from(f32::MAX),
            (_, Storage::Bf16) => bf16::MAX.to_f64(),
            (_, Storage::F16) => f16::MAX.to_f64(),
            (_, Storage::I8 | Storage::Binary) => NORM_MAX,
        }
    }

    /// Stores what [`Encoded::encode`] made of a vector.
    pub(crate) fn write(&mut self, slot: Slot, encoded: &Encoded) {
        let at = slot as usize;
        self.codes.ensure(at);
        self.coefs.ensure(at);
        self.norms.ensure(at);
        self.codes.row_mut(at).copy_from_slice(&encoded.code);
        self.coefs.row_mut(at)[0] = [encoded.scale, encoded.bias];
        self.norms.row_mut(at)[0] = encoded.norm;
        match &mut self.full {
            Full::Nothing => {}
            Full::Floats(rows) => put(rows, at, &encoded.full),
            Full::Halves(rows) => put(rows, at, &encoded.halves),
        }
    }

    /// The code as it stands; a byte per dimension, or a bit under [`Storage::Binary`].
    pub(crate) fn code(&self, slot: Slot) -> &[i8] {
        let len = if self.storage == Storage::Binary { self.dim.div_ceil(8) } else { self.dim };
        &self.codes.row(slot as usize)[..len]
    }

    /// What a step of the code is worth.
    pub(crate) fn scale(&self, slot: Slot) -> f32 {
        self.coefs.row(slot as usize)[0][0]
    }

    /// Norm of the vector as the caller gave it.
    pub(crate) fn norm(&self, slot: Slot) -> f32 {
        self.norms.row(slot as usize)[0]
    }

    /// The stored vector (normalised under cosine), where floats are kept.
    pub(crate) fn floats(&self, slot: Slot) -> Option<&[f32]> {
        match &self.full {
            Full::Floats(rows) => Some(&rows.row(slot as usize)[..self.dim]),
            _ => None,
        }
    }

    /// The stored vector (normalised under cosine), where halves are kept.
    pub(crate) fn halves(&self, slot: Slot) -> Option<Vec<f32>> {
        let Full::Halves(rows) = &self.full else { return None };
        let row = rows.row(slot as usize)[..self.dim].iter();
        Some(match self.storage {
            Storage::Bf16 => row.map(|&half| bf16::from_bits(half).to_f32()).collect(),
            _ => row.map(|&half| f16::from_bits(half).to_f32()).collect(),
        })
    }

    /// The vector as the caller gave it, as exactly as it is kept.
    pub(crate) fn original(&self, slot: Slot) -> Vec<f32> {
        let mut vector = match (self.floats(slot), self.halves(slot)) {
            (Some(floats), _) => floats.to_vec(),
            (_, Some(halves)) => halves,
            _ => {
                let (code, scale) = (self.code(slot), self.scale(slot));
                match self.storage {
                    Storage::Binary => (0..self.dim).map(|i| if sign(code, i) { scale } else { -scale }).collect(),
                    _ => code.iter().map(|&code| f32::from(code) * scale).collect(),
                }
            }
        };
        if self.metric == Metric::Cosine {
            let norm = self.norm(slot);
            vector.iter_mut().for_each(|x| *x *= norm);
        }
        vector
    }

    /// The asking side of distances from a stored element.
    #[inline]
    pub(crate) fn probe(&self, slot: Slot) -> Probe<'_> {
        let [scale, bias] = self.coefs.row(slot as usize)[0];
        Probe::new(self.metric, self.codes.row(slot as usize), scale, bias)
    }

    /// Distance on codes, the same both ways.
    #[inline]
    pub(crate) fn distance(&self, probe: Probe<'_>, slot: Slot) -> f32 {
        let row = self.codes.row(slot as usize);
        self.finish(probe, slot, self.product(probe.code, row))
    }

    /// Distances on codes to four slots.
    #[inline]
    pub(crate) fn distances4(&self, probe: Probe<'_>, slots: [Slot; 4]) -> [f32; 4] {
        let row = |slot: Slot| self.codes.row(slot as usize);
        let [a, b, c, d] = slots;
        let dots = self.products4(probe.code, &[row(a), row(b), row(c), row(d)]);
        [
            self.finish(probe, a, dots[0]),
            self.finish(probe, b, dots[1]),
            self.finish(probe, c, dots[2]),
            self.finish(probe, d, dots[3]),
        ]
    }

    /// Distances on codes to any number of slots, fetched ahead; calls `take(index, distance)` in order.
    #[inline]
    pub(crate) fn distances(&self, probe: Probe<'_>, slots: &[Slot], mut take: impl FnMut(usize, f32)) {
        let (groups, rest) = slots.as_chunks::<4>();
        for slot in slots.iter().take(AHEAD) {
            self.prefetch(*slot);
        }
        for (i, group) in groups.iter().enumerate() {
            for slot in slots.iter().skip(i * 4 + AHEAD).take(4) {
                self.prefetch(*slot);
            }
            for (j, distance) in self.distances4(probe, *group).into_iter().enumerate() {
                take(i * 4 + j, distance);
            }
        }
        for (j, &slot) in rest.iter().enumerate() {
            take(groups.len() * 4 + j, self.distance(probe, slot));
        }
    }

    #[inline]
    pub(crate) fn prefetch(&self, slot: Slot) {
        prefetch(self.codes.row(slot as usize));
        prefetch(self.coefs.row(slot as usize));
    }

    /// Fetches what [`Self::exact`] will read.
    #[inline]
    pub(crate) fn prefetch_full(&self, slot: Slot) {
        match &self.full {
            Full::Nothing => {}
            Full::Floats(rows) => prefetch(rows.row(slot as usize)),
            Full::Halves(rows) => prefetch(rows.row(slot as usize)),
        }
    }

    /// Distance in the best precision that is kept; never negative where the metric cannot be, and always finite.
    pub(crate) fn exact(&self, query: &Query, slot: Slot) -> f32 {
        let distance = match (&self.full, self.metric) {
            (Full::Nothing, _) => self.exact_by_code(query, slot),
            (Full::Floats(rows), metric) => {
                let row = &rows.row(slot as usize)[..self.dim];
                match metric {
                    Metric::L2 => (self.kernels.l2sq_f32)(query.full(), row),
                    _ => 1.0 - (self.kernels.dot_f32)(query.full(), row),
                }
            }
            (Full::Halves(rows), metric) => {
                let row = &rows.row(slot as usize)[..self.dim];
                match (self.storage, metric) {
                    (Storage::Bf16, Metric::L2) => (self.kernels.l2sq_bf16)(query.full(), row),
                    (Storage::Bf16, _) => 1.0 - (self.kernels.dot_bf16)(query.full(), row),
                    (_, Metric::L2) => (self.kernels.l2sq_f16)(query.full(), row),
                    _ => 1.0 - (self.kernels.dot_f16)(query.full(), row),
                }
            }
        };
        let least = if self.metric == Metric::InnerProduct { f32::MIN } else { 0.0 };
        // What sums of either sign overflow to is farthest.
        distance.min(f32::MAX).max(least)
    }

    fn exact_by_code(&self, query: &Query, slot: Slot) -> f32 {
        if self.storage == Storage::Binary {
            return self.distance(query.probe(), slot);
        }
        let (code, [scale, bias]) = (self.codes.row(slot as usize), self.coefs.row(slot as usize)[0]);
        let [coarse, fine] =
            query.codes().map(|(code_of_query, scale)| (self.kernels.dot_i8)(code_of_query, code) as f32 * scale);
        query.base() + bias - (coarse + fine) * scale
    }

    pub(crate) fn clear(&mut self) {
        self.codes.clear();
        self.coefs.clear();
        self.norms.clear();
        match &mut self.full {
            Full::Nothing => {}
            Full::Floats(rows) => rows.clear(),
            Full::Halves(rows) => rows.clear(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let full = match &self.full {
            Full::Nothing => 0,
            Full::Floats(rows) => rows.memory_bytes(),
            Full::Halves(rows) => rows.memory_bytes(),
        };
        self.codes.memory_bytes() + self.coefs.memory_bytes() + self.norms.memory_bytes() + full
    }

    /// The product of two codes; that of signs is the number of equal ones less that of differing ones.
    #[inline]
    fn product(&self, a: &[i8], b: &[i8]) -> i32 {
        if self.storage == Storage::Binary {
            return self.dim as i32 - 2 * (self.kernels.hamming)(a, b).cast_signed();
        }
        (self.kernels.dot_i8)(a, b)
    }

    #[inline]
    fn products4(&self, query: &[i8], rows: &[&[i8]; 4]) -> [i32; 4] {
        if self.storage == Storage::Binary {
            return (self.kernels.hamming_x4)(query, rows)
                .map(|differing| self.dim as i32 - 2 * differing.cast_signed());
        }
        (self.kernels.dot_i8_x4)(query, rows)
    }

    #[inline]
    fn finish(&self, probe: Probe<'_>, slot: Slot, dot: i32) -> f32 {
        let [scale, bias] = self.coefs.row(slot as usize)[0];
        probe.base + bias - dot as f32 * (probe.scale * scale)
    }
}

/// Codes fetched ahead of the one being measured: enough to cover a miss, few enough not to evict each other.
const AHEAD: usize = 8;

impl<'a> Probe<'a> {
    /// Asks from a code with the scale and the bias it is stored with.
    #[inline]
    fn new(metric: Metric, code: &'a [i8], scale: f32, bias: f32) -> Self {
        let (base, factor) = if metric == Metric::L2 { (bias, 2.0) } else { (1.0, 1.0) };
        Self { code, scale: scale * factor, base }
    }
}

/// What the code of a vector is multiplied with to have a norm whose square is finite.
fn shrink(metric: Metric, norm: f64) -> f64 {
    if metric == Metric::Cosine || norm <= NORM_MAX { 1.0 } else { NORM_MAX / norm }
}

/// Bytes of a row of codes.
fn code_bytes(storage: Storage, dim: usize) -> usize {
    let bytes = if storage == Storage::Binary { dim.div_ceil(8) } else { dim };
    bytes.next_multiple_of(LINE)
}

/// Whether bit `i` of a code is set, which stands for a positive component.
fn sign(code: &[i8], i: usize) -> bool {
    code[i / 8] >> (i % 8) & 1 == 1
}

/// Makes `values`, followed by zeros, row `at`.
fn put<T: quiver_kernels::Zeroed + Default>(rows: &mut Rows<T>, at: usize, values: &[T]) {
    rows.ensure(at);
    let (head, rest) = rows.row_mut(at).split_at_mut(values.len());
    head.copy_from_slice(values);
    rest.fill(T::default());
}
