//! Kernels for AVX-512 with VNNI: 64 products of bytes per instruction.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes, so one side is shifted by 128 (an exclusive or with 0x80) and
//! 128 times the sum of the other side is taken off at the end. The side that is summed is the query, once per call
//! for four rows. Exact for every pair of bytes: nothing saturates, the sums are 32 bits wide.
//!
//! Closures are kept away from vectors: a closure handed to a function of the standard library is not inlined into it,
//! because that function is compiled without the features, and every vector would travel through memory.
//!
//! The functions marked `target_feature` are sound only on a processor that has the features; [`detect`] hands the
//! table out after asking, and nothing else reaches them.

#![expect(unsafe_code, reason = "SIMD loads, and calls of functions compiled for features checked at run time")]

use std::arch::x86_64::*;

use crate::{Isa, Kernels};

static TABLE: Kernels = Kernels {
    isa: Isa::Avx512,
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

/// The table, if this processor has AVX-512 F, BW, VNNI and VPOPCNTDQ (every one with VNNI for servers has the last).
pub(crate) fn detect() -> Option<&'static Kernels> {
    let all = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512vpopcntdq");
    all.then_some(&TABLE)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_f32(lanes: &[f32; 16]) -> __m512 {
    // SAFETY: the array is 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_i8(lanes: &[i8; 64]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

/// The last elements of a slice, followed by zeros: adds nothing to a sum of products.
#[inline]
fn padded<T: Copy + Default, const N: usize>(tail: &[T]) -> [T; N] {
    let mut lanes = [T::default(); N];
    lanes[..tail.len()].copy_from_slice(tail);
    lanes
}

/// `row`, which must be as long as `query`.
#[inline]
fn same_len<'a>(query: &[i8], row: &'a [i8]) -> &'a [i8] {
    assert_eq!(query.len(), row.len(), "vectors of one length");
    &row[..query.len()]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut acc = [_mm512_setzero_ps(); 4];
    let ((a4, a1), (b4, b1)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (x, y) in a4.iter().zip(b4) {
        for i in 0..4 {
            acc[i] = _mm512_fmadd_ps(load_f32(&x[i]), load_f32(&y[i]), acc[i]);
        }
    }
    for (x, y) in a1.iter().zip(b1) {
        acc[0] = _mm512_fmadd_ps(load_f32(x), load_f32(y), acc[0]);
    }
    if !a_tail.is_empty() {
        acc[1] = _mm512_fmadd_ps(load_f32(&padded(a_tail)), load_f32(&padded(b_tail)), acc[1]);
    }
    sum_f32(acc)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn l2sq_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut acc = [_mm512_setzero_ps(); 4];
    let ((a4, a1), (b4, b1)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (x, y) in a4.iter().zip(b4) {
        for i in 0..4 {
            let difference = _mm512_sub_ps(load_f32(&x[i]), load_f32(&y[i]));
            acc[i] = _mm512_fmadd_ps(difference, difference, acc[i]);
        }
    }
    for (x, y) in a1.iter().zip(b1) {
        let difference = _mm512_sub_ps(load_f32(x), load_f32(y));
        acc[0] = _mm512_fmadd_ps(difference, difference, acc[0]);
    }
    if !a_tail.is_empty() {
        let difference = _mm512_sub_ps(load_f32(&padded(a_tail)), load_f32(&padded(b_tail)));
        acc[1] = _mm512_fmadd_ps(difference, difference, acc[1]);
    }
    sum_f32(acc)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sum_f32(acc: [__m512; 4]) -> f32 {
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(acc[0], acc[1]), _mm512_add_ps(acc[2], acc[3])))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<64>(), b.as_chunks::<64>());
    let (shift, ones) = (_mm512_set1_epi8(-128), _mm512_set1_epi8(1));
    let (mut sum, mut products) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (x, y) in a.iter().zip(b) {
        let x = load_i8(x);
        sum = _mm512_dpbusd_epi32(sum, ones, x);
        products = _mm512_dpbusd_epi32(products, _mm512_xor_si512(load_i8(y), shift), x);
    }
    if !a_tail.is_empty() {
        let x = load_i8(&padded(a_tail));
        sum = _mm512_dpbusd_epi32(sum, ones, x);
        products = _mm512_dpbusd_epi32(products, _mm512_xor_si512(load_i8(&padded(b_tail)), shift), x);
    }
    let shifted = _mm512_sub_epi32(products, _mm512_slli_epi32::<7>(sum));
    _mm512_reduce_add_epi32(shifted)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_i8_x4(query: &[i8], rows: &[&[i8]; 4]) -> [i32; 4] {
    let (q, q_tail) = query.as_chunks::<64>();
    let [r0, r1, r2, r3] = *rows;
    let (r0, r1) = (same_len(query, r0).as_chunks::<64>().0, same_len(query, r1).as_chunks::<64>().0);
    let (r2, r3) = (same_len(query, r2).as_chunks::<64>().0, same_len(query, r3).as_chunks::<64>().0);
    let (shift, ones) = (_mm512_set1_epi8(-128), _mm512_set1_epi8(1));
    let zero = _mm512_setzero_si512();
    let (mut sum, mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero, zero);
    for (i, x) in q.iter().enumerate() {
        let x = load_i8(x);
        sum = _mm512_dpbusd_epi32(sum, ones, x);
        s0 = _mm512_dpbusd_epi32(s0, _mm512_xor_si512(load_i8(&r0[i]), shift), x);
        s1 = _mm512_dpbusd_epi32(s1, _mm512_xor_si512(load_i8(&r1[i]), shift), x);
        s2 = _mm512_dpbusd_epi32(s2, _mm512_xor_si512(load_i8(&r2[i]), shift), x);
        s3 = _mm512_dpbusd_epi32(s3, _mm512_xor_si512(load_i8(&r3[i]), shift), x);
    }
    let shifted = _mm512_slli_epi32::<7>(sum);
    let sums = sum_i32_x4([
        _mm512_sub_epi32(s0, shifted),
        _mm512_sub_epi32(s1, shifted),
        _mm512_sub_epi32(s2, shifted),
        _mm512_sub_epi32(s3, shifted),
    ]);
    if q_tail.is_empty() { sums } else { add_tails(sums, q_tail, rows) }
}

/// Adds the products behind the last whole vector. Apart, because an index pads its rows and has none, and what this
/// needs on the stack would cost every call.
#[cold]
#[inline(never)]
fn add_tails(sums: [i32; 4], query: &[i8], rows: &[&[i8]; 4]) -> [i32; 4] {
    let tail = |i: usize| sums[i] + crate::scalar::dot_i8(query, &rows[i][rows[i].len() - query.len()..]);
    [tail(0), tail(1), tail(2), tail(3)]
}

/// The four sums of the lanes, by folding pairs of vectors into one: a third of the work of four separate sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sum_i32_x4(v: [__m512i; 4]) -> [i32; 4] {
    let v01 = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    let v23 = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(v01, v23), _mm512_unpackhi_epi64(v01, v23));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    let mut out = [0; 4];
    // SAFETY: the array is 16 writable bytes; the store asks for no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
    out
}

