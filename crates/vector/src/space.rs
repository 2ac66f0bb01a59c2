//! Vectors of an index and distances between them.
//!
//! Two precisions: codes, for everything that decides about links and for walks; and the best that is kept, for the
//! distances a caller sees. A distance on codes is `base + bias[x] - dot * (scale * scale[x])` for every metric: for
//! L2, base and bias are squared norms and the scale of the asking side carries the factor two.

use quiver_kernels::{Kernels, prefetch};

use crate::quantize::{norm, quantize, subtract};
use crate::rows::Rows;
use crate::{Error, Metric, Params, Slot, Storage};

/// Codes are padded with zeros to whole cache lines, so that kernels have no tail to handle.
const LANES: usize = 64;

/// Norms up to here have squared distances that stay finite in single precision.
const NORM_MAX: f64 = 4e18;

#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) metric: Metric,
    pub(crate) storage: Storage,
    pub(crate) dim: usize,
    kernels: &'static Kernels,
    codes: Rows<i8>,
    coefs: Rows<Coef>,
    norms: Rows<f32>,
    /// Empty under [`Storage::I8`].
    full: Rows<f32>,
}

/// What turns an integer product with a code into a distance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coef {
    pub(crate) scale: f32,
    /// Squared norm of the decoded vector under L2, else zero.
    bias: f32,
}

/// One side of a distance on codes.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    code: &'a [i8],
    scale: f32,
    base: f32,
}

/// A query in every precision, in memory that is reused.
#[derive(Debug, Default)]
pub(crate) struct Query {
    full: Vec<f32>,
    rest: Vec<f32>,
    coarse: Vec<i8>,
    fine: Vec<i8>,
    scales: [f32; 2],
    base: f32,
}

impl Space {
    pub(crate) fn new(params: &Params, kernels: &'static Kernels) -> Self {
        Self {
            metric: params.metric,
            storage: params.storage,
            dim: params.dim,
            kernels,
            codes: Rows::new(params.dim.next_multiple_of(LANES)),
            coefs: Rows::new(1),
            norms: Rows::new(1),
            full: Rows::new(params.dim.next_multiple_of(16)),
        }
    }

    /// The norm of a vector the index can hold.
    pub(crate) fn validate(&self, vector: &[f32]) -> Result<f64, Error> {
        if vector.len() != self.dim {
            return Err(Error::VectorDim { got: vector.len(), want: self.dim });
        }
        let norm = norm(vector);
        let max = if self.metric == Metric::Cosine { f64::from(f32::MAX) } else { NORM_MAX };
        // A NaN fails the comparison too.
        if norm <= max { Ok(norm) } else { Err(Error::NotFinite) }
    }

    /// Stores a vector that passed [`Self::validate`].
    pub(crate) fn write(&mut self, slot: Slot, vector: &[f32], norm: f64, buffer: &mut Query) {
        self.ensure(slot);
        buffer.set_full(self.metric, vector, norm);
        let scale = quantize(&buffer.full, self.codes.row_mut(slot as usize));
        self.finish_row(slot, scale, norm as f32);
        if self.storage == Storage::F32 {
            let row = self.full.row_mut(slot as usize);
            row[..vector.len()].copy_from_slice(&buffer.full);
            row[vector.len()..].fill(0.0);
        }
    }

    /// Stores a code as it was written by [`Self::write`]; `norm` is that of the vector before it was normalised.
    pub(crate) fn write_code(&mut self, slot: Slot, code: &[i8], scale: f32, norm: f32) {
        self.ensure(slot);
        let row = self.codes.row_mut(slot as usize);
        row[..code.len()].copy_from_slice(code);
        row[code.len()..].fill(0);
        self.finish_row(slot, scale, norm);
    }

    /// Stores a vector as [`Self::full`] gave it, without normalising it again.
    pub(crate) fn write_full(&mut self, slot: Slot, vector: &[f32], norm: f32) {
        self.ensure(slot);
        let scale = quantize(vector, self.codes.row_mut(slot as usize));
        self.finish_row(slot, scale, norm);
        let row = self.full.row_mut(slot as usize);
        row[..vector.len()].copy_from_slice(vector);
        row[vector.len()..].fill(0.0);
    }

    fn finish_row(&mut self, slot: Slot, scale: f32, norm: f32) {
        let code = self.codes.row(slot as usize);
        let bias = match self.metric {
            Metric::L2 => (self.kernels.dot_i8)(code, code) as f32 * (scale * scale),
            Metric::Cosine | Metric::InnerProduct => 0.0,
        };
        self.coefs.row_mut(slot as usize)[0] = Coef { scale, bias };
        self.norms.row_mut(slot as usize)[0] = norm;
    }

    pub(crate) fn code(&self, slot: Slot) -> &[i8] {
        &self.codes.row(slot as usize)[..self.dim]
    }

    #[inline]
    pub(crate) fn coef(&self, slot: Slot) -> Coef {
        self.coefs.row(slot as usize)[0]
    }

    /// Norm of the vector as the caller gave it.
    pub(crate) fn norm(&self, slot: Slot) -> f32 {
        self.norms.row(slot as usize)[0]
    }

