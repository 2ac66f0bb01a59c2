//! The same kernels out of simsimd: right on every architecture, with its own choice of instruction set inside.

#![forbid(unsafe_code)]
#![expect(clippy::cast_possible_truncation, reason = "simsimd answers in f64; the kernels are defined on f32 and i32")]

use simsimd::SpatialSimilarity;

/// Sum of `a[i] * b[i]`.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    <f32 as SpatialSimilarity>::dot(a, b).expect("vectors of one length") as f32
}

/// Sum of `(a[i] - b[i])^2`.
pub fn l2sq_f32(a: &[f32], b: &[f32]) -> f32 {
    <f32 as SpatialSimilarity>::sqeuclidean(a, b).expect("vectors of one length") as f32
}

/// Sum of `a[i] * b[i]`, exact up to [`crate::I8_LEN_MAX`] elements.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    <i8 as SpatialSimilarity>::dot(a, b).expect("vectors of one length") as i32
}

/// [`dot_i8`] of `query` with each of four rows.
pub fn dot_i8_x4(query: &[i8], rows: &[&[i8]; 4]) -> [i32; 4] {
    rows.map(|row| dot_i8(query, row))
}