/// Sixteen halves as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_f16(lanes: &[u16; 16]) -> __m512 {
    // SAFETY: the array is 32 readable bytes; the load asks for no alignment.
    let halves = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
    _mm512_cvtph_ps(halves)
}

/// Sixteen upper halves as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_bf16(lanes: &[u16; 16]) -> __m512 {
    // SAFETY: the array is 32 readable bytes; the load asks for no alignment.
    let halves = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

/// A kernel of a query of floats and a row of halves: what is loaded, and what is done with a pair of lanes.
macro_rules! halves {
    ($name:ident, $load:ident, |$x:ident, $y:ident, $acc:ident| $step:expr) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn $name(a: &[f32], b: &[u16]) -> f32 {
            assert_eq!(a.len(), b.len(), "vectors of one length");
            let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
            let mut acc = [_mm512_setzero_ps(); 4];
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
            if !a_tail.is_empty() {
                let ($x, $y, $acc) = (load_f32(&padded(a_tail)), $load(&padded(b_tail)), acc[1]);
                acc[1] = $step;
            }
            sum_f32(acc)
        }
    };
}

halves!(dot_f16, load_f16, |x, y, acc| _mm512_fmadd_ps(x, y, acc));
halves!(dot_bf16, load_bf16, |x, y, acc| _mm512_fmadd_ps(x, y, acc));
halves!(l2sq_f16, load_f16, |x, y, acc| {
    let difference = _mm512_sub_ps(x, y);
    _mm512_fmadd_ps(difference, difference, acc)
});
halves!(l2sq_bf16, load_bf16, |x, y, acc| {
    let difference = _mm512_sub_ps(x, y);
    _mm512_fmadd_ps(difference, difference, acc)
});

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512vpopcntdq")]
fn hamming(a: &[i8], b: &[i8]) -> u32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<64>(), b.as_chunks::<64>());
    let mut acc = _mm512_setzero_si512();
    for (x, y) in a.iter().zip(b) {
        acc = _mm512_add_epi64(acc, _mm512_popcnt_epi64(_mm512_xor_si512(load_i8(x), load_i8(y))));
    }
    if !a_tail.is_empty() {
        let differing = _mm512_xor_si512(load_i8(&padded(a_tail)), load_i8(&padded(b_tail)));
        acc = _mm512_add_epi64(acc, _mm512_popcnt_epi64(differing));
    }
    _mm512_reduce_add_epi64(acc) as u32
}
