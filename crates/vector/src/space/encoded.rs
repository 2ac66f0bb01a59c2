//! A vector in the forms it is stored in, before it has a place.

use half::{bf16, f16};

use super::{Probe, Space, code_bytes, shrink};
use crate::quantize::quantize;
use crate::{Metric, Storage};

/// What [`Space::write`] stores; also one side of distances on codes, the very side the stored element will be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoded {
    /// Normalised under cosine, and rounded to what is kept.
    pub(super) full: Vec<f32>,
    pub(super) halves: Vec<u16>,
    pub(super) code: Vec<i8>,
    pub(super) scale: f32,
    pub(super) bias: f32,
    pub(super) norm: f32,
}

impl Encoded {
    /// Encodes a vector that passed [`Space::validate`].
    pub(crate) fn encode(&mut self, space: &Space, vector: &[f32], norm: f64) {
        direction(&mut self.full, space.metric, vector, norm);
        self.encode_full(space, norm as f32);
    }

    /// Encodes a vector as [`Space::floats`] or [`Space::halves`] gave it, without normalising it again.
    pub(crate) fn encode_kept(&mut self, space: &Space, vector: &[f32], norm: f32) {
        self.full.clear();
        self.full.extend_from_slice(vector);
        self.encode_full(space, norm);
    }

    /// Takes a code of bytes as [`Space::code`] gave it.
    pub(crate) fn encode_code(&mut self, space: &Space, code: &[i8], scale: f32, norm: f32) {
        self.code.clear();
        self.code.extend_from_slice(code);
        self.code.resize(code_bytes(space.storage, space.dim), 0);
        self.finish(space, scale, norm);
    }

    /// Takes a code of bits as [`Space::code`] gave it.
    pub(crate) fn encode_bits(&mut self, space: &Space, bits: &[i8], norm: f32) {
        let scale = scale_of_signs(space.metric, space.dim);
        self.encode_code(space, bits, scale, norm);
        if !space.dim.is_multiple_of(8) {
            // Bits past the last dimension would count as differing.
            self.code[space.dim / 8] &= !(-1_i8 << (space.dim % 8));
        }
    }

    /// The asking side of distances from this vector.
    pub(crate) fn probe(&self, space: &Space) -> Probe<'_> {
        Probe::new(space.metric, &self.code, self.scale, self.bias)
    }

    fn encode_full(&mut self, space: &Space, norm: f32) {
        self.halves.clear();
        // The code is that of what is kept, so that it is the same after a load.
        match space.storage {
            Storage::F16 => round(
                &mut self.full,
                &mut self.halves,
                |x| f16::from_f32(x).to_bits(),
                |half| f16::from_bits(half).to_f32(),
            ),
            Storage::Bf16 => round(
                &mut self.full,
                &mut self.halves,
                |x| bf16::from_f32(x).to_bits(),
                |half| bf16::from_bits(half).to_f32(),
            ),
            Storage::F32 | Storage::I8 | Storage::Binary => {}
        }
        self.code.resize(code_bytes(space.storage, space.dim), 0);
        let scale = encode(space.storage, space.metric, &self.full, &mut self.code);
        let scale = (f64::from(scale) * shrink(space.metric, f64::from(norm))) as f32;
        self.finish(space, scale, norm);
    }

    fn finish(&mut self, space: &Space, scale: f32, norm: f32) {
        self.bias = match space.metric {
            Metric::L2 => space.product(&self.code, &self.code) as f32 * (scale * scale),
            Metric::Cosine | Metric::InnerProduct => 0.0,
        };
        (self.scale, self.norm) = (scale, norm);
    }
}

/// Writes the code of a vector and returns what a step of it is worth.
pub(super) fn encode(storage: Storage, metric: Metric, vector: &[f32], code: &mut [i8]) -> f32 {
    if storage != Storage::Binary {
        return quantize(vector, code);
    }
    code.fill(0);
    for (i, _) in vector.iter().enumerate().filter(|(_, x)| **x > 0.0) {
        code[i / 8] |= 1 << (i % 8);
    }
    scale_of_signs(metric, vector.len())
}

/// A vector of signs has the length of the root of its dimensions.
fn scale_of_signs(metric: Metric, dim: usize) -> f32 {
    if metric == Metric::Cosine { (1.0 / (dim as f64).sqrt()) as f32 } else { 1.0 }
}

/// Fills `full` with the vector as distances are taken to it: normalised under cosine.
pub(super) fn direction(full: &mut Vec<f32>, metric: Metric, vector: &[f32], norm: f64) {
    full.clear();
    if metric == Metric::Cosine && norm > 0.0 {
        let inverse = 1.0 / norm;
        full.extend(vector.iter().map(|&x| (f64::from(x) * inverse) as f32));
    } else {
        full.extend_from_slice(vector);
    }
}

fn round(full: &mut [f32], halves: &mut Vec<u16>, narrow: impl Fn(f32) -> u16, widen: impl Fn(u16) -> f32) {
    halves.extend(full.iter().map(|&x| narrow(x)));
    for (x, &half) in full.iter_mut().zip(halves.iter()) {
        *x = widen(half);
    }
}