    /// The stored vector (normalised under cosine); only under [`Storage::F32`].
    pub(crate) fn full(&self, slot: Slot) -> &[f32] {
        &self.full.row(slot as usize)[..self.dim]
    }

    /// The vector as the caller gave it, as exactly as it is kept.
    pub(crate) fn original(&self, slot: Slot) -> Vec<f32> {
        let norm = if self.metric == Metric::Cosine { self.norm(slot) } else { 1.0 };
        match self.storage {
            Storage::F32 => self.full(slot).iter().map(|x| x * norm).collect(),
            Storage::I8 => {
                let scale = self.coef(slot).scale * norm;
                self.code(slot).iter().map(|&code| f32::from(code) * scale).collect()
            }
        }
    }

    /// The asking side of distances from a stored element.
    #[inline]
    pub(crate) fn probe(&self, slot: Slot) -> Probe<'_> {
        let coef = self.coef(slot);
        let (base, factor) = if self.metric == Metric::L2 { (coef.bias, 2.0) } else { (1.0, 1.0) };
        Probe { code: self.codes.row(slot as usize), scale: coef.scale * factor, base }
    }

    /// Distance on codes, the same both ways.
    #[inline]
    pub(crate) fn distance(&self, probe: Probe<'_>, slot: Slot) -> f32 {
        let dot = (self.kernels.dot_i8)(probe.code, self.codes.row(slot as usize));
        self.finish(probe, slot, dot)
    }

    /// Distances on codes to four slots.
    #[inline]
    pub(crate) fn distances4(&self, probe: Probe<'_>, slots: [Slot; 4]) -> [f32; 4] {
        let row = |slot: Slot| self.codes.row(slot as usize);
        let [a, b, c, d] = slots;
        let dots = (self.kernels.dot_i8_x4)(probe.code, [row(a), row(b), row(c), row(d)]);
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
    }

    #[inline]
    fn finish(&self, probe: Probe<'_>, slot: Slot, dot: i32) -> f32 {
        let coef = self.coef(slot);
        probe.base + coef.bias - dot as f32 * (probe.scale * coef.scale)
    }

    /// Distance in the best precision that is kept; never negative where the metric cannot be.
    pub(crate) fn exact(&self, query: &Query, slot: Slot) -> f32 {
        let distance = match (self.storage, self.metric) {
            (Storage::F32, Metric::L2) => (self.kernels.l2sq_f32)(&query.full, self.full(slot)),
            (Storage::F32, _) => 1.0 - (self.kernels.dot_f32)(&query.full, self.full(slot)),
            (Storage::I8, _) => {
                let (code, coef) = (self.codes.row(slot as usize), self.coef(slot));
                let coarse = (self.kernels.dot_i8)(&query.coarse, code) as f32 * query.scales[0];
                let fine = (self.kernels.dot_i8)(&query.fine, code) as f32 * query.scales[1];
                query.base + coef.bias - (coarse + fine) * coef.scale
            }
        };
        if self.metric == Metric::InnerProduct { distance } else { distance.max(0.0) }
    }

    pub(crate) fn clear(&mut self) {
        self.codes.clear();
        self.coefs.clear();
        self.norms.clear();
        self.full.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let scalars = self.coefs.memory_bytes() + self.norms.memory_bytes();
        self.codes.memory_bytes() + scalars + self.full.memory_bytes()
    }

    fn ensure(&mut self, slot: Slot) {
        let at = slot as usize;
        self.codes.ensure(at);
        self.coefs.ensure(at);
        self.norms.ensure(at);
        if self.storage == Storage::F32 {
            self.full.ensure(at);
        }
    }
}

/// Codes fetched ahead of the one being measured: enough to cover a miss, few enough not to evict each other.
const AHEAD: usize = 8;

impl Query {
    /// Prepares a vector that passed [`Space::validate`].
    pub(crate) fn prepare(&mut self, space: &Space, vector: &[f32], norm: f64) {
        self.set_full(space.metric, vector, norm);
        let padded = space.dim.next_multiple_of(LANES);
        self.coarse.resize(padded, 0);
        self.fine.resize(padded, 0);
        let coarse = quantize(&self.full, &mut self.coarse);
        self.rest.clone_from(&self.full);
        subtract(&mut self.rest, &self.coarse, coarse);
        let fine = quantize(&self.rest, &mut self.fine);
        let (base, factor) = if space.metric == Metric::L2 { ((norm * norm) as f32, 2.0) } else { (1.0, 1.0) };
        self.scales = [coarse * factor, fine * factor];
        self.base = base;
    }

    /// The asking side of distances on codes.
    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe { code: &self.coarse, scale: self.scales[0], base: self.base }
    }

    /// The vector as distances are taken to it: normalised under cosine.
    fn set_full(&mut self, metric: Metric, vector: &[f32], norm: f64) {
        self.full.clear();
        if metric == Metric::Cosine && norm > 0.0 {
            let inverse = 1.0 / norm;
            self.full.extend(vector.iter().map(|&x| (f64::from(x) * inverse) as f32));
        } else {
            self.full.extend_from_slice(vector);
        }
    }
}
