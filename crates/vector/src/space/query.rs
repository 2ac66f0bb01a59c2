//! A query in the precisions a search needs, in memory that is reused.

use super::encoded::{direction, encode};
use super::{Probe, Space, code_bytes, shrink};
use crate::quantize::{quantize, subtract};
use crate::{Metric, Storage};

/// The vector itself for final distances, its code for walks; where codes are all there is, also the code of what the
/// first one left over: see [`crate::quantize`].
#[derive(Debug, Default)]
pub(crate) struct Query {
    full: Vec<f32>,
    rest: Vec<f32>,
    coarse: Vec<i8>,
    fine: Vec<i8>,
    scales: [f32; 2],
    base: f32,
}

impl Query {
    /// Prepares a vector that passed [`Space::validate`].
    pub(crate) fn prepare(&mut self, space: &Space, vector: &[f32], norm: f64) {
        direction(&mut self.full, space.metric, vector, norm);
        let padded = code_bytes(space.storage, space.dim);
        self.coarse.resize(padded, 0);
        let shrink = shrink(space.metric, norm);
        let coarse = (f64::from(encode(space.storage, space.metric, &self.full, &mut self.coarse)) * shrink) as f32;
        let mut fine = 0.0;
        if space.storage == Storage::I8 {
            self.fine.resize(padded, 0);
            self.rest.clone_from(&self.full);
            subtract(&mut self.rest, &self.coarse, coarse);
            fine = quantize(&self.rest, &mut self.fine);
        }
        let (base, factor) = match (space.metric, space.storage) {
            (Metric::L2, Storage::Binary) => (space.dim as f32, 2.0),
            (Metric::L2, _) => ((norm * shrink).powi(2) as f32, 2.0),
            _ => (1.0, 1.0),
        };
        self.scales = [coarse * factor, fine * factor];
        self.base = base;
    }

    /// The asking side of distances on codes.
    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe { code: &self.coarse, scale: self.scales[0], base: self.base }
    }

    /// Normalised under cosine.
    pub(super) fn full(&self) -> &[f32] {
        &self.full
    }

    /// Both codes with what a step of each is worth; only under [`Storage::I8`].
    pub(super) fn codes(&self) -> [(&[i8], f32); 2] {
        [(&self.coarse, self.scales[0]), (&self.fine, self.scales[1])]
    }

    pub(super) fn base(&self) -> f32 {
        self.base
    }
}
