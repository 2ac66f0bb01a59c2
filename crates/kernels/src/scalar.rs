//! The definition of every kernel, in plain Rust: what the others are tested against.

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

/// Sum of `a[i] * b[i]`, exact up to [`crate::I8_LEN_MAX`] elements.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// [`dot_i8`] of `query` with each of four rows.
pub fn dot_i8_x4(query: &[i8], rows: [&[i8]; 4]) -> [i32; 4] {
    rows.map(|row| dot_i8(query, row))
}
