//! Vectors to codes of one byte per dimension, and queries to two such codes.
//!
//! A code is symmetric with one scale per vector: `x[i] ~ code[i] * scale`, `scale = max|x| / 127`. A fixed scale for
//! all vectors caps the recall, one per vector was measured not to. A query is coded twice, the second code being
//! that of what the first one left over; together they are good to about 15 bits, so the distance of such a query to
//! a code is as exact as the code itself, and still made of integer products.
//!
//! Everything here uses single operations of IEEE arithmetic in a fixed order, so codes are the same on every machine.

/// Vectors shorter than this are coded as zero: the reciprocal of the scale must stay finite.
const MAX_TINY: f32 = 1e-36;

/// Adding this puts the nearest integer of a small number into the low bits of the sum (1.5 * 2^23).
const ROUND: f32 = 12_582_912.0;

/// Writes the code of `vector` and returns its scale. `code` may be longer; the rest is set to zero.
pub(crate) fn quantize(vector: &[f32], code: &mut [i8]) -> f32 {
    let (head, rest) = code.split_at_mut(vector.len());
    rest.fill(0);
    let max = vector.iter().fold(0.0_f32, |max, x| if x.abs() > max { x.abs() } else { max });
    if max < MAX_TINY {
        head.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / max;
    for (code, x) in head.iter_mut().zip(vector) {
        // |x * inverse| is 127 at most (and a rounding error), so the low byte of the sum is the rounded product.
        *code = (x * inverse + ROUND).to_bits() as u8 as i8;
    }
    max / 127.0
}

/// Replaces `vector` by what its code leaves over.
pub(crate) fn subtract(vector: &mut [f32], code: &[i8], scale: f32) {
    for (x, &code) in vector.iter_mut().zip(code) {
        *x -= f32::from(code) * scale;
    }
}

/// Euclidean norm, summed in double precision in eight fixed lanes.
pub(crate) fn norm(vector: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (chunks, tail) = vector.as_chunks::<8>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane += f64::from(x) * f64::from(x);
    }
    lanes.iter().sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_within_half_a_step_and_uses_the_whole_range() {
        let vector: Vec<f32> = (0..100).map(|i| ((i * 37 % 100) as f32 - 50.0) / 7.0).collect();
        let mut code = [1; 128];
        let scale = quantize(&vector, &mut code);
        assert_eq!(code.iter().map(|c| c.unsigned_abs()).max(), Some(127));
        assert!(vector.iter().zip(code).all(|(x, c)| (x - f32::from(c) * scale).abs() <= scale * 0.5001));
        assert!(code[100..].iter().all(|&c| c == 0));
    }

    #[test]
    fn two_codes_are_good_to_fifteen_bits() {
        let vector: Vec<f32> = (0..64).map(|i| ((i * 29 % 64) as f32 - 31.3) / 5.0).collect();
        let (mut rest, mut coarse, mut fine) = (vector.clone(), [0; 64], [0; 64]);
        let scale = quantize(&vector, &mut coarse);
        subtract(&mut rest, &coarse, scale);
        let fine_scale = quantize(&rest, &mut fine);
        let max = vector.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        for i in 0..64 {
            let got = f32::from(coarse[i]) * scale + f32::from(fine[i]) * fine_scale;
            assert!((got - vector[i]).abs() < max / 30_000.0);
        }
    }

    #[test]
    fn zero_tiny_and_huge_vectors_have_codes_too() {
        let mut code = [7; 4];
        assert_eq!(quantize(&[0.0; 4], &mut code), 0.0);
        assert_eq!(quantize(&[1e-40, 0.0, 0.0, 0.0], &mut code), 0.0);
        assert_eq!(code, [0; 4]);
        let scale = quantize(&[f32::MAX, f32::MIN, 0.0, f32::MAX / 2.0], &mut code);
        assert!(scale.is_finite());
        assert_eq!(code, [127, -127, 0, 64]);
        assert!(norm(&[f32::MAX; 9]).is_finite());
    }
}
