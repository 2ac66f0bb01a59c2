//! Every table of kernels this processor can run equals the scalar one.

use quiver_kernels::{Kernels, available, scalar};

const LENGTHS: std::ops::RangeInclusive<usize> = 0..=257;

/// A small generator: the values matter, not their quality.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn floats(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..len).map(|_| next(&mut state) as f32 / 1e9 - 1.0).collect()
}

fn bytes(len: usize, seed: u64) -> Vec<i8> {
    let mut state = seed;
    (0..len).map(|_| next(&mut state) as i8).collect()
}

fn close(kernels: &Kernels, got: f32, want: f32, magnitude: f32, len: usize) {
    assert!((got - want).abs() <= 1e-5 * magnitude + 1e-6, "{:?}, len {len}: {got} is not {want}", kernels.isa);
}

#[test]
fn float_kernels_equal_the_scalar_ones_at_every_length_and_alignment() {
    for kernels in available() {
        for len in LENGTHS {
            // One element off the start of the allocation: no kernel may rely on alignment.
            let (a, b) = (floats(len + 1, 1), floats(len + 1, 2));
            let (a, b) = (&a[1..], &b[1..]);
            let products: f32 = a.iter().zip(b).map(|(x, y)| (x * y).abs()).sum();
            close(kernels, (kernels.dot_f32)(a, b), scalar::dot_f32(a, b), products, len);
            let l2sq = scalar::l2sq_f32(a, b);
            close(kernels, (kernels.l2sq_f32)(a, b), l2sq, l2sq, len);
        }
    }
}

#[test]
fn zeros_give_exactly_zero() {
    for kernels in available() {
        for len in LENGTHS {
            let zeros = vec![0.0; len];
            assert_eq!((kernels.dot_f32)(&zeros, &floats(len, 3)), 0.0);
            assert_eq!((kernels.l2sq_f32)(&zeros, &zeros), 0.0);
            assert_eq!((kernels.dot_i8)(&vec![0; len], &bytes(len, 3)), 0);
        }
    }
}

#[test]
fn one_non_finite_element_anywhere_gives_a_non_finite_result() {
    for kernels in available() {
        for len in [1, 7, 16, 33, 64, 100] {
            for at in 0..len {
                for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let (mut a, b) = (floats(len, 4), vec![1.0; len]);
                    a[at] = poison;
                    assert!(!(kernels.dot_f32)(&a, &b).is_finite(), "{:?} dot {len} {at}", kernels.isa);
                    assert!(!(kernels.l2sq_f32)(&a, &b).is_finite(), "{:?} l2sq {len} {at}", kernels.isa);
                }
            }
        }
    }
}

#[test]
fn byte_kernels_are_exact_at_every_length_and_alignment() {
    for kernels in available() {
        for len in LENGTHS {
            let query = bytes(len + 3, 5);
            let query = &query[3..];
            let rows: Vec<Vec<i8>> = (6..10).map(|seed| bytes(len + 1, seed)).collect();
            let rows = [&rows[0][1..], &rows[1][1..], &rows[2][1..], &rows[3][1..]];
            let want = scalar::dot_i8_x4(query, &rows);
            assert_eq!((kernels.dot_i8_x4)(query, &rows), want, "{:?} x4, len {len}", kernels.isa);
            assert_eq!(rows.map(|row| (kernels.dot_i8)(query, row)), want, "{:?}, len {len}", kernels.isa);
        }
    }
}

#[test]
fn the_extreme_bytes_are_exact_too() {
    for kernels in available() {
        for (a, b) in [(-128, -128), (-128, 127), (127, 127), (127, -128)] {
            for len in [64, 96, 384, 32_768] {
                let want = i32::from(a) * i32::from(b) * i32::try_from(len).unwrap();
                let (a, b) = (vec![a; len], vec![b; len]);
                assert_eq!((kernels.dot_i8)(&a, &b), want, "{:?}", kernels.isa);
                assert_eq!((kernels.dot_i8_x4)(&a, &[&b; 4]), [want; 4], "{:?}", kernels.isa);
            }
        }
    }
}

#[test]
fn vectors_of_unequal_length_are_refused() {
    for kernels in available() {
        assert!(std::panic::catch_unwind(|| (kernels.dot_f32)(&[1.0; 9], &[1.0; 8])).is_err());
        assert!(std::panic::catch_unwind(|| (kernels.l2sq_f32)(&[1.0; 9], &[1.0; 8])).is_err());
        assert!(std::panic::catch_unwind(|| (kernels.dot_i8)(&[1; 9], &[1; 8])).is_err());
        assert!(
            std::panic::catch_unwind(|| (kernels.dot_i8_x4)(&[1; 9], &[&[1; 9], &[1; 9], &[1; 8], &[1; 9]])).is_err()
        );
    }
}

/// Halves with every exponent a vector of a few units can have, and zeros of both signs.
fn halves(len: usize, seed: u64, round: impl Fn(f32) -> u16) -> Vec<u16> {
    floats(len, seed).into_iter().enumerate().map(|(i, x)| round(x / (i % 9) as f32 * f32::from(i % 9 != 0))).collect()
}

#[test]
fn kernels_of_halves_equal_the_scalar_ones_at_every_length_and_alignment() {
    for kernels in available() {
        for len in LENGTHS {
            let a = floats(len + 1, 1);
            let a = &a[1..];
            let f16s = halves(len + 3, 2, |x| half::f16::from_f32(if x.is_nan() { -0.0 } else { x }).to_bits());
            let bf16s = halves(len + 3, 2, |x| half::bf16::from_f32(if x.is_nan() { -0.0 } else { x }).to_bits());
            let (f16s, bf16s) = (&f16s[3..], &bf16s[3..]);
            let magnitude = a.iter().map(|x| (x.abs() + 1.0) * (x.abs() + 1.0)).sum();
            close(kernels, (kernels.dot_f16)(a, f16s), scalar::dot_f16(a, f16s), magnitude, len);
            close(kernels, (kernels.l2sq_f16)(a, f16s), scalar::l2sq_f16(a, f16s), magnitude, len);
            close(kernels, (kernels.dot_bf16)(a, bf16s), scalar::dot_bf16(a, bf16s), magnitude, len);
            close(kernels, (kernels.l2sq_bf16)(a, bf16s), scalar::l2sq_bf16(a, bf16s), magnitude, len);
        }
    }
}

#[test]
fn differing_bits_are_counted_exactly_at_every_length_and_alignment() {
    for kernels in available() {
        for len in LENGTHS {
            let query = bytes(len + 3, 5);
            let query = &query[3..];
            let rows: Vec<Vec<i8>> = (6..10).map(|seed| bytes(len + 1, seed)).collect();
            let rows = [&rows[0][1..], &rows[1][1..], &rows[2][1..], &rows[3][1..]];
            let want = rows.map(|row| query.iter().zip(row).map(|(x, y)| (x ^ y).count_ones()).sum::<u32>());
            assert_eq!((kernels.hamming_x4)(query, &rows), want, "{:?} x4, len {len}", kernels.isa);
            assert_eq!(rows.map(|row| (kernels.hamming)(query, row)), want, "{:?}, len {len}", kernels.isa);
        }
    }
}
