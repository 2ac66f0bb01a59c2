//! The definition of every kernel, in plain Rust: what the others are tested against.

use half::{bf16, f16};

/// Sum of `a[i] * b[i]`.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Sum of `(a[i] - b[i])^2`.
pub fn l2sq_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Sum of `a[i] * b[i]`, the row in IEEE half precision.
pub fn dot_f16(a: &[f32], b: &[u16]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| x * f16::from_bits(*y).to_f32()).sum()
}

/// Sum of `(a[i] - b[i])^2`, the row in IEEE half precision.
pub fn l2sq_f16(a: &[f32], b: &[u16]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| x - f16::from_bits(*y).to_f32()).map(|difference| difference * difference).sum()
}

/// Sum of `a[i] * b[i]`, the row as the upper halves of `f32`.
pub fn dot_bf16(a: &[f32], b: &[u16]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| x * bf16::from_bits(*y).to_f32()).sum()
}

/// Sum of `(a[i] - b[i])^2`, the row as the upper halves of `f32`.
pub fn l2sq_bf16(a: &[f32], b: &[u16]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| x - bf16::from_bits(*y).to_f32()).map(|difference| difference * difference).sum()
}

/// Sum of `a[i] * b[i]`, exact up to [`crate::I8_LEN_MAX`] elements.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// [`dot_i8`] of `query` with each of four rows.
pub fn dot_i8_x4(query: &[i8], rows: &[&[i8]; 4]) -> [i32; 4] {
    rows.map(|row| dot_i8(query, row))
}

/// Bits that differ.
pub fn hamming(a: &[i8], b: &[i8]) -> u32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).sum()
}

/// [`hamming`] of `query` with each of four rows.
pub fn hamming_x4(query: &[i8], rows: &[&[i8]; 4]) -> [u32; 4] {
    rows.map(|row| hamming(query, row))
}
