//! Kernels for AVX2 with FMA, F16C and POPCNT: several accumulators, so that the adds of one do not wait for the other.
//!
//! The functions marked `target_feature` are sound only on a processor that has the features; [`detect`] hands the
//! table out after asking, and nothing else reaches them.

#![expect(unsafe_code, reason = "SIMD loads, and calls of functions compiled for features checked at run time")]

use std::arch::x86_64::*;

use crate::{Isa, Kernels};

static TABLE: Kernels = Kernels {
    isa: Isa::Avx2,
    // SAFETY: the table is handed out only after `detect` saw every feature; so for those below.
    dot_f32: |a, b| unsafe { dot_f32(a, b) },
    // SAFETY: as above.
    l2sq_f32: |a, b| unsafe { l2sq_f32(a, b) },
    // SAFETY: as above.
    dot_f16: |a, b| unsafe { dot_f16(a, b) },
    // SAFETY: as above.
    l2sq_f16: |a, b| unsafe { l2sq_f16(a, b) },
    // SAFETY: as above.
    dot_bf16: |a, b| unsafe { dot_bf16(a, b) },
    // SAFETY: as above.
    l2sq_bf16: |a, b| unsafe { l2sq_bf16(a, b) },
    // SAFETY: as above.
    dot_i8: |a, b| unsafe { dot_i8(a, b) },
    // SAFETY: as above.
    dot_i8_x4: |query, rows| unsafe { dot_i8_x4(query, rows) },
    // SAFETY: as above.
    hamming: |a, b| unsafe { hamming(a, b) },
    // SAFETY: as above.
    hamming_x4: |query, rows| unsafe { rows.map(|row| hamming(query, row)) },
};

/// The table, if this processor has AVX2, FMA, F16C and POPCNT (every one with AVX2 has them).
pub(crate) fn detect() -> Option<&'static Kernels> {
    let all = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("popcnt");
    all.then_some(&TABLE)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_f32(lanes: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
}

/// Sixteen `i8` widened to `i16`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_i8(lanes: &[i8; 16]) -> __m256i {
    // SAFETY: the array is 16 readable bytes; the load asks for no alignment.
    let bytes = unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) };
    _mm256_cvtepi8_epi16(bytes)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_f32(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_i32(v: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<0b10_11_00_01>(pair)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_f32_x4(acc: [__m256; 4]) -> f32 {
    sum_f32(_mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3])))
}

#[target_feature(enable = "avx2,fma")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut acc = [_mm256_setzero_ps(); 4];
    let ((a4, a1), (b4, b1)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (x, y) in a4.iter().zip(b4) {
        for i in 0..4 {
            acc[i] = _mm256_fmadd_ps(load_f32(&x[i]), load_f32(&y[i]), acc[i]);
        }
    }
    for (x, y) in a1.iter().zip(b1) {
        acc[0] = _mm256_fmadd_ps(load_f32(x), load_f32(y), acc[0]);
    }
    sum_f32_x4(acc) + a_tail.iter().zip(b_tail).map(|(x, y)| x * y).sum::<f32>()
}

#[target_feature(enable = "avx2,fma")]
fn l2sq_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut acc = [_mm256_setzero_ps(); 4];
    let ((a4, a1), (b4, b1)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (x, y) in a4.iter().zip(b4) {
        for i in 0..4 {
            let difference = _mm256_sub_ps(load_f32(&x[i]), load_f32(&y[i]));
            acc[i] = _mm256_fmadd_ps(difference, difference, acc[i]);
        }
    }
    for (x, y) in a1.iter().zip(b1) {
        let difference = _mm256_sub_ps(load_f32(x), load_f32(y));
        acc[0] = _mm256_fmadd_ps(difference, difference, acc[0]);
    }
    sum_f32_x4(acc) + a_tail.iter().zip(b_tail).map(|(x, y)| (x - y) * (x - y)).sum::<f32>()
}

#[target_feature(enable = "avx2,fma")]
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut acc = [_mm256_setzero_si256(); 2];
    let ((a2, a1), (b2, b1)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
    for (x, y) in a2.iter().zip(b2) {
        for i in 0..2 {
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(load_i8(&x[i]), load_i8(&y[i])));
        }
    }
    for (x, y) in a1.iter().zip(b1) {
        acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(load_i8(x), load_i8(y)));
    }
    sum_i32(_mm256_add_epi32(acc[0], acc[1])) + crate::scalar::dot_i8(a_tail, b_tail)
}

/// Four calls: with 16 registers, one loop over four rows was measured slower.
#[target_feature(enable = "avx2,fma")]
fn dot_i8_x4(query: &[i8], rows: &[&[i8]; 4]) -> [i32; 4] {
    let [r0, r1, r2, r3] = *rows;
    [dot_i8(query, r0), dot_i8(query, r1), dot_i8(query, r2), dot_i8(query, r3)]
}

/// Eight halves as floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_f16(lanes: &[u16; 8]) -> __m256 {
    // SAFETY: the array is 16 readable bytes; the load asks for no alignment.
    let halves = unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) };
    _mm256_cvtph_ps(halves)
}

/// Eight upper halves as floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_bf16(lanes: &[u16; 8]) -> __m256 {
    // SAFETY: the array is 16 readable bytes; the load asks for no alignment.
    let halves = unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}

/// A kernel of a query of floats and a row of halves: what is loaded, and what is done with a pair of lanes.
macro_rules! halves {
    ($name:ident, $load:ident, $tail:path, |$x:ident, $y:ident, $acc:ident| $step:expr) => {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name(a: &[f32], b: &[u16]) -> f32 {
            assert_eq!(a.len(), b.len(), "vectors of one length");
            let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
            let mut acc = [_mm256_setzero_ps(); 4];
            let ((a4, a1), (b4, b1)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
            for (x, y) in a4.iter().zip(b4) {
                for i in 0..4 {
                    let ($x, $y, $acc) = (load_f32(&x[i]), $load(&y[i]), acc[i]);
                    acc[i] = $step;
                }
            }
            for (x, y) in a1.iter().zip(b1) {
                let ($x, $y, $acc) = (load_f32(x), $load(y), acc[0]);
                acc[0] = $step;
            }
            sum_f32_x4(acc) + $tail(a_tail, b_tail)
        }
    };
}

halves!(dot_f16, load_f16, crate::scalar::dot_f16, |x, y, acc| _mm256_fmadd_ps(x, y, acc));
halves!(dot_bf16, load_bf16, crate::scalar::dot_bf16, |x, y, acc| _mm256_fmadd_ps(x, y, acc));
halves!(l2sq_f16, load_f16, crate::scalar::l2sq_f16, |x, y, acc| {
    let difference = _mm256_sub_ps(x, y);
    _mm256_fmadd_ps(difference, difference, acc)
});
halves!(l2sq_bf16, load_bf16, crate::scalar::l2sq_bf16, |x, y, acc| {
    let difference = _mm256_sub_ps(x, y);
    _mm256_fmadd_ps(difference, difference, acc)
});

/// Words of 64 bits, counted by one instruction each.
#[target_feature(enable = "popcnt")]
fn hamming(a: &[i8], b: &[i8]) -> u32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let word = |bytes: &[i8; 8]| u64::from_ne_bytes(bytes.map(i8::cast_unsigned));
    let mut sum = 0;
    for (x, y) in a.iter().zip(b) {
        sum += (word(x) ^ word(y)).count_ones();
    }
    sum + crate::scalar::hamming(a_tail, b_tail)
}
