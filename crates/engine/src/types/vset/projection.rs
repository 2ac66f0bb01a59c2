//! Random projection of incoming vectors to fewer (or more) dimensions, for `REDUCE`.
//!
//! Components of the matrix are plus or minus one by a coin (Achlioptas, "Database-friendly random projections", 2003),
//! divided by the root of the incoming dimensions: distances survive as with Gaussian components, and the matrix takes
//! no rounding but one division, so every machine draws the same. The coin depends on the shape alone: a replica or a
//! replayed log has the same matrix without being told.

use crate::rng::Rng;

/// Components of the largest matrix: 64 MiB of floats.
const COMPONENTS_MAX: usize = 1 << 24;

/// A matrix of `dim` rows of `input_dim` components.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    input_dim: usize,
    matrix: Vec<f32>,
}

impl Projection {
    /// The matrix for a shape; `None` when it would be too large.
    pub fn draw(input_dim: usize, dim: usize) -> Option<Self> {
        let components = input_dim.checked_mul(dim).filter(|components| *components <= COMPONENTS_MAX)?;
        let mut rng = Rng::new((input_dim as u64) << 32 ^ dim as u64);
        let unit = 1.0 / (input_dim as f32).sqrt();
        let matrix = (0..components).map(|_| if rng.next() >> 63 == 0 { unit } else { -unit }).collect();
        Some(Self { input_dim, matrix })
    }

    /// A stored matrix; `None` when it has components that are not finite or no rows.
    pub fn stored(input_dim: usize, matrix: Vec<f32>) -> Option<Self> {
        let whole = input_dim > 0 && !matrix.is_empty() && matrix.len().is_multiple_of(input_dim);
        (whole && matrix.iter().all(|x| x.is_finite())).then_some(Self { input_dim, matrix })
    }

    /// Components of an incoming vector.
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }

    /// Row by row.
    pub fn matrix(&self) -> &[f32] {
        &self.matrix
    }

    /// The product with a vector of `input_dim` components. Components too large for a float become infinite.
    pub fn apply(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.matrix.chunks_exact(self.input_dim);
        rows.map(|row| row.iter().zip(input).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32).collect()
    }

    /// The matrix as bytes, little-endian.
    pub fn matrix_bytes(&self) -> Vec<u8> {
        self.matrix.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        self.matrix.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_keeps_angles_roughly_and_is_always_the_same() {
        let projection = Projection::draw(512, 256).unwrap();
        assert_eq!(projection, Projection::draw(512, 256).unwrap());
        let mut rng = Rng::new(5);
        let mut random = || (0..512).map(|_| rng.below(2001) as f32 - 1000.0).collect::<Vec<f32>>();
        let (a, b) = (random(), random());
        let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let reduced = |x: &[f32]| projection.apply(x);
        assert!((cosine(&a, &sum) - cosine(&reduced(&a), &reduced(&sum))).abs() < 0.15);
        assert!((cosine(&a, &b) - cosine(&reduced(&a), &reduced(&b))).abs() < 0.2);
    }

    #[test]
    fn a_matrix_nobody_could_want_is_refused() {
        assert!(Projection::draw(1 << 14, 1 << 14).is_none());
        assert!(Projection::draw(usize::MAX, 2).is_none());
        assert!(Projection::stored(2, vec![1.0, f32::NAN]).is_none());
        assert!(Projection::stored(2, vec![1.0, 2.0, 3.0]).is_none());
        assert!(Projection::stored(0, vec![1.0]).is_none());
    }
}
