//! Distances between vectors: SIMD kernels, each with a scalar twin.
//!
//! Idea: a caller resolves a [`Kernels`] table once (per index, not per distance) and then calls plain function
//! pointers. [`scalar`] is the definition; [`portable`] is the simsimd set, right on every machine and fast on most;
//! `avx2` and `avx512` are written by hand because the kernels a graph walk spends its time in were
//! measured 1.3-1.5 and, for bytes on AVX-512, 2 times as fast as the portable ones (384 dimensions, Zen 4). A row of
//! tables is available for tests and measurements through [`available`]; everyone else wants [`best`].
//! [`Slab`] is the memory that the rows stand in.
//!
//! Invariants: integer kernels are exact on every instruction set, so whatever is decided on them (the shape of a
//! graph) is the same on every machine; float kernels agree with the scalar twin to rounding, and non-finite input
//! gives non-finite output. Slices of unequal length are a caller's bug and panic.
//!
//! This is the only crate below the vector index that may hold `unsafe`. It knows no metrics, norms or scales.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod portable;
mod prefetch;
pub mod scalar;
mod slab;

pub use prefetch::prefetch;
pub use slab::{Slab, Zeroed};

use std::sync::OnceLock;

/// Longest `i8` vector whose dot product cannot leave the range of `i32` (128 * 128 * 131,071 < 2^31).
pub const I8_LEN_MAX: usize = 131_071;

/// An instruction set a table of kernels is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, the definition of every kernel.
    Scalar,
    /// The simsimd library with its own run-time dispatch.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW and VNNI.
    Avx512,
}

/// One kernel of each kind, all for the same instruction set.
#[derive(Debug)]
pub struct Kernels {
    /// What the functions below were compiled for.
    pub isa: Isa,
    /// Sum of `a[i] * b[i]`.
    pub dot_f32: fn(&[f32], &[f32]) -> f32,
    /// Sum of `(a[i] - b[i])^2`.
    pub l2sq_f32: fn(&[f32], &[f32]) -> f32,
    /// Sum of `a[i] * b[i]`, the row in IEEE half precision.
    pub dot_f16: fn(&[f32], &[u16]) -> f32,
    /// Sum of `(a[i] - b[i])^2`, the row in IEEE half precision.
    pub l2sq_f16: fn(&[f32], &[u16]) -> f32,
    /// Sum of `a[i] * b[i]`, the row as the upper halves of `f32`.
    pub dot_bf16: fn(&[f32], &[u16]) -> f32,
    /// Sum of `(a[i] - b[i])^2`, the row as the upper halves of `f32`.
    pub l2sq_bf16: fn(&[f32], &[u16]) -> f32,
    /// Sum of `a[i] * b[i]`, exact up to [`I8_LEN_MAX`] elements.
    pub dot_i8: fn(&[i8], &[i8]) -> i32,
    /// [`Self::dot_i8`] of one query and four rows: the loads of the query are shared, the four sums run in parallel.
    pub dot_i8_x4: fn(&[i8], &[&[i8]; 4]) -> [i32; 4],
    /// Bits that differ.
    pub hamming: fn(&[i8], &[i8]) -> u32,
    /// [`Self::hamming`] of one query and four rows.
    pub hamming_x4: fn(&[i8], &[&[i8]; 4]) -> [u32; 4],
}

static SCALAR: Kernels = Kernels {
    isa: Isa::Scalar,
    dot_f32: scalar::dot_f32,
    l2sq_f32: scalar::l2sq_f32,
    dot_f16: scalar::dot_f16,
    l2sq_f16: scalar::l2sq_f16,
    dot_bf16: scalar::dot_bf16,
    l2sq_bf16: scalar::l2sq_bf16,
    dot_i8: scalar::dot_i8,
    dot_i8_x4: scalar::dot_i8_x4,
    hamming: scalar::hamming,
    hamming_x4: scalar::hamming_x4,
};

static PORTABLE: Kernels = Kernels {
    isa: Isa::Portable,
    dot_f32: portable::dot_f32,
    l2sq_f32: portable::l2sq_f32,
    // A row of halves against a query of floats is no kernel of simsimd's.
    dot_f16: scalar::dot_f16,
    l2sq_f16: scalar::l2sq_f16,
    dot_bf16: scalar::dot_bf16,
    l2sq_bf16: scalar::l2sq_bf16,
    dot_i8: portable::dot_i8,
    dot_i8_x4: portable::dot_i8_x4,
    hamming: scalar::hamming,
    hamming_x4: scalar::hamming_x4,
};

/// The fastest table this processor can run. Detection happens once per process.
pub fn best() -> &'static Kernels {
    static BEST: OnceLock<&'static Kernels> = OnceLock::new();
    BEST.get_or_init(|| available().pop().expect("the scalar table is always available"))
}

/// Every table this processor can run, slowest first.
pub fn available() -> Vec<&'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let own = [avx2::detect(), avx512::detect()];
    #[cfg(not(target_arch = "x86_64"))]
    let own = [None, None];
    [Some(&SCALAR), Some(&PORTABLE)].into_iter().chain(own).flatten().collect()
}
